/* Bidirectional calls. */
#include "grpc_fixture.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/thread.h"

static const char path[] = "/test.Test/EchoBidi";

static struct grpc_stream *open_stream(struct fix *f)
{
	struct grpc_stream *st = NULL;
	struct grpc_call call = {.path = path, .deadline = deadline_in(5000)};

	err_clear(&f->e);
	if (grpc_stream_open(f->chan, &call, &f->stop, &st, &f->e))
		fail_msg("%s", f->e.text);
	return st;
}

static enum err_code recv_ms(struct fix *f, struct grpc_stream *st, int64_t ms)
{
	err_clear(&f->e);
	return grpc_stream_recv(st, deadline_in(ms), &f->stop, &f->answer, &f->e);
}

static void messages_go_both_ways_in_order(void **state UNUSED)
{
	struct fix f;
	char text[32];

	fix_open(&f, NULL, NULL);
	struct grpc_stream *st = open_stream(&f);
	for (int i = 0; i < 500; i++) {
		snprintf(text, sizeof(text), "message %d", i);
		assert_int_equal(grpc_stream_send(st, slice_str(text), &f.e), ERR_OK);
	}
	for (int i = 0; i < 500; i++) {
		snprintf(text, sizeof(text), "message %d", i);
		assert_int_equal(recv_ms(&f, st, 5000), ERR_OK);
		assert_true(slice_eq_str(buf_slice(&f.answer), text));
	}
	assert_int_equal(recv_ms(&f, st, 20), ERR_TIMEOUT);
	assert_int_equal(grpc_stream_send(st, slice_str(""), &f.e), ERR_OK);
	assert_int_equal(recv_ms(&f, st, 5000), ERR_OK);
	assert_int_equal(f.answer.n, 0);
	grpc_stream_close(st);
	assert_true(gs_await(f.server, GS_RESETS, 1, 5000));
	fix_close(&f);
}

/* Beyond the window of a stream, and of the backlog: nothing stalls, nothing is lost. */
static void a_slow_reader_gets_everything(void **state UNUSED)
{
	enum { N = 40, SIZE = 300000 };
	CLEANUP(freep) uint8_t *body = xcalloc(1, SIZE);
	struct fix f;

	fix_open(&f, NULL, NULL);
	struct grpc_stream *st = open_stream(&f);
	for (int i = 0; i < N; i++) {
		body[0] = (uint8_t)i;
		assert_int_equal(grpc_stream_send(st, slice_of(body, SIZE), &f.e), ERR_OK);
	}
	/* Other calls pass while the stream's credit is withheld. */
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_OK);
	for (int i = 0; i < N; i++) {
		assert_int_equal(recv_ms(&f, st, 5000), ERR_OK);
		assert_int_equal(f.answer.n, SIZE);
		assert_int_equal(f.answer.p[0], i);
	}
	grpc_stream_close(st);
	fix_close(&f);
}

static void one_message_larger_than_every_window(void **state UNUSED)
{
	enum { SIZE = LIMIT_GRPC_STREAM_SEND - 100 };
	CLEANUP(freep) uint8_t *body = xcalloc(1, SIZE);
	struct fix f;

	fix_open(&f, NULL, NULL);
	struct grpc_stream *st = open_stream(&f);
	assert_int_equal(grpc_stream_send(st, slice_of(body, SIZE), &f.e), ERR_OK);
	assert_int_equal(recv_ms(&f, st, 20000), ERR_OK);
	assert_int_equal(f.answer.n, SIZE);
	assert_int_equal(grpc_stream_send(st, slice_of(body, SIZE + 200), &f.e), ERR_LIMIT);
	grpc_stream_close(st);
	fix_close(&f);
}

static void say_and_end(void *arg UNUSED, struct gs_call *c)
{
	gs_send(c, slice_str("one"));
	gs_send(c, slice_str("two"));
	gs_end(c, 16, "etcdserver: invalid auth token", 0);
}

static void what_came_before_the_end_can_be_read(void **state UNUSED)
{
	struct gs_opts so = {.handler.request = say_and_end};
	struct fix f;

	fix_open(&f, &so, NULL);
	struct grpc_stream *st = open_stream(&f);
	assert_int_equal(grpc_stream_send(st, slice_str("go"), &f.e), ERR_OK);
	assert_int_equal(recv_ms(&f, st, 5000), ERR_OK);
	assert_true(slice_eq_str(buf_slice(&f.answer), "one"));
	assert_int_equal(recv_ms(&f, st, 5000), ERR_OK);
	assert_true(slice_eq_str(buf_slice(&f.answer), "two"));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(recv_ms(&f, st, 5000), ERR_DENIED);
		assert_int_equal(f.e.origin, 16);
		assert_text(&f.e, "invalid auth token");
	}
	err_clear(&f.e);
	assert_int_equal(grpc_stream_send(st, slice_str("go"), &f.e), ERR_UNAVAILABLE);
	grpc_stream_close(st);
	fix_close(&f);
}

static void a_lost_connection_ends_the_stream(void **state UNUSED)
{
	struct fix f;

	fix_open(&f, NULL, NULL);
	struct grpc_stream *st = open_stream(&f);
	assert_int_equal(grpc_stream_send(st, slice_str("a"), &f.e), ERR_OK);
	assert_int_equal(recv_ms(&f, st, 5000), ERR_OK);
	gs_close_all(f.server);
	assert_int_equal(recv_ms(&f, st, 5000), ERR_UNAVAILABLE);
	assert_text(&f.e, "connection lost");
	grpc_stream_close(st);
	st = open_stream(&f);
	assert_int_equal(grpc_stream_send(st, slice_str("b"), &f.e), ERR_OK);
	assert_int_equal(recv_ms(&f, st, 5000), ERR_OK);
	grpc_stream_close(st);
	fix_close(&f);
}

static void a_stream_outlives_goaway(void **state UNUSED)
{
	struct fix f;

	fix_open(&f, NULL, NULL);
	struct grpc_stream *st = open_stream(&f);
	assert_int_equal(grpc_stream_send(st, slice_str("a"), &f.e), ERR_OK);
	assert_int_equal(recv_ms(&f, st, 5000), ERR_OK);
	gs_goaway_all(f.server, 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_OK);
	assert_int_equal(grpc_stream_send(st, slice_str("b"), &f.e), ERR_OK);
	assert_int_equal(recv_ms(&f, st, 5000), ERR_OK);
	assert_true(slice_eq_str(buf_slice(&f.answer), "b"));
	grpc_stream_close(st);
	assert_true(gs_await(f.server, GS_CLOSED, 1, 5000));
	fix_close(&f);
}

/* The cut cable: no FIN, no RST. Only PINGs tell. */
static void a_frozen_peer_is_found(void **state UNUSED)
{
	struct grpc_chan_opts co = {.keepalive_ms = 40};
	struct fix f;

	fix_open(&f, NULL, &co);
	struct grpc_stream *st = open_stream(&f);
	assert_int_equal(grpc_stream_send(st, slice_str("a"), &f.e), ERR_OK);
	assert_int_equal(recv_ms(&f, st, 5000), ERR_OK);
	gs_freeze(f.server);
	int64_t start = time_mono_ms();
	assert_int_equal(recv_ms(&f, st, 8000), ERR_UNAVAILABLE);
	assert_in_range(time_mono_ms() - start, 380, 5000);
	assert_text(&f.e, "PING");
	grpc_stream_close(st);
	fix_close(&f);
}

static void a_stream_may_outlive_its_channel(void **state UNUSED)
{
	struct fix f;

	fix_open(&f, NULL, NULL);
	struct grpc_stream *st = open_stream(&f);
	assert_int_equal(grpc_stream_send(st, slice_str("a"), &f.e), ERR_OK);
	assert_int_equal(recv_ms(&f, st, 5000), ERR_OK);
	grpc_chan_free(f.chan);
	f.chan = NULL;
	assert_int_equal(recv_ms(&f, st, 5000), ERR_CANCELLED);
	grpc_stream_close(st);
	fix_close(&f);
}

static void opening_fails_with_the_reason(void **state UNUSED)
{
	struct grpc_chan_opts co = {.address = "127.0.0.1:1"};
	struct grpc_call call = {.path = path, .deadline = deadline_in(5000)};
	struct grpc_stream *st = NULL;
	struct fix f;

	fix_open(&f, NULL, &co);
	assert_int_equal(grpc_stream_open(f.chan, &call, &f.stop, &st, &f.e), ERR_UNAVAILABLE);
	assert_text(&f.e, "connect 127.0.0.1:1: Connection refused");
	assert_null(st);
	fix_close(&f);
	fix_open(&f, NULL, NULL);
	gs_set_accept(f.server, GS_ACCEPT_SILENT);
	call.deadline = deadline_in(50);
	assert_int_equal(grpc_stream_open(f.chan, &call, &f.stop, &st, &f.e), ERR_TIMEOUT);
	fix_close(&f);
}

struct waiter {
	struct fix *f;
	struct grpc_stream *st;
	struct thread t;
	enum err_code code;
};

static void wait_long(void *arg)
{
	struct waiter *w = arg;
	struct buf msg = BUF_INIT(100);
	w->code = grpc_stream_recv(w->st, deadline_in(20000), &w->f->stop, &msg, NULL);
	buf_done(&msg);
}

static void a_stop_token_wakes_the_reader(void **state UNUSED)
{
	struct fix f;

	fix_open(&f, NULL, NULL);
	struct waiter w = {.f = &f, .st = open_stream(&f)};
	assert_int_equal(thread_start(&w.t, "reader", wait_long, &w, &f.e), ERR_OK);
	int64_t start = time_mono_ms();
	stop_set(&f.stop);
	thread_join(&w.t);
	assert_int_equal(w.code, ERR_CANCELLED);
	assert_true(time_mono_ms() - start < 5000);
	grpc_stream_close(w.st);
	fix_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_go_both_ways_in_order),
		cmocka_unit_test(a_slow_reader_gets_everything),
		cmocka_unit_test(one_message_larger_than_every_window),
		cmocka_unit_test(what_came_before_the_end_can_be_read),
		cmocka_unit_test(a_lost_connection_ends_the_stream),
		cmocka_unit_test(a_stream_outlives_goaway),
		cmocka_unit_test(a_frozen_peer_is_found),
		cmocka_unit_test(a_stream_may_outlive_its_channel),
		cmocka_unit_test(opening_fails_with_the_reason),
		cmocka_unit_test(a_stop_token_wakes_the_reader),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
