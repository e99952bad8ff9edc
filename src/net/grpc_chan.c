/* A channel on the I/O thread: its connections and the calls that wait for one.
 *
 * A connect attempt resolves the name and tries each address within connect_timeout_ms. When it
 * fails, every waiting call fails with its reason. Attempts are GRPC_ATTEMPT_GAP_MS apart if calls
 * ask for them; without calls a channel in use comes back by itself, with backoff. */
#include "base/mem.h"
#include "net/grpc_priv.h"

static void on_resolved(void *arg);

static const struct h2_ops conn_ops;

/* ---- connect attempts ---- */

static void schedule(struct grpc_chan *c)
{
	int64_t now = time_mono_ms();
	int64_t at = now + retry_next_ms(&c->backoff);
	if (now - c->last_call_ms < GRPC_RECONNECT_FOR_MS)
		loop_timer_set(
			&c->g->loop, &c->timer, MAX(at, c->last_attempt_ms + GRPC_ATTEMPT_GAP_MS));
}

static void attempt_failed(struct grpc_chan *c, const struct err *why)
{
	struct list failed;

	log_debug(&c->g->log, "%s: %s", c->address, why->text);
	schedule(c);
	list_init(&failed);
	list_splice(&failed, &c->waiting);
	while (!list_empty(&failed))
		call_end(LIST_ITEM(failed.next, struct call, link), ERR_UNAVAILABLE, why);
}

static enum err_code conn_open(
	struct grpc_chan *c, const struct sock_addr *a, int64_t timeout_ms, struct err *e)
{
	struct conn *cn = xcalloc(1, sizeof(*cn));
	struct h2_opts o = {.ops = &conn_ops,
		.arg = cn,
		.addr = a,
		.tls = c->tls,
		.connect_timeout_ms = timeout_ms,
		.keepalive_ms = c->keepalive_ms};

	cn->chan = c;
	list_init(&cn->link);
	list_init(&cn->big_wait);
	enum err_code code = h2_open(&c->g->loop, &o, &cn->h2, e);
	if (code) {
		freep(&cn);
		return code;
	}
	c->cur = cn;
	return ERR_OK;
}

static void put_address(const struct sock_addr *a, struct err *e)
{
	char text[SOCK_TEXT_BYTES];

	sock_text(a, text);
	err_ctx(e, "connect %s", text);
}

/* Each address left gets an equal share of the time left. */
static void try_next(struct grpc_chan *c, struct err *why)
{
	while (c->next_addr < c->addrs.n) {
		int64_t share =
			deadline_left_ms(c->attempt_until) / (int64_t)(c->addrs.n - c->next_addr);
		const struct sock_addr *a = &c->addrs.v[c->next_addr++];
		err_clear(why);
		if (!conn_open(c, a, MAX(share, 1), why))
			return;
		put_address(a, why);
	}
	attempt_failed(c, why);
}

static void attempt(struct grpc_chan *c)
{
	struct err why = ERR_INIT;
	struct loop *l = &c->g->loop;

	c->last_attempt_ms = time_mono_ms();
	c->attempt_until = deadline_in(c->connect_timeout_ms);
	c->next_addr = 0;
	loop_timer_del(l, &c->timer);
	enum err_code code;
	if (sock_is_numeric(c->host)) {
		code = sock_resolve(c->host, c->port, &c->addrs, &why);
	} else {
		code = resolve_start(l, c->host, c->port, on_resolved, c, &c->resolve, &why);
		if (!code) {
			loop_timer_set(l, &c->timer, c->attempt_until.at_ms);
			return;
		}
	}
	if (code)
		attempt_failed(c, &why);
	else
		try_next(c, &why);
}

static void on_resolved(void *arg)
{
	struct grpc_chan *c = arg;
	struct err why = ERR_INIT;
	struct resolve *r = TAKE(c->resolve);
	enum err_code code = resolve_result(r, &c->addrs, &why);

	resolve_free(r);
	loop_timer_del(&c->g->loop, &c->timer);
	if (code)
		attempt_failed(c, &why);
	else
		try_next(c, &why);
}

static void on_timer(struct loop_timer *t)
{
	struct grpc_chan *c = CONTAINER_OF(t, struct grpc_chan, timer);

	if (c->resolve) {
		struct err why = ERR_INIT;
		err_set(&why, ERR_UNAVAILABLE, "resolve %s: no answer in time", c->host);
		resolve_free(TAKE(c->resolve));
		attempt_failed(c, &why);
		return;
	}
	if (!c->cur)
		attempt(c);
}

static void want_connection(struct grpc_chan *c)
{
	if (c->cur || c->resolve)
		return;
	int64_t at = c->last_attempt_ms + GRPC_ATTEMPT_GAP_MS;
	if (time_mono_ms() >= at)
		attempt(c);
	else if (!c->timer.pos || c->timer.at_ms > at)
		loop_timer_set(&c->g->loop, &c->timer, at);
}

/* ---- calls ---- */

static void drain(struct conn *cn)
{
	struct grpc_chan *c = cn->chan;

	if (c->cur == cn)
		c->cur = NULL;
	list_del(&cn->link);
	list_push(&c->draining, &cn->link);
	h2_drain(cn->h2);
	/* Big bodies that have not begun are better off on the next connection. */
	list_foreach (it, &cn->big_wait)
		LIST_ITEM(it, struct call, link)->conn = NULL;
	list_splice(&cn->big_wait, &c->waiting);
	list_splice(&c->waiting, &cn->big_wait);
}

void chan_dispatch(struct grpc_chan *c)
{
	while (!list_empty(&c->waiting)) {
		struct conn *cn = c->cur;
		if (!cn || !cn->ready) {
			want_connection(c);
			return;
		}
		if (!h2_usable(cn->h2)) {
			drain(cn);
			continue;
		}
		struct list *n = list_pop(&c->waiting);
		if (!call_submit(LIST_ITEM(n, struct call, link), cn)) {
			list_push_front(&c->waiting, n);
			drain(cn);
		}
	}
}

void chan_add(struct grpc_chan *c, struct call *k)
{
	c->last_call_ms = time_mono_ms();
	list_push(&c->calls, &k->all);
	list_push(&c->waiting, &k->link);
	chan_dispatch(c);
}

void chan_again(struct grpc_chan *c, struct call *k)
{
	list_push_front(&c->waiting, &k->link);
	chan_dispatch(c);
}

void conn_big_done(struct conn *cn)
{
	cn->n_big--;
	struct list *n = list_pop(&cn->big_wait);
	if (!n)
		return;
	struct call *k = LIST_ITEM(n, struct call, link);
	k->conn = NULL;
	if (!call_submit(k, cn))
		chan_again(cn->chan, k);
}

/* ---- what connections say ---- */

static void conn_ready(void *arg)
{
	struct conn *cn = arg;
	struct grpc_chan *c = cn->chan;

	cn->ready = true;
	retry_reset(&c->backoff);
	loop_timer_del(&c->g->loop, &c->timer);
	log_debug(&c->g->log, "%s: connected", c->address);
	chan_dispatch(c);
}

static void conn_goaway(void *arg, bool calm_down)
{
	struct conn *cn = arg;
	struct grpc_chan *c = cn->chan;

	log_debug(&c->g->log, "%s: GOAWAY%s", c->address, calm_down ? ", too many PINGs" : "");
	if (calm_down)
		c->keepalive_ms = MIN(c->keepalive_ms * 2, (int64_t)GRPC_KEEPALIVE_MOST_MS);
	drain(cn);
	chan_dispatch(c);
}

static void conn_lost(void *arg, const struct err *lost_why)
{
	struct conn *cn = arg;
	struct grpc_chan *c = cn->chan;
	struct err why = *lost_why;
	bool ready = cn->ready;
	bool current = c->cur == cn;

	drain(cn);
	list_del(&cn->link);
	freep(&cn);
	if (!ready) {
		put_address(&c->addrs.v[c->next_addr - 1], &why);
		try_next(c, &why);
		return;
	}
	log_debug(&c->g->log, "%s: %s", c->address, why.text);
	if (current && !c->cur)
		schedule(c);
	chan_dispatch(c);
}

static const struct h2_ops conn_ops = {
	.ready = conn_ready,
	.goaway = conn_goaway,
	.lost = conn_lost,
	.header = call_on_header,
	.data = call_on_data,
	.end = call_on_end,
	.sent = call_on_sent,
	.closed = call_on_closed,
};

/* ---- birth and death ---- */

static void conn_close(struct conn *cn)
{
	list_del(&cn->link);
	h2_close(cn->h2);
	freep(&cn);
}

/* The end of the channel, posted by grpc_chan_free. */
static void chan_run(struct loop_job *j, unsigned ops UNUSED)
{
	struct grpc_chan *c = CONTAINER_OF(j, struct grpc_chan, job);
	struct err why = ERR_INIT;

	err_set(&why, ERR_CANCELLED, "the channel is closed");
	while (!list_empty(&c->calls))
		call_end(LIST_ITEM(c->calls.next, struct call, all), ERR_CANCELLED, &why);
	loop_timer_del(&c->g->loop, &c->timer);
	resolve_free(TAKE(c->resolve));
	if (c->cur)
		conn_close(TAKE(c->cur));
	while (!list_empty(&c->draining))
		conn_close(LIST_ITEM(c->draining.next, struct conn, link));
	mutex_lock(&c->g->loop.mtx);
	c->closed = true;
	cond_broadcast(&c->cond);
	mutex_unlock(&c->g->loop.mtx);
}

void chan_init(struct grpc_chan *c)
{
	c->job.run = chan_run;
	c->timer.fire = on_timer;
	c->backoff = (struct retry)RETRY_INIT(GRPC_ATTEMPT_GAP_MS, GRPC_BACKOFF_MOST_MS);
	c->last_attempt_ms = time_mono_ms() - GRPC_ATTEMPT_GAP_MS;
	list_init(&c->calls);
	list_init(&c->waiting);
	list_init(&c->draining);
	cond_init(&c->cond);
}
