/* The socket's side of a connection: connecting, reading, flushing, PINGs, and its states.
 *
 *   CONNECTING ──▶ HANDSHAKE ──▶ PREFACE ──▶ OPEN ──▶ DRAINING
 *       └───────────▶──────────────┘ (plain)
 *   any ──▶ DEAD
 *
 * Output is flushed once a turn of the loop, so that what a turn submits leaves in one sendmsg. */
#include <assert.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "net/http2_priv.h"
#include "net/tls.h"

enum {
	PONG_MS = 10000,
	READS_A_TURN = 16,
	FLUSHES_A_TURN = 16, /* then the other connections have their turn */
};

static const uint8_t legal[] = {
	[H2_CONNECTING] = 1 << H2_HANDSHAKE | 1 << H2_PREFACE | 1 << H2_DEAD,
	[H2_HANDSHAKE] = 1 << H2_PREFACE | 1 << H2_DEAD,
	[H2_PREFACE] = 1 << H2_OPEN | 1 << H2_DEAD,
	[H2_OPEN] = 1 << H2_DRAINING | 1 << H2_DEAD,
	[H2_DRAINING] = 1 << H2_DEAD,
	[H2_DEAD] = 0,
};

void h2_set_state(struct h2 *c, enum h2_state to)
{
	assert(legal[c->state] & 1 << to);
	c->state = to;
}

void h2_touch(struct h2 *c)
{
	loop_fd_dirty(c->loop, &c->io);
}

bool h2_usable(const struct h2 *c)
{
	return c->state == H2_OPEN && nghttp2_session_check_request_allowed(c->ng);
}

void h2_drain(struct h2 *c)
{
	if (c->state != H2_OPEN)
		return;
	h2_set_state(c, H2_DRAINING);
	h2_touch(c);
}

/* ---- the end ---- */

static void on_free(struct loop_fd *f)
{
	struct h2 *c = CONTAINER_OF(f, struct h2, io);

	while (!list_empty(&c->streams))
		h2_stream_free(LIST_ITEM(c->streams.next, struct h2_stream, link));
	nghttp2_session_del(c->ng);
	wq_done(&c->wq);
	freep(&c);
}

/* nghttp2 may be above us on the stack, so its session goes later, with the memory. */
void h2_close(struct h2 *c)
{
	assert(c->n_live == 0);
	if (c->state != H2_DEAD)
		h2_set_state(c, H2_DEAD);
	loop_timer_del(c->loop, &c->connect_timer);
	loop_timer_del(c->loop, &c->ping_timer);
	link_done(&c->link);
	loop_fd_retire(c->loop, &c->io);
}

static void lost(struct h2 *c, const struct err *why)
{
	const struct h2_ops *ops = c->ops;
	void *arg = c->arg;

	if (c->state == H2_DEAD)
		return;
	h2_set_state(c, H2_DEAD);
	h2_session_fail(c, why);
	h2_close(c);
	ops->lost(arg, why);
}

static void lost_text(struct h2 *c, const char *text)
{
	struct err why = ERR_INIT;
	err_set(&why, ERR_UNAVAILABLE, "%s", text);
	lost(c, &why);
}

/* ---- PINGs ---- */

void h2_keepalive_arm(struct h2 *c)
{
	if (c->ping_timer.pos || !c->n_live || c->state == H2_DEAD)
		return;
	int64_t quiet = MAX(c->last_recv_ms, c->last_ping_ms) + c->keepalive_ms;
	loop_timer_set(c->loop, &c->ping_timer, c->ping_out ? c->last_ping_ms + c->pong_ms : quiet);
}

/* Anything received since the PING proves the peer alive: behind a long upload over a thin link the
 * PONG itself may be late. */
static void on_ping_timer(struct loop_timer *t)
{
	struct h2 *c = CONTAINER_OF(t, struct h2, ping_timer);
	int64_t now = time_mono_ms();

	if (c->ping_out && c->last_recv_ms > c->last_ping_ms)
		c->ping_out = false;
	if (c->ping_out && now >= c->last_ping_ms + c->pong_ms) {
		lost_text(c, "no answer to a PING: the peer or the network is gone");
		return;
	}
	int64_t quiet = MAX(c->last_recv_ms, c->last_ping_ms) + c->keepalive_ms;
	if (!c->ping_out && c->n_live && now >= quiet) {
		nghttp2_submit_ping(c->ng, NGHTTP2_FLAG_NONE, NULL);
		c->ping_out = true;
		c->last_ping_ms = now;
		h2_touch(c);
	}
	h2_keepalive_arm(c);
}

void h2_on_pong(struct h2 *c)
{
	c->ping_out = false;
	loop_timer_del(c->loop, &c->ping_timer);
	h2_keepalive_arm(c);
}

/* ---- what the peer says about the connection ---- */

void h2_on_settings(struct h2 *c)
{
	if (c->state != H2_PREFACE)
		return;
	h2_set_state(c, H2_OPEN);
	loop_timer_del(c->loop, &c->connect_timer);
	c->ops->ready(c->arg);
}

void h2_on_goaway(struct h2 *c, bool calm_down)
{
	if (c->state == H2_OPEN)
		h2_set_state(c, H2_DRAINING);
	if (c->state != H2_DRAINING)
		return;
	c->ops->goaway(c->arg, calm_down);
	h2_touch(c);
}

/* ---- reading and writing ---- */

/* A peer that refuses us says so and closes: our write may fail before its word is read. */
static void last_word(struct h2 *c, struct err *why)
{
	enum link_io r = LINK_OK;
	struct err e = ERR_INIT;
	size_t n;

	for (int i = 0; r == LINK_OK && i < READS_A_TURN; i++)
		r = link_read(&c->link, c->loop->read_buf, LOOP_READ_BYTES, &n, &e);
	if (r == LINK_END && str_starts(e.text, "TLS alert"))
		*why = e;
}

/* The link has ended. Before the peer's first frame that has few causes. */
static void lost_link(struct h2 *c, struct err *why)
{
	struct err e = ERR_INIT;

	if (c->link.ssl)
		last_word(c, why);
	if (c->state == H2_PREFACE && !str_starts(why->text, "TLS")) {
		err_set_origin(&e, why->code, why->origin, "%s: does %s?", why->text,
			c->link.ssl ? "the peer want a client certificate"
				    : "this port want TLS (https://)");
		*why = e;
	}
	lost(c, why);
}

/* A TLS server's answer to our preface: an alert, or HTTP/1 that names HTTPS. */
static bool wants_tls(const struct h2 *c, const uint8_t *p, size_t n)
{
	static const uint8_t alert[] = {0x15, 0x03};

	if (c->state != H2_PREFACE || c->link.ssl)
		return false;
	return (n >= sizeof(alert) && memcmp(p, alert, sizeof(alert)) == 0) ||
	       memmem(p, n, "HTTPS", 5);
}

static void on_flush(struct loop_fd *f)
{
	struct h2 *c = CONTAINER_OF(f, struct h2, io);
	struct err why = ERR_INIT;

	if (c->state < H2_PREFACE || c->state == H2_DEAD)
		return;
	enum link_io r = LINK_OK;
	for (int i = 0; r == LINK_OK && i < FLUSHES_A_TURN; i++) {
		if (h2_session_send(c, &why)) {
			lost(c, &why);
			return;
		}
		/* The link may still hold a record that the socket did not take. */
		bool had = c->wq.bytes > 0 || c->link.record_off < c->link.record_n;
		r = link_flush(&c->link, &c->wq, &why);
		if (r == LINK_OK && !had)
			break;
		if (i + 1 == FLUSHES_A_TURN)
			h2_touch(c);
	}
	if (r == LINK_END) {
		lost_link(c, &why);
		return;
	}
	if (c->state == H2_DRAINING && !c->n_live && !c->wq.bytes) {
		lost_text(c, "drained after GOAWAY");
		return;
	}
	loop_fd_events(c->loop, f, link_wants_write(&c->link) ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void read_some(struct h2 *c)
{
	struct err why = ERR_INIT;
	uint8_t *p = c->loop->read_buf;

	for (int i = 0; i < READS_A_TURN || link_read_pending(&c->link); i++) {
		size_t n = 0;
		enum link_io r = link_read(&c->link, p, LOOP_READ_BYTES, &n, &why);
		if (r == LINK_AGAIN)
			break;
		if (r == LINK_END) {
			lost_link(c, &why);
			return;
		}
		if (wants_tls(c, p, n)) {
			err_set(&why, ERR_UNAVAILABLE, "no HTTP/2 comes back");
			lost_link(c, &why);
			return;
		}
		if (h2_session_recv(c, p, n, &why)) {
			lost(c, &why);
			return;
		}
		if (c->state == H2_DEAD)
			return;
		c->last_recv_ms = time_mono_ms();
		/* Plain sockets: a short read means that the socket is empty. */
		if (!c->link.ssl && n < LOOP_READ_BYTES)
			break;
	}
	h2_touch(c);
}

static void start_session(struct h2 *c)
{
	h2_set_state(c, H2_PREFACE);
	h2_session_new(c);
	loop_fd_events(c->loop, &c->io, EPOLLIN);
	h2_touch(c);
}

static void handshake(struct h2 *c)
{
	struct err why = ERR_INIT;

	switch (tls_handshake(c->link.ssl, &why)) {
	case TLS_IO_OK:
		if (!tls_chose(c->link.ssl, H2_PROTOCOL)) {
			lost_text(c, "TLS: the peer does not offer HTTP/2 (no ALPN h2)");
			return;
		}
		start_session(c);
		/* The peer's first frames may already be inside OpenSSL. */
		read_some(c);
		return;
	case TLS_IO_READ:
		loop_fd_events(c->loop, &c->io, EPOLLIN);
		return;
	case TLS_IO_WRITE:
		loop_fd_events(c->loop, &c->io, EPOLLOUT);
		return;
	case TLS_IO_END:
	case TLS_IO_FAIL:
		lost(c, &why);
		return;
	}
}

static void connected(struct h2 *c)
{
	struct err why = ERR_INIT;
	int r = sock_connect_result(c->io.fd);

	if (r) {
		err_set_origin(&why, ERR_UNAVAILABLE, r, "%s", strerrordesc_np(r));
		lost(c, &why);
		return;
	}
	if (!c->link.ssl) {
		start_session(c);
		return;
	}
	h2_set_state(c, H2_HANDSHAKE);
	handshake(c);
}

static void on_ready(struct loop_fd *f, uint32_t events)
{
	struct h2 *c = CONTAINER_OF(f, struct h2, io);

	switch (c->state) {
	case H2_CONNECTING:
		connected(c);
		return;
	case H2_HANDSHAKE:
		handshake(c);
		return;
	case H2_PREFACE:
	case H2_OPEN:
	case H2_DRAINING:
		if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) || c->link.read_needs_write)
			read_some(c);
		else
			h2_touch(c);
		return;
	case H2_DEAD:
		return;
	}
}

static void on_connect_timer(struct loop_timer *t)
{
	struct h2 *c = CONTAINER_OF(t, struct h2, connect_timer);

	if (c->state == H2_CONNECTING)
		lost_text(c, "no answer (connect timeout)");
	else if (c->state == H2_HANDSHAKE)
		lost_text(c, "no end of the TLS handshake (connect timeout)");
	else
		lost_text(c, "connected, but no HTTP/2 SETTINGS came (connect timeout)");
}

/* ---- the beginning ---- */

static enum err_code attach(struct h2 *c, const struct h2_opts *o, struct err *e)
{
	enum err_code code = sock_connect(o->addr, &c->io.fd, e);
	if (code)
		return code;
	sock_tune(c->io.fd, o->keepalive_ms + PONG_MS);
	c->link.fd = c->io.fd;
	if (o->tls)
		code = tls_open(o->tls, c->io.fd, &c->link.ssl, e);
	return code ? code : loop_fd_add(c->loop, &c->io, EPOLLOUT, e);
}

enum err_code h2_open(struct loop *l, const struct h2_opts *o, struct h2 **ret_c, struct err *e)
{
	struct h2 *c = xcalloc(1, sizeof(*c));

	c->loop = l;
	c->ops = o->ops;
	c->arg = o->arg;
	c->keepalive_ms = o->keepalive_ms;
	/* Who wants to know it sooner also waits less. */
	c->pong_ms = MIN(PONG_MS, o->keepalive_ms * 10);
	c->connect_timer.fire = on_connect_timer;
	c->ping_timer.fire = on_ping_timer;
	list_init(&c->streams);
	loop_fd_init(&c->io);
	c->io.ready = on_ready;
	c->io.flush = on_flush;
	c->io.free = on_free;
	enum err_code code = attach(c, o, e);
	if (code) {
		h2_close(c);
		return code;
	}
	c->last_recv_ms = time_mono_ms();
	c->last_ping_ms = c->last_recv_ms;
	loop_timer_set(l, &c->connect_timer, c->last_recv_ms + o->connect_timeout_ms);
	*ret_c = c;
	return ERR_OK;
}
