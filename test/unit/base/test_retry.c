#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/retry.h"

struct call {
	int runs, notes;
	int succeed_at;
	enum err_code code;
	int64_t last_delay;
	struct stop *stop_it;
};

static enum err_code attempt(void *arg, struct err *e)
{
	struct call *c = arg;

	if (++c->runs == c->succeed_at)
		return ERR_OK;
	return err_set_origin(e, c->code, 100 + c->runs, "attempt %d", c->runs);
}

static void note(void *arg, const struct err *e, int64_t delay_ms)
{
	struct call *c = arg;

	assert_int_equal(e->origin, 100 + c->runs);
	c->notes++;
	c->last_delay = delay_ms;
	if (c->stop_it)
		stop_set(c->stop_it);
}

static struct retry_call policy(int64_t until_ms, bool idempotent)
{
	return (struct retry_call){.policy = RETRY_INIT(1, 2),
		.until = deadline_in(until_ms),
		.idempotent = idempotent,
		.note = note};
}

static void test_delays_double_up_to_the_most(void **state)
{
	static const int64_t full[] = {100, 200, 400, 800, 1000, 1000};
	struct retry r = RETRY_INIT(100, 1000);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(full); i++) {
		int64_t ms = retry_next_ms(&r);
		assert_in_range(ms, full[i] * 3 / 4, full[i]);
	}
	retry_reset(&r);
	assert_in_range(retry_next_ms(&r), 75, 100);
	for (int i = 0; i < 200; i++) /* a week of failures must not overflow */
		assert_in_range(retry_next_ms(&r), 1, 1000);
}

static void test_repeats_until_it_works(void **state)
{
	struct call c = {.succeed_at = 4, .code = ERR_UNAVAILABLE};
	struct retry_call how = policy(60000, false);
	struct err e = ERR_INIT;
	struct stop s;

	(void)state;
	stop_init(&s, NULL);
	assert_int_equal(retry_run(&how, &s, attempt, &c, &e), ERR_OK);
	assert_int_equal(c.runs, 4);
	assert_int_equal(c.notes, 3);
	assert_int_equal(e.code, ERR_OK);
	stop_done(&s);
}

static void test_a_no_is_not_repeated(void **state)
{
	struct call c = {.code = ERR_DENIED};
	struct retry_call how = policy(60000, true);
	struct err e = ERR_INIT;
	struct stop s;

	(void)state;
	stop_init(&s, NULL);
	assert_int_equal(retry_run(&how, &s, attempt, &c, &e), ERR_DENIED);
	assert_int_equal(c.runs, 1);
	assert_int_equal(e.origin, 101);
	assert_string_equal(e.text, "attempt 1");
	stop_done(&s);
}

static void test_an_uncertain_write_only_if_idempotent(void **state)
{
	struct err e = ERR_INIT;
	struct stop s;

	(void)state;
	stop_init(&s, NULL);
	struct call once = {.succeed_at = 2, .code = ERR_UNCERTAIN};
	struct retry_call how = policy(60000, false);
	assert_int_equal(retry_run(&how, &s, attempt, &once, &e), ERR_UNCERTAIN);
	assert_int_equal(once.runs, 1);
	struct call twice = {.succeed_at = 2, .code = ERR_UNCERTAIN};
	how = policy(60000, true);
	err_clear(&e);
	assert_int_equal(retry_run(&how, &s, attempt, &twice, &e), ERR_OK);
	stop_done(&s);
}

static void test_the_last_error_at_the_deadline(void **state)
{
	struct call c = {.code = ERR_BUSY};
	struct retry_call how = policy(20, false);
	struct err e = ERR_INIT;
	struct stop s;

	(void)state;
	stop_init(&s, NULL);
	int64_t begin = time_mono_ms();
	assert_int_equal(retry_run(&how, &s, attempt, &c, &e), ERR_BUSY);
	assert_true(time_mono_ms() - begin < 5000);
	assert_true(c.runs > 1);
	assert_int_equal(e.origin, 100 + c.runs);
	stop_done(&s);
}

static void test_stop_ends_it(void **state)
{
	struct stop s;
	struct call c = {.code = ERR_BUSY, .stop_it = &s};
	struct retry_call how = policy(60000, false);
	struct err e = ERR_INIT;

	(void)state;
	stop_init(&s, NULL);
	assert_int_equal(retry_run(&how, &s, attempt, &c, &e), ERR_CANCELLED);
	assert_int_equal(c.runs, 1);
	err_clear(&e);
	assert_int_equal(retry_run(&how, &s, attempt, &c, &e), ERR_CANCELLED);
	assert_int_equal(c.runs, 1); /* not even tried */
	stop_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delays_double_up_to_the_most),
		cmocka_unit_test(test_repeats_until_it_works),
		cmocka_unit_test(test_a_no_is_not_repeated),
		cmocka_unit_test(test_an_uncertain_write_only_if_idempotent),
		cmocka_unit_test(test_the_last_error_at_the_deadline),
		cmocka_unit_test(test_stop_ends_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
