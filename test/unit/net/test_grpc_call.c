/* Unary calls: contents, statuses, faults of an answer, deadlines, cancels. */
#include "grpc_fixture.h"

#include <stdio.h>

#include "base/thread.h"
#include "net/grpc_priv.h"

static void echoes_any_size_and_any_pieces(void **state UNUSED)
{
	static const size_t sizes[] = {0, 1, 5, 16383, 16384, 16385, 70000, 3 << 20};
	CLEANUP(freep) uint8_t *data = xmalloc(3 << 20);
	struct fix f;

	fix_open(&f, NULL, NULL);
	for (size_t i = 0; i < 3 << 20; i++)
		data[i] = (uint8_t)(i * 7 + (i >> 9));
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		size_t n = sizes[i];
		struct slice pieces[] = {slice_of(data, n / 3), slice_of(NULL, 0),
			slice_of(data + n / 3, n - n / 3)};
		struct grpc_call call = {.path = "/test.Test/Echo",
			.body = pieces,
			.n_body = ARRAY_LEN(pieces),
			.deadline = deadline_in(5000)};
		if (grpc_unary(f.chan, &call, &f.stop, &f.answer, &f.e))
			fail_msg("%zu bytes: %s", n, f.e.text);
		assert_true(slice_eq(buf_slice(&f.answer), slice_of(data, n)));
	}
	assert_int_equal(gs_count(f.server, GS_CONNECTIONS), 1);
	fix_close(&f);
}

/* Many tiny slices: more than the write queue's items and than one sendmsg takes. */
static void sends_thousands_of_tiny_slices(void **state UNUSED)
{
	enum { N = 60000 };
	CLEANUP(freep) struct slice *v = xcalloc(N, sizeof(*v));
	CLEANUP(freep) uint8_t *data = xmalloc(N * 3);
	struct fix f;

	fix_open(&f, NULL, NULL);
	for (size_t i = 0; i < N; i++) {
		memset(data + i * 3, (int)(i & 0xff), 3);
		v[i] = slice_of(data + i * 3, 3);
	}
	struct grpc_call call = {
		.path = "/test.Test/Echo", .body = v, .n_body = N, .deadline = deadline_in(5000)};
	assert_int_equal(grpc_unary(f.chan, &call, &f.stop, &f.answer, &f.e), ERR_OK);
	assert_true(slice_eq(buf_slice(&f.answer), slice_of(data, N * 3)));
	fix_close(&f);
}

static void say_headers(void *arg UNUSED, struct gs_call *c)
{
	struct buf b = BUF_INIT(4096);
	const char *key, *value;
	static const char *const want[] = {
		":method", ":scheme", ":path", ":authority", "content-type", "te", "grpc-timeout"};

	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		const char *v = gs_meta_get(c, want[i]);
		buf_putf(&b, "%s=%s;", want[i], v ? v : "(none)");
	}
	for (size_t i = 0; gs_meta(c, i, &key, &value); i++)
		buf_putf(&b, "%s=%s;", key, value);
	gs_answer(c, buf_slice(&b), 0);
	buf_done(&b);
}

static void sends_the_headers_that_servers_need(void **state UNUSED)
{
	struct gs_opts so = {.handler.request = say_headers};
	struct grpc_meta meta[] = {{"authorization", "c2VjcmV0"}, {"dbname", "db1"}};
	struct fix f;
	char want[256];

	fix_open(&f, &so, NULL);
	struct grpc_call call = {
		.path = "/a.B/C", .meta = meta, .n_meta = 2, .deadline = deadline_in(9000000)};
	assert_int_equal(grpc_unary(f.chan, &call, &f.stop, &f.answer, &f.e), ERR_OK);
	snprintf(want, sizeof(want),
		":method=POST;:scheme=http;:path=/a.B/C;:authority=%s;"
		"content-type=application/grpc;te=trailers;grpc-timeout=",
		gs_address(f.server));
	const char *got = buf_cstr(&f.answer);
	assert_memory_equal(got, want, strlen(want));
	got += strlen(want);
	assert_int_equal(strspn(got, "0123456789"), 7); /* 8999990m or so; 8 are allowed */
	assert_non_null(strstr(got, "m;authorization=c2VjcmV0;dbname=db1;"));
	call.deadline = DEADLINE_NEVER;
	assert_int_equal(grpc_unary(f.chan, &call, &f.stop, &f.answer, &f.e), ERR_OK);
	assert_non_null(strstr(buf_cstr(&f.answer), "grpc-timeout=(none)"));
	fix_close(&f);
}

static void maps_every_status(void **state UNUSED)
{
	static const struct {
		int status;
		enum err_code once, idempotent;
	} rows[] = {{1, ERR_UNCERTAIN, ERR_UNAVAILABLE}, {2, ERR_UNCERTAIN, ERR_UNAVAILABLE},
		{3, ERR_INVALID, ERR_INVALID}, {4, ERR_UNCERTAIN, ERR_TIMEOUT},
		{5, ERR_NOT_FOUND, ERR_NOT_FOUND}, {6, ERR_EXISTS, ERR_EXISTS},
		{7, ERR_DENIED, ERR_DENIED}, {8, ERR_BUSY, ERR_BUSY}, {9, ERR_INVALID, ERR_INVALID},
		{10, ERR_CONFLICT, ERR_CONFLICT}, {11, ERR_INVALID, ERR_INVALID},
		{12, ERR_UNSUPPORTED, ERR_UNSUPPORTED}, {13, ERR_UNCERTAIN, ERR_UNAVAILABLE},
		{14, ERR_UNAVAILABLE, ERR_UNAVAILABLE}, {15, ERR_UNCERTAIN, ERR_UNAVAILABLE},
		{16, ERR_DENIED, ERR_DENIED}, {99, ERR_UNCERTAIN, ERR_UNAVAILABLE}};
	struct fix f;

	fix_open(&f, NULL, NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows) * 2; i++) {
		bool idem = i % 2, only = i % 4 > 1;
		fix_script(&f, only ? GS_FAULT_TRAILERS_ONLY : GS_FAULT_STATUS, rows[i / 2].status,
			"50% of \"täglich\"\n");
		enum err_code want = idem ? rows[i / 2].idempotent : rows[i / 2].once;
		assert_int_equal(fix_call(&f, "x", 1, 5000, idem), want);
		assert_int_equal(f.e.origin, rows[i / 2].status);
		assert_text(&f.e, "50% of \"täglich\"\n");
		assert_text(&f.e, "/test.Test/Echo: 127.0.0.1:");
	}
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_OK);
	assert_int_equal(gs_count(f.server, GS_CONNECTIONS), 1);
	fix_close(&f);
}

static void survives_answers_that_are_no_grpc(void **state UNUSED)
{
	struct gs_step raw[] = {
		{.fault = GS_FAULT_RAW_BODY, .raw = slice_of("\1\0\0\0\1x", 6)},
		{.fault = GS_FAULT_RAW_BODY,
			.raw = slice_of("\0\xff\xff\xff\xff"
					"x",
				6)},
		{.fault = GS_FAULT_RAW_BODY, .raw = slice_of("\0\0\0\0\5x", 6)},
		{.fault = GS_FAULT_RAW_BODY, .raw = slice_of("\0\0", 2)},
		{.fault = GS_FAULT_RAW_BODY, .raw = slice_of("\0\0\0\0\1x\0\0\0\0\1y", 12)},
		{.fault = GS_FAULT_RAW_BODY},
	};
	static const enum err_code want[] = {ERR_MALFORMED, ERR_LIMIT, ERR_MALFORMED, ERR_MALFORMED,
		ERR_MALFORMED, ERR_MALFORMED};
	struct fix f;

	fix_open(&f, NULL, NULL);
	for (size_t i = 0; i < ARRAY_LEN(raw); i++) {
		gs_script(f.server, &raw[i], 1);
		assert_int_equal(fix_call(&f, "abc", 3, 5000, true), want[i]);
	}
	fix_script(&f, GS_FAULT_HTTP, 503, NULL);
	assert_int_equal(fix_call(&f, "abc", 3, 5000, false), ERR_UNAVAILABLE);
	assert_text(&f.e, "HTTP status 503");
	fix_script(&f, GS_FAULT_HTTP, 404, NULL);
	assert_int_equal(fix_call(&f, "abc", 3, 5000, false), ERR_UNSUPPORTED);
	fix_script(&f, GS_FAULT_HTTP, 200, NULL);
	assert_int_not_equal(fix_call(&f, "abc", 3, 5000, false), ERR_OK);
	fix_script(&f, GS_FAULT_NO_STATUS, 0, NULL);
	assert_int_equal(fix_call(&f, "abc", 3, 5000, false), ERR_UNCERTAIN);
	assert_text(&f.e, "no grpc-status");
	assert_int_equal(fix_call(&f, "abc", 3, 5000, false), ERR_OK);
	assert_int_equal(gs_count(f.server, GS_CONNECTIONS), 1);
	fix_close(&f);
}

static void limits_an_answer(void **state UNUSED)
{
	struct grpc_chan_opts co = {.max_recv_bytes = 1000};
	char body[1001] = {0};
	struct fix f;

	fix_open(&f, NULL, &co);
	assert_int_equal(fix_call(&f, body, 1000, 5000, true), ERR_OK);
	assert_int_equal(fix_call(&f, body, 1001, 5000, true), ERR_LIMIT);
	buf_done(&f.answer);
	buf_init(&f.answer, 10);
	assert_int_equal(fix_call(&f, body, 11, 5000, true), ERR_LIMIT);
	assert_int_equal(fix_call(&f, body, 10, 5000, true), ERR_OK);
	assert_int_equal(f.answer.max, 10);
	fix_close(&f);
}

static void a_deadline_is_uncertain_once_the_request_left(void **state UNUSED)
{
	struct fix f;

	fix_open(&f, NULL, NULL);
	fix_script(&f, GS_FAULT_NEVER, 0, NULL);
	fix_script(&f, GS_FAULT_NEVER, 0, NULL);
	int64_t start = time_mono_ms();
	assert_int_equal(fix_call(&f, "x", 1, 60, false), ERR_UNCERTAIN);
	assert_int_equal(fix_call(&f, "x", 1, 60, true), ERR_TIMEOUT);
	assert_in_range(time_mono_ms() - start, 120, 2000);
	assert_true(gs_await(f.server, GS_RESETS, 2, 2000));
	assert_int_equal(fix_call(&f, "x", 1, -1, false), ERR_TIMEOUT);
	assert_int_equal(gs_count(f.server, GS_REQUESTS), 2);
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_OK);
	fix_close(&f);
}

/* The body is larger than the windows: its end never leaves, so nothing can have happened. */
static void a_deadline_is_certain_while_the_body_is_here(void **state UNUSED)
{
	enum { N = 24 << 20 };
	uint8_t *body = xcalloc(1, N);
	struct fix f;

	fix_open(&f, NULL, NULL);
	fix_script(&f, GS_FAULT_STALL, 0, NULL);
	assert_int_equal(fix_call(&f, body, N, 300, false), ERR_TIMEOUT);
	/* What is still queued of it must not be read any more (the sanitizer watches). */
	memset(body, 0xff, N);
	free(body);
	assert_true(gs_await(f.server, GS_RESETS, 1, 5000));
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_OK);
	assert_int_equal(gs_count(f.server, GS_CONNECTIONS), 1);
	fix_close(&f);
}

static void a_reset_ends_the_call(void **state UNUSED)
{
	struct fix f;

	fix_open(&f, NULL, NULL);
	fix_script(&f, GS_FAULT_RST, 2, NULL); /* INTERNAL_ERROR */
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_UNCERTAIN);
	assert_text(&f.e, "reset with HTTP/2 code 2");
	fix_script(&f, GS_FAULT_RST, 11, NULL); /* ENHANCE_YOUR_CALM */
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_BUSY);
	/* REFUSED_STREAM: not seen by the peer, repeated inside. */
	fix_script(&f, GS_FAULT_RST_EARLY, 7, NULL);
	assert_int_equal(fix_call(&f, "abc", 3, 5000, false), ERR_OK);
	assert_int_equal(gs_count(f.server, GS_REQUESTS), 4);
	for (int i = 0; i < 8; i++)
		fix_script(&f, GS_FAULT_RST_EARLY, 7, NULL);
	assert_int_equal(fix_call(&f, "abc", 3, 5000, false), ERR_UNAVAILABLE);
	assert_int_equal(gs_count(f.server, GS_REQUESTS), 12);
	fix_close(&f);
}

static void an_early_answer_stops_the_upload(void **state UNUSED)
{
	enum { N = 24 << 20 };
	uint8_t *body = xcalloc(1, N);
	struct fix f;

	fix_open(&f, NULL, NULL);
	fix_script(&f, GS_FAULT_EARLY_STATUS, 8, "too large");
	assert_int_equal(fix_call(&f, body, N, 5000, false), ERR_BUSY);
	free(body);
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_OK);
	fix_close(&f);
}

struct canceller {
	struct fix *f;
	struct thread t;
};

static void cancel_after_request(void *arg)
{
	struct canceller *c = arg;
	gs_await(c->f->server, GS_REQUESTS, 1, 5000);
	stop_set(&c->f->stop);
}

static void a_stop_token_cancels_at_once(void **state UNUSED)
{
	struct fix f;
	struct canceller c = {.f = &f};

	fix_open(&f, NULL, NULL);
	fix_script(&f, GS_FAULT_NEVER, 0, NULL);
	assert_int_equal(thread_start(&c.t, "canceller", cancel_after_request, &c, &f.e), ERR_OK);
	int64_t start = time_mono_ms();
	assert_int_equal(fix_call(&f, "x", 1, 10000, false), ERR_CANCELLED);
	assert_true(time_mono_ms() - start < 3000);
	thread_join(&c.t);
	assert_true(gs_await(f.server, GS_RESETS, 1, 2000));
	assert_int_equal(fix_call(&f, "x", 1, 1000, false), ERR_CANCELLED);
	fix_close(&f);
}

/* Keeps the I/O thread busy until it is let go. */
struct blocker {
	struct loop_job job;
	struct mutex mtx;
	struct cond cond;
	bool running, let_go; /* under mtx */
};

static void block(struct loop_job *j, unsigned ops UNUSED)
{
	struct blocker *b = CONTAINER_OF(j, struct blocker, job);

	mutex_lock(&b->mtx);
	b->running = true;
	cond_broadcast(&b->cond);
	while (!b->let_go)
		cond_wait(&b->cond, &b->mtx, DEADLINE_NEVER);
	mutex_unlock(&b->mtx);
}

static void block_begin(struct blocker *b, struct loop *l)
{
	*b = (struct blocker){.job.run = block};
	mutex_init(&b->mtx, "blocker");
	cond_init(&b->cond);
	list_init(&b->job.link);
	loop_post(l, &b->job, 1);
	mutex_lock(&b->mtx);
	while (!b->running)
		cond_wait(&b->cond, &b->mtx, DEADLINE_NEVER);
	mutex_unlock(&b->mtx);
}

static void block_end(struct blocker *b)
{
	mutex_lock(&b->mtx);
	b->let_go = true;
	cond_broadcast(&b->cond);
	mutex_unlock(&b->mtx);
}

/* Until a job that waits for the I/O thread has just these bits. */
static void await_ops(struct loop *l, unsigned ops)
{
	struct deadline d = deadline_in(10000);
	bool found = false;
	struct stop none;

	stop_init(&none, NULL);
	while (!found) {
		assert_false(deadline_passed(d));
		stop_sleep(&none, 1);
		mutex_lock(&l->mtx);
		list_foreach (it, &l->jobs)
			found |= LIST_ITEM(it, struct loop_job, link)->ops == ops;
		mutex_unlock(&l->mtx);
	}
	stop_done(&none);
}

static void call_echo(void *arg)
{
	struct canceller *c = arg;
	assert_int_equal(fix_call(c->f, "x", 1, 20000, true), ERR_CANCELLED);
}

/* It ends once, with its caller's frame: nothing is done for it afterwards. */
static void a_call_cancelled_before_it_began_is_not_begun(void **state UNUSED)
{
	struct fix f;
	struct canceller c = {.f = &f};
	struct blocker b;
	struct err e = ERR_INIT;

	fix_open(&f, NULL, NULL);
	block_begin(&b, &f.g->loop);
	assert_int_equal(thread_start(&c.t, "caller", call_echo, &c, &e), ERR_OK);
	await_ops(&f.g->loop, CALL_START);
	stop_set(&f.stop);
	await_ops(&f.g->loop, CALL_START | CALL_CANCEL);
	block_end(&b);
	thread_join(&c.t);
	assert_false(gs_await(f.server, GS_CONNECTIONS, 1, 200));
	fix_close(&f);
	cond_done(&b.cond);
	mutex_done(&b.mtx);
}

struct worker {
	struct fix *f;
	struct thread t;
	unsigned id, bad;
};

static void many_echoes(void *arg)
{
	struct worker *w = arg;
	struct buf answer = BUF_INIT(1 << 20);
	uint8_t body[2000];

	for (unsigned i = 0; i < 60; i++) {
		struct err e = ERR_INIT;
		size_t n = (w->id * 131 + i * 17) % sizeof(body);
		memset(body, (int)(w->id + i), sizeof(body));
		struct slice s = slice_of(body, n);
		struct grpc_call call = {.path = "/test.Test/Echo",
			.body = &s,
			.n_body = 1,
			.deadline = deadline_in(20000)};
		if (grpc_unary(w->f->chan, &call, &w->f->stop, &answer, &e) ||
			!slice_eq(buf_slice(&answer), s))
			w->bad++;
	}
	buf_done(&answer);
}

static void many_threads_share_a_connection(void **state UNUSED)
{
	struct worker w[16];
	struct fix f;

	fix_open(&f, NULL, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(w); i++) {
		w[i] = (struct worker){.f = &f, .id = i};
		assert_int_equal(thread_start(&w[i].t, "worker", many_echoes, &w[i], &f.e), ERR_OK);
	}
	for (unsigned i = 0; i < ARRAY_LEN(w); i++) {
		thread_join(&w[i].t);
		assert_int_equal(w[i].bad, 0);
	}
	assert_int_equal(gs_count(f.server, GS_CONNECTIONS), 1);
	fix_close(&f);
}

struct upload {
	struct fix *f;
	struct thread t;
	const uint8_t *body;
	size_t n;
	int64_t ms;
	enum err_code code;
	struct err e;
};

static void upload(void *arg)
{
	struct upload *u = arg;
	struct buf answer = BUF_INIT(16 << 20);
	struct slice s = slice_of(u->body, u->n);
	struct grpc_call call = {
		.path = "/test.Test/Echo", .body = &s, .n_body = 1, .deadline = deadline_in(u->ms)};

	u->code = grpc_unary(u->f->chan, &call, &u->f->stop, &answer, &u->e);
	if (!u->code && !slice_eq(buf_slice(&answer), s))
		u->code = ERR_MALFORMED;
	buf_done(&answer);
}

static void upload_many(struct fix *f, struct upload *u, size_t n_u, struct slice body, int64_t ms)
{
	for (size_t i = 0; i < n_u; i++) {
		u[i] = (struct upload){.f = f, .body = body.p, .n = body.n, .ms = ms};
		assert_int_equal(thread_start(&u[i].t, "upload", upload, &u[i], &f->e), ERR_OK);
	}
}

static void many_big_bodies_all_arrive(void **state UNUSED)
{
	enum { N = 1200000 };
	CLEANUP(freep) uint8_t *body = xcalloc(1, N);
	struct upload u[24];
	struct fix f;

	fix_open(&f, NULL, NULL);
	for (size_t i = 0; i < ARRAY_LEN(u); i++)
		fix_script(&f, GS_FAULT_DELAY, 20, NULL);
	upload_many(&f, u, ARRAY_LEN(u), slice_of(body, N), 20000);
	for (size_t i = 0; i < ARRAY_LEN(u); i++) {
		thread_join(&u[i].t);
		assert_int_equal(u[i].code, ERR_OK);
	}
	assert_int_equal(gs_count(f.server, GS_WHOLE), ARRAY_LEN(u));
	fix_close(&f);
}

/* Bodies beyond the stream's window that nobody reads: eight begin, the others wait their turn,
 * small calls pass. */
static void eight_big_bodies_at_once(void **state UNUSED)
{
	enum { N = 9 << 20 };
	CLEANUP(freep) uint8_t *body = xcalloc(1, N);
	struct upload first[8], more[4];
	struct fix f;

	fix_open(&f, NULL, NULL);
	for (size_t i = 0; i < ARRAY_LEN(first); i++)
		fix_script(&f, GS_FAULT_STALL, 0, NULL);
	upload_many(&f, first, ARRAY_LEN(first), slice_of(body, N), 1500);
	assert_true(gs_await(f.server, GS_REQUESTS, ARRAY_LEN(first), 5000));
	upload_many(&f, more, ARRAY_LEN(more), slice_of(body, N), 100);
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(more); i++) {
		thread_join(&more[i].t);
		assert_int_equal(more[i].code, ERR_TIMEOUT);
		assert_text(&more[i].e, "behind other large requests");
	}
	for (size_t i = 0; i < ARRAY_LEN(first); i++) {
		thread_join(&first[i].t);
		assert_int_equal(first[i].code, ERR_TIMEOUT);
	}
	assert_int_equal(gs_count(f.server, GS_REQUESTS), ARRAY_LEN(first) + 1);
	fix_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(echoes_any_size_and_any_pieces),
		cmocka_unit_test(sends_thousands_of_tiny_slices),
		cmocka_unit_test(sends_the_headers_that_servers_need),
		cmocka_unit_test(maps_every_status),
		cmocka_unit_test(survives_answers_that_are_no_grpc),
		cmocka_unit_test(limits_an_answer),
		cmocka_unit_test(a_deadline_is_uncertain_once_the_request_left),
		cmocka_unit_test(a_deadline_is_certain_while_the_body_is_here),
		cmocka_unit_test(a_reset_ends_the_call),
		cmocka_unit_test(an_early_answer_stops_the_upload),
		cmocka_unit_test(a_stop_token_cancels_at_once),
		cmocka_unit_test(a_call_cancelled_before_it_began_is_not_begun),
		cmocka_unit_test(many_threads_share_a_connection),
		cmocka_unit_test(many_big_bodies_all_arrive),
		cmocka_unit_test(eight_big_bodies_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
