/* Peeking and cutting, with a queue in memory as the source of messages. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/wire.h"
#include "source/cutter.h"
#include "support/dml_make.h"
#include "support/fake_mq.h"

#define SHARD "by-dev-rootcoord-dml_0_449v0"
#define TOPIC "by-dev-rootcoord-dml_0"

struct bench {
	struct fake_mq *mq;
	struct mq_reader *r;
	struct cutter c;
	struct stop stop;
	struct budget *budget;
	struct account *acct;
};

static int setup(void **state)
{
	static struct bench b;
	struct err e = ERR_INIT;
	struct mq_id from = fake_mq_id(0);

	b = (struct bench){.mq = fake_mq_new()};
	stop_init(&b.stop, NULL);
	cutter_init(&b.c);
	b.budget = budget_new(1 << 20, 1 << 20);
	b.acct = account_open(b.budget);
	fake_mq_make(b.mq, TOPIC);
	struct mq *q = fake_mq_queue(b.mq);
	const struct mq_start at = {.id = from};
	assert_int_equal(q->ops->open(q, TOPIC, &at, &b.stop, &b.r, &e), ERR_OK);
	*state = &b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	cutter_done(&b->c);
	assert_int_equal(budget_held(b->budget), 0);
	account_close(b->acct);
	budget_close(b->budget);
	fake_mq_queue(b->mq)->ops->close(b->r);
	assert_int_equal(fake_mq_free(b->mq), 0);
	stop_done(&b->stop);
	return 0;
}

/* Through the queue, so that ids and properties are real. */
static struct hub_raw *raw_of(struct bench *b, struct slice payload, const char *const *props)
{
	struct err e = ERR_INIT;
	struct mq_msg *m;

	fake_mq_put(b->mq, TOPIC, payload, props);
	assert_int_equal(
		fake_mq_queue(b->mq)->ops->next(b->r, deadline_in(1000), &b->stop, &m, &e), ERR_OK);
	return raw_new(m);
}

static struct hub_raw *insert_of(struct bench *b, int64_t msg_id, const uint64_t *ts, size_t n,
	const char *const *props, enum raw_kind *ret_kind)
{
	CLEANUP(buf_done) struct buf out = BUF_INIT(1 << 16);
	struct err e = ERR_INIT;

	dml_make_rows(&out, MSG_INSERT, msg_id, SHARD, 449, 1, ts, n, 1);
	struct hub_raw *raw = raw_of(b, buf_slice(&out), props);
	assert_int_equal(raw_peek(raw, ret_kind, &e), ERR_OK);
	return raw;
}

static void add_insert(struct bench *b, int64_t msg_id, uint64_t ts)
{
	enum raw_kind kind;
	struct err e = ERR_INIT;
	struct hub_raw *raw = insert_of(b, msg_id, &ts, 1, NULL, &kind);

	assert_int_equal(kind, RAW_DATA);
	assert_int_equal(raw_charge(raw, b->acct, &b->stop, &e), ERR_OK);
	cutter_add(&b->c, raw);
}

/* A message whose base has replicateInfo{isReplicate, replicateID}. */
static void add_replicated(struct bench *b, uint64_t ts)
{
	CLEANUP(buf_done) struct buf info = BUF_INIT(64), base = BUF_INIT(128), out = BUF_INIT(256);
	struct err e = ERR_INIT;
	enum raw_kind kind;

	wire_put_u64(&info, 1, 1);
	wire_put_str(&info, 3, "rid");
	wire_put_u64(&base, 1, MSG_DELETE);
	wire_put_i64(&base, 2, 900);
	wire_put_u64(&base, 3, ts);
	wire_put_bytes(&base, 7, buf_slice(&info));
	wire_put_bytes(&out, 1, buf_slice(&base));
	wire_put_str(&out, 2, SHARD);
	wire_put_u64(&out, 10, ts);
	struct hub_raw *raw = raw_of(b, buf_slice(&out), NULL);
	assert_int_equal(raw_peek(raw, &kind, &e), ERR_OK);
	assert_int_equal(kind, RAW_DATA);
	assert_int_equal(raw->ts, ts);
	assert_int_equal(raw_charge(raw, b->acct, &b->stop, &e), ERR_OK);
	cutter_add(&b->c, raw);
}

static void expect_ids(const struct cut *cut, const int64_t *ids, size_t n)
{
	size_t i = 0;

	for (struct list *it = cut->msgs.next; it != &cut->msgs; it = it->next, i++) {
		assert_true(i < n);
		assert_int_equal(LIST_ITEM(it, struct hub_raw, link)->dml.base.msg_id, ids[i]);
	}
	assert_int_equal(i, n);
}

/* An insert before a tick that is smaller belongs to the next pack. */
static void test_leftover_stays_and_gives_the_position(void **state)
{
	struct bench *b = *state;
	struct mq_id t1 = fake_mq_id(2), t2 = fake_mq_id(3);
	struct cut cut;

	add_insert(b, 1, 100);
	add_insert(b, 2, 130);
	assert_true(cutter_tick(&b->c, 120, &t1, &cut));
	expect_ids(&cut, (const int64_t[]){1}, 1);
	assert_int_equal(cut.begin_ts, 0);
	assert_int_equal(cut.end_ts, 120);
	assert_int_equal(cut.end.ts, 120);
	assert_int_equal(fake_mq_number(&cut.end.id), 1); /* the insert that stayed */
	assert_int_equal(fake_mq_number(&cut.tick), 2);
	cut_done(&cut);
	assert_true(cutter_tick(&b->c, 130, &t2, &cut));
	expect_ids(&cut, (const int64_t[]){2}, 1);
	assert_int_equal(cut.begin_ts, 120);
	assert_int_equal(fake_mq_number(&cut.end.id), 3); /* nothing stayed: the tick */
	cut_done(&cut);
}

static void test_equal_and_older_ticks_do_nothing(void **state)
{
	struct bench *b = *state;
	struct mq_id id = fake_mq_id(7);
	struct cut cut;

	assert_true(cutter_tick(&b->c, 100, &id, &cut));
	cut_done(&cut);
	add_insert(b, 1, 90);
	assert_false(cutter_tick(&b->c, 100, &id, &cut));
	assert_false(cutter_tick(&b->c, 99, &id, &cut));
	assert_true(cutter_tick(&b->c, 101, &id, &cut));
	expect_ids(&cut, (const int64_t[]){1}, 1);
	cut_done(&cut);
}

static void test_repeats_are_dropped_inside_a_pack_only(void **state)
{
	struct bench *b = *state;
	struct mq_id id = fake_mq_id(0);
	struct cut cut;

	for (int many = 0; many < 2; many++) { /* few: by comparing; many: by a map */
		uint64_t ts = many ? 200 : 100;
		for (int64_t k = 0; k < (many ? 20 : 2); k++)
			add_insert(b, 1 + k, ts);
		add_insert(b, 2, ts);
		add_insert(b, 1, ts + 50); /* of the next pack */
		assert_true(cutter_tick(&b->c, ts, &id, &cut));
		assert_int_equal(cut.repeated, 1);
		assert_int_equal(cut.n - cut.repeated, many ? 20 : 2);
		cut_done(&cut);
		assert_true(cutter_tick(&b->c, ts + 50, &id, &cut));
		expect_ids(&cut, (const int64_t[]){1}, 1);
		cut_done(&cut);
	}
}

static void test_replicate_id_is_released_by_the_next_tick(void **state)
{
	struct bench *b = *state;
	struct mq_id id = fake_mq_id(5);
	struct cut cut;

	add_replicated(b, 5000);
	add_insert(b, 1, 5000);
	assert_true(cutter_tick(&b->c, 100, &id, &cut));
	expect_ids(&cut, (const int64_t[]){900}, 1);
	cut_done(&cut);
}

static void test_time_without_header_is_the_smallest_row(void **state)
{
	struct bench *b = *state;
	const uint64_t ts[] = {130, 120, 140};
	enum raw_kind kind;

	struct hub_raw *raw = insert_of(b, 1, ts, 3, NULL, &kind);
	assert_int_equal(raw->ts, 120);
	raw_unref(raw);
	/* msg_type alone (2.4) changes nothing. */
	raw = insert_of(b, 1, ts, 3, (const char *const[]){"msg_type", "Insert", NULL}, &kind);
	assert_int_equal(raw->ts, 120);
	raw_unref(raw);
}

static void test_full_header_gives_the_time(void **state)
{
	struct bench *b = *state;
	const uint64_t ts[] = {130, 120};
	enum raw_kind kind;

	struct hub_raw *raw = insert_of(b, 1, ts, 2,
		(const char *const[]){"vchannel", SHARD, "msg_type", "Insert", "msg_id", "1",
			"collection_id", "449", "timestamp", "777", NULL},
		&kind);
	assert_int_equal(kind, RAW_DATA);
	assert_int_equal(raw->ts, 777);
	assert_int_equal(raw->dml.min_ts, 120);
	raw_unref(raw);
	raw = insert_of(b, 1, ts, 2,
		(const char *const[]){"vchannel", SHARD, "msg_type", "Insert", "collection_id",
			"449", "timestamp", "777", NULL},
		&kind);
	assert_int_equal(raw->ts, 120); /* one of five is missing */
	raw_unref(raw);
}

static void test_header_type_wins(void **state)
{
	struct bench *b = *state;
	const uint64_t ts = 5;
	enum raw_kind kind;

	struct hub_raw *raw =
		insert_of(b, 1, &ts, 1, (const char *const[]){"msg_type", "Delete", NULL}, &kind);
	assert_int_equal(raw->dml.type, MSG_DELETE);
	assert_true(slice_eq_str(raw->dml.shard, SHARD));
	raw_unref(raw);
	raw = insert_of(b, 1, &ts, 1, (const char *const[]){"msg_type", "Novelty", NULL}, &kind);
	assert_int_equal(kind, RAW_UNKNOWN);
	raw_unref(raw);
}

static void expect_kind(struct bench *b, const char *payload, size_t n, enum raw_kind want)
{
	struct hub_raw *raw = raw_of(b, slice_of(payload, n), NULL);
	struct err e = ERR_INIT;
	enum raw_kind kind;

	assert_int_equal(raw_peek(raw, &kind, &e), ERR_OK);
	assert_int_equal(kind, want);
	raw_unref(raw);
}

static void test_kinds(void **state)
{
	struct bench *b = *state;

	expect_kind(b, "", 0, RAW_EMPTY);
	expect_kind(b, "\x0a\x05\x08\xb0\x09\x18\x05", 7, RAW_TICK);
	expect_kind(b, "\x0a\x04\x08\x64\x18\x05", 6, RAW_SILENT);
	expect_kind(b, "\x0a\x04\x08\x65\x18\x05", 6, RAW_DATA);
	expect_kind(b, "\x0a\x05\x08\xbc\x09\x18\x05", 7, RAW_UNKNOWN);
}

static void test_streaming_and_garbage_are_errors(void **state)
{
	struct bench *b = *state;
	struct err e = ERR_INIT;
	enum raw_kind kind;

	struct hub_raw *raw = raw_of(b, slice_str("x"), (const char *const[]){"_v", "1", NULL});
	assert_int_equal(raw_peek(raw, &kind, &e), ERR_UNSUPPORTED);
	raw_unref(raw);
	err_clear(&e);
	raw = raw_of(b, slice_str("\x0a\x7f"), NULL);
	assert_int_equal(raw_peek(raw, &kind, &e), ERR_MALFORMED);
	raw_unref(raw);
}

#define IN_BENCH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BENCH(test_leftover_stays_and_gives_the_position),
		IN_BENCH(test_equal_and_older_ticks_do_nothing),
		IN_BENCH(test_repeats_are_dropped_inside_a_pack_only),
		IN_BENCH(test_replicate_id_is_released_by_the_next_tick),
		IN_BENCH(test_time_without_header_is_the_smallest_row),
		IN_BENCH(test_full_header_gives_the_time),
		IN_BENCH(test_header_type_wins),
		IN_BENCH(test_kinds),
		IN_BENCH(test_streaming_and_garbage_are_errors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
