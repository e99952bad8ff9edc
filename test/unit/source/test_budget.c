/* Who may hold how much, and who waits. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/thread.h"
#include "source/budget.h"

enum { MAX_BYTES = 100, FLOOR_BYTES = 10 };

static enum err_code take(struct account *a, size_t bytes)
{
	struct err e = ERR_INIT;
	struct stop s;

	stop_init(&s, NULL);
	stop_set(&s); /* whoever would have to wait is told so at once */
	enum err_code code = account_take(a, bytes, &s, &e);
	stop_done(&s);
	return code;
}

static void test_within_the_budget_anything_goes(void **state)
{
	struct budget *b = budget_new(MAX_BYTES, FLOOR_BYTES);
	struct account *a = account_open(b);

	(void)state;
	assert_int_equal(take(a, 100), ERR_OK);
	assert_int_equal(budget_held(b), 100);
	account_give(a, 100);
	assert_int_equal(budget_held(b), 0);
	account_close(a);
	budget_close(b);
}

static void test_floor_is_for_everyone(void **state)
{
	struct budget *b = budget_new(MAX_BYTES, FLOOR_BYTES);
	struct account *hog = account_open(b), *a = account_open(b);

	(void)state;
	assert_int_equal(take(hog, 100), ERR_OK);
	account_cut(hog, 100);
	assert_int_equal(take(a, 10), ERR_OK);
	account_cut(a, 10);
	assert_int_equal(take(a, 1), ERR_CANCELLED); /* beyond the floor, and its lanes hold some */
	account_give(hog, 100);
	assert_int_equal(take(a, 1), ERR_OK);
	account_give(a, 11);
	account_close(hog);
	account_close(a);
	budget_close(b);
}

static void test_one_reader_may_pass_the_limit_to_reach_its_tick(void **state)
{
	struct budget *b = budget_new(MAX_BYTES, FLOOR_BYTES);
	struct account *hog = account_open(b), *a = account_open(b), *c = account_open(b);

	(void)state;
	assert_int_equal(take(hog, 100), ERR_OK);
	account_cut(hog, 100);
	assert_int_equal(take(a, 50), ERR_OK); /* the overdraft */
	assert_int_equal(take(a, 50), ERR_OK);
	assert_int_equal(take(c, 50), ERR_CANCELLED);
	account_cut(a, 100); /* its tick came */
	assert_int_equal(take(a, 1), ERR_CANCELLED);
	assert_int_equal(take(c, 50), ERR_OK);
	account_give(hog, 100);
	account_give(a, 100);
	account_give(c, 50);
	account_close(hog);
	account_close(a);
	account_close(c);
	budget_close(b);
}

struct waiter {
	struct account *a;
	struct stop stop;
	struct thread thread;
	enum err_code code;
};

static void wait_for_bytes(void *arg)
{
	struct waiter *w = arg;
	struct err e = ERR_INIT;
	w->code = account_take(w->a, 60, &w->stop, &e);
}

static void test_waiter_gets_what_others_give_back(void **state)
{
	struct budget *b = budget_new(MAX_BYTES, FLOOR_BYTES);
	struct account *hog = account_open(b);
	struct waiter w = {.a = account_open(b)};
	struct err e = ERR_INIT;

	(void)state;
	stop_init(&w.stop, NULL);
	assert_int_equal(take(hog, 90), ERR_OK);
	account_cut(hog, 90);
	assert_int_equal(take(w.a, 5), ERR_OK);
	account_cut(w.a, 5); /* so no overdraft */
	assert_int_equal(thread_start(&w.thread, "waiter", wait_for_bytes, &w, &e), ERR_OK);
	while (!account_waits(w.a))
		stop_sleep(&w.stop, 1);
	account_give(hog, 50);
	account_give(hog, 40);
	thread_join(&w.thread);
	assert_int_equal(w.code, ERR_OK);
	assert_int_equal(budget_held(b), 65);
	account_close(hog);
	account_close(w.a); /* lives until its bytes are back, and the budget with it */
	budget_close(b);
	account_give(w.a, 65);
	stop_done(&w.stop);
}

static void test_waiter_ends_with_its_stop(void **state)
{
	struct budget *b = budget_new(MAX_BYTES, FLOOR_BYTES);
	struct waiter w = {.a = account_open(b)};
	struct err e = ERR_INIT;

	(void)state;
	stop_init(&w.stop, NULL);
	assert_int_equal(take(w.a, 95), ERR_OK);
	account_cut(w.a, 95);
	assert_int_equal(thread_start(&w.thread, "waiter", wait_for_bytes, &w, &e), ERR_OK);
	while (!account_waits(w.a))
		stop_sleep(&w.stop, 1);
	stop_set(&w.stop);
	thread_join(&w.thread);
	assert_int_equal(w.code, ERR_CANCELLED);
	account_give(w.a, 95);
	account_close(w.a);
	budget_close(b);
	stop_done(&w.stop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_within_the_budget_anything_goes),
		cmocka_unit_test(test_floor_is_for_everyone),
		cmocka_unit_test(test_one_reader_may_pass_the_limit_to_reach_its_tick),
		cmocka_unit_test(test_waiter_gets_what_others_give_back),
		cmocka_unit_test(test_waiter_ends_with_its_stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
