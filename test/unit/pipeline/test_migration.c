/* Calls in data migration: every message says from which replicator it comes, and no time tick is
 * among them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/mem.h"
#include "pipeline/bundle.h"
#include "support/dml_make.h"

enum { BYTES = 1 << 16 };

static const struct log_ctx quiet = {.comp = LOG_channel};

static int64_t fresh_id(void *arg)
{
	int64_t *next = arg;
	return (*next)++;
}

struct bed {
	struct tchan *chan;
	struct stream stream;
	struct taken taken;
	struct bundle call;
	int64_t next_id;
};

static int up(void **state)
{
	struct bed *b = *state = xcalloc(1, sizeof(*b));
	struct tchan_opts o = {.name = "t0", .log = &quiet, .replicate_id = "r1"};
	struct err e = ERR_INIT;

	assert_int_equal(tchan_new(&o, &b->chan, &e), ERR_OK);
	b->stream = (struct stream){.db = "d",
		.collection = "c",
		.shard = "t0_1v0",
		.target_id = 1,
		.pk_field_id = DML_MAKE_KEY_FIELD};
	tchan_attach(b->chan, &b->stream);
	taken_init(&b->taken);
	bundle_init(&b->call);
	b->next_id = 1000;
	return 0;
}

static int down(void **state)
{
	struct bed *b = *state;

	for (struct list *n; (n = list_pop(&b->taken.packs));) {
		struct pack *pk = LIST_ITEM(n, struct pack, link);
		pk->release(pk);
	}
	taken_done(&b->taken);
	bundle_done(&b->call);
	tchan_detach(&b->stream, 0);
	tchan_free(b->chan);
	free(b);
	return dml_msgs_alive();
}

/* Two rows and a tick. */
static void take_rows(struct bed *b, int type, uint64_t ts)
{
	CLEANUP(buf_done) struct buf m = BUF_INIT(BYTES);
	struct pack *pk = dml_pack_new(0, ts, 1);
	uint64_t times[2] = {ts, ts};

	dml_make_rows(&m, type, 7, "s0_449v0", 449, 5, times, 2, 1);
	dml_pack_add(pk, &b->stream, buf_slice(&m));
	list_push(&b->taken.packs, &pk->link);
	b->taken.tick = ts;
}

static void build(struct bed *b)
{
	struct bundle_opts o = {.floor = 1,
		.replicate_id = tchan_replicate_id(b->chan),
		.fresh_id = fresh_id,
		.arg = &b->next_id};
	bundle_build(&b->call, b->chan, &b->taken, &o);
}

static struct dml message(const struct bed *b, size_t at, struct arena *a)
{
	const struct iov *v = &b->call.msgs[at];
	uint8_t *flat = arena_alloc(a, v->bytes);
	struct err e = ERR_INIT;
	struct dml d;
	size_t n = 0;

	for (size_t i = 0; i < v->n; i++) {
		memcpy(flat + n, v->v[i].p, v->v[i].n);
		n += v->v[i].n;
	}
	assert_int_equal(dml_read(&d, slice_of(flat, n), &e), ERR_OK);
	return d;
}

static void expect_ours(struct bed *b, const int *types, size_t n)
{
	CLEANUP(arena_done) struct arena a = ARENA_INIT;

	assert_int_equal(b->call.n_msgs, n);
	for (size_t i = 0; i < n; i++) {
		struct dml d = message(b, i, &a);
		assert_int_equal(d.type, types[i]);
		assert_true(d.base.is_replicate);
		assert_true(slice_eq_str(d.base.replicate_id, "r1"));
		assert_int_equal(d.base.replicate_ts, 0);
	}
}

static void test_rows_and_tick(void **state)
{
	struct bed *b = *state;

	take_rows(b, MSG_INSERT, 500);
	build(b);
	expect_ours(b, (int[]){MSG_INSERT, MSG_REPLICATE}, 2);
	assert_int_equal(b->call.tick, 500);
}

/* The deletes of a replay, too: without the id a 2.5 target would hold them back. */
static void test_replay(void **state)
{
	struct bed *b = *state;

	take_rows(b, MSG_INSERT, 500);
	LIST_ITEM(b->taken.packs.next, struct pack, link)->msgs->again = true;
	build(b);
	expect_ours(b, (int[]){MSG_DELETE, MSG_INSERT, MSG_REPLICATE}, 3);
}

static void test_note_and_fence(void **state)
{
	struct bed *b = *state;
	struct tchan_note note = {
		.type = MSG_DROP_COLLECTION, .db = "d", .collection = "c", .collection_id = 1};

	list_push(&b->taken.notes, &note.link);
	build(b);
	expect_ours(b, (int[]){MSG_DROP_COLLECTION, MSG_REPLICATE}, 2);
	list_del(&note.link);
	bundle_build_tick(&b->call, b->chan, 700);
	expect_ours(b, (int[]){MSG_REPLICATE}, 1);
}

/* Rows to be repaired: behind all rows of the call, the insert behind its delete, in one call with a
 * tick above both, with the target's ids and ids of their own; built again they stand higher. */
static void test_repair(void **state)
{
	static const uint64_t old[] = {1, 1};
	CLEANUP(buf_done) struct buf gone = BUF_INIT(BYTES);
	CLEANUP(buf_done) struct buf rows = BUF_INIT(BYTES);
	CLEANUP(arena_done) struct arena a = ARENA_INIT;
	struct bed *b = *state;
	struct err e = ERR_INIT;
	struct dml d_gone, d_rows;

	dml_make_rows(&gone, MSG_DELETE, 0, "other", 1, 9, old, 2, 1);
	dml_make_rows(&rows, MSG_INSERT, 0, "other", 1, 9, old, 1, 1);
	assert_int_equal(dml_read(&d_gone, buf_slice(&gone), &e), ERR_OK);
	assert_int_equal(dml_read(&d_rows, buf_slice(&rows), &e), ERR_OK);
	struct tchan_note note = {.db = "d",
		.collection = "c",
		.shard = "t0_1v0",
		.collection_id = 1,
		.partition_id = 33,
		.gone = &d_gone,
		.rows = &d_rows};
	take_rows(b, MSG_INSERT, 500);
	list_push(&b->taken.notes, &note.link);
	build(b);
	expect_ours(b, (int[]){MSG_INSERT, MSG_DELETE, MSG_INSERT, MSG_REPLICATE}, 4);
	for (size_t i = 1; i < 3; i++) {
		struct dml d = message(b, i, &a);
		assert_true(d.min_ts == 500 + i && d.max_ts == d.min_ts && d.base.ts == d.min_ts);
		assert_true(slice_eq_str(d.shard, "t0_1v0"));
		assert_int_equal(d.collection_id, 1);
		assert_int_equal(d.partition_id, 33);
		assert_int_equal(d.base.msg_id, 999 + (int64_t)i);
	}
	assert_int_equal(b->call.tick, 502);
	note.rows = NULL;
	build(b);
	expect_ours(b, (int[]){MSG_INSERT, MSG_DELETE, MSG_REPLICATE}, 3);
	assert_int_equal(b->call.tick, 501);
	list_del(&note.link);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rows_and_tick, up, down),
		cmocka_unit_test_setup_teardown(test_replay, up, down),
		cmocka_unit_test_setup_teardown(test_note_and_fence, up, down),
		cmocka_unit_test_setup_teardown(test_repair, up, down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
