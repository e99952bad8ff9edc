/* Where ticks may not stand: between the deletes of a replay and its inserts, and between an insert and a
 * delete of equal time. A reader would miss rows, in the second case for good. And the order of what
 * stands between two ticks. */
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

enum { MS = 1000000, LAST_MS = MS + 5000, NOW_MS = LAST_MS + 100, STREAMS = 2, KEYS = 3 };

struct fixture {
	struct tchan *chan;
	struct stream streams[STREAMS];
	struct lane *lanes[STREAMS];
	struct stop stop;
	struct model_target model;
	struct bundle call;
	int64_t next_id;
};

static uint64_t clock_now(void *arg)
{
	(void)arg;
	return ts_from_ms(NOW_MS);
}

static int64_t next_id(void *arg)
{
	struct fixture *f = arg;
	return f->next_id++;
}

static const struct stream_ops ops = {.partition = stream_fake_partition};

/* last_ms: how far the channel's ticks are; replay_ms: until when rows may be there already. */
static void setup(struct fixture *f, int64_t last_ms, int64_t replay_ms, size_t call_bytes)
{
	struct err e = ERR_INIT;
	struct tchan_opts o = {.name = "tgt-rootcoord-dml_0",
		.floor_ts = ts_from_ms(last_ms),
		.late_bound_ms = 1000,
		.keepalive_ms = 60000,
		.call_bytes = call_bytes,
		.clock = clock_now,
		.clock_arg = f};

	*f = (struct fixture){.next_id = 1LL << 62};
	stop_init(&f->stop, NULL);
	bundle_init(&f->call);
	assert_int_equal(tchan_new(&o, &f->chan, &e), ERR_OK);
	for (int i = 0; i < STREAMS; i++) {
		struct stream *st = &f->streams[i];
		*st = (struct stream){.ops = &ops,
			.db = "default",
			.collection = "c",
			.target_id = 500 + i,
			.pk_field_id = DML_MAKE_KEY_FIELD,
			.acked.ts = ts_from_ms(MS),
			.replay_until = replay_ms ? ts_from_ms(replay_ms) : 0};
		snprintf(st->shard, sizeof(st->shard), "tgt-rootcoord-dml_0_%dv0", 500 + i);
		tchan_attach(f->chan, st);
		f->lanes[i] = lane_open(f->chan, "src-rootcoord-dml_0", st->acked.ts, false);
		lane_set(st, f->lanes[i]);
	}
}

static void teardown(struct fixture *f)
{
	assert_int_equal(f->model.broken, 0);
	for (int i = 0; i < STREAMS; i++) {
		lane_close(f->lanes[i]);
		tchan_detach(&f->streams[i], 0);
	}
	tchan_free(f->chan);
	bundle_done(&f->call);
	model_target_done(&f->model);
	stop_done(&f->stop);
	assert_int_equal(dml_msgs_alive(), 0);
}

static void add(
	struct fixture *f, struct pack *pk, int i, enum msg_type type, uint64_t ts, int64_t key)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(1 << 20);

	dml_make_rows(&b, type, (int64_t)ts + type, "src_1v0", 1, 7, &ts, 1, key);
	dml_pack_add(pk, &f->streams[i], buf_slice(&b));
}

static void push(struct fixture *f, int i, struct pack *pk)
{
	struct err e = ERR_INIT;
	assert_int_equal(lane_push(f->lanes[i], pk, &f->stop, &e), ERR_OK);
}

/* The next call, as the worker builds it, lands; replay: it was lost once and is replayed. */
static uint64_t call(struct fixture *f, bool replay)
{
	struct taken t;
	struct err e = ERR_INIT;

	taken_init(&t);
	assert_int_equal(tchan_take(f->chan, &t, &f->stop, &e), ERR_OK);
	uint64_t floor = replay ? MAX(t.tick, tchan_used(f->chan)) : t.floor;
	struct bundle_opts o = {.floor = floor,
		.replay_from = replay ? floor + 1 : 0,
		.window_from = t.window_from,
		.fresh_id = next_id,
		.arg = f};
	bundle_build(&f->call, f->chan, &t, &o);
	tchan_note_used(f->chan, MAX(f->call.highest, f->call.tick));
	model_target_append(&f->model, f->call.request.v, f->call.request.n, -1);
	tchan_acked(f->chan, &t, f->call.tick);
	taken_done(&t);
	return f->call.tick;
}

/* The window of one stream has left, then comes that of another, and nothing waits any more. */
static void test_windows_of_two_streams(void **state)
{
	(void)state;
	struct fixture f;

	setup(&f, LAST_MS, MS + 1000, 0);
	for (int key = 0; key < KEYS; key++) {
		struct pack *pk = dml_pack_new(
			ts_from_ms(MS + 100 * key), ts_from_ms(MS + 100 * (key + 1)), 1);
		add(&f, pk, 0, MSG_INSERT, ts_from_ms(MS + 100 * key) + 1, key);
		push(&f, 0, pk);
	}
	assert_int_equal(call(&f, false), 0); /* the window is not over */
	push(&f, 0, dml_pack_new(ts_from_ms(MS + 300), ts_from_ms(LAST_MS - 50), 1));
	struct pack *pk = dml_pack_new(ts_from_ms(MS), ts_from_ms(LAST_MS - 50), 1);
	add(&f, pk, 1, MSG_INSERT, ts_from_ms(MS) + 1, 100);
	push(&f, 1, pk);
	assert_true(call(&f, false) != 0);
	for (int key = 0; key < KEYS; key++)
		assert_int_equal(model_target_visible(&f.model, key), 1);
	assert_int_equal(model_target_visible(&f.model, 100), 1);
	teardown(&f);
}

/* Rows that the source itself got by replication: each leaves with the next tick of the source's
 * topic, whatever its time. So the tick tells whether it was sent before, not the row. */
static void test_window_of_replicated_rows(void **state)
{
	(void)state;
	struct fixture f;
	const int ends[] = {MS + 1000, MS + 2000}, rows[] = {MS + 1500, MS + 500};

	setup(&f, MS, MS + 1000, 0);
	for (int i = 0; i < 2; i++) {
		struct pack *pk = dml_pack_new(ts_from_ms(ends[i] - 1000), ts_from_ms(ends[i]), 1);
		add(&f, pk, 0, MSG_INSERT, ts_from_ms(rows[i]), i);
		pk->msgs->dml.base.replicate_id = slice_str("other");
		push(&f, 0, pk);
		push(&f, 1, dml_pack_new(ts_from_ms(ends[i] - 1000), ts_from_ms(ends[i]), 1));
		call(&f, false);
		/* The first one may be there already, the second one can't. */
		assert_int_equal(f.model.deletes, 1);
	}
	assert_int_equal(f.model.inserts, 2);
	teardown(&f);
}

/* An upsert is an insert and a delete of equal time; a call ends between them. A tick between them would
 * show the row as gone. */
static void upsert_in_two_calls(bool replay)
{
	struct fixture f;
	struct pack *pk = dml_pack_new(ts_from_ms(MS), ts_from_ms(MS + 200), 1);

	setup(&f, MS, 0, 1);
	add(&f, pk, 0, MSG_INSERT, ts_from_ms(MS) + 5, 1);
	add(&f, pk, 0, MSG_DELETE, ts_from_ms(MS) + 5, 1);
	push(&f, 0, pk);
	push(&f, 1, dml_pack_new(ts_from_ms(MS), ts_from_ms(MS + 200), 1));
	uint64_t first = call(&f, replay);
	assert_true(first < ts_from_ms(MS) + 5);
	while (!model_target_visible(&f.model, 1)) {
		push(&f, 0, dml_pack_new(ts_from_ms(MS + 200), ts_from_ms(NOW_MS), 1));
		push(&f, 1, dml_pack_new(ts_from_ms(MS + 200), ts_from_ms(NOW_MS), 1));
		call(&f, false);
		assert_true(f.model.inserts <= 1);
	}
	assert_int_equal(f.model.deletes, 1);
	assert_int_equal(model_target_live(&f.model, 1), 1);
	teardown(&f);
}

static void test_upsert_in_two_calls(void **state)
{
	(void)state;
	upsert_in_two_calls(false);
}

static void test_replayed_upsert_in_two_calls(void **state)
{
	(void)state;
	upsert_in_two_calls(true);
}

/* What proxies write at the same time stands in the topic in any order between two ticks: upserts of
 * two keys, their deletes behind both inserts, and a later upsert of a key before an earlier one. */
static void test_any_order_between_two_ticks(void **state)
{
	(void)state;
	struct fixture f;
	struct pack *pk = dml_pack_new(ts_from_ms(MS), ts_from_ms(MS + 200), 1);
	uint64_t ts = ts_from_ms(MS);

	setup(&f, MS, 0, 0);
	add(&f, pk, 0, MSG_INSERT, ts + 5, 1);
	add(&f, pk, 0, MSG_INSERT, ts + 10, 2);
	add(&f, pk, 0, MSG_DELETE, ts + 5, 1);
	add(&f, pk, 0, MSG_DELETE, ts + 10, 2);
	add(&f, pk, 0, MSG_INSERT, ts + 30, 3);
	add(&f, pk, 0, MSG_DELETE, ts + 30, 3);
	add(&f, pk, 0, MSG_INSERT, ts + 20, 3);
	add(&f, pk, 0, MSG_DELETE, ts + 20, 3);
	push(&f, 0, pk);
	push(&f, 1, dml_pack_new(ts_from_ms(MS), ts_from_ms(MS + 200), 1));
	while (f.model.last_tick < ts + 30)
		call(&f, false);
	for (int key = 1; key <= 3; key++)
		assert_int_equal(model_target_visible(&f.model, key), 1);
	assert_int_equal(model_target_newest(&f.model, 3), ts + 30);
	teardown(&f);
}

/* Enough is queued for the tick of keep-alive, and part of a pack has left. */
static void test_no_keep_alive_inside_a_pack(void **state)
{
	(void)state;
	struct fixture f;
	struct pack *pk = dml_pack_new(ts_from_ms(MS), ts_from_ms(MS + 200), 1);

	setup(&f, MS, 0, 1);
	f.chan->opts.keepalive_ms = 1;
	add(&f, pk, 0, MSG_INSERT, ts_from_ms(MS) + 5, 1);
	add(&f, pk, 0, MSG_INSERT, ts_from_ms(MS) + 5, 2);
	add(&f, pk, 0, MSG_INSERT, ts_from_ms(MS) + 5, 3);
	push(&f, 0, pk);
	push(&f, 1, dml_pack_new(ts_from_ms(MS), ts_from_ms(MS + 200), 1));
	for (int i = 0; i < 2; i++) {
		assert_true(call(&f, false) < ts_from_ms(MS) + 5);
		stop_sleep(&f.stop, 3);
	}
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_windows_of_two_streams),
		cmocka_unit_test(test_window_of_replicated_rows),
		cmocka_unit_test(test_upsert_in_two_calls),
		cmocka_unit_test(test_replayed_upsert_in_two_calls),
		cmocka_unit_test(test_any_order_between_two_ticks),
		cmocka_unit_test(test_no_keep_alive_inside_a_pack),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
