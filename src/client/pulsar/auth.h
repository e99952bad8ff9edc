/* Authentication in the reference's spelling: the Java class of a plugin and its parameters. */
#pragma once

#include "base/buf.h"
#include "base/defs.h"
#include "base/err.h"

enum pulsar_auth_kind { PULSAR_AUTH_NONE, PULSAR_AUTH_TOKEN, PULSAR_AUTH_TLS };

struct pulsar_auth {
	enum pulsar_auth_kind kind;
	char *token, *token_file;   /* one of them */
	char *cert_path, *key_path; /* TLS */
};

/* plugin "" or NULL: none. INVALID, UNSUPPORTED with what to write instead; no secret is in the
 * text. */
NODISCARD enum err_code pulsar_auth_parse(
	struct pulsar_auth *a, const char *plugin, const char *params, struct err *e);
void pulsar_auth_done(struct pulsar_auth *a);

/* The method's name on the wire, NULL for none. */
const char *pulsar_auth_method(const struct pulsar_auth *a);
/* What goes with it, appended to ret; a token file is read anew. SYSTEM names the file. */
NODISCARD enum err_code pulsar_auth_data(
	const struct pulsar_auth *a, struct buf *ret, struct err *e);
