/* One call on the I/O thread: its headers and body, its answer, its one end.
 *
 * Certain or uncertain: a server acts on a request only when it has the whole message, so a call
 * whose last body byte has not left us failed for certain; after that only an answer tells. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "net/grpc_priv.h"

void message_free(struct message *m)
{
	buf_done(&m->bytes);
	freep(&m);
}

static void drop_messages(struct list *box)
{
	for (struct list *n; (n = list_pop(box));)
		message_free(LIST_ITEM(n, struct message, link));
}

/* ---- the end ---- */

/* Leaves the connection, the queue it waits in, and the timers. */
static void leave(struct call *k)
{
	struct conn *cn = k->conn;

	loop_timer_del(k->loop, &k->timer);
	list_del(&k->link);
	if (k->stream)
		h2_drop(TAKE(k->stream));
	k->conn = NULL;
	if (k->big_held) {
		k->big_held = false;
		conn_big_done(cn);
	}
}

void call_end(struct call *k, enum err_code code, const struct err *why)
{
	struct grpc_chan *c = k->chan;

	leave(k);
	list_del(&k->all);
	mutex_lock(&k->loop->mtx);
	loop_unpost_locked(k->loop, &k->job);
	k->code = code;
	k->done = true;
	if (code) {
		k->err = *why;
		k->err.code = code;
		if (!strstr(why->text, c->address))
			err_ctx(&k->err, "%s", c->address);
	}
	cond_broadcast(&k->cond);
	mutex_unlock(&k->loop->mtx);
}

static void end_with(struct call *k, enum err_code code, const char *text)
{
	struct err why = ERR_INIT;
	err_set(&why, code, "%s", text);
	call_end(k, code, &why);
}

static bool harmless(const struct call *k)
{
	return k->idempotent || !k->stream || !h2_body_left(k->stream);
}

static void on_timer(struct loop_timer *t)
{
	struct call *k = CONTAINER_OF(t, struct call, timer);

	if (!k->conn)
		end_with(k, ERR_TIMEOUT, "no connection before the deadline");
	else if (!k->stream)
		end_with(k, ERR_TIMEOUT, "the deadline passed behind other large requests");
	else
		end_with(k, harmless(k) ? ERR_TIMEOUT : ERR_UNCERTAIN,
			"no answer before the deadline");
}

/* ---- submitting ---- */

static nghttp2_nv nv_of(const char *name, const char *value, uint8_t flags)
{
	/* nghttp2's struct is not const-correct; it copies the text. */
	union {
		const char *in;
		uint8_t *out;
	} n = {.in = name}, v = {.in = value};
	return (nghttp2_nv){.name = n.out,
		.value = v.out,
		.namelen = strlen(name),
		.valuelen = strlen(value),
		.flags = flags};
}

/* Credentials stay out of the header compression's table. */
static uint8_t meta_flags(const char *key)
{
	bool secret = strcmp(key, "authorization") == 0 || strcmp(key, "token") == 0;
	return secret ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
}

static size_t fill_headers(struct call *k, nghttp2_nv *nv, char timeout[GRPC_TIMEOUT_BYTES])
{
	const struct grpc_call *r = k->req;
	struct grpc_chan *c = k->chan;
	size_t n = 0;

	nv[n++] = nv_of(":method", "POST", 0);
	nv[n++] = nv_of(":scheme", c->tls ? "https" : "http", 0);
	nv[n++] = nv_of(":path", r->path, 0);
	nv[n++] = nv_of(":authority", c->authority, 0);
	/* Exactly this: Milvus' port takes any other type for REST. */
	nv[n++] = nv_of("content-type", "application/grpc", 0);
	nv[n++] = nv_of("te", "trailers", 0);
	nv[n++] = nv_of("user-agent", "milvus-cdc-c", 0);
	if (!k->bidi && r->deadline.at_ms != INT64_MAX) {
		grpc_timeout_text(deadline_left_ms(r->deadline), timeout);
		nv[n++] = nv_of("grpc-timeout", timeout, 0);
	}
	for (size_t i = 0; i < r->n_meta; i++)
		nv[n++] = nv_of(r->meta[i].key, r->meta[i].value, meta_flags(r->meta[i].key));
	return n;
}

static struct h2_body body_of(struct call *k)
{
	struct h2_body b = {.v = k->req->body, .n_v = k->req->n_body};

	if (k->bidi)
		return (struct h2_body){0};
	for (size_t i = 0; i < b.n_v; i++)
		b.bytes += b.v[i].n;
	grpc_prefix(k->prefix, b.bytes);
	b.head = slice_of(k->prefix, sizeof(k->prefix));
	b.bytes += b.head.n;
	return b;
}

static void opened(struct call *k)
{
	loop_timer_del(k->loop, &k->timer);
	k->req = NULL;
	mutex_lock(&k->loop->mtx);
	k->opened = true;
	cond_broadcast(&k->cond);
	mutex_unlock(&k->loop->mtx);
}

bool call_submit(struct call *k, struct conn *cn)
{
	nghttp2_nv nv[GRPC_MAX_META + 8];
	char timeout[GRPC_TIMEOUT_BYTES];
	struct h2_body body = body_of(k);

	k->big = body.bytes > GRPC_BIG_BODY;
	if (k->big && cn->n_big >= GRPC_BIG_AT_ONCE) {
		k->conn = cn;
		list_push(&cn->big_wait, &k->link);
		return true;
	}
	size_t n = fill_headers(k, nv, timeout);
	k->stream = h2_submit(cn->h2, nv, n, body, k);
	if (!k->stream)
		return false;
	k->conn = cn;
	k->tries++;
	if (k->big) {
		cn->n_big++;
		k->big_held = true;
	}
	if (k->bidi)
		opened(k);
	return true;
}

/* ---- the answer ---- */

void call_on_header(void *req, struct slice name, struct slice value)
{
	struct call *k = req;
	struct err why = ERR_INIT;
	enum err_code code = grpc_reply_header(&k->reply, name, value, &why);
	if (code)
		call_end(k, code, &why);
}

static void deliver(struct call *k)
{
	struct message *m = xcalloc(1, sizeof(*m));

	m->bytes = k->partial;
	buf_init(&k->partial, k->partial.max);
	mutex_lock(&k->loop->mtx);
	list_push(&k->inbox, &m->link);
	k->inbox_bytes += m->bytes.n;
	cond_broadcast(&k->cond);
	mutex_unlock(&k->loop->mtx);
}

static void give_credit(struct call *k, size_t n)
{
	bool full = false;

	if (k->bidi) {
		mutex_lock(&k->loop->mtx);
		full = k->throttled = k->inbox_bytes >= LIMIT_GRPC_STREAM_BACKLOG;
		mutex_unlock(&k->loop->mtx);
	}
	k->uncredited += n;
	if (!full) {
		h2_consume(k->stream, k->uncredited);
		k->uncredited = 0;
	}
}

void call_on_data(void *req, struct slice s)
{
	struct call *k = req;
	struct err why = ERR_INIT;
	size_t n = s.n;

	/* A proxy's error page: the status line says enough. */
	if (!grpc_reply_is_grpc(&k->reply))
		s.n = 0;
	while (s.n) {
		bool whole = false;
		enum err_code code = grpc_frames_push(&k->frames, &s, &whole, &why);
		if (!code && whole && ++k->n_messages > 1 && !k->bidi)
			code = err_set(&why, ERR_MALFORMED, "more than one message in an answer");
		if (code) {
			call_end(k, code, &why);
			return;
		}
		if (whole && k->bidi)
			deliver(k);
	}
	give_credit(k, n);
}

void call_on_end(void *req)
{
	struct call *k = req;
	struct err why = ERR_INIT;
	enum err_code code = grpc_reply_result(&k->reply, harmless(k), 0, &why);

	if (!code && k->bidi)
		code = err_set(&why, ERR_UNAVAILABLE, "the peer has ended the stream");
	else if (!code && (k->n_messages != 1 || !grpc_frames_idle(&k->frames)))
		code = err_set(&why, ERR_MALFORMED, "status OK, but no whole message");
	call_end(k, code, &why);
}

void call_on_sent(void *req)
{
	struct call *k = req;
	if (!k->big_held)
		return;
	k->big_held = false;
	conn_big_done(k->conn);
}

static void again(struct call *k)
{
	struct grpc_chan *c = k->chan;

	leave(k);
	/* leave() has stopped the deadline as well. */
	loop_timer_set(k->loop, &k->timer, k->req->deadline.at_ms);
	grpc_reply_init(&k->reply);
	k->frames.prefix_n = 0;
	buf_reset(k->frames.msg);
	k->n_messages = 0;
	k->uncredited = 0;
	chan_again(c, k);
}

void call_on_closed(void *req, uint32_t h2_code, bool refused, const struct err *why)
{
	struct call *k = req;
	struct err mine = ERR_INIT;
	bool sure = harmless(k);
	bool unseen = refused || (why && !h2_body_left(k->stream));

	k->stream = NULL; /* freed by the connection */
	if (unseen && !k->bidi && k->tries < GRPC_MAX_TRIES) {
		again(k);
		return;
	}
	enum err_code code;
	if (why) {
		code = sure || k->bidi ? ERR_UNAVAILABLE : ERR_UNCERTAIN;
		err_set_origin(&mine, code, why->origin, "connection lost: %s", why->text);
	} else if (refused) {
		code = err_set(&mine, ERR_UNAVAILABLE, "the peer refuses new streams");
	} else {
		code = grpc_reply_result(&k->reply, sure, h2_code, &mine);
		if (!code)
			code = err_set(&mine, ERR_MALFORMED, "reset in the middle of an answer");
	}
	call_end(k, code, &mine);
}

/* ---- what the caller posts ---- */

static void send_outbox(struct call *k)
{
	struct list box;
	bool ok = true;

	list_init(&box);
	mutex_lock(&k->loop->mtx);
	list_splice(&box, &k->outbox);
	k->outbox_bytes = 0;
	mutex_unlock(&k->loop->mtx);
	for (struct list *n; (n = list_pop(&box));) {
		struct message *m = LIST_ITEM(n, struct message, link);
		ok = ok && h2_write(k->stream, buf_slice(&m->bytes));
		message_free(m);
	}
	if (!ok)
		end_with(k, ERR_LIMIT, "the peer does not take what is sent on the stream");
}

static void call_run(struct loop_job *j, unsigned ops)
{
	struct call *k = CONTAINER_OF(j, struct call, job);

	if (ops & CALL_CANCEL) {
		end_with(k, ERR_CANCELLED, "cancelled");
		return;
	}
	if (ops & CALL_START) {
		bool unary = !k->bidi;
		loop_timer_set(k->loop, &k->timer, k->req->deadline.at_ms);
		chan_add(k->chan, k);
		if (unary) /* it may have ended there, and its caller's frame with it */
			return;
	}
	if (ops & CALL_CREDIT && k->stream && k->uncredited) {
		h2_consume(k->stream, k->uncredited);
		k->uncredited = 0;
	}
	if (ops & CALL_SEND && k->stream)
		send_outbox(k);
}

void call_init(
	struct call *k, struct grpc_chan *c, const struct grpc_call *req, struct buf *ret_body)
{
	*k = (struct call){.loop = &c->g->loop, .chan = c, .req = req};
	k->bidi = !ret_body;
	k->idempotent = req->idempotent;
	k->job.run = call_run;
	k->timer.fire = on_timer;
	list_init(&k->link);
	list_init(&k->all);
	list_init(&k->inbox);
	list_init(&k->outbox);
	cond_init(&k->cond);
	grpc_reply_init(&k->reply);
	buf_init(&k->partial, c->max_recv_bytes);
	k->frames.msg = ret_body ? ret_body : &k->partial;
}

void call_done(struct call *k)
{
	drop_messages(&k->inbox);
	drop_messages(&k->outbox);
	buf_done(&k->partial);
	cond_done(&k->cond);
}
