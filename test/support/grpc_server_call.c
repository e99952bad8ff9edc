/* A call of the test server: answers and scripted faults. @thread server */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "support/grpc_server_priv.h"

void gs_call_free(struct gs_call *c)
{
	mutex_lock(&c->g->loop.mtx);
	loop_unpost_locked(&c->g->loop, &c->job);
	mutex_unlock(&c->g->loop.mtx);
	loop_timer_del(&c->g->loop, &c->timer);
	list_del(&c->link);
	for (size_t i = 0; i < c->n_meta; i++) {
		free(c->keys[i]);
		free(c->values[i]);
	}
	buf_done(&c->body);
	buf_done(&c->out);
	buf_done(&c->post);
	free(c->text);
	free(c);
}

void gs_call_forget(struct gs_call *c)
{
	struct gs *g = c->g;

	list_del(&c->link);
	c->conn = NULL;
	gs_bump(g, GS_OPEN_STREAMS, -1);
	if (!c->handed && g->opts.handler.gone)
		g->opts.handler.gone(g->opts.handler.arg, c);
	mutex_lock(&g->loop.mtx);
	bool free_now = !c->handed || c->ended || !g->opts.handler.request;
	mutex_unlock(&g->loop.mtx);
	if (free_now)
		gs_call_free(c);
}

static nghttp2_nv nv_of(const char *name, const char *value)
{
	union {
		const char *in;
		uint8_t *out;
	} n = {.in = name}, v = {.in = value};
	return (nghttp2_nv){
		.name = n.out, .value = v.out, .namelen = strlen(name), .valuelen = strlen(value)};
}

/* grpc-message: bytes outside of printable ASCII, and %, as %XX. */
static void escape(const char *in, char *out, size_t cap)
{
	size_t n = 0;
	for (; *in && n + 4 < cap; in++) {
		uint8_t c = (uint8_t)*in;
		if (c < 0x20 || c > 0x7e || c == '%')
			n += (size_t)snprintf(out + n, 4, "%%%02X", c);
		else
			out[n++] = (char)c;
	}
	out[n] = '\0';
}

static size_t status_headers(struct gs_call *c, nghttp2_nv *nv, char code[16], char text[512])
{
	size_t n = 0;
	snprintf(code, 16, "%d", c->status);
	nv[n++] = nv_of("grpc-status", code);
	if (c->text) {
		escape(c->text, text, 512);
		nv[n++] = nv_of("grpc-message", text);
	}
	return n;
}

static ssize_t on_out(nghttp2_session *ng, int32_t id, uint8_t *to, size_t cap, uint32_t *flags,
	nghttp2_data_source *src, void *arg UNUSED)
{
	struct gs_call *c = src->ptr;
	size_t n = MIN(cap, c->out.n - c->out_off);
	nghttp2_nv nv[2];
	char code[16], text[512];

	if (n)
		memcpy(to, c->out.p + c->out_off, n);
	c->out_off += n;
	if (c->out_off < c->out.n)
		return (ssize_t)n;
	buf_reset(&c->out);
	c->out_off = 0;
	if (!c->done)
		return n ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (!c->no_trailers) {
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		nghttp2_submit_trailer(ng, id, nv, status_headers(c, nv, code, text));
	}
	return (ssize_t)n;
}

static void start_answer(struct gs_call *c)
{
	nghttp2_nv nv[] = {nv_of(":status", "200"), nv_of("content-type", "application/grpc")};
	nghttp2_data_provider data = {.source.ptr = c, .read_callback = on_out};

	if (!c->headers_sent)
		nghttp2_submit_response(c->conn->ng, c->id, nv, ARRAY_LEN(nv), &data);
	else
		nghttp2_session_resume_data(c->conn->ng, c->id);
	c->headers_sent = true;
	gs_conn_flush_soon(c->conn);
}

static void trailers_only(struct gs_call *c)
{
	nghttp2_nv nv[4] = {nv_of(":status", "200"), nv_of("content-type", "application/grpc")};
	char code[16], text[512];

	size_t n = 2 + status_headers(c, nv + 2, code, text);
	nghttp2_submit_response(c->conn->ng, c->id, nv, n, NULL);
	gs_conn_flush_soon(c->conn);
}

static void http_page(struct gs_call *c)
{
	char status[16];
	snprintf(status, sizeof(status), "%d", (int)c->step.code);
	nghttp2_nv nv[] = {nv_of(":status", status), nv_of("content-type", "text/html")};
	nghttp2_data_provider data = {.source.ptr = c, .read_callback = on_out};

	buf_put_str(&c->out, "<html>no</html>");
	c->done = true;
	c->no_trailers = true;
	nghttp2_submit_response(c->conn->ng, c->id, nv, ARRAY_LEN(nv), &data);
	gs_conn_flush_soon(c->conn);
}

/* What gs_send and gs_end have posted. */
static void take_post(struct gs_call *c)
{
	mutex_lock(&c->g->loop.mtx);
	bool ended = c->ended;
	if (!c->conn) {
		mutex_unlock(&c->g->loop.mtx);
		if (ended)
			gs_call_free(c);
		return;
	}
	buf_put(&c->out, c->post.p, c->post.n);
	buf_reset(&c->post);
	mutex_unlock(&c->g->loop.mtx);
	c->done = ended;
	start_answer(c);
}

void gs_call_on_job(struct loop_job *j, unsigned ops UNUSED)
{
	struct gs_call *c = CONTAINER_OF(j, struct gs_call, job);

	mutex_lock(&c->g->loop.mtx);
	int64_t delay = c->ended ? c->delay_ms : 0;
	mutex_unlock(&c->g->loop.mtx);
	if (delay > 0 && c->conn)
		loop_timer_set(&c->g->loop, &c->timer, time_mono_ms() + delay);
	else
		take_post(c);
}

static void echo(struct gs_call *c)
{
	gs_send(c, gs_body(c));
	if (!c->bidi)
		gs_end(c, 0, NULL, 0);
}

void gs_call_hand_over(struct gs_call *c)
{
	struct gs_handler *h = &c->g->opts.handler;

	c->handed = true;
	if (h->request)
		h->request(h->arg, c);
	else
		echo(c);
}

/* Both delays: of a handler's answer, and of a request by script. */
void gs_call_on_timer(struct loop_timer *t)
{
	struct gs_call *c = CONTAINER_OF(t, struct gs_call, timer);

	if (c->handed)
		take_post(c);
	else
		gs_call_hand_over(c);
}

/* ---- faults ---- */

static void answer_raw(struct gs_call *c, struct slice raw, bool no_trailers)
{
	buf_put(&c->out, raw.p, raw.n);
	c->done = true;
	c->no_trailers = no_trailers;
	start_answer(c);
}

static void set_status(struct gs_call *c)
{
	c->status = (int)c->step.code;
	c->text = c->step.text ? xstrdup(c->step.text) : NULL;
	c->done = true;
}

bool gs_call_fault_at_headers(struct gs_call *c)
{
	struct gs_conn *cn = c->conn;

	if (!c->has_step)
		return false;
	if (c->step.fault == GS_FAULT_RST_EARLY) {
		nghttp2_submit_rst_stream(cn->ng, NGHTTP2_FLAG_NONE, c->id, (uint32_t)c->step.code);
		gs_conn_flush_soon(cn);
	} else if (c->step.fault == GS_FAULT_EARLY_STATUS) {
		set_status(c);
		trailers_only(c);
	} else if (c->step.fault == GS_FAULT_GOAWAY_REFUSE) {
		gs_conn_goaway(cn, MAX(c->id - 2, 0), (uint32_t)c->step.code);
	} else if (c->step.fault == GS_FAULT_GOAWAY_SERVE) {
		gs_conn_goaway(cn, c->id, (uint32_t)c->step.code);
		c->has_step = false;
		return false;
	} else if (c->step.fault == GS_FAULT_CLOSE && c->step.code == 0) {
		gs_conn_close_soon(cn);
	} else {
		return false;
	}
	return true;
}

void gs_call_fault_at_end(struct gs_call *c)
{
	struct gs_conn *cn = c->conn;

	switch (c->step.fault) {
	case GS_FAULT_STATUS:
		set_status(c);
		start_answer(c);
		return;
	case GS_FAULT_TRAILERS_ONLY:
		set_status(c);
		trailers_only(c);
		return;
	case GS_FAULT_HTTP:
		http_page(c);
		return;
	case GS_FAULT_NO_STATUS:
		answer_raw(c, buf_slice(&c->body), true);
		return;
	case GS_FAULT_RAW_BODY:
		answer_raw(c, c->step.raw, false);
		return;
	case GS_FAULT_DELAY:
		loop_timer_set(&c->g->loop, &c->timer, time_mono_ms() + c->step.code);
		return;
	case GS_FAULT_CLOSE_ANSWER:
		buf_put(&c->out, "\0\0\0", 3);
		start_answer(c);
		gs_conn_close_soon(cn);
		return;
	case GS_FAULT_RST:
		nghttp2_submit_rst_stream(cn->ng, NGHTTP2_FLAG_NONE, c->id, (uint32_t)c->step.code);
		gs_conn_flush_soon(cn);
		return;
	case GS_FAULT_GARBAGE:
		wq_put_copy(&cn->wq, c->step.raw);
		gs_conn_flush_soon(cn);
		return;
	case GS_FAULT_NEVER:
	case GS_FAULT_CLOSE:
	case GS_FAULT_RST_EARLY:
	case GS_FAULT_EARLY_STATUS:
	case GS_FAULT_GOAWAY_REFUSE:
	case GS_FAULT_GOAWAY_SERVE:
	case GS_FAULT_STALL:
		return;
	}
}
