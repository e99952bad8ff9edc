/* Certificates for tests, made on the spot: a CA, a server (localhost, 127.0.0.1), one that ended and
 * one that has not begun, a client, and a client of another CA. */
#pragma once

#include "base/defs.h"

struct certs {
	char dir[64];
	char ca[96], server[96], server_key[96], client[96], client_key[96];
	char expired[96], expired_key[96], early[96], early_key[96];
	char other_ca[96], other_client[96], other_key[96];
};

/* Aborts the test on failure. */
void certs_make(struct certs *c);
void certs_remove(struct certs *c);
