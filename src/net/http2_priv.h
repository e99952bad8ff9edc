/* Shared by http2_session.c (nghttp2, streams) and http2_conn.c (socket, states, timers). */
#pragma once

#include "base/buf.h"
#include "net/http2.h"
#include "net/link.h"
#include "net/wq.h"

enum h2_state {
	H2_CONNECTING, /* TCP */
	H2_HANDSHAKE,  /* TLS */
	H2_PREFACE,    /* our SETTINGS are out, the peer's are not here */
	H2_OPEN,
	H2_DRAINING, /* after GOAWAY: until the last stream has ended */
	H2_DEAD,
};

struct h2 {
	struct loop_fd io; /* first in line for the loop; see http2_conn.c */
	struct loop *loop;
	const struct h2_ops *ops;
	void *arg;
	enum h2_state state;
	struct link link;
	struct wq wq;
	nghttp2_session *ng;
	struct list streams; /* every h2_stream, dropped ones too */
	size_t n_live;       /* with an owner */
	struct loop_timer connect_timer, ping_timer;
	int64_t keepalive_ms, pong_ms, last_recv_ms, last_ping_ms;
	bool ping_out; /* PONG not here yet */
	bool first_byte_seen;
	struct err diag; /* what nghttp2 complained about */
};

struct h2_stream {
	struct list link;
	struct h2 *c;
	int32_t id;
	void *req; /* NULL = dropped */
	struct h2_body body;
	size_t piece, off; /* next to be queued: 0 = head, i + 1 = v[i] */
	size_t unread;     /* bytes nghttp2 has not asked for yet */
	uint64_t end_mark; /* wq.put behind the last body byte, 0 = not there yet */
	size_t uncredited; /* received, not given back to the peer's window */
	struct buf out;    /* h2_write's */
	size_t out_off;
	bool pull; /* the body comes from out */
	bool remote_ended;
};

/* http2_session.c */
void h2_session_new(struct h2 *c);
/* Feeds received bytes; UNAVAILABLE if the peer's bytes can't be HTTP/2. */
NODISCARD enum err_code h2_session_recv(struct h2 *c, const uint8_t *p, size_t n, struct err *e);
/* Moves frames into the write queue until it is full. */
NODISCARD enum err_code h2_session_send(struct h2 *c, struct err *e);
/* Tells every open request that the connection is gone, and frees the streams. */
void h2_session_fail(struct h2 *c, const struct err *why);
void h2_stream_free(struct h2_stream *st);

/* http2_conn.c */
void h2_set_state(struct h2 *c, enum h2_state to);
void h2_on_settings(struct h2 *c);
void h2_on_pong(struct h2 *c);
void h2_on_goaway(struct h2 *c, bool calm_down);
void h2_keepalive_arm(struct h2 *c);
void h2_touch(struct h2 *c);
