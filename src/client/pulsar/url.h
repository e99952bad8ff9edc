/* A service url: pulsar://host[:port][,host[:port]...], pulsar+ssl://... */
#pragma once

#include "base/defs.h"
#include "base/err.h"
#include "net/sock.h"

enum { PULSAR_URL_ADDRESSES = 32 };

struct pulsar_url {
	bool tls;
	char *addresses[PULSAR_URL_ADDRESSES]; /* host:port each */
	size_t n;
};

/* INVALID with what to write instead. */
NODISCARD enum err_code pulsar_url_parse(struct pulsar_url *u, const char *text, struct err *e);
void pulsar_url_done(struct pulsar_url *u);
