/* Who may use the listener: rate, client certificate, token, in this order; then
 * whether a page of another site makes a browser send it. /healthz and /readyz are free of all: whoever
 * restarts a server must not need its secrets. The status page needs no token: it asks for it. */
#pragma once

#include "base/err.h"
#include "server/api/access.h"

struct MHD_Connection;
struct http_guard;

/* Files are read at once. Texts may be NULL or "". */
struct http_guard_opts {
	const char *read_token, *write_token;
	const char *tls_cert, *tls_key; /* PEM files; both or none */
	const char *tls_client_ca;      /* PEM file: clients need a certificate signed by it */
	int64_t rate_per_s;             /* of one client address; 0 = no limit */
};

/* INVALID or SYSTEM with the name of the file that can't be used. */
NODISCARD enum err_code http_guard_new(
	const struct http_guard_opts *o, struct http_guard **ret_g, struct err *e);
void http_guard_free(struct http_guard *g);

/* PEM texts for the listener, NULL: no TLS. The client's authorities are NULL if none are wanted. */
const char *http_guard_cert(const struct http_guard *g);
const char *http_guard_key(const struct http_guard *g);
const char *http_guard_client_ca(const struct http_guard *g);

struct http_verdict {
	unsigned status; /* 0: go on */
	const char *why; /* a constant */
	enum access access;
};

/* After the headers of a request. @thread any */
struct http_verdict http_guard_check(
	struct http_guard *g, struct MHD_Connection *c, const char *method, const char *path);
