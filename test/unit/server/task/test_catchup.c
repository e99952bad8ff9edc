#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/task/catchup.h"

static void test_unknown(void **state UNUSED)
{
	struct catchup c = {.n = 0};

	assert_int_equal(catchup_seconds(&c), CATCHUP_UNKNOWN);
	catchup_note(&c, 1000, 60000);
	assert_int_equal(catchup_seconds(&c), CATCHUP_UNKNOWN);
	for (int i = 2; i < 20; i++) /* an outage: a second a second */
		catchup_note(&c, i * 1000, 59000 + i * 1000);
	assert_int_equal(catchup_seconds(&c), CATCHUP_UNKNOWN);
}

static void test_shrinks(void **state UNUSED)
{
	struct catchup c = {.n = 0};

	/* Two seconds of lag a second: 80 s are left after 10 s of 100. */
	for (int i = 0; i <= 10; i++)
		catchup_note(&c, i * 1000, 100000 - i * 2000);
	assert_int_equal(catchup_seconds(&c), 41);
	/* An hour at this pace is far behind; only the last minute counts. */
	for (int i = 11; i < 200; i++)
		catchup_note(&c, i * 1000, 1000000 - i * 1000);
	assert_int_equal(catchup_seconds(&c), 802);
}

static void test_keeps_up(void **state UNUSED)
{
	struct catchup c = {.n = 0};

	catchup_note(&c, 0, 40);
	assert_int_equal(catchup_seconds(&c), 0);
	for (int i = 1; i < 100; i++)
		catchup_note(&c, i * 1000, i % 2 ? 200 : 0);
	assert_int_equal(catchup_seconds(&c), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_shrinks),
		cmocka_unit_test(test_keeps_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
