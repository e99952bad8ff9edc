/* Shared by grpc_server.c (what tests use, the listener), grpc_server_conn.c and
 * grpc_server_call.c. */
#pragma once

#include <nghttp2/nghttp2.h>

#include "net/link.h"
#include "net/loop.h"
#include "support/grpc_server.h"

struct ssl_ctx_st;

enum { GS_META_MAX = 32, GS_STEPS_MAX = 64, GS_BODY_MAX = 256 << 20 };

enum gs_op { GS_OP_OUT = 1 };
enum gs_server_op { GS_OP_FREEZE = 1, GS_OP_CLOSE = 2, GS_OP_GOAWAY = 4, GS_OP_STOP = 8 };

struct gs {
	struct loop loop;
	struct loop_fd listen;
	struct loop_job job;
	struct gs_opts opts;
	struct ssl_ctx_st *ssl;
	char address[64];
	int port;
	struct list conns; /* server thread */

	/* under loop.mtx */
	struct cond cond;
	struct gs_step steps[GS_STEPS_MAX];
	size_t step, n_steps;
	enum gs_accept accept;
	uint32_t goaway_code;
	uint64_t counts[GS_COUNTS];
	bool stopped;
};

struct gs_conn {
	struct loop_fd io;
	struct list link;
	struct gs *g;
	struct link tcp;
	struct wq wq;
	nghttp2_session *ng;
	struct list calls;
	bool shaking; /* TLS handshake */
	bool closing; /* after the queue has been written */
	bool frozen, silent, dead;
};

struct gs_call {
	struct loop_job job;
	struct loop_timer timer;
	struct list link;
	struct gs *g;
	struct gs_conn *conn; /* NULL once the stream is gone */
	int32_t id;
	char *keys[GS_META_MAX], *values[GS_META_MAX];
	size_t n_meta;
	struct buf body; /* prefix included */
	size_t body_seen, unread;
	void *user;
	bool bidi, chunks, handed, headers_sent, trailers_sent;
	bool has_step;
	struct gs_step step;
	struct buf out; /* not yet taken by nghttp2 */
	size_t out_off;
	bool done; /* nothing more will come into out */
	bool no_trailers;

	/* under loop.mtx, from gs_send and gs_end */
	struct buf post;
	bool ended;
	int status;
	char *text;
	int64_t delay_ms;
};

/* grpc_server_conn.c */
void gs_conn_new(struct gs *g, int fd);
void gs_conn_flush_soon(struct gs_conn *cn);
void gs_conn_close_soon(struct gs_conn *cn);
void gs_conn_goaway(struct gs_conn *cn, int32_t last, uint32_t code);
void gs_conn_close(struct gs_conn *cn);
void gs_conn_op(struct gs_conn *cn, unsigned ops, uint32_t code);

/* grpc_server.c */
void gs_bump(struct gs *g, enum gs_count what, int64_t by);
bool gs_take_step(struct gs *g, struct gs_step *ret_step);

/* grpc_server_call.c */
void gs_call_free(struct gs_call *c);
/* The stream is gone; a handler that has the call keeps it until its answer. */
void gs_call_forget(struct gs_call *c);
/* The call's faults that do not wait for the body. true: that was it. */
bool gs_call_fault_at_headers(struct gs_call *c);
void gs_call_fault_at_end(struct gs_call *c);
void gs_call_hand_over(struct gs_call *c);
void gs_call_on_job(struct loop_job *j, unsigned ops);
void gs_call_on_timer(struct loop_timer *t);
