/* TLS on non-blocking sockets (OpenSSL). A write to a closed socket raises SIGPIPE in OpenSSL: the
 * I/O threads run with all signals blocked, which turns it into EPIPE. */
#pragma once

#include "base/defs.h"
#include "base/err.h"
#include "net/grpc.h"

struct tls; /* certificates and settings, shared by connections */
struct ssl_st;

enum tls_io {
	TLS_IO_OK,
	TLS_IO_READ,  /* again when the socket is readable */
	TLS_IO_WRITE, /* again when it is writable */
	TLS_IO_END,   /* closed in good order */
	TLS_IO_FAIL,  /* e tells why, as UNAVAILABLE */
};

/* host is verified and sent (SNI) unless o->server_name is given. protocol is offered by ALPN (a
 * literal; NULL: none). INVALID with the name of the file that can't be used, unless o->late_files.
 * @thread any */
NODISCARD enum err_code tls_new(const struct grpc_tls *o, const char *host, const char *protocol,
	struct tls **ret_t, struct err *e);
void tls_free(struct tls *t);

/* Reads files again that have changed; INVALID as tls_new. t must outlive the session. @thread I/O */
NODISCARD enum err_code tls_open(struct tls *t, int fd, struct ssl_st **ret_ssl, struct err *e);
void tls_close(struct ssl_st *ssl);
/* OK also means: the peer is who it should be. */
enum tls_io tls_handshake(struct ssl_st *ssl, struct err *e);
/* The peer has chosen this protocol (ALPN). */
bool tls_chose(struct ssl_st *ssl, const char *protocol);
enum tls_io tls_read(struct ssl_st *ssl, void *p, size_t cap, size_t *ret_n, struct err *e);
/* After READ or WRITE the same bytes must be offered again. */
enum tls_io tls_write(struct ssl_st *ssl, const void *p, size_t n, size_t *ret_n, struct err *e);
