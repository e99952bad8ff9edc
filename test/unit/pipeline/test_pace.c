/* Lanes at the head of the source wait for each other's ticks: a lane that has just ticked is in time,
 * not late, so its next rows keep their times. One that stops ticking holds the channel no longer than
 * the bound. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "model/ts.h"
#include "pipeline/tchan.h"
#include "support/dml_make.h"
#include "support/stream_fakes.h"

enum { START_MS = 2000, TICK_MS = 200, BOUND_MS = 100, PATIENCE_MS = 20000 };

struct fixture {
	struct tchan *chan;
	struct stream streams[2];
	struct lane *lanes[2];
	struct stop stop;
	struct mutex mtx;
	struct cond cond;
	bool looked; /* under mtx: the channel looked what it can send */
};

static uint64_t clock_now(void *arg)
{
	struct fixture *f = arg;

	mutex_lock(&f->mtx);
	f->looked = true;
	mutex_unlock(&f->mtx);
	cond_broadcast(&f->cond);
	return ts_from_ms(1000 * START_MS);
}

static const struct stream_ops ops = {.partition = stream_fake_partition};

static void setup(struct fixture *f)
{
	struct err e = ERR_INIT;

	*f = (struct fixture){.chan = NULL};
	stop_init(&f->stop, NULL);
	mutex_init(&f->mtx, "pace");
	cond_init(&f->cond);
	struct tchan_opts o = {.name = "tgt-rootcoord-dml_0",
		.floor_ts = ts_from_ms(1000),
		.late_bound_ms = BOUND_MS,
		.keepalive_ms = 60000,
		.clock = clock_now,
		.clock_arg = f};
	assert_int_equal(tchan_new(&o, &f->chan, &e), ERR_OK);
	for (int i = 0; i < 2; i++) {
		struct stream *st = &f->streams[i];
		*st = (struct stream){.ops = &ops,
			.db = "default",
			.collection = "c",
			.target_id = 500 + i,
			.pk_field_id = DML_MAKE_KEY_FIELD,
			.acked.ts = ts_from_ms(START_MS)};
		snprintf(st->shard, sizeof(st->shard), "tgt-rootcoord-dml_0_%dv0", 500 + i);
		tchan_attach(f->chan, st);
		f->lanes[i] = lane_open(f->chan, "src-rootcoord-dml_0", st->acked.ts, false);
		lane_set(st, f->lanes[i]);
	}
}

static void teardown(struct fixture *f)
{
	for (int i = 0; i < 2; i++) {
		lane_close(f->lanes[i]);
		tchan_detach(&f->streams[i], 0);
	}
	tchan_free(f->chan);
	cond_done(&f->cond);
	mutex_done(&f->mtx);
	stop_done(&f->stop);
	assert_int_equal(dml_msgs_alive(), 0);
}

/* Tick number n of lane i, with a row 1 ms before it or without. */
static void push(struct fixture *f, int i, int n, bool row)
{
	struct err e = ERR_INIT;
	int64_t end = START_MS + n * TICK_MS;
	struct pack *pk = dml_pack_new(ts_from_ms(end - TICK_MS), ts_from_ms(end), 1);

	if (row) {
		CLEANUP(buf_done) struct buf b = BUF_INIT(1 << 20);
		uint64_t ts = ts_from_ms(end - 1);
		dml_make_rows(&b, MSG_INSERT, 7, "src_1v0", 1, 7, &ts, 1, 1);
		dml_pack_add(pk, &f->streams[i], buf_slice(&b));
	}
	assert_int_equal(lane_push(f->lanes[i], pk, &f->stop, &e), ERR_OK);
}

/* The next call's tick in numbers; its messages are counted. */
static int take(struct fixture *f, size_t *ret_msgs)
{
	struct err e = ERR_INIT;
	struct taken t;

	taken_init(&t);
	assert_int_equal(tchan_take(f->chan, &t, &f->stop, &e), ERR_OK);
	int n = (int)(((int64_t)ts_ms(t.tick) - START_MS) / TICK_MS);
	*ret_msgs = t.n_msgs;
	tchan_acked(f->chan, &t, t.tick);
	taken_done(&t);
	return n;
}

/* Lane 1 is a moment later than lane 0: it ticks after the channel has looked. */
static void second_lane(void *arg)
{
	struct fixture *f = arg;
	struct deadline d = deadline_in(PATIENCE_MS);

	mutex_lock(&f->mtx);
	while (!f->looked && cond_wait(&f->cond, &f->mtx, d))
		;
	mutex_unlock(&f->mtx);
	push(f, 1, 2, true);
}

static void test_a_tick_waits_for_the_other_lane(void **state)
{
	struct fixture f;
	struct thread t;
	struct err e = ERR_INIT;
	size_t msgs;

	(void)state;
	setup(&f);
	push(&f, 0, 1, false);
	push(&f, 1, 1, false);
	assert_int_equal(take(&f, &msgs), 1);
	f.looked = false;
	push(&f, 0, 2, false);
	assert_int_equal(thread_start(&t, "second", second_lane, &f, &e), ERR_OK);
	assert_int_equal(take(&f, &msgs), 2);
	assert_int_equal(msgs, 1); /* the row left with the tick above it, not after it */
	thread_join(&t);
	teardown(&f);
}

static void test_a_lane_that_stops_holds_the_others_for_the_bound(void **state)
{
	struct fixture f;
	size_t msgs;
	int n = 0;

	(void)state;
	setup(&f);
	push(&f, 0, 1, false);
	push(&f, 1, 1, false);
	assert_int_equal(take(&f, &msgs), 1);
	int64_t begin = time_mono_ms();
	push(&f, 0, 2, false);
	push(&f, 0, 3, false);
	n = take(&f, &msgs);
	assert_int_equal(n, 3);
	assert_true(time_mono_ms() - begin >= BOUND_MS);
	push(&f, 0, 4, true); /* and from then on not at all */
	assert_int_equal(take(&f, &msgs), 4);
	assert_int_equal(msgs, 1);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_tick_waits_for_the_other_lane),
		cmocka_unit_test(test_a_lane_that_stops_holds_the_others_for_the_bound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
