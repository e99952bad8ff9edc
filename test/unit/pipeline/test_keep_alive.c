/* A channel whose streams left, as in a pause: with keep-alive ticks it goes on, and what comes afterwards
 * stands above them; without them it stands still, and rows keep the source's times. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/thread.h"
#include "model/ts.h"
#include "pipeline/bundle.h"
#include "pipeline/tchan_priv.h"
#include "support/dml_make.h"
#include "support/stream_fakes.h"

enum { PAUSED_MS = 2200, NOW_MS = 100000, MARGIN_MS = 1000 };

struct fixture {
	struct tchan *chan;
	struct stream stream;
	struct lane *lane;
	struct stop stop;
	int64_t now_ms;
	bool wanted;
	int asked;
};

static uint64_t clock_now(void *arg)
{
	const struct fixture *f = arg;
	return ts_from_ms(f->now_ms);
}

static bool wanted(void *arg)
{
	struct fixture *f = arg;
	f->asked++;
	return f->wanted;
}

static const struct stream_ops ops = {
	.partition = stream_fake_partition, .failed = stream_fake_failed};

static void join(struct fixture *f, int64_t start_ms)
{
	f->stream = (struct stream){.ops = &ops,
		.db = "default",
		.collection = "c",
		.target_id = 500,
		.pk_field_id = DML_MAKE_KEY_FIELD,
		.acked.ts = ts_from_ms(start_ms)};
	snprintf(f->stream.shard, sizeof(f->stream.shard), "tgt-rootcoord-dml_0_500v0");
	tchan_attach(f->chan, &f->stream);
	f->lane = lane_open(f->chan, "src-rootcoord-dml_0", f->stream.acked.ts, false);
	lane_set(&f->stream, f->lane);
}

static void leave(struct fixture *f)
{
	lane_close(f->lane);
	tchan_detach(&f->stream, 0);
}

static void push(struct fixture *f, int64_t begin_ms, int64_t end_ms)
{
	struct err e = ERR_INIT;
	struct pack *pk = dml_pack_new(ts_from_ms(begin_ms), ts_from_ms(end_ms), 1);
	CLEANUP(buf_done) struct buf b = BUF_INIT(1 << 20);
	uint64_t ts = ts_from_ms(begin_ms) + 1;

	dml_make_rows(&b, MSG_INSERT, begin_ms, "src_1v0", 1, 7, &ts, 1, begin_ms);
	dml_pack_add(pk, &f->stream, buf_slice(&b));
	assert_int_equal(lane_push(f->lane, pk, &f->stop, &e), ERR_OK);
}

/* The next call, which is acknowledged. */
static struct taken call(struct fixture *f)
{
	struct err e = ERR_INIT;
	struct taken t;

	taken_init(&t);
	assert_int_equal(tchan_take(f->chan, &t, &f->stop, &e), ERR_OK);
	struct taken seen = t;
	tchan_acked(f->chan, &t, t.tick);
	taken_done(&t);
	return seen;
}

/* A stream of which a row was written; then it is paused, and the target's time goes on. */
static void setup(struct fixture *f, int64_t keepalive_ms, bool want)
{
	struct err e = ERR_INIT;
	struct tchan_opts o = {.name = "tgt-rootcoord-dml_0",
		.floor_ts = ts_from_ms(1000),
		.late_bound_ms = 1000,
		.keepalive_ms = keepalive_ms,
		.keep_alive = wanted,
		.clock = clock_now,
		.clock_arg = f};

	*f = (struct fixture){.now_ms = PAUSED_MS + 200, .wanted = want};
	stop_init(&f->stop, NULL);
	assert_int_equal(tchan_new(&o, &f->chan, &e), ERR_OK);
	join(f, 2000);
	push(f, 2000, PAUSED_MS);
	assert_true(call(f).tick == ts_from_ms(PAUSED_MS));
	leave(f);
	f->now_ms = NOW_MS;
}

static void teardown(struct fixture *f)
{
	tchan_free(f->chan);
	stop_done(&f->stop);
	assert_int_equal(dml_msgs_alive(), 0);
}

/* The time that the next call gives a row of source time begin_ms. */
static uint64_t stamped(const struct taken *t, int64_t begin_ms)
{
	struct stamp s = {0};
	return stamp_next(&s, ts_from_ms(begin_ms) + 1, t->floor);
}

static void test_ticks_go_on_and_rows_stand_above_them(void **state UNUSED)
{
	struct fixture f;
	uint64_t last;

	setup(&f, 1, true);
	struct taken t = call(&f); /* waits for the silence of 1 ms */
	assert_true(t.keepalive && !t.n_msgs);
	assert_true(t.tick == ts_from_ms(NOW_MS - MARGIN_MS));
	f.now_ms += 5000;
	t = call(&f);
	last = t.tick;
	assert_true(t.keepalive && last == ts_from_ms(NOW_MS + 5000 - MARGIN_MS));
	/* resumed: rows of the pause, and of before the last tick */
	join(&f, PAUSED_MS);
	push(&f, PAUSED_MS, PAUSED_MS + 200);
	f.now_ms += 1;
	do
		t = call(&f);
	while (!t.n_msgs);
	assert_true(t.floor >= last);
	assert_true(stamped(&t, PAUSED_MS) > last);
	assert_true(f.stream.acked.ts == ts_from_ms(PAUSED_MS + 200));
	leave(&f);
	teardown(&f);
}

static void expect_still(struct fixture *f)
{
	join(f, PAUSED_MS);
	push(f, PAUSED_MS, PAUSED_MS + 200);
	struct taken t = call(f);
	/* the first call since the pause: no tick was sent in it */
	assert_true(t.floor == ts_from_ms(PAUSED_MS) && !t.keepalive);
	assert_true(stamped(&t, PAUSED_MS) == ts_from_ms(PAUSED_MS) + 1);
	assert_true(t.tick == ts_from_ms(PAUSED_MS + 200));
	leave(f);
	teardown(f);
}

struct waiter {
	struct fixture *f;
	enum err_code code;
};

static void wait_for_a_call(void *arg)
{
	struct waiter *w = arg;
	struct err e = ERR_INIT;
	struct taken t;

	taken_init(&t);
	w->code = tchan_take(w->f->chan, &t, &w->f->stop, &e);
	taken_done(&t);
}

static void test_not_wanted(void **state UNUSED)
{
	struct fixture f;
	struct waiter w = {.f = &f};
	struct thread thread = {0};
	struct err e = ERR_INIT;

	setup(&f, 1, false);
	assert_int_equal(thread_start(&thread, "take", wait_for_a_call, &w, &e), ERR_OK);
	/* it asks, is told no, and sends nothing */
	for (bool asked = false; !asked;) {
		mutex_lock(&f.chan->mtx);
		asked = f.asked > 2;
		mutex_unlock(&f.chan->mtx);
		tchan_wake(f.chan);
	}
	stop_set(&f.stop);
	thread_join(&thread);
	assert_int_equal(w.code, ERR_CANCELLED);
	stop_done(&f.stop);
	stop_init(&f.stop, NULL);
	expect_still(&f);
}

static void test_switched_off(void **state UNUSED)
{
	struct fixture f;

	setup(&f, 0, true);
	expect_still(&f);
	assert_int_equal(f.asked, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ticks_go_on_and_rows_stand_above_them),
		cmocka_unit_test(test_not_wanted),
		cmocka_unit_test(test_switched_off),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
