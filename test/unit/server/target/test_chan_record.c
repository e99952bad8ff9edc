/* What is stored of a target channel, and what is made of a record that was damaged or is older. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "server/target/chan_record.h"

static void test_round_trip(void **state)
{
	(void)state;
	const uint64_t large = UINT64_MAX - 1;
	struct bound_record b = {.all = large};
	struct chan_record r;

	bound_record_add(&b, "task \"1\"/7/0", 445644800000262144ULL);
	CLEANUP(freep) char *open = chan_record_text(0, &b);
	assert_string_equal(open, "{\"open\":true,\"bound\":\"18446744073709551614\","
				  "\"late\":{\"task \\\"1\\\"/7/0\":\"445644800000262144\"}}");
	chan_record_read(open, &r);
	assert_true(r.tick == 0 && r.bound.all == large);
	assert_true(bound_record_of(&r.bound, "task \"1\"/7/0") == 445644800000262144ULL);
	assert_true(bound_record_of(&r.bound, "another") == large);
	chan_record_done(&r);
	CLEANUP(freep) char *closed = chan_record_text(99, &b);
	chan_record_read(closed, &r);
	assert_true(r.tick == 99 && r.bound.all == large && r.bound.n_late == 1);
	chan_record_done(&r);
	bound_record_done(&b);
}

/* Nothing is known then, not even a clean stop: the window reaches as far as it can. */
static void test_damaged(void **state)
{
	static const char *const texts[] = {"", "{", "[]", "null", "{\"open\":true}",
		"{\"tick\":7}", "{\"tick\":\"-7\",\"bound\":\"x\"}", "{\"tick\":\"\",\"bound\":7}",
		"{\"bound\":\"\",\"late\":{\"a\":\"5\"}}", "{\"tick\":\"99999999999999999999\"}"};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct chan_record r;
		chan_record_read(texts[i], &r);
		assert_true(r.tick == 0 && r.bound.all == 0 && r.bound.n_late == 0);
		chan_record_done(&r);
	}
}

/* A late stream whose own bound can't be read has the larger one of all. */
static void test_damaged_late(void **state)
{
	struct chan_record r;
	(void)state;

	chan_record_read("{\"bound\":\"100\",\"late\":{\"a\":\"5\",\"b\":7,\"c\":\"x\"}}", &r);
	assert_true(bound_record_of(&r.bound, "a") == 5);
	assert_true(bound_record_of(&r.bound, "b") == 100 && bound_record_of(&r.bound, "c") == 100);
	chan_record_done(&r);
	chan_record_read("{\"bound\":\"100\",\"late\":[1,2]}", &r);
	assert_true(r.bound.all == 100 && r.bound.n_late == 0);
	chan_record_done(&r);
}

static void test_no_more_than_fit(void **state)
{
	struct bound_record b = {.all = 9};
	struct chan_record r;
	(void)state;

	for (int i = 0; i < 3 * LIMIT_BOUND_LATE; i++) {
		CLEANUP(freep) char *key = xasprintf("t/%d/0", i);
		bound_record_add(&b, key, 5);
	}
	CLEANUP(freep) char *text = chan_record_text(0, &b);
	chan_record_read(text, &r);
	assert_int_equal(r.bound.n_late, LIMIT_BOUND_LATE);
	chan_record_done(&r);
	bound_record_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_damaged_late),
		cmocka_unit_test(test_no_more_than_fit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
