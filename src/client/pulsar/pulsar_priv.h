/* What pulsar.c, conn.c, frames.c, pool.c, lookup.c and reader.c share.
 *
 *   conn       one TCP connection to a broker (or to a proxy, for a broker behind it). Its socket and
 *              its timers belong to the I/O thread
 *   call       a request that waits for its answer; its caller sleeps
 *   consumer   where a connection puts the entries of one topic; part of a reader
 *
 * Everything "under mtx" is under pulsar->loop.mtx, the only lock. Threads: the I/O thread; callers,
 * which block with a deadline. */
#pragma once

#include "base/log.h"
#include "base/map.h"
#include "base/mutex.h"
#include "client/pulsar/auth.h"
#include "client/pulsar/codec.h"
#include "client/pulsar/pulsar.h"
#include "client/pulsar/url.h"
#include "net/link.h"
#include "net/loop.h"
#include "net/resolve.h"

enum {
	PULSAR_CONNECT_MS = 5000, /* one connection, TLS and CONNECT included */
	PULSAR_CALL_MS = 10000,   /* one request */
	PULSAR_OPEN_MS = 20000,   /* lookup, redirects and subscription together */
	PULSAR_QUIET_MS = 10000,  /* nothing received for so long: PING */
	PULSAR_PONG_MS = 10000,   /* nothing since the PING for so long: the connection is dead */
	PULSAR_IDLE_MS = 60000,   /* a connection nobody uses */
	/* So long after a topic was seen at its end, what is trimmed there is believed to have been
	 * the last. A broker closes a ledger no sooner by itself, and trims closed ones only. */
	PULSAR_CALM_MS = 600000,
	PULSAR_ASK_MS = 1000,    /* a reader that waits asks so often where the topic ends */
	PULSAR_STUCK_MS = 30000, /* what the broker has and does not send is asked for anew */
	PULSAR_REDIRECTS = 20,
};

struct pulsar {
	struct loop loop;
	struct loop_job job; /* the end */
	struct log_ctx log;
	struct pulsar_url url;
	struct pulsar_auth auth;
	char *tenant, *ns, *ca_path;
	bool any_host_name;
	size_t max_message_bytes;
	int64_t quiet_ms, pong_ms, calm_ms, ask_ms, stuck_ms; /* PULSAR_*_MS, others in tests */
	/* under mtx */
	struct list conns; /* not dead */
	uint64_t last_request, last_consumer;
	unsigned turn;      /* which address of the url is asked next */
	size_t n_consumers; /* registered */
	size_t queued;      /* bytes in all consumers */
};

enum conn_state {
	CONN_RESOLVING,
	CONN_CONNECTING,
	CONN_HANDSHAKE,
	CONN_HELLO, /* CONNECT is sent */
	CONN_OPEN,
	CONN_DEAD
};

struct pulsar_conn;

/* One connect attempt's socket, freed by the loop. */
struct conn_sock {
	struct loop_fd io;
	struct pulsar_conn *conn; /* NULL: given up */
};

struct pulsar_conn {
	struct list link; /* in p->conns, under mtx */
	struct pulsar *p;
	struct loop_job job;
	char *address;  /* host:port to connect to */
	char *proxy_to; /* the broker behind it, or NULL */
	/* I/O thread */
	char host[SOCK_HOST_BYTES], port[SOCK_PORT_BYTES];
	struct tls *tls;
	struct resolve *resolve;
	struct sock_addrs addrs;
	size_t next_addr;
	struct conn_sock *sock;
	struct link stream;
	struct wq wq;
	struct loop_timer timer; /* connect deadline, then keepalive */
	struct deadline connect_until;
	uint8_t head[PULSAR_HEAD_BYTES];
	size_t head_n;
	struct pulsar_msg *frame; /* being received, with its first frame_n bytes */
	size_t frame_n, frame_most;
	struct err too_big; /* the frame being received is: only its beginning is kept */
	size_t skip;        /* bytes of a frame that are still to come and are dropped */
	int64_t received_ms, pinged_ms;
	bool ping_out;
	/* under mtx */
	enum conn_state state; /* written by the I/O thread only */
	struct cond cond;      /* state */
	struct err why;        /* of CONN_DEAD */
	unsigned users;        /* calls and consumers */
	int64_t idle_since_ms;
	bool done; /* the I/O thread has let go of it */
	struct list calls;
	struct umap consumers; /* by id */
	struct buf outbox;     /* frames on their way to the I/O thread */
};

struct pulsar_call {
	struct list link; /* in conn->calls; all under mtx */
	uint64_t request;
	bool done;
	struct cond cond;
	struct err err;
	struct pulsar_msg *frame; /* the answer's bytes */
	struct pulsar_cmd answer; /* points into frame */
};

struct pulsar_consumer {
	uint64_t id;
	/* under mtx */
	struct pulsar_conn *conn; /* NULL: not registered */
	struct cond cond;
	struct list queue; /* entries as they came */
	size_t queued;
	bool lost; /* the subscription is gone, why tells the reason */
	struct err why;
};

/* conn.c, frames.c: on the I/O thread */
struct pulsar_conn *pulsar_conn_new(struct pulsar *p, const char *address, const char *proxy_to);
/* Ends it: calls and consumers fail with why. */
void pulsar_conn_die(struct pulsar_conn *c, const struct err *why);
void pulsar_conn_set_state(struct pulsar_conn *c, enum conn_state to);
/* Takes bytes as they come from the socket. On failure the connection can't go on. */
NODISCARD enum err_code pulsar_conn_feed(struct pulsar_conn *c, struct slice in, struct err *e);
/* Where the rest of a big frame can be read to; NULL: read elsewhere and feed it. */
uint8_t *pulsar_conn_direct(struct pulsar_conn *c, size_t *ret_n);
NODISCARD enum err_code pulsar_conn_direct_done(struct pulsar_conn *c, size_t n, struct err *e);
void pulsar_conn_free(struct pulsar_conn *c);
/* From any thread: connect; take what is in the outbox. */
void pulsar_conn_post_start_locked(struct pulsar *p, struct pulsar_conn *c) REQUIRES(p->loop.mtx);
void pulsar_conn_post_write_locked(struct pulsar_conn *c) REQUIRES(c->p->loop.mtx);

/* pool.c: for callers */
/* An open connection, used by the caller until pulsar_conn_put. @locks mtx */
NODISCARD enum err_code pulsar_conn_get(struct pulsar *p, const char *address, const char *proxy_to,
	struct deadline d, struct stop *s, struct pulsar_conn **ret_c, struct err *e);
void pulsar_conn_put(struct pulsar_conn *c);
uint64_t pulsar_conn_next_request(struct pulsar *p);
/* Sends frames and returns at once; nothing happens if the connection is dead. */
void pulsar_conn_send(struct pulsar_conn *c, const struct buf *frames);
/* Sends frame, whose request is k->request, and waits for the answer. The broker's refusal is
 * mapped by pulsar_cmd_error. Calls pulsar_call_done in any case. */
NODISCARD enum err_code pulsar_conn_call(struct pulsar_conn *c, const struct buf *frame,
	struct pulsar_call *k, struct deadline d, struct stop *s, struct err *e);
void pulsar_call_done(struct pulsar_call *k);
/* The same without waiting: k is c's until pulsar_call_end, which also ends it unanswered. */
void pulsar_call_begin(struct pulsar_conn *c, const struct buf *frame, struct pulsar_call *k);
bool pulsar_call_answered(struct pulsar_conn *c, struct pulsar_call *k);
void pulsar_call_end(struct pulsar_conn *c, struct pulsar_call *k);
/* From now on entries and the end of the subscription reach cs, which uses c until unregistered. */
void pulsar_consumer_register(struct pulsar_conn *c, struct pulsar_consumer *cs);
/* The oldest entry of its queue; NULL when d passes, s is set or the subscription is lost. */
struct pulsar_msg *pulsar_consumer_take(
	struct pulsar *p, struct pulsar_consumer *cs, struct deadline d, struct stop *s);
bool pulsar_consumer_is_empty(struct pulsar *p, struct pulsar_consumer *cs);
/* Also drops its queue. */
void pulsar_consumer_unregister(struct pulsar *p, struct pulsar_consumer *cs);

/* lookup.c */
/* The connection to the broker that owns topic (full name). NOT_FOUND is not found out here. */
NODISCARD enum err_code pulsar_lookup(struct pulsar *p, const char *topic, struct deadline d,
	struct stop *s, struct pulsar_conn **ret_c, struct err *e);
/* A connection to any broker of the service url. */
NODISCARD enum err_code pulsar_any(struct pulsar *p, struct deadline d, struct stop *s,
	struct pulsar_conn **ret_c, struct err *e);
/* UNSUPPORTED if topic is partitioned. */
NODISCARD enum err_code pulsar_check_partitions(
	struct pulsar_conn *c, const char *topic, struct deadline d, struct stop *s, struct err *e);

/* subscribe.c */
/* "persistent://tenant/namespace/topic"; the caller frees. */
char *pulsar_topic(const struct pulsar *p, const char *topic);
/* Looks topic up and subscribes cs from start on, inclusive; *ret_last is the id of the topic's last
 * message (ledger or entry -1: the broker keeps none). */
NODISCARD enum err_code pulsar_subscribe(struct pulsar *p, struct pulsar_consumer *cs,
	const char *topic, const struct pulsar_id *start, struct stop *s,
	struct pulsar_id *ret_last, struct err *e);
/* A consumer's question where its topic ends, of which one at a time is on its way. The answer takes
 * the same way as the entries: what the broker sent before comes before it. */
struct pulsar_ask {
	struct pulsar_call call;
	struct pulsar_conn *conn; /* NULL: nothing is asked */
	int64_t asked_ms;
};
/* Asks, if the last time is ask_ms ago. cs stays registered until the answer or pulsar_ask_drop. */
void pulsar_ask(struct pulsar_ask *a, struct pulsar_consumer *cs);
/* True if the broker has answered; *ret_last as above. */
bool pulsar_ask_answer(struct pulsar_ask *a, struct pulsar_id *ret_last);
void pulsar_ask_drop(struct pulsar_ask *a);
/* Ends the subscription on both sides. */
void pulsar_unsubscribe(struct pulsar *p, struct pulsar_consumer *cs);
void pulsar_consumer_init(struct pulsar *p, struct pulsar_consumer *cs);
void pulsar_consumer_done(struct pulsar_consumer *cs);
