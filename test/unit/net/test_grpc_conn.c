/* Connections: making, losing, draining, keeping alive. */
#include "grpc_fixture.h"

#include <stdio.h>

#include "base/thread.h"

enum { NO_ERROR = 0, CALM = 11 };

static void a_refused_connect_fails_the_call_at_once(void **state UNUSED)
{
	struct gs_opts so = {0};
	struct gs *gone;
	struct fix f;
	char address[64];

	/* A port that was free a moment ago. */
	assert_int_equal(gs_start(&so, &gone, NULL), ERR_OK);
	snprintf(address, sizeof(address), "%s", gs_address(gone));
	gs_stop(gone);
	struct grpc_chan_opts co = {.address = address};
	fix_open(&f, NULL, &co);
	int64_t start = time_mono_ms();
	for (int i = 0; i < 4; i++) {
		assert_int_equal(fix_call(&f, "x", 1, 10000, false), ERR_UNAVAILABLE);
		assert_text(&f.e, "connect ");
		assert_text(&f.e, address);
		assert_text(&f.e, "Connection refused");
	}
	/* Four attempts, 100 ms apart. */
	assert_in_range(time_mono_ms() - start, 290, 3000);
	fix_close(&f);
}

static void a_name_that_does_not_resolve(void **state UNUSED)
{
	struct grpc_chan_opts co = {
		.address = "no-such-host.invalid:1", .connect_timeout_ms = 2000};
	struct fix f;

	fix_open(&f, NULL, &co);
	assert_int_equal(fix_call(&f, "x", 1, 10000, false), ERR_UNAVAILABLE);
	assert_text(&f.e, "no-such-host.invalid");
	fix_close(&f);
}

static void checks_the_address(void **state UNUSED)
{
	static const char *const bad[] = {"", "host", "host:", "host:0", "host:65536", "host:x",
		":1", "::1:80", "[::1:80", "[]:80"};
	struct grpc *g;
	struct grpc_chan *c;

	assert_int_equal(grpc_new(&g, NULL), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct grpc_chan_opts o = {.address = bad[i]};
		assert_int_equal(grpc_chan_new(g, &o, &c, NULL), ERR_INVALID);
	}
	grpc_free(g);
}

static void resolves_names_and_ipv6(void **state UNUSED)
{
	struct gs_opts so = {.bind = "::1"};
	struct gs *six = NULL;
	struct fix f;
	char address[64];

	assert_int_equal(gs_start(&(struct gs_opts){0}, &six, NULL), ERR_OK);
	snprintf(address, sizeof(address), "localhost:%d", gs_port(six));
	struct grpc_chan_opts co = {.address = address};
	fix_open(&f, NULL, &co);
	assert_int_equal(fix_call(&f, "x", 1, 10000, false), ERR_OK);
	fix_close(&f);
	gs_stop(six);
	struct err e = ERR_INIT;
	if (gs_start(&so, &six, &e))
		return; /* no IPv6 on this machine */
	co.address = gs_address(six);
	assert_true(co.address[0] == '[');
	fix_open(&f, NULL, &co);
	assert_int_equal(fix_call(&f, "x", 1, 10000, false), ERR_OK);
	fix_close(&f);
	gs_stop(six);
}

static void a_peer_that_is_no_http2_server(void **state UNUSED)
{
	struct grpc_chan_opts co = {.connect_timeout_ms = 150};
	struct fix f;

	fix_open(&f, NULL, &co);
	gs_set_accept(f.server, GS_ACCEPT_SILENT);
	assert_int_equal(fix_call(&f, "x", 1, 10000, false), ERR_UNAVAILABLE);
	assert_text(&f.e, "no HTTP/2 SETTINGS");
	gs_set_accept(f.server, GS_ACCEPT_HTTP1);
	assert_int_equal(fix_call(&f, "x", 1, 10000, false), ERR_UNAVAILABLE);
	assert_text(&f.e, "HTTP/1");
	gs_set_accept(f.server, GS_ACCEPT_CLOSE);
	assert_int_equal(fix_call(&f, "x", 1, 10000, false), ERR_UNAVAILABLE);
	gs_set_accept(f.server, GS_ACCEPT_NORMAL);
	assert_int_equal(fix_call(&f, "x", 1, 10000, false), ERR_OK);
	fix_close(&f);
}

/* The deadline is shorter than the connect timeout. */
static void a_deadline_while_connecting_is_certain(void **state UNUSED)
{
	struct fix f;

	fix_open(&f, NULL, NULL);
	gs_set_accept(f.server, GS_ACCEPT_SILENT);
	assert_int_equal(fix_call(&f, "x", 1, 50, false), ERR_TIMEOUT);
	assert_text(&f.e, "no connection before the deadline");
	fix_close(&f);
}

static void a_lost_connection_says_whether_the_request_left(void **state UNUSED)
{
	enum { N = 24 << 20 };
	CLEANUP(freep) uint8_t *body = xcalloc(1, N);
	struct fix f;

	fix_open(&f, NULL, NULL);
	fix_script(&f, GS_FAULT_CLOSE, 0, NULL);
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_UNCERTAIN);
	assert_text(&f.e, "connection lost");
	fix_script(&f, GS_FAULT_CLOSE, 0, NULL);
	assert_int_equal(fix_call(&f, "x", 1, 5000, true), ERR_UNAVAILABLE);
	fix_script(&f, GS_FAULT_CLOSE_ANSWER, 0, NULL);
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_UNCERTAIN);
	/* Cut in the middle of the upload: it is made again on a new connection. */
	fix_script(&f, GS_FAULT_CLOSE, 100000, NULL);
	assert_int_equal(fix_call(&f, body, N, 20000, false), ERR_OK);
	assert_int_equal(f.answer.n, N);
	/* A peer that always does that: certain, and not for ever. */
	for (int i = 0; i < 8; i++)
		fix_script(&f, GS_FAULT_CLOSE, 100000, NULL);
	assert_int_equal(fix_call(&f, body, N, 20000, false), ERR_UNAVAILABLE);
	fix_close(&f);
}

struct worker {
	struct fix *f;
	struct thread t;
	unsigned n, failed, certain;
	struct err e;
};

static void calls(void *arg)
{
	struct worker *w = arg;
	struct buf answer = BUF_INIT(1 << 20);
	struct slice s = slice_str("abc");

	for (unsigned i = 0; i < w->n; i++) {
		struct err e = ERR_INIT;
		struct grpc_call call = {.path = "/test.Test/Echo",
			.body = &s,
			.n_body = 1,
			.deadline = deadline_in(20000)};
		enum err_code code = grpc_unary(w->f->chan, &call, &w->f->stop, &answer, &e);
		if (code && !w->failed++)
			w->e = e;
		w->certain += code == ERR_UNAVAILABLE;
	}
	buf_done(&answer);
}

static void start(struct worker *w, struct fix *f, unsigned n)
{
	*w = (struct worker){.f = f, .n = n, .e = ERR_INIT};
	assert_int_equal(thread_start(&w->t, "worker", calls, w, &f->e), ERR_OK);
}

static void every_open_call_fails_once(void **state UNUSED)
{
	struct worker w[20];
	struct fix f;

	fix_open(&f, NULL, NULL);
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		fix_script(&f, GS_FAULT_NEVER, 0, NULL);
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		start(&w[i], &f, 1);
	assert_true(gs_await(f.server, GS_WHOLE, ARRAY_LEN(w), 5000));
	gs_close_all(f.server);
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		thread_join(&w[i].t);
		assert_int_equal(w[i].e.code, ERR_UNCERTAIN);
	}
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_OK);
	assert_int_equal(gs_count(f.server, GS_CONNECTIONS), 2);
	fix_close(&f);
}

static void a_call_refused_by_goaway_is_repeated(void **state UNUSED)
{
	struct fix f;

	fix_open(&f, NULL, NULL);
	fix_script(&f, GS_FAULT_GOAWAY_REFUSE, NO_ERROR, NULL);
	assert_int_equal(fix_call(&f, "abc", 3, 5000, false), ERR_OK);
	assert_true(slice_eq_str(buf_slice(&f.answer), "abc"));
	assert_int_equal(gs_count(f.server, GS_CONNECTIONS), 2);
	assert_int_equal(gs_count(f.server, GS_REQUESTS), 2);
	fix_close(&f);
}

static void goaway_drains_the_connection(void **state UNUSED)
{
	struct worker slow;
	struct fix f;

	fix_open(&f, NULL, NULL);
	fix_script(&f, GS_FAULT_DELAY, 200, NULL);
	start(&slow, &f, 1);
	assert_true(gs_await(f.server, GS_WHOLE, 1, 5000));
	fix_script(&f, GS_FAULT_GOAWAY_SERVE, NO_ERROR, NULL);
	assert_int_equal(fix_call(&f, "abc", 3, 5000, false), ERR_OK);
	assert_int_equal(fix_call(&f, "abc", 3, 5000, false), ERR_OK);
	assert_int_equal(gs_count(f.server, GS_CONNECTIONS), 2);
	thread_join(&slow.t);
	assert_int_equal(slow.failed, 0);
	/* The old connection closes when the slow call has ended, not before. */
	assert_true(gs_await(f.server, GS_CLOSED, 1, 5000));
	fix_close(&f);
}

static void many_goaways_under_load_fail_nothing(void **state UNUSED)
{
	struct worker w[6];
	struct fix f;

	fix_open(&f, NULL, NULL);
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		start(&w[i], &f, 100);
	for (int i = 0; i < 10; i++) {
		assert_true(gs_await(f.server, GS_REQUESTS, 40 * (unsigned)i, 10000));
		if (i % 2)
			fix_script(&f, GS_FAULT_GOAWAY_REFUSE, NO_ERROR, NULL);
		else
			gs_goaway_all(f.server, NO_ERROR);
	}
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		thread_join(&w[i].t);
		if (w[i].failed)
			fail_msg("%u calls failed: %s", w[i].failed, w[i].e.text);
	}
	fix_close(&f);
}

static void pings_find_a_dead_peer(void **state UNUSED)
{
	struct gs_opts so = {.no_pong = true};
	struct grpc_chan_opts co = {.keepalive_ms = 30};
	struct fix f;

	fix_open(&f, &so, &co);
	fix_script(&f, GS_FAULT_NEVER, 0, NULL);
	int64_t begun = time_mono_ms();
	struct worker w;
	start(&w, &f, 1);
	assert_true(gs_await(f.server, GS_PINGS, 1, 5000));
	assert_true(time_mono_ms() - begun >= 30);
	thread_join(&w.t);
	assert_int_equal(w.e.code, ERR_UNCERTAIN);
	assert_text(&w.e, "PING");
	assert_int_equal(gs_count(f.server, GS_PINGS), 1);
	fix_close(&f);
}

static void answered_pings_keep_a_slow_call(void **state UNUSED)
{
	struct grpc_chan_opts co = {.keepalive_ms = 20};
	struct fix f;

	fix_open(&f, NULL, &co);
	fix_script(&f, GS_FAULT_DELAY, 250, NULL);
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_OK);
	assert_in_range(gs_count(f.server, GS_PINGS), 3, 13);
	fix_close(&f);
}

/* GOAWAY ENHANCE_YOUR_CALM is "too many PINGs": the interval doubles on later connections. */
static void calm_peers_get_fewer_pings(void **state UNUSED)
{
	struct grpc_chan_opts co = {.keepalive_ms = 100};
	struct fix f;

	fix_open(&f, NULL, &co);
	for (int i = 0; i < 4; i++) {
		fix_script(&f, GS_FAULT_GOAWAY_SERVE, CALM, NULL);
		assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_OK);
	}
	/* 100 ms has become 1600. */
	fix_script(&f, GS_FAULT_DELAY, 500, NULL);
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_OK);
	assert_int_equal(gs_count(f.server, GS_PINGS), 0);
	fix_close(&f);
}

static void garbage_costs_the_connection(void **state UNUSED)
{
	struct gs_step junk = {.fault = GS_FAULT_GARBAGE,
		.raw = slice_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12)};
	struct fix f;

	fix_open(&f, NULL, NULL);
	gs_script(f.server, &junk, 1);
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_UNCERTAIN);
	assert_text(&f.e, "HTTP/2");
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_OK);
	fix_close(&f);
}

static void a_lost_connection_comes_back_by_itself(void **state UNUSED)
{
	struct fix f;

	fix_open(&f, NULL, NULL);
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_OK);
	gs_close_all(f.server);
	assert_true(gs_await(f.server, GS_CONNECTIONS, 2, 5000));
	fix_close(&f);
}

static void freeing_a_channel_cancels_its_calls(void **state UNUSED)
{
	struct worker w[3];
	struct fix f;

	fix_open(&f, NULL, NULL);
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		fix_script(&f, GS_FAULT_NEVER, 0, NULL);
		start(&w[i], &f, 1);
	}
	assert_true(gs_await(f.server, GS_WHOLE, ARRAY_LEN(w), 5000));
	grpc_chan_free(f.chan);
	f.chan = NULL;
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		thread_join(&w[i].t);
		assert_int_equal(w[i].e.code, ERR_CANCELLED);
	}
	fix_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refused_connect_fails_the_call_at_once),
		cmocka_unit_test(a_name_that_does_not_resolve),
		cmocka_unit_test(checks_the_address),
		cmocka_unit_test(resolves_names_and_ipv6),
		cmocka_unit_test(a_peer_that_is_no_http2_server),
		cmocka_unit_test(a_deadline_while_connecting_is_certain),
		cmocka_unit_test(a_lost_connection_says_whether_the_request_left),
		cmocka_unit_test(every_open_call_fails_once),
		cmocka_unit_test(a_call_refused_by_goaway_is_repeated),
		cmocka_unit_test(goaway_drains_the_connection),
		cmocka_unit_test(many_goaways_under_load_fail_nothing),
		cmocka_unit_test(pings_find_a_dead_peer),
		cmocka_unit_test(answered_pings_keep_a_slow_call),
		cmocka_unit_test(calm_peers_get_fewer_pings),
		cmocka_unit_test(garbage_costs_the_connection),
		cmocka_unit_test(a_lost_connection_comes_back_by_itself),
		cmocka_unit_test(freeing_a_channel_cancels_its_calls),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
