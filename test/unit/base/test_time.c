#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/mutex.h"

static void test_a_deadline_counts_down(void **state)
{
	(void)state;
	struct deadline d = deadline_in(1000);
	assert_in_range(deadline_left_ms(d), 1, 1000);
	assert_false(deadline_passed(d));
	assert_true(deadline_passed(deadline_in(0)));
	assert_true(deadline_passed(deadline_in(-5)));
	assert_int_equal(deadline_left_ms(deadline_in(-5)), 0);
}

static void test_never_never_passes(void **state)
{
	(void)state;
	assert_false(deadline_passed(DEADLINE_NEVER));
	assert_true(deadline_left_ms(DEADLINE_NEVER) == INT64_MAX);
	struct timespec ts = deadline_timespec(DEADLINE_NEVER);
	int64_t in_s = (int64_t)ts.tv_sec - time_mono_ms() / 1000;
	assert_in_range(in_s, 80000, 90000);
}

static void test_timespec_is_the_same_moment(void **state)
{
	struct deadline d = {.at_ms = 1234567};

	(void)state;
	struct timespec ts = deadline_timespec(d);
	assert_int_equal(ts.tv_sec, 1234);
	assert_int_equal(ts.tv_nsec, 567000000);
}

static void test_clocks_agree_and_go_forward(void **state)
{
	(void)state;
	int64_t us = time_mono_us(), ms = time_mono_ms();
	assert_true(ms >= us / 1000 && ms - us / 1000 < 5000);
	assert_true(time_mono_us() >= us);
	assert_true(time_wall_ms() > 1600000000000);
}

static void test_a_condition_times_out(void **state)
{
	struct mutex m;
	struct cond c;

	(void)state;
	mutex_init(&m, "test");
	cond_init(&c);
	int64_t begin = time_mono_ms();
	mutex_lock(&m);
	while (cond_wait(&c, &m, deadline_in(5)))
		;
	mutex_unlock(&m);
	assert_true(time_mono_ms() - begin >= 5);
	cond_done(&c);
	mutex_done(&m);
}

static void test_spans_are_read_easily(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} spans[] = {{-5, "0 ms"}, {0, "0 ms"}, {999, "999 ms"}, {1000, "1 s"}, {12345, "12.3 s"},
		{119999, "119.9 s"}, {120000, "2 min"}, {7199999, "119 min"}, {7200000, "2 h"},
		{INT64_MAX, "2562047788015 h"}};
	char text[TIME_SPAN_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(spans); i++) {
		time_span_text(spans[i].ms, text);
		assert_string_equal(text, spans[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_deadline_counts_down),
		cmocka_unit_test(test_never_never_passes),
		cmocka_unit_test(test_timespec_is_the_same_moment),
		cmocka_unit_test(test_clocks_agree_and_go_forward),
		cmocka_unit_test(test_a_condition_times_out),
		cmocka_unit_test(test_spans_are_read_easily),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
