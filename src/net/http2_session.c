/* nghttp2's side of a connection: callbacks, streams, bodies. All use of its (renamed in 1.60)
 * callback types is in this file.
 *
 * Bodies are not copied (NGHTTP2_DATA_FLAG_NO_COPY): a DATA frame enters the write queue as its
 * header and references to the body's pieces, marked with the stream as their owner. A stream
 * outlives its request (req = NULL) until nghttp2 closes it, because nghttp2 may still hold a frame
 * of it. Callbacks run inside nghttp2_session_send and _mem_recv and so call neither. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "net/http2_priv.h"

/* ---- streams ---- */

void h2_stream_free(struct h2_stream *st)
{
	list_del(&st->link);
	buf_done(&st->out);
	freep(&st);
}

/* The pieces of st leave the write queue. */
static void take_back(struct h2_stream *st)
{
	struct h2 *c = st->c;
	bool gone = st->pull || (st->end_mark && c->wq.sent >= st->end_mark);
	if (!gone)
		wq_disown(&c->wq, st);
}

static void *detach(struct h2_stream *st)
{
	void *req = st->req;
	take_back(st);
	/* Credit the owner will not give back any more is the whole connection's loss. */
	if (st->uncredited && st->c->state != H2_DEAD)
		nghttp2_session_consume_connection(st->c->ng, st->uncredited);
	st->uncredited = 0;
	st->req = NULL;
	st->c->n_live--;
	return req;
}

bool h2_body_left(const struct h2_stream *st)
{
	if (st->c->state == H2_DEAD)
		return st->end_mark && st->c->wq.sent >= st->end_mark;
	return st->end_mark != 0;
}

void h2_drop(struct h2_stream *st)
{
	struct h2 *c = st->c;

	assert(c->state != H2_DEAD);
	detach(st);
	if (!st->remote_ended || !st->end_mark)
		nghttp2_submit_rst_stream(c->ng, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_CANCEL);
	h2_touch(c);
}

void h2_session_fail(struct h2 *c, const struct err *why)
{
	assert(c->state == H2_DEAD);
	while (!list_empty(&c->streams)) {
		struct h2_stream *st = LIST_ITEM(c->streams.next, struct h2_stream, link);
		if (st->req) {
			void *req = detach(st);
			c->ops->closed(req, 0, false, why);
		}
		h2_stream_free(st);
	}
}

/* ---- bodies ---- */

static ssize_t read_pull(struct h2_stream *st, uint8_t *to, size_t cap)
{
	size_t n = MIN(cap, st->out.n - st->out_off);
	if (!n)
		return NGHTTP2_ERR_DEFERRED;
	memcpy(to, st->out.p + st->out_off, n);
	st->out_off += n;
	if (st->out_off == st->out.n) {
		buf_reset(&st->out);
		st->out_off = 0;
	}
	return (ssize_t)n;
}

static ssize_t on_read(nghttp2_session *ng UNUSED, int32_t id UNUSED, uint8_t *to, size_t cap,
	uint32_t *flags, nghttp2_data_source *src, void *arg UNUSED)
{
	struct h2_stream *st = src->ptr;

	if (!st->req)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (st->pull)
		return read_pull(st, to, cap);
	size_t n = MIN(cap, st->unread);
	st->unread -= n;
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (!st->unread)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static void queue_pieces(struct h2_stream *st, size_t n)
{
	while (n) {
		struct slice s = st->piece ? st->body.v[st->piece - 1] : st->body.head;
		size_t part = MIN(n, s.n - st->off);
		wq_put_ref(&st->c->wq, slice_of(s.p + st->off, part), st);
		st->off += part;
		n -= part;
		if (st->off == s.n) {
			st->piece++;
			st->off = 0;
		}
	}
}

/* Takes a whole frame or, when the queue is full, nothing: nghttp2 asks again. */
static int on_send_data(nghttp2_session *ng UNUSED, nghttp2_frame *frame, const uint8_t *head,
	size_t n, nghttp2_data_source *src, void *arg)
{
	struct h2 *c = arg;
	struct h2_stream *st = src->ptr;

	if (!st->req)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (wq_full(&c->wq))
		return NGHTTP2_ERR_WOULDBLOCK;
	assert(frame->data.padlen == 0);
	wq_put_copy(&c->wq, slice_of(head, 9));
	queue_pieces(st, n);
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
		st->end_mark = c->wq.put;
		c->ops->sent(st->req);
	}
	return 0;
}

static ssize_t on_send(
	nghttp2_session *ng UNUSED, const uint8_t *p, size_t n, int flags UNUSED, void *arg)
{
	struct h2 *c = arg;
	if (wq_full(&c->wq))
		return NGHTTP2_ERR_WOULDBLOCK;
	wq_put_copy(&c->wq, slice_of(p, n));
	return (ssize_t)n;
}

/* ---- what the peer says ---- */

static struct h2_stream *stream_of(struct h2 *c, int32_t id)
{
	return id ? nghttp2_session_get_stream_user_data(c->ng, id) : NULL;
}

static int on_header(nghttp2_session *ng UNUSED, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags UNUSED, void *arg)
{
	struct h2 *c = arg;
	struct h2_stream *st = stream_of(c, frame->hd.stream_id);
	if (st && st->req)
		c->ops->header(st->req, slice_of(name, name_n), slice_of(value, value_n));
	return 0;
}

static int on_chunk(nghttp2_session *ng, uint8_t flags UNUSED, int32_t id, const uint8_t *p,
	size_t n, void *arg)
{
	struct h2 *c = arg;
	struct h2_stream *st = stream_of(c, id);
	if (!st || !st->req) {
		nghttp2_session_consume_connection(ng, n);
		return 0;
	}
	st->uncredited += n;
	c->ops->data(st->req, slice_of(p, n));
	return 0;
}

static int on_frame(nghttp2_session *ng UNUSED, const nghttp2_frame *frame, void *arg)
{
	struct h2 *c = arg;
	struct h2_stream *st;

	switch ((nghttp2_frame_type)frame->hd.type) {
	case NGHTTP2_SETTINGS:
		if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
			h2_on_settings(c);
		return 0;
	case NGHTTP2_PING:
		if (frame->hd.flags & NGHTTP2_FLAG_ACK)
			h2_on_pong(c);
		return 0;
	case NGHTTP2_GOAWAY:
		h2_on_goaway(c, frame->goaway.error_code == NGHTTP2_ENHANCE_YOUR_CALM);
		return 0;
	case NGHTTP2_DATA:
	case NGHTTP2_HEADERS:
		st = stream_of(c, frame->hd.stream_id);
		if (!st || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
			return 0;
		st->remote_ended = true;
		if (st->req)
			c->ops->end(st->req);
		return 0;
	case NGHTTP2_PRIORITY:
	case NGHTTP2_RST_STREAM:
	case NGHTTP2_PUSH_PROMISE:
	case NGHTTP2_WINDOW_UPDATE:
	case NGHTTP2_CONTINUATION:
	case NGHTTP2_ALTSVC:
	case NGHTTP2_ORIGIN:
	case NGHTTP2_PRIORITY_UPDATE:
		return 0;
	}
	return 0;
}

static int on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
	struct h2 *c = arg;
	struct h2_stream *st = nghttp2_session_get_stream_user_data(ng, id);

	if (!st)
		return 0;
	nghttp2_session_set_stream_user_data(ng, id, NULL);
	if (st->req) {
		void *req = detach(st);
		c->ops->closed(req, code, code == NGHTTP2_REFUSED_STREAM, NULL);
	}
	h2_stream_free(st);
	h2_touch(c);
	return 0;
}

static int on_error(nghttp2_session *ng UNUSED, int code, const char *text, size_t n, void *arg)
{
	struct h2 *c = arg;
	err_clear(&c->diag);
	err_set_origin(&c->diag, ERR_UNAVAILABLE, code, "%.*s", (int)MIN(n, 200), text);
	return 0;
}

/* ---- the session ---- */

static nghttp2_session *session_new(struct h2 *c)
{
	nghttp2_session_callbacks *cb;
	nghttp2_option *opt;
	nghttp2_session *ng = NULL;

	if (nghttp2_session_callbacks_new(&cb) || nghttp2_option_new(&opt))
		return NULL;
	nghttp2_session_callbacks_set_send_callback(cb, on_send);
	nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	nghttp2_session_callbacks_set_error_callback2(cb, on_error);
	/* The receiver of a stream says when it has room. */
	nghttp2_option_set_no_auto_window_update(opt, 1);
	int r = nghttp2_session_client_new2(&ng, cb, c, opt);
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(opt);
	return r ? NULL : ng;
}

void h2_session_new(struct h2 *c)
{
	const nghttp2_settings_entry set[] = {
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, LIMIT_GRPC_STREAM_WINDOW},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, LIMIT_GRPC_HEADERS},
	};

	c->ng = session_new(c);
	/* nghttp2 fails here only for want of memory. */
	if (!c->ng || nghttp2_submit_settings(c->ng, NGHTTP2_FLAG_NONE, set, ARRAY_LEN(set)) ||
		nghttp2_session_set_local_window_size(
			c->ng, NGHTTP2_FLAG_NONE, 0, LIMIT_GRPC_CONN_WINDOW))
		abort();
}

/* A peer that speaks HTTP/1 answers our preface with text; say so instead of "frame too large". */
static bool is_http1(struct h2 *c, const uint8_t *p, size_t n)
{
	bool first = !c->first_byte_seen;
	c->first_byte_seen = true;
	return first && n >= 5 && memcmp(p, "HTTP/", 5) == 0;
}

enum err_code h2_session_recv(struct h2 *c, const uint8_t *p, size_t n, struct err *e)
{
	if (is_http1(c, p, n))
		return err_set(e, ERR_UNAVAILABLE, "the peer answers in HTTP/1: no gRPC server");
	ssize_t r = nghttp2_session_mem_recv(c->ng, p, n);
	if (r < 0)
		return err_set_origin(
			e, ERR_UNAVAILABLE, (int)r, "HTTP/2: %s", nghttp2_strerror((int)r));
	return ERR_OK;
}

enum err_code h2_session_send(struct h2 *c, struct err *e)
{
	int r = nghttp2_session_send(c->ng);
	if (r)
		return err_set_origin(e, ERR_UNAVAILABLE, r, "HTTP/2: %s", nghttp2_strerror(r));
	if (nghttp2_session_want_read(c->ng) || nghttp2_session_want_write(c->ng) || c->wq.bytes)
		return ERR_OK;
	if (c->state == H2_DRAINING)
		return err_set(e, ERR_UNAVAILABLE, "the peer has ended the session");
	/* nghttp2 has found a fault, said GOAWAY and will do nothing more. */
	const char *what = c->diag.code ? c->diag.text : "no details";
	return err_set(e, ERR_UNAVAILABLE, "HTTP/2: the peer broke the protocol: %s", what);
}

struct h2_stream *h2_submit(
	struct h2 *c, const nghttp2_nv *nv, size_t n_nv, struct h2_body body, void *req)
{
	if (!h2_usable(c))
		return NULL;
	struct h2_stream *st = xcalloc(1, sizeof(*st));

	st->c = c;
	st->req = req;
	st->body = body;
	st->unread = body.bytes;
	st->pull = body.bytes == 0;
	buf_init(&st->out, LIMIT_GRPC_STREAM_SEND);
	list_init(&st->link);
	nghttp2_data_provider data = {.source.ptr = st, .read_callback = on_read};
	st->id = nghttp2_submit_request(c->ng, NULL, nv, n_nv, &data, st);
	if (st->id < 0) {
		freep(&st);
		return NULL;
	}
	list_push(&c->streams, &st->link);
	c->n_live++;
	h2_keepalive_arm(c);
	h2_touch(c);
	return st;
}

bool h2_write(struct h2_stream *st, struct slice s)
{
	buf_put(&st->out, s.p, s.n);
	nghttp2_session_resume_data(st->c->ng, st->id);
	h2_touch(st->c);
	return !buf_failed(&st->out);
}

void h2_consume(struct h2_stream *st, size_t n)
{
	assert(n <= st->uncredited);
	st->uncredited -= n;
	nghttp2_session_consume(st->c->ng, st->id, n);
	h2_touch(st->c);
}
