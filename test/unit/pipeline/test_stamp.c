/* The times of rows on a target channel, in time and late. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/mem.h"
#include "pipeline/stamp.h"
#include "support/dml_make.h"

enum { ROUNDS = 20000 };

static void test_above_the_floor_times_stay(void **state)
{
	struct stamp s = {0};

	(void)state;
	assert_int_equal(stamp_next(&s, 100, 50), 100);
	assert_int_equal(stamp_next(&s, 100, 50), 100);
	assert_int_equal(stamp_next(&s, 101, 100), 101);
	assert_int_equal(stamp_next(&s, 500, 400), 500);
}

static void test_below_the_floor_they_stand_just_above(void **state)
{
	struct stamp s = {0};

	(void)state;
	assert_int_equal(stamp_next(&s, 10, 1000), 1001);
	assert_int_equal(stamp_next(&s, 10, 1000), 1001); /* equal stays equal */
	assert_int_equal(stamp_next(&s, 11, 1000), 1002);
	assert_int_equal(stamp_next(&s, 12, 1000), 1003);
	assert_int_equal(stamp_next(&s, 2000, 1000), 2000); /* caught up: bit for bit again */
}

/* A tick between two rows of one source time: the second can't share the first one's stamp. */
static void test_a_tick_parts_equal_times(void **state)
{
	struct stamp s = {0};

	(void)state;
	assert_int_equal(stamp_next(&s, 10, 5), 10);
	assert_int_equal(stamp_next(&s, 10, 10), 11);
	assert_int_equal(stamp_next(&s, 10, 10), 11);
	assert_int_equal(stamp_next(&s, 11, 10), 12); /* a later row must not share it */
}

/* The rules, over random streams: above the floor, never backwards, equal stays equal unless a tick
 * parts them, and untouched whenever that is possible. */
static void test_rules_hold_for_any_stream(void **state)
{
	struct stamp s = {0};
	uint64_t ts = 1000, floor = 900, before_ts = 0, before = 0;

	(void)state;
	srandom(7);
	for (int i = 0; i < ROUNDS; i++) {
		ts += (uint64_t)(random() % 3);
		if (random() % 10 == 0)
			floor = MAX(floor, ts - 5 + (uint64_t)(random() % 20));
		if (random() % 50 == 0)
			ts += 100;
		uint64_t stamp = stamp_next(&s, ts, floor);
		assert_true(stamp > floor);
		assert_true(stamp >= ts);
		assert_true(stamp >= before);
		if (ts > before_ts)
			assert_true(stamp > before);
		else if (before > floor)
			assert_int_equal(stamp, before);
		if (ts > floor && ts > before)
			assert_int_equal(stamp, ts);
		before_ts = ts;
		before = stamp;
	}
}

static void stamp_rows(struct stamp *s, const uint64_t *ts, size_t n, uint64_t floor,
	struct arena *a, struct stamped *ret)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(1 << 20);
	struct err e = ERR_INIT;
	struct dml d;

	dml_make_rows(&b, MSG_INSERT, 1, "shard", 5, 6, ts, n, 0);
	assert_int_equal(dml_read(&d, buf_slice(&b), &e), ERR_OK);
	assert_int_equal(stamp_message(s, &d, floor, a, ret, &e), ERR_OK);
}

static void test_one_time_needs_no_list(void **state)
{
	static const uint64_t ts[] = {70, 70, 70};
	struct arena a = ARENA_INIT;
	struct stamp s = {0};
	struct stamped r;

	(void)state;
	stamp_rows(&s, ts, ARRAY_LEN(ts), 60, &a, &r);
	assert_false(r.change);
	assert_null(r.rows);
	assert_true(r.one == 70 && r.lowest == 70 && r.highest == 70);
	stamp_rows(&s, ts, ARRAY_LEN(ts), 80, &a, &r);
	assert_true(r.change && r.one == 81 && r.lowest == 81 && r.highest == 81);
	arena_done(&a);
}

/* Rows of several times in any order inside one message keep their order in time. */
static void test_many_times_keep_their_order(void **state)
{
	static const uint64_t ts[] = {12, 10, 11, 10, 30};
	static const uint64_t late[] = {23, 21, 22, 21, 30};
	struct arena a = ARENA_INIT;
	struct stamp s = {0};
	struct stamped r;

	(void)state;
	stamp_rows(&s, ts, ARRAY_LEN(ts), 9, &a, &r);
	assert_false(r.change);
	assert_true(r.lowest == 10 && r.highest == 30);
	s = (struct stamp){0};
	stamp_rows(&s, ts, ARRAY_LEN(ts), 20, &a, &r);
	assert_true(r.change);
	assert_true(r.lowest == 21 && r.highest == 30);
	for (size_t i = 0; i < ARRAY_LEN(ts); i++)
		assert_int_equal(r.rows[i], late[i]);
	arena_done(&a);
}

static void test_a_drop_is_stamped_by_its_base(void **state)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(1000);
	struct arena a = ARENA_INIT;
	struct stamp s = {0};
	struct err e = ERR_INIT;
	struct stamped r;
	struct dml d;

	(void)state;
	dml_make_drop(&b, MSG_DROP_COLLECTION, 55, 5, 0);
	assert_int_equal(dml_read(&d, buf_slice(&b), &e), ERR_OK);
	assert_int_equal(stamp_message(&s, &d, 60, &a, &r, &e), ERR_OK);
	assert_true(r.change && r.one == 61);
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_above_the_floor_times_stay),
		cmocka_unit_test(test_below_the_floor_they_stand_just_above),
		cmocka_unit_test(test_a_tick_parts_equal_times),
		cmocka_unit_test(test_rules_hold_for_any_stream),
		cmocka_unit_test(test_one_time_needs_no_list),
		cmocka_unit_test(test_many_times_keep_their_order),
		cmocka_unit_test(test_a_drop_is_stamped_by_its_base),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
