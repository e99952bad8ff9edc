/* One HTTP/2 client connection (nghttp2) over TCP or TLS: connect, handshake, requests, PINGs,
 * GOAWAY. It knows nothing of gRPC. @thread I/O, all of it
 *
 * A connection is ready only when the peer's SETTINGS have come: a peer that is no HTTP/2 server,
 * or refuses our certificate (TLS 1.3 tells that after the handshake), fails the connect and no
 * request. The end is always told by exactly one lost(); h2_close tells nobody. */
#pragma once

#include <nghttp2/nghttp2.h>

#include "base/bytes.h"
#include "base/err.h"
#include "net/loop.h"
#include "net/sock.h"

struct h2;
struct h2_stream;
#define H2_PROTOCOL "h2" /* the name in ALPN */

struct tls;

/* What the connection tells its owner (arg) and the owner of a request (req). They run inside
 * nghttp2: all may submit and drop, none but lost may close a connection. */
struct h2_ops {
	void (*ready)(void *arg);
	/* No new requests; those the peer will not serve end as refused, the others go on. */
	void (*goaway)(void *arg, bool calm_down);
	/* The connection is gone; each open request was told by closed() before. */
	void (*lost)(void *arg, const struct err *why);

	void (*header)(void *req, struct slice name, struct slice value);
	/* The receiver gives credit for n bytes back with h2_consume when it has room for more. */
	void (*data)(void *req, struct slice s);
	/* The peer has sent all. */
	void (*end)(void *req);
	/* The last byte of the body was queued. */
	void (*sent)(void *req);
	/* The stream is gone without end(): reset (code), refused (the peer has not seen it), or
	 * with the connection (why is set). The stream is freed after it. */
	void (*closed)(void *req, uint32_t code, bool refused, const struct err *why);
};

struct h2_opts {
	const struct h2_ops *ops;
	void *arg;
	const struct sock_addr *addr;
	struct tls *tls;            /* NULL = plain; must outlive the connection */
	int64_t connect_timeout_ms; /* until ready */
	int64_t keepalive_ms;       /* a PING after so much silence while requests are open */
};

/* Starts to connect. UNAVAILABLE, SYSTEM if that fails at once. */
NODISCARD enum err_code h2_open(
	struct loop *l, const struct h2_opts *o, struct h2 **ret_c, struct err *e);
/* Without a word to arg; open requests must have been dropped. The memory goes at the end of the
 * turn. */
void h2_close(struct h2 *c);

/* Ready, and willing to take one more request. */
bool h2_usable(const struct h2 *c);
/* As if the peer had said GOAWAY: no new requests, and the end after the last one. */
void h2_drain(struct h2 *c);

/* The body in pieces that stay untouched until closed, drop or end; all empty: the body is written
 * with h2_write. */
struct h2_body {
	struct slice head;
	const struct slice *v;
	size_t n_v;
	size_t bytes; /* of all */
};

/* NULL: this connection takes no more. Header text may go away after it. */
struct h2_stream *h2_submit(
	struct h2 *c, const nghttp2_nv *nv, size_t n_nv, struct h2_body body, void *req);
/* For requests without a body in pieces: copies. false: more than LIMIT_GRPC_STREAM_SEND is
 * unsent. */
bool h2_write(struct h2_stream *st, struct slice s);
void h2_consume(struct h2_stream *st, size_t n);
/* The request is over for its owner: resets the stream if need be. After it no slice of the
 * body is read and req is not used. */
void h2_drop(struct h2_stream *st);
/* Whether the whole body may have left: in closed(), whether the kernel took it; else whether it
 * was queued. */
bool h2_body_left(const struct h2_stream *st);
