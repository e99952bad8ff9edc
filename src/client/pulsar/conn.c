/* A connection on the I/O thread: connecting, reading, writing, PINGs, its end.
 *
 *   RESOLVING ──▶ CONNECTING ──▶ HANDSHAKE ──▶ HELLO ──▶ OPEN
 *                   └── next address      (plain: straight to HELLO)
 *   any ──▶ DEAD
 *
 * A connection is never repaired: who needs one gets a new one from the pool (pool.c). It is freed
 * when the I/O thread has let go of it and nobody uses it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/limits.h"
#include "base/mem.h"
#include "client/pulsar/pulsar_priv.h"
#include "net/sock.h"
#include "net/tls.h"

enum { JOB_START = 1, JOB_WRITE = 2, JOB_FREE = 4 };
enum { READS_A_TURN = 16, FLUSHES_A_TURN = 16 };

static void try_next(struct pulsar_conn *c, struct err *why);

static void set_state_locked(struct pulsar_conn *c, enum conn_state to) REQUIRES(c->p->loop.mtx)
{
	static const uint8_t legal[] = {
		[CONN_RESOLVING] = 1 << CONN_CONNECTING | 1 << CONN_DEAD,
		[CONN_CONNECTING] = 1 << CONN_CONNECTING | 1 << CONN_HANDSHAKE | 1 << CONN_HELLO |
				    1 << CONN_DEAD,
		[CONN_HANDSHAKE] = 1 << CONN_CONNECTING | 1 << CONN_HELLO | 1 << CONN_DEAD,
		[CONN_HELLO] = 1 << CONN_OPEN | 1 << CONN_DEAD,
		[CONN_OPEN] = 1 << CONN_DEAD,
		[CONN_DEAD] = 0,
	};

	assert(legal[c->state] & 1 << to);
	c->state = to;
	cond_broadcast(&c->cond);
}

void pulsar_conn_set_state(struct pulsar_conn *c, enum conn_state to)
{
	mutex_lock(&c->p->loop.mtx);
	set_state_locked(c, to);
	mutex_unlock(&c->p->loop.mtx);
}

/* ---- the end ---- */

void pulsar_conn_free(struct pulsar_conn *c)
{
	assert(list_empty(&c->calls) && !umap_count(&c->consumers));
	tls_free(c->tls);
	wq_done(&c->wq);
	buf_done(&c->outbox);
	umap_done(&c->consumers);
	cond_done(&c->cond);
	free(c->frame);
	free(c->address);
	free(c->proxy_to);
	free(c);
}

static void drop_socket(struct pulsar_conn *c)
{
	if (!c->sock)
		return;
	link_done(&c->stream);
	c->sock->conn = NULL;
	loop_fd_retire(&c->p->loop, &TAKE(c->sock)->io);
}

static void fail_users_locked(struct pulsar_conn *c, const struct err *why) REQUIRES(c->p->loop.mtx)
{
	size_t pos = 0;
	uint64_t id;
	void *v;

	for (struct list *n; (n = list_pop(&c->calls));) {
		struct pulsar_call *k = LIST_ITEM(n, struct pulsar_call, link);
		k->err = *why;
		k->done = true;
		cond_broadcast(&k->cond);
	}
	while (umap_next(&c->consumers, &pos, &id, &v)) {
		struct pulsar_consumer *cs = v;
		if (!cs->lost)
			cs->why = *why;
		cs->lost = true;
		cond_broadcast(&cs->cond);
	}
}

void pulsar_conn_die(struct pulsar_conn *c, const struct err *why)
{
	struct loop *l = &c->p->loop;

	if (c->state == CONN_DEAD)
		return;
	loop_timer_del(l, &c->timer);
	resolve_free(TAKE(c->resolve));
	drop_socket(c);
	log_debug(&c->p->log, "%s: %s", c->address, why->text);
	mutex_lock(&c->p->loop.mtx);
	set_state_locked(c, CONN_DEAD);
	c->why = *why;
	err_ctx(&c->why, "Pulsar broker %s", c->proxy_to ? c->proxy_to : c->address);
	list_del(&c->link);
	fail_users_locked(c, &c->why);
	/* Callers of this may still look at c: it goes in a turn of its own. */
	loop_post_locked(&c->p->loop, &c->job, JOB_FREE);
	mutex_unlock(&c->p->loop.mtx);
}

static void die_text(struct pulsar_conn *c, const char *text)
{
	struct err why = ERR_INIT;
	err_set(&why, ERR_UNAVAILABLE, "%s", text);
	pulsar_conn_die(c, &why);
}

static void let_go(struct pulsar_conn *c)
{
	mutex_lock(&c->p->loop.mtx);
	c->done = true;
	bool unused = c->users == 0;
	mutex_unlock(&c->p->loop.mtx);
	if (unused)
		pulsar_conn_free(c);
}

/* ---- keepalive ---- */

/* True when nobody has used it for long; from then on nobody gets it any more. */
static bool retire_if_idle(struct pulsar_conn *c, int64_t now)
{
	mutex_lock(&c->p->loop.mtx);
	bool idle = c->users == 0 && now - c->idle_since_ms > PULSAR_IDLE_MS;
	if (idle)
		list_del(&c->link);
	mutex_unlock(&c->p->loop.mtx);
	return idle;
}

static void keep_alive(struct pulsar_conn *c)
{
	int64_t now = time_mono_ms();

	if (retire_if_idle(c, now)) {
		die_text(c, "closed: not used any more");
		return;
	}
	if (c->ping_out && c->received_ms > c->pinged_ms)
		c->ping_out = false;
	if (c->ping_out && now - c->pinged_ms >= c->p->pong_ms) {
		die_text(c, "no answer to a PING: the broker or the network is gone");
		return;
	}
	if (!c->ping_out && now - c->received_ms >= c->p->quiet_ms) {
		CLEANUP(buf_done) struct buf b = BUF_INIT(PULSAR_COMMAND_MOST);
		pulsar_put_ping(&b);
		wq_put_copy(&c->wq, buf_slice(&b));
		loop_fd_dirty(&c->p->loop, &c->sock->io);
		c->ping_out = true;
		c->pinged_ms = now;
	}
	loop_timer_set(&c->p->loop, &c->timer, now + c->p->quiet_ms / 2);
}

/* ---- reading and writing ---- */

/* One read; false when there is no more for now, or the connection is dead. */
static bool read_once(struct pulsar_conn *c)
{
	struct err why = ERR_INIT;
	size_t room = 0, n = 0;
	uint8_t *direct = pulsar_conn_direct(c, &room);
	uint8_t *p = direct ? direct : c->p->loop.read_buf;
	size_t cap = direct ? room : LOOP_READ_BYTES;
	enum link_io r = link_read(&c->stream, p, cap, &n, &why);

	if (r == LINK_AGAIN)
		return false;
	if (r == LINK_OK)
		c->received_ms = time_mono_ms();
	if (r == LINK_END || (direct ? pulsar_conn_direct_done(c, n, &why)
				     : pulsar_conn_feed(c, slice_of(p, n), &why))) {
		pulsar_conn_die(c, &why);
		return false;
	}
	/* Plain sockets: a short read means that the socket is empty. */
	return c->stream.ssl || n == cap;
}

static void read_some(struct pulsar_conn *c)
{
	for (int i = 0; i < READS_A_TURN || link_read_pending(&c->stream); i++)
		if (!read_once(c))
			break;
	if (c->state != CONN_DEAD)
		loop_fd_dirty(&c->p->loop, &c->sock->io);
}

static void on_flush(struct loop_fd *f)
{
	struct pulsar_conn *c = CONTAINER_OF(f, struct conn_sock, io)->conn;
	struct err why = ERR_INIT;

	if (!c || c->state < CONN_HELLO)
		return;
	if (link_flush(&c->stream, &c->wq, &why) == LINK_END) {
		pulsar_conn_die(c, &why);
		return;
	}
	loop_fd_events(&c->p->loop, f, link_wants_write(&c->stream) ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void take_outbox(struct pulsar_conn *c)
{
	mutex_lock(&c->p->loop.mtx);
	wq_put_copy(&c->wq, buf_slice(&c->outbox));
	buf_reset(&c->outbox);
	mutex_unlock(&c->p->loop.mtx);
	if (c->sock)
		loop_fd_dirty(&c->p->loop, &c->sock->io);
}

/* ---- connecting ---- */

static enum err_code say_hello(struct pulsar_conn *c, struct err *e)
{
	CLEANUP(buf_done) struct buf data = BUF_INIT(PULSAR_COMMAND_MOST);
	CLEANUP(buf_done) struct buf b = BUF_INIT(PULSAR_COMMAND_MOST);

	if (pulsar_auth_data(&c->p->auth, &data, e))
		return e->code;
	const struct pulsar_hello h = {.version = "milvus-cdc",
		.auth_method = pulsar_auth_method(&c->p->auth),
		.auth_data = buf_slice(&data),
		.proxy_to = c->proxy_to};
	pulsar_put_connect(&b, &h);
	wq_put_copy(&c->wq, buf_slice(&b));
	return ERR_OK;
}

static void greet(struct pulsar_conn *c)
{
	struct err why = ERR_INIT;

	pulsar_conn_set_state(c, CONN_HELLO);
	if (say_hello(c, &why)) {
		pulsar_conn_die(c, &why);
		return;
	}
	loop_fd_events(&c->p->loop, &c->sock->io, EPOLLIN);
	loop_fd_dirty(&c->p->loop, &c->sock->io);
}

/* A failed attempt: the next address, or the end. */
static void attempt_failed(struct pulsar_conn *c, struct err *why)
{
	char text[SOCK_TEXT_BYTES];

	sock_text(&c->addrs.v[c->next_addr - 1], text);
	err_ctx(why, "connect %s", text);
	drop_socket(c);
	try_next(c, why);
}

static void handshake(struct pulsar_conn *c)
{
	struct err why = ERR_INIT;

	switch (tls_handshake(c->stream.ssl, &why)) {
	case TLS_IO_OK:
		greet(c);
		return;
	case TLS_IO_READ:
		loop_fd_events(&c->p->loop, &c->sock->io, EPOLLIN);
		return;
	case TLS_IO_WRITE:
		loop_fd_events(&c->p->loop, &c->sock->io, EPOLLOUT);
		return;
	case TLS_IO_END:
	case TLS_IO_FAIL:
		attempt_failed(c, &why);
		return;
	}
}

static void connected(struct pulsar_conn *c)
{
	struct err why = ERR_INIT;
	int r = sock_connect_result(c->sock->io.fd);

	if (r) {
		err_set_origin(&why, ERR_UNAVAILABLE, r, "%s", strerrordesc_np(r));
		attempt_failed(c, &why);
		return;
	}
	if (!c->tls) {
		greet(c);
		return;
	}
	pulsar_conn_set_state(c, CONN_HANDSHAKE);
	handshake(c);
}

static void on_ready(struct loop_fd *f, uint32_t events)
{
	struct pulsar_conn *c = CONTAINER_OF(f, struct conn_sock, io)->conn;

	if (!c)
		return;
	switch (c->state) {
	case CONN_CONNECTING:
		connected(c);
		return;
	case CONN_HANDSHAKE:
		handshake(c);
		return;
	case CONN_HELLO:
	case CONN_OPEN:
		if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) || c->stream.read_needs_write)
			read_some(c);
		else
			loop_fd_dirty(&c->p->loop, f);
		return;
	case CONN_RESOLVING:
	case CONN_DEAD:
		return;
	}
}

static void on_free(struct loop_fd *f)
{
	free(CONTAINER_OF(f, struct conn_sock, io));
}

static enum err_code attach(struct pulsar_conn *c, const struct sock_addr *a, struct err *e)
{
	c->sock = xcalloc(1, sizeof(*c->sock));
	c->sock->conn = c;
	loop_fd_init(&c->sock->io);
	c->sock->io.ready = on_ready;
	c->sock->io.flush = on_flush;
	c->sock->io.free = on_free;
	if (sock_connect(a, &c->sock->io.fd, e))
		return e->code;
	sock_tune(c->sock->io.fd, c->p->quiet_ms + c->p->pong_ms);
	c->stream = (struct link){.fd = c->sock->io.fd};
	if (c->tls && tls_open(c->tls, c->sock->io.fd, &c->stream.ssl, e))
		return e->code;
	return loop_fd_add(&c->p->loop, &c->sock->io, EPOLLOUT, e);
}

static void try_next(struct pulsar_conn *c, struct err *why)
{
	while (c->next_addr < c->addrs.n) {
		const struct sock_addr *a = &c->addrs.v[c->next_addr++];
		int64_t share = deadline_left_ms(c->connect_until) /
				(int64_t)(c->addrs.n - c->next_addr + 1);
		err_clear(why);
		pulsar_conn_set_state(c, CONN_CONNECTING);
		if (!attach(c, a, why)) {
			loop_timer_set(
				&c->p->loop, &c->timer, time_mono_ms() + MAX(share, (int64_t)1));
			return;
		}
		drop_socket(c);
	}
	if (!why->code)
		err_set(why, ERR_UNAVAILABLE, "the name has no address");
	pulsar_conn_die(c, why);
}

static void on_resolved(void *arg)
{
	struct pulsar_conn *c = arg;
	struct err why = ERR_INIT;
	struct resolve *r = TAKE(c->resolve);

	if (resolve_result(r, &c->addrs, &why))
		pulsar_conn_die(c, &why);
	resolve_free(r);
	if (c->state != CONN_DEAD)
		try_next(c, &why);
}

static void on_timer(struct loop_timer *t)
{
	struct pulsar_conn *c = CONTAINER_OF(t, struct pulsar_conn, timer);
	struct err why = ERR_INIT;

	switch (c->state) {
	case CONN_RESOLVING:
		die_text(c, "the name server does not answer");
		return;
	case CONN_CONNECTING:
	case CONN_HANDSHAKE:
		err_set(&why, ERR_UNAVAILABLE, "%s",
			c->state == CONN_CONNECTING ? "no answer in time"
						    : "no end of the TLS handshake in time");
		attempt_failed(c, &why);
		return;
	case CONN_HELLO:
		die_text(c, "connected, but the broker did not answer CONNECT in time");
		return;
	case CONN_OPEN:
		keep_alive(c);
		return;
	case CONN_DEAD:
		return;
	}
}

static enum err_code make_tls(struct pulsar_conn *c, struct err *e)
{
	const struct pulsar *p = c->p;
	const struct grpc_tls o = {.enable = true,
		.ca_path = p->ca_path,
		.cert_path = p->auth.cert_path,
		.key_path = p->auth.key_path,
		.any_name = p->any_host_name};

	return p->url.tls ? tls_new(&o, c->host, NULL, &c->tls, e) : ERR_OK;
}

static enum err_code start(struct pulsar_conn *c, struct err *e)
{
	c->connect_until = deadline_in(PULSAR_CONNECT_MS);
	loop_timer_set(&c->p->loop, &c->timer, c->connect_until.at_ms);
	if (sock_split(c->address, c->host, c->port, e) || make_tls(c, e))
		return e->code;
	if (!sock_is_numeric(c->host))
		return resolve_start(&c->p->loop, c->host, c->port, on_resolved, c, &c->resolve, e);
	if (sock_resolve(c->host, c->port, &c->addrs, e))
		return e->code;
	try_next(c, e);
	return ERR_OK;
}

static void on_job(struct loop_job *j, unsigned ops)
{
	struct pulsar_conn *c = CONTAINER_OF(j, struct pulsar_conn, job);
	struct err why = ERR_INIT;

	if (ops & JOB_FREE) {
		let_go(c);
		return;
	}
	if (c->state == CONN_DEAD)
		return; /* JOB_FREE is on its way */
	if (ops & JOB_START && start(c, &why))
		pulsar_conn_die(c, &why);
	if (c->state != CONN_DEAD)
		take_outbox(c);
}

struct pulsar_conn *pulsar_conn_new(struct pulsar *p, const char *address, const char *proxy_to)
{
	struct pulsar_conn *c = xcalloc(1, sizeof(*c));

	c->p = p;
	c->address = xstrdup(address);
	c->proxy_to = proxy_to ? xstrdup(proxy_to) : NULL;
	c->job.run = on_job;
	c->timer.fire = on_timer;
	c->frame_most = p->max_message_bytes + PULSAR_COMMAND_MOST;
	c->received_ms = time_mono_ms();
	list_init(&c->link);
	list_init(&c->calls);
	cond_init(&c->cond);
	buf_init(&c->outbox, LIMIT_GRPC_WRITE_QUEUE);
	return c;
}

void pulsar_conn_post_start_locked(struct pulsar *p, struct pulsar_conn *c)
{
	loop_post_locked(&p->loop, &c->job, JOB_START);
}

void pulsar_conn_post_write_locked(struct pulsar_conn *c)
{
	if (c->state != CONN_DEAD)
		loop_post_locked(&c->p->loop, &c->job, JOB_WRITE);
}
