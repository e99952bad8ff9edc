/* A connection of the test server: socket, HTTP/2 session, requests coming in. @thread server */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/mem.h"
#include "net/sock.h"
#include "support/grpc_server_priv.h"

enum { STREAM_WINDOW = 8 << 20, CONN_WINDOW = 128 << 20, READS_A_TURN = 16 };

/* ---- output ---- */

void gs_conn_flush_soon(struct gs_conn *cn)
{
	loop_fd_dirty(&cn->g->loop, &cn->io);
}

void gs_conn_close_soon(struct gs_conn *cn)
{
	cn->closing = true;
	gs_conn_flush_soon(cn);
}

void gs_conn_goaway(struct gs_conn *cn, int32_t last, uint32_t code)
{
	nghttp2_submit_goaway(cn->ng, NGHTTP2_FLAG_NONE, last, code, NULL, 0);
	gs_conn_flush_soon(cn);
}

/* ---- what the client says ---- */

static int on_begin(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct gs_conn *cn = arg;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	struct gs_call *c = xcalloc(1, sizeof(*c));
	c->g = cn->g;
	c->conn = cn;
	c->id = frame->hd.stream_id;
	c->job.run = gs_call_on_job;
	c->timer.fire = gs_call_on_timer;
	buf_init(&c->body, GS_BODY_MAX);
	buf_init(&c->out, GS_BODY_MAX);
	buf_init(&c->post, GS_BODY_MAX);
	list_init(&c->link);
	list_push(&cn->calls, &c->link);
	nghttp2_session_set_stream_user_data(ng, c->id, c);
	gs_bump(cn->g, GS_OPEN_STREAMS, 1);
	gs_bump(cn->g, GS_REQUESTS, 1);
	return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags UNUSED, void *arg UNUSED)
{
	struct gs_call *c = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);

	if (c && c->n_meta < GS_META_MAX) {
		c->keys[c->n_meta] = xstrndup((const char *)name, name_n);
		c->values[c->n_meta++] = xstrndup((const char *)value, value_n);
	}
	return 0;
}

/* Milvus serves gRPC and REST on one port and tells them apart by exactly this type. */
static bool is_grpc(struct gs_call *c)
{
	const char *type = gs_meta_get(c, "content-type");
	const char *te = gs_meta_get(c, "te");
	return type && strcmp(type, "application/grpc") == 0 && te && strcmp(te, "trailers") == 0;
}

static void on_request_headers(struct gs_call *c)
{
	struct gs_handler *h = &c->g->opts.handler;
	size_t n = strlen(gs_path(c));

	c->has_step = gs_take_step(c->g, &c->step);
	if (!is_grpc(c)) {
		c->has_step = true;
		c->step = (struct gs_step){.fault = GS_FAULT_HTTP, .code = 415};
	}
	c->bidi = n >= 4 && strcmp(gs_path(c) + n - 4, "Bidi") == 0;
	c->chunks = h->wants_chunks && h->wants_chunks(h->arg, c);
	gs_call_fault_at_headers(c);
}

/* A bidirectional call: every whole message goes to the handler. */
static void messages(struct gs_call *c)
{
	struct buf all = c->body;

	for (;;) {
		size_t n = c->body.n < 5 ? 0
					 : (size_t)all.p[1] << 24 | (size_t)all.p[2] << 16 |
						   (size_t)all.p[3] << 8 | all.p[4];
		if (c->body.n < 5 || c->body.n - 5 < n)
			return;
		size_t rest = c->body.n - 5 - n;
		c->body.n = 5 + n;
		gs_call_hand_over(c);
		memmove(c->body.p, c->body.p + 5 + n, rest);
		c->body.n = rest;
	}
}

static int on_chunk(nghttp2_session *ng, uint8_t flags UNUSED, int32_t id, const uint8_t *p,
	size_t n, void *arg)
{
	struct gs_conn *cn = arg;
	struct gs_call *c = nghttp2_session_get_stream_user_data(ng, id);
	struct gs_handler *h = &cn->g->opts.handler;

	if (!c || !c->has_step || c->step.fault != GS_FAULT_STALL)
		nghttp2_session_consume(ng, id, n);
	if (!c)
		return 0;
	c->body_seen += n;
	if (c->has_step && c->step.fault == GS_FAULT_CLOSE && c->body_seen >= (size_t)c->step.code)
		gs_conn_close_soon(cn);
	if (c->chunks) {
		h->chunk(h->arg, c, slice_of(p, n));
		return 0;
	}
	buf_put(&c->body, p, n);
	if (c->bidi && !c->has_step)
		messages(c);
	return 0;
}

static void on_request_end(struct gs_call *c)
{
	gs_bump(c->g, GS_WHOLE, 1);
	if (c->bidi && !c->has_step) {
		if (c->handed && !c->g->opts.handler.request)
			gs_end(c, 0, NULL, 0);
		return;
	}
	if (c->has_step)
		gs_call_fault_at_end(c);
	else
		gs_call_hand_over(c);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct gs_conn *cn = arg;
	bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	if (frame->hd.type == NGHTTP2_PING && !(frame->hd.flags & NGHTTP2_FLAG_ACK))
		gs_bump(cn->g, GS_PINGS, 1);
	if (frame->hd.type == NGHTTP2_RST_STREAM)
		gs_bump(cn->g, GS_RESETS, 1);
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	struct gs_call *c = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
	if (c && frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		on_request_headers(c);
	if (c && end)
		on_request_end(c);
	return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code UNUSED, void *arg UNUSED)
{
	struct gs_call *c = nghttp2_session_get_stream_user_data(ng, id);
	if (c)
		gs_call_forget(c);
	return 0;
}

/* ---- the socket ---- */

static void on_free(struct loop_fd *f)
{
	struct gs_conn *cn = CONTAINER_OF(f, struct gs_conn, io);

	nghttp2_session_del(cn->ng);
	wq_done(&cn->wq);
	free(cn);
}

void gs_conn_close(struct gs_conn *cn)
{
	struct gs *g = cn->g;

	if (cn->dead)
		return;
	cn->dead = true;
	while (!list_empty(&cn->calls)) {
		struct gs_call *c = LIST_ITEM(cn->calls.next, struct gs_call, link);
		nghttp2_session_set_stream_user_data(cn->ng, c->id, NULL);
		gs_call_forget(c);
	}
	list_del(&cn->link);
	link_done(&cn->tcp);
	loop_fd_retire(&g->loop, &cn->io);
	gs_bump(g, GS_CLOSED, 1);
}

void gs_conn_op(struct gs_conn *cn, unsigned ops, uint32_t code)
{
	if (ops & GS_OP_FREEZE) {
		cn->frozen = true;
		loop_fd_events(&cn->g->loop, &cn->io, 0);
	}
	if (ops & GS_OP_GOAWAY && cn->ng)
		gs_conn_goaway(cn, nghttp2_session_get_last_proc_stream_id(cn->ng), code);
	if (ops & GS_OP_CLOSE)
		gs_conn_close(cn);
}

static void on_flush(struct loop_fd *f)
{
	struct gs_conn *cn = CONTAINER_OF(f, struct gs_conn, io);
	struct err e = ERR_INIT;

	if (cn->frozen || cn->silent || cn->shaking || cn->dead)
		return;
	for (;;) {
		const uint8_t *p = NULL;
		ssize_t n = 0;
		while (!wq_full(&cn->wq) && (n = nghttp2_session_mem_send(cn->ng, &p)) > 0)
			wq_put_copy(&cn->wq, slice_of(p, (size_t)n));
		enum link_io r = link_flush(&cn->tcp, &cn->wq, &e);
		if (r == LINK_END || n < 0 || (cn->closing && r == LINK_OK)) {
			gs_conn_close(cn);
			return;
		}
		if (r == LINK_AGAIN || !nghttp2_session_want_write(cn->ng))
			break;
		if (!n && !cn->wq.bytes)
			break;
	}
	loop_fd_events(
		&cn->g->loop, f, EPOLLIN | (link_wants_write(&cn->tcp) ? (uint32_t)EPOLLOUT : 0));
}

static bool shake(struct gs_conn *cn)
{
	ERR_clear_error();
	int r = SSL_accept(cn->tcp.ssl);
	if (r == 1) {
		cn->shaking = false;
		return true;
	}
	int why = SSL_get_error(cn->tcp.ssl, r);
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		loop_fd_events(
			&cn->g->loop, &cn->io, why == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT);
	else
		gs_conn_close(cn);
	return false;
}

static void on_ready(struct loop_fd *f, uint32_t events)
{
	struct gs_conn *cn = CONTAINER_OF(f, struct gs_conn, io);
	uint8_t *p = cn->g->loop.read_buf;
	struct err e = ERR_INIT;

	if (cn->frozen || (cn->shaking && !shake(cn)))
		return;
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
		gs_conn_flush_soon(cn);
		return;
	}
	for (int i = 0; i < READS_A_TURN || link_read_pending(&cn->tcp); i++) {
		size_t n = 0;
		enum link_io r = link_read(&cn->tcp, p, LOOP_READ_BYTES, &n, &e);
		if (r == LINK_AGAIN)
			break;
		if (r == LINK_END || (!cn->silent && nghttp2_session_mem_recv(cn->ng, p, n) < 0)) {
			gs_conn_close(cn);
			return;
		}
	}
	gs_conn_flush_soon(cn);
}

static nghttp2_session *session_new(struct gs_conn *cn)
{
	nghttp2_session_callbacks *cb;
	nghttp2_option *opt;
	nghttp2_session *ng;
	const nghttp2_settings_entry set[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000}};

	if (nghttp2_session_callbacks_new(&cb) || nghttp2_option_new(&opt))
		abort();
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_option_set_no_auto_window_update(opt, 1);
	nghttp2_option_set_no_auto_ping_ack(opt, cn->g->opts.no_pong);
	if (nghttp2_session_server_new2(&ng, cb, cn, opt) ||
		nghttp2_submit_settings(ng, NGHTTP2_FLAG_NONE, set, ARRAY_LEN(set)) ||
		nghttp2_session_set_local_window_size(ng, NGHTTP2_FLAG_NONE, 0, CONN_WINDOW))
		abort();
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(opt);
	return ng;
}

static void welcome(struct gs_conn *cn, enum gs_accept how)
{
	static const char http1[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";

	cn->silent = how == GS_ACCEPT_SILENT;
	if (how == GS_ACCEPT_HTTP1) {
		wq_put_copy(&cn->wq, slice_str(http1));
		struct err e = ERR_INIT;
		(void)link_flush(&cn->tcp, &cn->wq, &e);
		cn->silent = true;
	} else if (how == GS_ACCEPT_CLOSE) {
		gs_conn_close(cn);
	}
}

void gs_conn_new(struct gs *g, int fd)
{
	struct gs_conn *cn = xcalloc(1, sizeof(*cn));
	struct err e = ERR_INIT;

	cn->g = g;
	list_init(&cn->link);
	list_init(&cn->calls);
	loop_fd_init(&cn->io);
	cn->io.fd = cn->tcp.fd = fd;
	cn->io.ready = on_ready;
	cn->io.flush = on_flush;
	cn->io.free = on_free;
	sock_tune(fd, 60000);
	if (g->ssl) {
		cn->tcp.ssl = SSL_new(g->ssl);
		SSL_set_fd(cn->tcp.ssl, fd);
		cn->shaking = true;
	}
	cn->ng = session_new(cn);
	list_push(&g->conns, &cn->link);
	if (loop_fd_add(&g->loop, &cn->io, EPOLLIN, &e))
		abort();
	gs_bump(g, GS_CONNECTIONS, 1);
	mutex_lock(&g->loop.mtx);
	enum gs_accept how = g->accept;
	mutex_unlock(&g->loop.mtx);
	welcome(cn, how);
	if (!cn->dead)
		gs_conn_flush_soon(cn);
}
