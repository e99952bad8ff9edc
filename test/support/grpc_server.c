#include "support/grpc_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/sock.h"
#include "support/grpc_server_priv.h"

void gs_bump(struct gs *g, enum gs_count what, int64_t by)
{
	mutex_lock(&g->loop.mtx);
	g->counts[what] += (uint64_t)by;
	if (what == GS_OPEN_STREAMS)
		g->counts[GS_MOST_STREAMS] = MAX(g->counts[GS_MOST_STREAMS], g->counts[what]);
	cond_broadcast(&g->cond);
	mutex_unlock(&g->loop.mtx);
}

uint64_t gs_count(struct gs *g, enum gs_count what)
{
	mutex_lock(&g->loop.mtx);
	uint64_t n = g->counts[what];
	mutex_unlock(&g->loop.mtx);
	return n;
}

bool gs_await(struct gs *g, enum gs_count what, uint64_t n, int64_t ms)
{
	struct deadline d = deadline_in(ms);

	mutex_lock(&g->loop.mtx);
	while (g->counts[what] < n && cond_wait(&g->cond, &g->loop.mtx, d))
		;
	bool ok = g->counts[what] >= n;
	mutex_unlock(&g->loop.mtx);
	return ok;
}

void gs_script(struct gs *g, const struct gs_step *steps, size_t n)
{
	mutex_lock(&g->loop.mtx);
	for (size_t i = 0; i < n && g->n_steps < GS_STEPS_MAX; i++)
		g->steps[g->n_steps++] = steps[i];
	mutex_unlock(&g->loop.mtx);
}

bool gs_take_step(struct gs *g, struct gs_step *ret_step)
{
	mutex_lock(&g->loop.mtx);
	bool have = g->step < g->n_steps;
	if (have)
		*ret_step = g->steps[g->step++];
	if (g->step == g->n_steps)
		g->step = g->n_steps = 0;
	mutex_unlock(&g->loop.mtx);
	return have;
}

void gs_set_accept(struct gs *g, enum gs_accept how)
{
	mutex_lock(&g->loop.mtx);
	g->accept = how;
	mutex_unlock(&g->loop.mtx);
}

void gs_freeze(struct gs *g)
{
	loop_post(&g->loop, &g->job, GS_OP_FREEZE);
}

void gs_close_all(struct gs *g)
{
	loop_post(&g->loop, &g->job, GS_OP_CLOSE);
}

void gs_goaway_all(struct gs *g, uint32_t code)
{
	mutex_lock(&g->loop.mtx);
	g->goaway_code = code;
	loop_post_locked(&g->loop, &g->job, GS_OP_GOAWAY);
	mutex_unlock(&g->loop.mtx);
}

int gs_port(const struct gs *g)
{
	return g->port;
}

const char *gs_address(const struct gs *g)
{
	return g->address;
}

/* ---- calls ---- */

const char *gs_path(const struct gs_call *c)
{
	const char *path = gs_meta_get(c, ":path");
	return path ? path : "";
}

const char *gs_meta_get(const struct gs_call *c, const char *key)
{
	for (size_t i = 0; i < c->n_meta; i++) {
		if (strcmp(c->keys[i], key) == 0)
			return c->values[i];
	}
	return NULL;
}

static bool is_protocol(const char *key)
{
	static const char *const own[] = {"te", "content-type", "user-agent", "grpc-timeout"};

	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		if (strcmp(key, own[i]) == 0)
			return true;
	}
	return key[0] == ':';
}

bool gs_meta(const struct gs_call *c, size_t i, const char **ret_key, const char **ret_value)
{
	for (size_t k = 0; k < c->n_meta; k++) {
		if (is_protocol(c->keys[k]) || i-- > 0)
			continue;
		*ret_key = c->keys[k];
		*ret_value = c->values[k];
		return true;
	}
	return false;
}

struct slice gs_body(const struct gs_call *c)
{
	return c->body.n > 5 ? slice_of(c->body.p + 5, c->body.n - 5) : (struct slice){0};
}

void **gs_user(struct gs_call *c)
{
	return &c->user;
}

static void put_message(struct buf *b, struct slice msg)
{
	uint8_t head[5] = {0, (uint8_t)(msg.n >> 24), (uint8_t)(msg.n >> 16), (uint8_t)(msg.n >> 8),
		(uint8_t)msg.n};
	buf_put(b, head, sizeof(head));
	buf_put(b, msg.p, msg.n);
}

void gs_send(struct gs_call *c, struct slice msg)
{
	struct loop *l = &c->g->loop;

	mutex_lock(&l->mtx);
	put_message(&c->post, msg);
	loop_post_locked(l, &c->job, GS_OP_OUT);
	mutex_unlock(&l->mtx);
}

static void end(
	struct gs_call *c, const struct slice *msg, int status, const char *text, int64_t delay_ms)
{
	struct loop *l = &c->g->loop;

	mutex_lock(&l->mtx);
	if (msg)
		put_message(&c->post, *msg);
	c->ended = true;
	c->status = status;
	c->text = text ? xstrdup(text) : NULL;
	c->delay_ms = delay_ms;
	loop_post_locked(l, &c->job, GS_OP_OUT);
	mutex_unlock(&l->mtx);
}

void gs_end(struct gs_call *c, int status, const char *text, int64_t delay_ms)
{
	end(c, NULL, status, text, delay_ms);
}

void gs_answer(struct gs_call *c, struct slice msg, int64_t delay_ms)
{
	end(c, &msg, 0, NULL, delay_ms);
}

/* ---- the listener ---- */

static void on_accept(struct loop_fd *f, uint32_t events UNUSED)
{
	struct gs *g = CONTAINER_OF(f, struct gs, listen);
	int fd = accept4(f->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		gs_conn_new(g, fd);
}

static void on_listen_free(struct loop_fd *f)
{
	struct gs *g = CONTAINER_OF(f, struct gs, listen);

	mutex_lock(&g->loop.mtx);
	g->stopped = true;
	cond_broadcast(&g->cond);
	mutex_unlock(&g->loop.mtx);
}

static void on_job(struct loop_job *j, unsigned ops)
{
	struct gs *g = CONTAINER_OF(j, struct gs, job);

	mutex_lock(&g->loop.mtx);
	uint32_t code = g->goaway_code;
	mutex_unlock(&g->loop.mtx);
	list_foreach (it, &g->conns)
		gs_conn_op(LIST_ITEM(it, struct gs_conn, link), ops, code);
	if (ops & GS_OP_STOP)
		loop_fd_retire(&g->loop, &g->listen);
}

static int alpn_h2(SSL *ssl UNUSED, const uint8_t **out, uint8_t *out_n, const uint8_t *in,
	unsigned in_n, void *arg UNUSED)
{
	static const uint8_t h2[] = {2, 'h', '2'};
	union {
		const uint8_t **in;
		uint8_t **out;
	} cast = {.in = out};
	int r = SSL_select_next_proto(cast.out, out_n, h2, sizeof(h2), in, in_n);
	return r == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static enum err_code load_tls(struct gs *g, struct err *e)
{
	const struct gs_opts *o = &g->opts;

	if (!o->cert)
		return ERR_OK;
	g->ssl = SSL_CTX_new(TLS_server_method());
	if (SSL_CTX_use_certificate_chain_file(g->ssl, o->cert) != 1 ||
		SSL_CTX_use_PrivateKey_file(g->ssl, o->key, SSL_FILETYPE_PEM) != 1)
		return err_set(e, ERR_INVALID, "test server: certificate %s", o->cert);
	if (o->client_ca) {
		if (SSL_CTX_load_verify_locations(g->ssl, o->client_ca, NULL) != 1)
			return err_set(e, ERR_INVALID, "test server: CA %s", o->client_ca);
		SSL_CTX_set_verify(g->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	}
	SSL_CTX_set_mode(
		g->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (!o->no_alpn)
		SSL_CTX_set_alpn_select_cb(g->ssl, alpn_h2, NULL);
	return ERR_OK;
}

static enum err_code listen_on(struct gs *g, struct err *e)
{
	struct sock_addrs addrs;
	char port[SOCK_PORT_BYTES];
	int on = 1;

	snprintf(port, sizeof(port), "%u", (unsigned)g->opts.port & 0xffff);
	enum err_code code =
		sock_resolve(g->opts.bind ? g->opts.bind : "127.0.0.1", port, &addrs, e);
	if (code)
		return code;
	struct sock_addr *a = &addrs.v[0];
	int fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	g->listen.fd = fd;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	a->n = sizeof(a->ss);
	if (bind(fd, (const struct sockaddr *)&a->ss, addrs.v[0].n) || listen(fd, 64) ||
		getsockname(fd, (struct sockaddr *)&a->ss, &a->n))
		return err_errno(e, errno, "test server: listen");
	sock_text(a, g->address);
	g->port = a->ss.ss_family == AF_INET6
			  ? ntohs(((const struct sockaddr_in6 *)(const void *)&a->ss)->sin6_port)
			  : ntohs(((const struct sockaddr_in *)(const void *)&a->ss)->sin_port);
	return ERR_OK;
}

static void gs_free(struct gs *g)
{
	SSL_CTX_free(g->ssl);
	cond_done(&g->cond);
	if (g->listen.fd >= 0)
		close(g->listen.fd);
	free(g);
}

enum err_code gs_start(const struct gs_opts *o, struct gs **ret_g, struct err *e)
{
	struct gs *g = xcalloc(1, sizeof(*g));

	g->opts = *o;
	g->job.run = on_job;
	list_init(&g->conns);
	cond_init(&g->cond);
	loop_fd_init(&g->listen);
	g->listen.ready = on_accept;
	g->listen.free = on_listen_free;
	enum err_code code = load_tls(g, e);
	if (!code)
		code = listen_on(g, e);
	if (!code)
		code = loop_start(&g->loop, "grpc-test", e);
	if (code) {
		gs_free(g);
		return code;
	}
	code = loop_fd_add(&g->loop, &g->listen, EPOLLIN, e);
	if (code) {
		loop_stop(&g->loop);
		gs_free(g);
		return code;
	}
	*ret_g = g;
	return ERR_OK;
}

void gs_stop(struct gs *g)
{
	if (!g)
		return;
	mutex_lock(&g->loop.mtx);
	loop_post_locked(&g->loop, &g->job, GS_OP_CLOSE | GS_OP_STOP);
	while (!g->stopped)
		cond_wait(&g->cond, &g->loop.mtx, DEADLINE_NEVER);
	mutex_unlock(&g->loop.mtx);
	loop_stop(&g->loop);
	gs_free(g);
}
