/* Shared by grpc.c (what callers see), grpc_chan.c (connections of a channel) and grpc_call.c (one
 * call).
 *
 * call    what a blocked grpc_unary or an open stream is on the I/O thread
 * chan    the calls of one address: waiting for a connection, or on one
 * conn    one HTTP/2 connection of a channel: the current one, or one that drains
 *
 * Fields under "caller" stand under loop.mtx; all others belong to the I/O thread once posted. */
#pragma once

#include "base/log.h"
#include "base/retry.h"
#include "net/grpc.h"
#include "net/grpc_codec.h"
#include "net/http2.h"
#include "net/loop.h"
#include "net/resolve.h"
#include "net/tls.h"

enum {
	GRPC_BIG_BODY = 1 << 20, /* streams share a connection: many big ones would all end late */
	GRPC_BIG_AT_ONCE = 8,
	GRPC_MAX_META = 24,
	GRPC_MAX_TRIES = 8,        /* connections one call may be refused by */
	GRPC_ATTEMPT_GAP_MS = 100, /* between two connects to one address */
	GRPC_BACKOFF_MOST_MS = 3000,
	GRPC_RECONNECT_FOR_MS = 30000, /* after the last call */
	GRPC_KEEPALIVE_MOST_MS = 600000,
};

struct grpc {
	struct loop loop;
	struct log_ctx log;
};

struct conn {
	struct list link; /* in chan->draining; self-linked while current */
	struct grpc_chan *chan;
	struct h2 *h2;
	bool ready;
	unsigned n_big;       /* big bodies being sent */
	struct list big_wait; /* calls with big bodies waiting for their turn */
};

struct grpc_chan {
	struct grpc *g;
	struct loop_job job;
	char *address, *host, *port, *authority;
	struct tls *tls;
	int64_t connect_timeout_ms, keepalive_ms;
	size_t max_recv_bytes;

	struct list calls;   /* all, by call.all */
	struct list waiting; /* for a connection, by call.link */
	struct conn *cur;    /* connecting or open, or NULL */
	struct list draining;

	/* The connect attempt under way: resolving, or trying addrs[next - 1] (then cur is set). */
	struct resolve *resolve;
	struct sock_addrs addrs;
	size_t next_addr;
	struct deadline attempt_until;
	struct retry backoff;
	struct loop_timer timer; /* the next attempt */
	int64_t last_attempt_ms, last_call_ms;

	/* caller */
	struct cond cond;
	bool closed;
};

enum call_op {
	CALL_START = 1,
	CALL_CANCEL = 2,
	CALL_SEND = 4,   /* the stream has messages to send */
	CALL_CREDIT = 8, /* the stream's reader has made room */
};

struct message {
	struct list link;
	struct buf bytes;
};

struct call {
	struct loop *loop;
	struct loop_job job;
	struct list link; /* in chan->waiting or conn->big_wait */
	struct list all;
	struct grpc_chan *chan;
	struct conn *conn; /* with stream, or in its big_wait */
	struct h2_stream *stream;
	const struct grpc_call *req; /* the caller's, while it blocks */
	struct loop_timer timer;
	unsigned tries;
	bool big, idempotent, bidi;
	bool big_held; /* counted in conn->n_big */
	uint8_t prefix[GRPC_PREFIX_BYTES];
	struct grpc_reply reply;
	struct grpc_frames frames;
	unsigned n_messages;
	struct buf partial; /* bidi: the message being received */
	size_t uncredited;  /* bidi: bytes held back from the peer's window */

	/* caller */
	struct cond cond;
	bool opened, done;
	enum err_code code;
	struct err err;
	struct list inbox, outbox; /* bidi: struct message */
	size_t inbox_bytes, outbox_bytes;
	bool throttled; /* I/O holds credit back: tell it when the inbox is empty enough */
};

struct grpc_stream {
	struct call k;
};

/* grpc_call.c */
/* Called by the caller, before and after the I/O thread has it. ret_body is NULL for a stream. */
void call_init(
	struct call *k, struct grpc_chan *c, const struct grpc_call *req, struct buf *ret_body);
void call_done(struct call *k);
/* On the I/O thread: puts the call on cn, or among those waiting for its big bodies. false if cn
 * takes no more. */
bool call_submit(struct call *k, struct conn *cn);
/* What a connection tells the call on one of its streams. */
void call_on_header(void *req, struct slice name, struct slice value);
void call_on_data(void *req, struct slice s);
void call_on_end(void *req);
void call_on_sent(void *req);
void call_on_closed(void *req, uint32_t h2_code, bool refused, const struct err *why);
/* The one end of every call: gives its connection back everything and wakes the caller, who may
 * free k at once. */
void call_end(struct call *k, enum err_code code, const struct err *why);
void message_free(struct message *m);

/* grpc_chan.c, on the I/O thread */
void chan_add(struct grpc_chan *c, struct call *k);
/* A call refused before the peer saw it goes to the head of the queue again. */
void chan_again(struct grpc_chan *c, struct call *k);
void chan_dispatch(struct grpc_chan *c);
void chan_init(struct grpc_chan *c);
/* A big body has left cn: the next may go. */
void conn_big_done(struct conn *cn);
