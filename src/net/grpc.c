/* What callers see: channels, blocking calls, streams. A caller posts its call to the I/O thread
 * and sleeps on the call's condition; the I/O thread has let go of everything of the caller's
 * (slices, buffer, the call itself) when it sets done. */
#include "net/grpc.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "net/grpc_priv.h"

enum { CONNECT_TIMEOUT_MS = 5000, KEEPALIVE_MS = 10000 };

enum err_code grpc_new(struct grpc **ret_g, struct err *e)
{
	struct grpc *g = xcalloc(1, sizeof(*g));

	g->log = (struct log_ctx){.comp = LOG_grpc};
	enum err_code code = loop_start(&g->loop, "grpc-io", e);
	if (code) {
		free(g);
		return code;
	}
	*ret_g = g;
	return ERR_OK;
}

void grpc_free(struct grpc *g)
{
	if (!g)
		return;
	loop_stop(&g->loop);
	free(g);
}

/* ---- channels ---- */

static void chan_free(struct grpc_chan *c)
{
	tls_free(c->tls);
	free(c->address);
	free(c->host);
	free(c->port);
	free(c->authority);
	cond_done(&c->cond);
	free(c);
}

enum err_code grpc_chan_new(
	struct grpc *g, const struct grpc_chan_opts *o, struct grpc_chan **ret_c, struct err *e)
{
	char host[SOCK_HOST_BYTES], port[SOCK_PORT_BYTES];
	enum err_code code = sock_split(o->address, host, port, e);
	if (code)
		return code;
	struct grpc_chan *c = xcalloc(1, sizeof(*c));
	const char *name = o->tls.enable ? o->tls.server_name : NULL;

	c->g = g;
	chan_init(c);
	c->address = xstrdup(o->address);
	c->host = xstrdup(host);
	c->port = xstrdup(port);
	c->authority = xstrdup(name && *name ? name : o->address);
	c->connect_timeout_ms = o->connect_timeout_ms ? o->connect_timeout_ms : CONNECT_TIMEOUT_MS;
	c->keepalive_ms = o->keepalive_ms ? o->keepalive_ms : KEEPALIVE_MS;
	c->max_recv_bytes = o->max_recv_bytes ? o->max_recv_bytes : LIMIT_GRPC_RECV;
	if (o->tls.enable)
		code = tls_new(&o->tls, host, H2_PROTOCOL, &c->tls, e);
	if (code) {
		chan_free(c);
		return code;
	}
	*ret_c = c;
	return ERR_OK;
}

void grpc_chan_free(struct grpc_chan *c)
{
	if (!c)
		return;
	struct loop *l = &c->g->loop;
	mutex_lock(&l->mtx);
	loop_post_locked(l, &c->job, 1);
	while (!c->closed)
		cond_wait(&c->cond, &l->mtx, DEADLINE_NEVER);
	mutex_unlock(&l->mtx);
	chan_free(c);
}

/* ---- calls ---- */

static enum err_code check(const struct grpc_call *call, struct stop *s, struct err *e)
{
	if (s && stop_is_set(s))
		return stop_err(e);
	if (call->n_meta > GRPC_MAX_META)
		return err_set(
			e, ERR_INVALID, "%s: more than %d metadata", call->path, GRPC_MAX_META);
	if (deadline_passed(call->deadline))
		return err_set(
			e, ERR_TIMEOUT, "%s: the deadline has passed before the call", call->path);
	return ERR_OK;
}

/* Until the call has ended, or has been opened if that is enough. A set token cancels the call; the
 * I/O thread answers at once, so the wait goes on without it. */
static void await(struct call *k, struct stop *s, bool opened_is_enough)
{
	struct loop *l = k->loop;
	struct stop_watch w;
	bool cancelled = false;

	if (s)
		stop_watch_add(s, &w, &l->mtx, &k->cond);
	mutex_lock(&l->mtx);
	while (!k->done && !(opened_is_enough && k->opened)) {
		if (s && !cancelled && stop_is_set(s)) {
			loop_post_locked(l, &k->job, CALL_CANCEL);
			cancelled = true;
		}
		cond_wait(&k->cond, &l->mtx, DEADLINE_NEVER);
	}
	mutex_unlock(&l->mtx);
	if (s)
		stop_watch_del(s, &w);
}

/* The error of an ended call, with who and what. */
static enum err_code report(const struct call *k, const char *path, struct err *e)
{
	if (!k->code)
		return ERR_OK;
	return err_set_origin(e, k->code, k->err.origin, "%s: %s", path, k->err.text);
}

enum err_code grpc_unary(struct grpc_chan *c, const struct grpc_call *call, struct stop *s,
	struct buf *ret_body, struct err *e)
{
	struct call k;
	size_t max = ret_body->max;

	enum err_code code = check(call, s, e);
	if (code)
		return code;
	buf_reset(ret_body);
	ret_body->max = max ? MIN(max, c->max_recv_bytes) : c->max_recv_bytes;
	call_init(&k, c, call, ret_body);
	loop_post(k.loop, &k.job, CALL_START);
	await(&k, s, false);
	code = report(&k, call->path, e);
	call_done(&k);
	ret_body->max = max ? max : ret_body->max;
	return code;
}

/* ---- streams ---- */

void grpc_stream_close(struct grpc_stream *st)
{
	if (!st)
		return;
	struct call *k = &st->k;
	mutex_lock(&k->loop->mtx);
	if (!k->done)
		loop_post_locked(k->loop, &k->job, CALL_CANCEL);
	mutex_unlock(&k->loop->mtx);
	await(k, NULL, false);
	call_done(k);
	free(st);
}

enum err_code grpc_stream_open(struct grpc_chan *c, const struct grpc_call *call, struct stop *s,
	struct grpc_stream **ret_st, struct err *e)
{
	enum err_code code = check(call, s, e);
	if (code)
		return code;
	struct grpc_stream *st = xcalloc(1, sizeof(*st));
	struct call *k = &st->k;

	call_init(k, c, call, NULL);
	loop_post(k->loop, &k->job, CALL_START);
	await(k, s, true);
	mutex_lock(&k->loop->mtx);
	bool opened = k->opened;
	mutex_unlock(&k->loop->mtx);
	if (!opened) {
		code = report(k, call->path, e);
		grpc_stream_close(st);
		return code;
	}
	*ret_st = st;
	return ERR_OK;
}

enum err_code grpc_stream_send(struct grpc_stream *st, struct slice msg, struct err *e)
{
	struct call *k = &st->k;
	struct message *m = xcalloc(1, sizeof(*m));
	uint8_t prefix[GRPC_PREFIX_BYTES];
	enum err_code code = ERR_OK;

	grpc_prefix(prefix, msg.n);
	buf_init(&m->bytes, LIMIT_GRPC_STREAM_SEND);
	buf_put(&m->bytes, prefix, sizeof(prefix));
	buf_put(&m->bytes, msg.p, msg.n);
	mutex_lock(&k->loop->mtx);
	if (k->done) {
		code = err_set(e, ERR_UNAVAILABLE, "the stream has ended: %s", k->err.text);
	} else if (buf_failed(&m->bytes) || k->outbox_bytes + m->bytes.n > LIMIT_GRPC_STREAM_SEND) {
		code = err_set(e, ERR_LIMIT, "too much to send on a stream: %zu bytes", msg.n);
	} else {
		list_push(&k->outbox, &m->link);
		k->outbox_bytes += m->bytes.n;
		loop_post_locked(k->loop, &k->job, CALL_SEND);
	}
	mutex_unlock(&k->loop->mtx);
	if (code)
		message_free(m);
	return code;
}

static struct message *pop_locked(struct loop *l, struct call *k) REQUIRES(l->mtx)
{
	struct list *n = list_pop(&k->inbox);
	if (!n)
		return NULL;
	struct message *m = LIST_ITEM(n, struct message, link);
	k->inbox_bytes -= m->bytes.n;
	if (k->throttled && !k->done && k->inbox_bytes < LIMIT_GRPC_STREAM_BACKLOG / 2) {
		k->throttled = false;
		loop_post_locked(l, &k->job, CALL_CREDIT);
	}
	return m;
}

static struct message *next_message(struct call *k, struct deadline d, struct stop *s)
{
	struct loop *l = k->loop;
	struct stop_watch w;
	bool in_time = true;

	if (s)
		stop_watch_add(s, &w, &l->mtx, &k->cond);
	mutex_lock(&l->mtx);
	while (list_empty(&k->inbox) && !k->done && in_time && !(s && stop_is_set(s)))
		in_time = cond_wait(&k->cond, &l->mtx, d);
	struct message *m = pop_locked(l, k);
	mutex_unlock(&l->mtx);
	if (s)
		stop_watch_del(s, &w);
	return m;
}

static enum err_code why_none(struct call *k, struct stop *s, struct err *e)
{
	mutex_lock(&k->loop->mtx);
	bool done = k->done;
	mutex_unlock(&k->loop->mtx);
	if (s && stop_is_set(s))
		return stop_err(e);
	if (!done)
		return err_set(e, ERR_TIMEOUT, "no message in time");
	return err_set_origin(e, k->code, k->err.origin, "%s", k->err.text);
}

enum err_code grpc_stream_recv(struct grpc_stream *st, struct deadline d, struct stop *s,
	struct buf *ret_msg, struct err *e)
{
	struct message *m = next_message(&st->k, d, s);

	if (!m)
		return why_none(&st->k, s, e);
	size_t max = ret_msg->max;
	bool fits = !max || m->bytes.n <= max;
	if (fits) {
		buf_done(ret_msg);
		*ret_msg = m->bytes;
		ret_msg->max = max ? max : m->bytes.max;
		m->bytes = (struct buf){0};
	}
	message_free(m);
	return fits ? ERR_OK : err_set(e, ERR_LIMIT, "a message beyond %zu bytes", max);
}
