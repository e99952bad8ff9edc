/* gRPC over HTTP/2 (nghttp2) and TLS (OpenSSL): one I/O thread serves all channels; callers block.
 *
 * grpc          the I/O thread, its epoll set and timers
 * grpc_chan     one peer address: connections are made when needed, kept alive with PINGs, drained
 *               on GOAWAY and re-made with backoff; several callers share them
 * grpc_stream   a bidirectional call (etcd's Watch and LeaseKeepAlive)
 *
 * Payloads are never copied: the slices of a call must stay untouched until the call returns. */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/stop.h"
#include "base/time.h"

struct grpc;
struct grpc_chan;
struct grpc_stream;

/* All paths are PEM files; NULL or "" = not given. Without ca_path the system's roots are used. */
struct grpc_tls {
	bool enable;
	const char *ca_path, *cert_path, *key_path;
	const char *server_name; /* name to verify and SNI; NULL = the host of the address */
	const char *min_version; /* "1.0" "1.1" "1.2" "1.3"; NULL = 1.2 */
	/* Files that can't be used fail the connections that need them, not grpc_chan_new. Files
	 * that change are read again in any case. */
	bool late_files;
	bool any_name; /* the certificate may be for another name */
	bool any_peer; /* the certificate is not looked at: whoever answers will do */
};

struct grpc_chan_opts {
	const char *address; /* host:port, [v6]:port */
	struct grpc_tls tls;
	int64_t connect_timeout_ms; /* of one attempt, TLS included; 0 = 5000 */
	int64_t keepalive_ms;       /* PING after so much silence while calls are open; 0 = 10000 */
	size_t max_recv_bytes;      /* one answer; 0 = LIMIT_GRPC_RECV */
};

struct grpc_meta {
	const char *key, *value; /* lower-case key; of a -bin key the value is base64 already */
};

struct grpc_call {
	const char *path; /* "/package.Service/Method" */
	const struct grpc_meta *meta;
	size_t n_meta;            /* at most 24 */
	const struct slice *body; /* the request message in pieces, without gRPC's 5-byte prefix */
	size_t n_body;
	struct deadline deadline; /* also sent as grpc-timeout */
	bool idempotent;          /* see grpc_unary */
};

NODISCARD enum err_code grpc_new(struct grpc **ret_g, struct err *e);
/* All channels must be freed before. NULL is fine. */
void grpc_free(struct grpc *g);

/* Only checks the options and loads certificates; the first call connects. @thread any */
NODISCARD enum err_code grpc_chan_new(
	struct grpc *g, const struct grpc_chan_opts *o, struct grpc_chan **ret_c, struct err *e);
/* Fails open calls with CANCELLED, closes, frees. No call may begin any more. NULL is fine. */
void grpc_chan_free(struct grpc_chan *c);

/* One call; blocks until the answer, the deadline or s (NULL = none). The answer's message replaces
 * ret_body; its max (0 = none) limits the answer as well. While the peer is not reachable a call
 * waits for the connect attempt under way or the next one, and fails with its reason. Errors:
 * CANCELLED; UNAVAILABLE (never reached the peer, or status 14); TIMEOUT and lost connections are
 * UNCERTAIN once the whole request may have been seen by the peer and the call is not idempotent,
 * else TIMEOUT/UNAVAILABLE (a request cut off before its last byte can't have been acted on);
 * grpc-status 4 as TIMEOUT/UNCERTAIN, 8 BUSY, 5 NOT_FOUND, 6 EXISTS, 3/9/11 INVALID, 7/16 DENIED,
 * 12 UNSUPPORTED, 10 CONFLICT, others UNCERTAIN or UNAVAILABLE by idempotent; LIMIT for an answer
 * beyond max_recv_bytes; MALFORMED. origin is the grpc-status. A call refused by GOAWAY before the
 * peer saw it is repeated inside. @thread any, blocks */
NODISCARD enum err_code grpc_unary(struct grpc_chan *c, const struct grpc_call *call,
	struct stop *s, struct buf *ret_body, struct err *e);

/* Opens a bidirectional call on a live connection (waits for one until call->deadline, which covers
 * only the opening); call->body is ignored. */
NODISCARD enum err_code grpc_stream_open(struct grpc_chan *c, const struct grpc_call *call,
	struct stop *s, struct grpc_stream **ret_st, struct err *e);
/* Copies msg. UNAVAILABLE when the stream has ended, LIMIT when LIMIT_GRPC_STREAM_SEND is not sent
 * yet. */
NODISCARD enum err_code grpc_stream_send(struct grpc_stream *st, struct slice msg, struct err *e);
/* The next message replaces ret_msg. TIMEOUT when d passes first (the stream lives on); any other
 * error: the stream has ended, with the cause. */
NODISCARD enum err_code grpc_stream_recv(struct grpc_stream *st, struct deadline d, struct stop *s,
	struct buf *ret_msg, struct err *e);
/* Cancels and frees. NULL is fine. May follow grpc_chan_free, not grpc_free. */
void grpc_stream_close(struct grpc_stream *st);
