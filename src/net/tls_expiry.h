/* When a certificate file expires. */
#pragma once

#include "base/defs.h"
#include "base/err.h"

enum { TLS_NAME_BYTES = 128 };

/* Of one certificate of the file. Seconds since the epoch. */
struct tls_expiry {
	char name[TLS_NAME_BYTES]; /* its subject's common name, or the whole subject */
	int64_t not_before_s, not_after_s;
};

/* Of a chain the certificate that expires first; of a bundle of authorities, where old ones do no
 * harm, the one that expires last. INVALID with the file and what is wrong with it. @thread any */
NODISCARD enum err_code tls_expiry_read(
	const char *path, bool bundle, struct tls_expiry *ret_x, struct err *e);
