/* What tls.c, tls_files.c and tls_text.c share. */
#pragma once

#include <openssl/ssl.h>
#include <time.h>

#include "net/tls.h"

/* A file as it was when it was read. */
struct tls_file {
	char *path; /* NULL: not given */
	struct timespec changed;
	long long bytes;
	unsigned long long inode;
};

/* I/O thread, but for tls_new and tls_free. */
struct tls {
	SSL_CTX *ctx; /* NULL: the files could not be used yet */
	char *name;
	bool name_is_ip;
	bool any_name, any_peer;
	const char *protocol; /* for ALPN, or NULL */
	char *min_version;
	struct tls_file ca, cert, key;
	struct err refused; /* why the last certificate was not accepted */
};

/* tls_files.c: the paths are copied; nothing is read yet. */
void tls_files_set(struct tls *t, const struct grpc_tls *o);
void tls_files_free(struct tls *t);
/* A file is another one than the one that was read. */
bool tls_files_changed(const struct tls *t);
/* INVALID with the name of the file that can't be used. */
NODISCARD enum err_code tls_files_load(struct tls *t, SSL_CTX *ctx, struct err *e);

/* tls_text.c: OpenSSL's verify callback; it only takes notes, into t->refused. */
int tls_on_verify(int ok, X509_STORE_CTX *ctx);
/* OpenSSL's first error as a cause and what to do about it. */
void tls_say_handshake(SSL *ssl, struct err *e);
void tls_say_error(const SSL *ssl, struct err *e);
