/* Bounds of a channel step by step: what waits for one, what a late stream gets of its own, what is
 * never lowered; and the one time of a window's deletes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "base/mem.h"
#include "model/ts.h"
#include "pipeline/bundle.h"
#include "pipeline/tchan_priv.h"
#include "support/dml_make.h"
#include "support/model_target.h"
#include "support/stream_fakes.h"

enum { MS = 1000000, HOUR_MS = 3600000 };

struct fixture {
	struct tchan *chan;
	struct stream streams[2];
	struct lane *lanes[2];
	struct stop stop;
	struct stop *take; /* ends a take that waits for a bound */
	int asked;
	int64_t next_id;
};

static uint64_t clock_now(void *arg)
{
	(void)arg;
	return ts_from_ms(MS + 10 * (int64_t)HOUR_MS);
}

static void wants_bound(void *arg)
{
	struct fixture *f = arg;
	f->asked++;
	stop_set(f->take);
}

static int64_t next_id(void *arg)
{
	struct fixture *f = arg;
	return f->next_id++;
}

static const struct stream_ops ops = {.partition = stream_fake_partition};

static void setup(struct fixture *f, const struct bound_record *stored)
{
	struct err e = ERR_INIT;
	struct tchan_opts o = {.name = "tgt-rootcoord-dml_0",
		.floor_ts = ts_from_ms(1000),
		.late_bound_ms = 1000,
		.keepalive_ms = 60000,
		.clock = clock_now,
		.clock_arg = f,
		.bounded = true,
		.bound = stored,
		.wants_bound = wants_bound};

	*f = (struct fixture){.next_id = 1LL << 62};
	stop_init(&f->stop, NULL);
	assert_int_equal(tchan_new(&o, &f->chan, &e), ERR_OK);
}

/* Stream i, at start_ms of the source, in a lane of its own. */
static void join(struct fixture *f, int i, const char *key, int64_t start_ms, int64_t replay_ms)
{
	struct stream *st = &f->streams[i];

	*st = (struct stream){.ops = &ops,
		.db = "default",
		.collection = "c",
		.key = key,
		.target_id = 500 + i,
		.pk_field_id = DML_MAKE_KEY_FIELD,
		.acked.ts = ts_from_ms(start_ms),
		.replay_until = replay_ms ? ts_from_ms(replay_ms) : 0};
	snprintf(st->shard, sizeof(st->shard), "tgt-rootcoord-dml_0_%dv0", 500 + i);
	tchan_attach(f->chan, st);
	f->lanes[i] = lane_open(f->chan, "src-rootcoord-dml_0", st->acked.ts, i == 1);
	lane_set(st, f->lanes[i]);
}

/* A pack with one row of time ts, or none without a key. */
static void push_at(
	struct fixture *f, int i, int64_t begin_ms, int64_t end_ms, uint64_t ts, int64_t key)
{
	struct err e = ERR_INIT;
	struct pack *pk = dml_pack_new(ts_from_ms(begin_ms), ts_from_ms(end_ms), 1);

	if (key) {
		CLEANUP(buf_done) struct buf b = BUF_INIT(1 << 20);
		dml_make_rows(&b, MSG_INSERT, begin_ms, "src_1v0", 1, 7, &ts, 1, key);
		dml_pack_add(pk, &f->streams[i], buf_slice(&b));
	}
	assert_int_equal(lane_push(f->lanes[i], pk, &f->stop, &e), ERR_OK);
}

static void push(struct fixture *f, int i, int64_t begin_ms, int64_t end_ms, int64_t key)
{
	push_at(f, i, begin_ms, end_ms, ts_from_ms(begin_ms) + 1, key);
}

static void teardown(struct fixture *f)
{
	for (int i = 0; i < 2; i++) {
		if (f->lanes[i])
			lane_close(f->lanes[i]);
		tchan_detach(&f->streams[i], 0);
	}
	tchan_free(f->chan);
	stop_done(&f->stop);
	assert_int_equal(dml_msgs_alive(), 0);
}

/* How many messages of rows leave? 0 when they wait for a bound. */
static size_t take(struct fixture *f, struct taken *t)
{
	struct err e = ERR_INIT;
	struct stop s;
	size_t n = 0;

	stop_init(&s, NULL);
	f->take = &s;
	taken_init(t);
	if (!tchan_take(f->chan, t, &s, &e))
		n = t->n_msgs;
	stop_done(&s);
	return n;
}

static void acked(struct fixture *f, struct taken *t)
{
	tchan_acked(f->chan, t, t->tick);
	taken_done(t);
}

static void raise(struct fixture *f)
{
	struct bound_record next;

	assert_true(tchan_bound_next(f->chan, &next));
	tchan_bound_set(f->chan, &next);
}

static void test_rows_wait_and_ticks_do_not(void **state)
{
	(void)state;
	struct fixture f;
	struct taken t;

	setup(&f, NULL);
	join(&f, 0, "t/1/0", MS, 0);
	push(&f, 0, MS, MS + 200, 0);
	assert_int_equal(take(&f, &t), 0);
	assert_int_equal(t.n_lanes, 1);
	assert_int_equal(f.asked, 0);
	acked(&f, &t);
	push(&f, 0, MS + 200, MS + 400, 1);
	assert_int_equal(take(&f, &t), 0);
	assert_int_equal(t.n_lanes, 0);
	assert_int_equal(f.asked, 1);
	taken_done(&t);
	raise(&f);
	assert_int_equal(take(&f, &t), 1);
	assert_true(tchan_bound_of(f.chan, "t/1/0") >= ts_from_ms(MS + 400));
	acked(&f, &t);
	teardown(&f);
}

/* The stored bound holds in the next life: what it allows leaves without a new one. */
static void test_stored_bound_holds(void **state)
{
	(void)state;
	struct fixture f;
	struct taken t;
	struct bound_record stored = {.all = ts_from_ms(MS + 300)};

	bound_record_add(&stored, "t/2/0", ts_from_ms(MS + 100));
	setup(&f, &stored);
	join(&f, 0, "t/1/0", MS, 0);
	push(&f, 0, MS, MS + 200, 1);
	assert_int_equal(take(&f, &t), 1);
	acked(&f, &t);
	join(&f, 1, "t/2/0", MS, 0);
	push(&f, 1, MS, MS + 200, 2);
	assert_int_equal(take(&f, &t), 0); /* its own is lower */
	assert_int_equal(f.asked, 1);
	acked(&f, &t);
	raise(&f);
	assert_int_equal(take(&f, &t), 1);
	acked(&f, &t);
	bound_record_done(&stored);
	teardown(&f);
}

/* A window that ends above the bound (the Go server's, say) becomes durable before the first row
 * leaves: the row's ack will move the position into it. */
static void test_window_is_durable_first(void **state)
{
	(void)state;
	struct fixture f;
	struct taken t;
	struct bound_record stored = {.all = ts_from_ms(MS + 10000)};

	setup(&f, &stored);
	join(&f, 0, "t/1/0", MS, HOUR_MS + MS);
	push(&f, 0, MS, MS + 200, 1);
	assert_int_equal(take(&f, &t), 0); /* a tick up to where the lane began */
	acked(&f, &t);
	assert_int_equal(take(&f, &t), 0);
	assert_int_equal(f.asked, 1);
	taken_done(&t);
	raise(&f);
	assert_true(tchan_bound_of(f.chan, "t/1/0") >= ts_from_ms(MS + HOUR_MS));
	assert_int_equal(take(&f, &t), 1);
	acked(&f, &t);
	teardown(&f);
}

/* A stream hours behind has a bound of its own, never below what it may have sent before. */
static void test_late_stream(void **state)
{
	(void)state;
	struct fixture f;
	struct taken t;
	int64_t now = MS + 5 * (int64_t)HOUR_MS, behind = MS + HOUR_MS;

	setup(&f, NULL);
	join(&f, 0, "t/1/0", now, 0);
	join(&f, 1, "t/2/0", MS, HOUR_MS / 2 + MS);
	push(&f, 0, now, now + 200, 1);
	push(&f, 1, MS, MS + 200, 2);
	take(&f, &t); /* asks, or takes what needs none */
	acked(&f, &t);
	raise(&f);
	assert_true(tchan_bound_of(f.chan, "t/1/0") > ts_from_ms(now));
	assert_true(tchan_bound_of(f.chan, "t/2/0") == ts_from_ms(MS + HOUR_MS / 2));
	assert_int_equal(take(&f, &t), 2);
	acked(&f, &t);
	/* beyond it a new bound is asked for, and it stays its own */
	push(&f, 1, behind, behind + 200, 3);
	assert_int_equal(take(&f, &t), 0);
	acked(&f, &t);
	raise(&f);
	uint64_t own = tchan_bound_of(f.chan, "t/2/0");
	assert_true(own > ts_from_ms(behind + 200) && own < ts_from_ms(now));
	assert_int_equal(take(&f, &t), 1);
	acked(&f, &t);
	teardown(&f);
}

/* Steps follow the pace: a catch-up at 100 s of source time a second gets minutes, rest shrinks
 * them. */
static void test_steps(void **state)
{
	(void)state;
	assert_int_equal(bound_step_ms(0, 0, 0), 4000);
	assert_int_equal(bound_step_ms(4000, 100000, 1000), 200000);
	assert_int_equal(bound_step_ms(200000, 1000, 1000), 100000);
	assert_int_equal(bound_step_ms(4000, INT64_C(864000000), 1), 3600000);
}

/* What is far enough ahead needs no write. */
static void test_no_needless_write(void **state)
{
	(void)state;
	struct fixture f;
	struct bound_record next;

	setup(&f, NULL);
	join(&f, 0, "t/1/0", MS, 0);
	push(&f, 0, MS, MS + 1000, 1);
	raise(&f);
	push(&f, 0, MS + 1000, MS + 1200, 2);
	assert_false(tchan_bound_next(f.chan, &next));
	teardown(&f);
}

/* The header of such a message told a later time. Ticks up to the pack's begin may stand on the target
 * from an earlier run, of which this channel knows nothing. */
static void test_rows_older_than_their_pack(void **state)
{
	(void)state;
	struct fixture f;
	struct taken t;
	struct bundle k;
	struct bound_record stored = {.all = ts_from_ms(MS + 5000)};
	const uint64_t times[] = {0, 1, ts_from_ms(MS), ts_from_ms(MS + 1000)};

	setup(&f, &stored);
	join(&f, 0, "t/1/0", MS + 1000, 0);
	bundle_init(&k);
	for (int i = 0; i < (int)ARRAY_LEN(times); i++) {
		push_at(&f, 0, MS + 1000 + 200 * i, MS + 1200 + 200 * i, times[i], 1 + i);
		assert_int_equal(take(&f, &t), 1);
		struct bundle_opts o = {.floor = t.floor, .fresh_id = next_id, .arg = &f};
		bundle_build(&k, f.chan, &t, &o);
		assert_true(k.lowest > ts_from_ms(MS + 1000 + 200 * i));
		acked(&f, &t);
	}
	bundle_done(&k);
	teardown(&f);
}

/* A message was sent if its pack was, whatever its rows say of their time. */
static void test_rows_newer_than_their_pack(void **state)
{
	(void)state;
	struct fixture f;
	struct taken t;
	struct bound_record stored = {.all = ts_from_ms(MS + 5000)};

	setup(&f, &stored);
	join(&f, 0, "t/1/0", MS + 1000, MS + 1200);
	for (int i = 0; i < 2; i++) {
		push_at(&f, 0, MS + 1000 + 200 * i, MS + 1200 + 200 * i, ts_from_ms(MS + 1900),
			1 + i);
		assert_int_equal(take(&f, &t), 1);
		const struct pack *pk = LIST_ITEM(t.packs.next, struct pack, link);
		assert_int_equal(pk->msgs->again, i == 0);
		acked(&f, &t);
	}
	teardown(&f);
}

/* Rows of one window that share a key all survive, in whatever calls they leave, and no tick stands
 * between them. */
static void test_one_time_for_a_window(void **state)
{
	(void)state;
	struct fixture f;
	struct taken t;
	struct bundle k;
	struct model_target model = {.offset = 0};
	struct bound_record stored = {.all = ts_from_ms(MS + 1000)};

	setup(&f, &stored);
	join(&f, 0, "t/1/0", MS, MS + 1000);
	bundle_init(&k);
	for (int i = 0; i < 3; i++) {
		push(&f, 0, MS + 200 * i, MS + 200 * (i + 1), 77);
		assert_int_equal(take(&f, &t), 1);
		struct bundle_opts o = {.floor = t.floor,
			.window_from = t.window_from,
			.fresh_id = next_id,
			.arg = &f};
		bundle_build(&k, f.chan, &t, &o);
		assert_int_equal(k.tick, 0);
		model_target_append(&model, k.request.v, k.request.n, -1);
		acked(&f, &t);
	}
	assert_int_equal(model_target_live(&model, 77), 3);
	assert_int_equal(model.broken, 0);
	/* behind the window ticks go on */
	push(&f, 0, MS + 600, MS + 1200, 0);
	take(&f, &t);
	acked(&f, &t);
	push(&f, 0, MS + 1200, MS + 1400, 0);
	take(&f, &t);
	assert_true(t.tick != 0 || f.chan->replaying == 0);
	acked(&f, &t);
	assert_int_equal(f.chan->replaying, 0);
	bundle_done(&k);
	model_target_done(&model);
	teardown(&f);
}

/* A task that wants all copies: the window is sent again, nothing is deleted. */
static void test_at_least_once(void **state)
{
	(void)state;
	struct fixture f;
	struct taken t;
	struct bundle k;
	struct bound_record stored = {.all = ts_from_ms(MS + 1000)};
	struct model_target model = {.offset = 0};

	setup(&f, &stored);
	join(&f, 0, "t/1/0", MS, MS + 1000);
	f.streams[0].at_least_once = true;
	bundle_init(&k);
	push(&f, 0, MS, MS + 200, 77);
	assert_int_equal(take(&f, &t), 1);
	struct bundle_opts o = {
		.floor = t.floor, .window_from = t.window_from, .fresh_id = next_id, .arg = &f};
	bundle_build(&k, f.chan, &t, &o);
	assert_int_equal(k.n_msgs, 1);
	model_target_append(&model, k.request.v, k.request.n, -1);
	assert_int_equal(model_target_live(&model, 77), 1);
	acked(&f, &t);
	bundle_done(&k);
	model_target_done(&model);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_wait_and_ticks_do_not),
		cmocka_unit_test(test_stored_bound_holds),
		cmocka_unit_test(test_window_is_durable_first),
		cmocka_unit_test(test_late_stream),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_no_needless_write),
		cmocka_unit_test(test_rows_older_than_their_pack),
		cmocka_unit_test(test_rows_newer_than_their_pack),
		cmocka_unit_test(test_one_time_for_a_window),
		cmocka_unit_test(test_at_least_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
