/* Connections as their users see them: getting one, sending, calling, consuming. Callers block on
 * conditions under the loop's mutex; the I/O thread signals them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/pulsar/pulsar_priv.h"

static bool same(const char *a, const char *b)
{
	return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

static struct pulsar_conn *find_locked(struct pulsar *p, const char *address, const char *proxy_to)
	REQUIRES(p->loop.mtx)
{
	list_foreach (it, &p->conns) {
		struct pulsar_conn *c = LIST_ITEM(it, struct pulsar_conn, link);
		if (same(c->address, address) && same(c->proxy_to, proxy_to))
			return c;
	}
	struct pulsar_conn *c = pulsar_conn_new(p, address, proxy_to);
	list_push(&p->conns, &c->link);
	pulsar_conn_post_start_locked(p, c);
	return c;
}

static enum err_code state_error_locked(struct pulsar_conn *c, struct stop *s, struct err *e)
	REQUIRES(c->p->loop.mtx)
{
	if (c->state == CONN_OPEN)
		return ERR_OK;
	if (c->state == CONN_DEAD)
		return err_set_origin(e, c->why.code, c->why.origin, "%s", c->why.text);
	if (stop_is_set(s))
		return stop_err(e);
	return err_set(e, ERR_UNAVAILABLE, "Pulsar broker %s: no connection in time", c->address);
}

enum err_code pulsar_conn_get(struct pulsar *p, const char *address, const char *proxy_to,
	struct deadline d, struct stop *s, struct pulsar_conn **ret_c, struct err *e)
{
	struct stop_watch w;

	mutex_lock(&p->loop.mtx);
	struct pulsar_conn *c = find_locked(p, address, proxy_to);
	c->users++;
	mutex_unlock(&p->loop.mtx);
	stop_watch_add(s, &w, &p->loop.mtx, &c->cond);
	mutex_lock(&c->p->loop.mtx);
	while (c->state != CONN_OPEN && c->state != CONN_DEAD && !stop_is_set(s) &&
		cond_wait(&c->cond, &c->p->loop.mtx, d))
		;
	enum err_code code = state_error_locked(c, s, e);
	mutex_unlock(&c->p->loop.mtx);
	stop_watch_del(s, &w);
	if (code)
		pulsar_conn_put(c);
	else
		*ret_c = c;
	return code;
}

/* True when the caller is to free it, without the lock. */
static bool put_locked(UNUSED struct pulsar *p, struct pulsar_conn *c) REQUIRES(p->loop.mtx)
{
	c->users--;
	c->idle_since_ms = time_mono_ms();
	return c->users == 0 && c->done;
}

void pulsar_conn_put(struct pulsar_conn *c)
{
	struct pulsar *p = c->p;

	mutex_lock(&p->loop.mtx);
	bool last = put_locked(p, c);
	mutex_unlock(&p->loop.mtx);
	if (last)
		pulsar_conn_free(c);
}

uint64_t pulsar_conn_next_request(struct pulsar *p)
{
	mutex_lock(&p->loop.mtx);
	uint64_t request = ++p->last_request;
	mutex_unlock(&p->loop.mtx);
	return request;
}

static void send_locked(struct pulsar_conn *c, const struct buf *frames) REQUIRES(c->p->loop.mtx)
{
	if (c->state == CONN_DEAD)
		return;
	buf_put(&c->outbox, frames->p, frames->n);
	pulsar_conn_post_write_locked(c);
}

void pulsar_conn_send(struct pulsar_conn *c, const struct buf *frames)
{
	mutex_lock(&c->p->loop.mtx);
	send_locked(c, frames);
	mutex_unlock(&c->p->loop.mtx);
}

/* ---- calls ---- */

void pulsar_call_done(struct pulsar_call *k)
{
	pulsar_msg_free(TAKE(k->frame));
}

static enum err_code call_error_locked(struct pulsar_conn *c, struct pulsar_call *k, struct stop *s,
	struct err *e) REQUIRES(c->p->loop.mtx)
{
	if (k->done && k->err.code)
		return err_set_origin(e, k->err.code, k->err.origin, "%s", k->err.text);
	if (k->done && (k->answer.failed || k->answer.type == PULSAR_ERROR))
		return pulsar_cmd_error(&k->answer, e);
	if (k->done)
		return ERR_OK;
	if (stop_is_set(s))
		return stop_err(e);
	return err_set(e, ERR_UNAVAILABLE, "Pulsar broker %s: no answer in time", c->address);
}

void pulsar_call_begin(struct pulsar_conn *c, const struct buf *frame, struct pulsar_call *k)
{
	cond_init(&k->cond);
	mutex_lock(&c->p->loop.mtx);
	if (c->state == CONN_DEAD) {
		k->err = c->why;
		k->done = true;
	} else {
		list_push(&c->calls, &k->link);
		send_locked(c, frame);
	}
	mutex_unlock(&c->p->loop.mtx);
}

enum err_code pulsar_conn_call(struct pulsar_conn *c, const struct buf *frame,
	struct pulsar_call *k, struct deadline d, struct stop *s, struct err *e)
{
	struct stop_watch w;

	pulsar_call_begin(c, frame, k);
	stop_watch_add(s, &w, &c->p->loop.mtx, &k->cond);
	mutex_lock(&c->p->loop.mtx);
	while (!k->done && !stop_is_set(s) && cond_wait(&k->cond, &c->p->loop.mtx, d))
		;
	if (!k->done)
		list_del(&k->link);
	enum err_code code = call_error_locked(c, k, s, e);
	mutex_unlock(&c->p->loop.mtx);
	stop_watch_del(s, &w);
	cond_done(&k->cond);
	return code;
}

bool pulsar_call_answered(struct pulsar_conn *c, struct pulsar_call *k)
{
	mutex_lock(&c->p->loop.mtx);
	bool done = k->done;
	mutex_unlock(&c->p->loop.mtx);
	return done;
}

void pulsar_call_end(struct pulsar_conn *c, struct pulsar_call *k)
{
	mutex_lock(&c->p->loop.mtx);
	if (!k->done)
		list_del(&k->link);
	mutex_unlock(&c->p->loop.mtx);
	cond_done(&k->cond);
	pulsar_call_done(k);
}

/* ---- consumers ---- */

void pulsar_consumer_register(struct pulsar_conn *c, struct pulsar_consumer *cs)
{
	struct pulsar *p = c->p;

	mutex_lock(&p->loop.mtx);
	cs->conn = c;
	cs->lost = false;
	err_clear(&cs->why);
	if (c->state == CONN_DEAD) {
		cs->lost = true;
		cs->why = c->why;
	}
	/* A new one for each subscription: entries of a consumer that was closed may still be on their
	 * way, on the same connection. */
	cs->id = ++p->last_consumer;
	umap_put(&c->consumers, cs->id, cs);
	c->users++;
	p->n_consumers++;
	mutex_unlock(&p->loop.mtx);
}

void pulsar_consumer_unregister(struct pulsar *p, struct pulsar_consumer *cs)
{
	struct list drop;

	list_init(&drop);
	mutex_lock(&p->loop.mtx);
	struct pulsar_conn *c = TAKE(cs->conn);
	bool last = false;
	if (c) {
		umap_del(&c->consumers, cs->id);
		p->n_consumers--;
		last = put_locked(p, c);
	}
	list_splice(&drop, &cs->queue);
	p->queued -= cs->queued;
	cs->queued = 0;
	mutex_unlock(&p->loop.mtx);
	if (last)
		pulsar_conn_free(c);
	for (struct list *n; (n = list_pop(&drop));)
		pulsar_msg_free(LIST_ITEM(n, struct pulsar_msg, link));
}

struct pulsar_msg *pulsar_consumer_take(
	struct pulsar *p, struct pulsar_consumer *cs, struct deadline d, struct stop *s)
{
	struct loop *l = &p->loop;
	struct stop_watch w;
	bool watched = false;

	mutex_lock(&l->mtx);
	if (list_empty(&cs->queue) && !deadline_passed(d)) {
		mutex_unlock(&l->mtx);
		stop_watch_add(s, &w, &l->mtx, &cs->cond);
		watched = true;
		mutex_lock(&l->mtx);
		while (list_empty(&cs->queue) && !cs->lost && !stop_is_set(s) &&
			cond_wait(&cs->cond, &l->mtx, d))
			;
	}
	struct list *n = list_pop(&cs->queue);
	struct pulsar_msg *m = n ? LIST_ITEM(n, struct pulsar_msg, link) : NULL;
	if (m) {
		cs->queued -= m->n;
		p->queued -= m->n;
	}
	mutex_unlock(&l->mtx);
	if (watched)
		stop_watch_del(s, &w);
	return m;
}

bool pulsar_consumer_is_empty(struct pulsar *p, struct pulsar_consumer *cs)
{
	mutex_lock(&p->loop.mtx);
	bool empty = list_empty(&cs->queue);
	mutex_unlock(&p->loop.mtx);
	return empty;
}
