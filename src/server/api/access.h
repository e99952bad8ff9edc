/* What the tokens of a request allow: nothing, reading, everything. */
#pragma once

#include "base/defs.h"

enum access { ACCESS_NONE, ACCESS_READ, ACCESS_WRITE };

enum { ACCESS_DIGEST_BYTES = 32, ACCESS_TOKEN_LEAST = 16 };

/* Digests of the tokens: comparing them takes as long whatever they are. */
struct access_rules {
	bool any; /* there are no tokens: everybody may do all */
	bool has_read;
	uint8_t read[ACCESS_DIGEST_BYTES], write[ACCESS_DIGEST_BYTES];
};

/* Tokens "" or NULL: none. */
void access_init(struct access_rules *a, const char *read_token, const char *write_token);
/* By the Authorization header, NULL if there is none: "Bearer TOKEN", or "Basic ..." with the token
 * as the password of any user, which is what browsers and scrapers can do. *ret_bearer: by a
 * good bearer token, which a browser adds to nothing by itself.
 * @thread any */
enum access access_of(const struct access_rules *a, const char *header, bool *ret_bearer);
