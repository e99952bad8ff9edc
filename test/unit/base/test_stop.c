#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/stop.h"
#include "base/thread.h"

enum { LONG_MS = 20000 };

static void test_children_stop_with_their_parent(void **state)
{
	struct stop root, child, grandchild, other;

	(void)state;
	stop_init(&root, NULL);
	stop_init(&child, &root);
	stop_init(&grandchild, &child);
	stop_init(&other, &root);
	stop_set(&child);
	assert_false(stop_is_set(&root));
	assert_true(stop_is_set(&child));
	assert_true(stop_is_set(&grandchild));
	assert_false(stop_is_set(&other));
	stop_set(&root);
	assert_true(stop_is_set(&other));
	stop_done(&other);
	stop_done(&grandchild);
	stop_done(&child);
	stop_done(&root);
}

static void test_a_late_child_is_born_stopped(void **state)
{
	struct stop root, child;

	(void)state;
	stop_init(&root, NULL);
	stop_set(&root);
	stop_init(&child, &root);
	assert_true(stop_is_set(&child));
	assert_true(stop_sleep(&child, LONG_MS));
	stop_done(&child);
	stop_done(&root);
}

static void test_sleep_ends_by_itself(void **state)
{
	struct stop s;

	(void)state;
	stop_init(&s, NULL);
	int64_t begin = time_mono_ms();
	assert_false(stop_sleep(&s, 5));
	assert_true(time_mono_ms() - begin >= 5);
	assert_false(stop_sleep(&s, 0));
	stop_done(&s);
}

static void set_it(void *arg)
{
	stop_set(arg);
}

static void test_a_sleeper_wakes_at_once(void **state)
{
	struct stop root, child;
	struct thread t;
	struct err e = ERR_INIT;

	(void)state;
	stop_init(&root, NULL);
	stop_init(&child, &root);
	int64_t begin = time_mono_ms();
	assert_int_equal(thread_start(&t, "setter", set_it, &root, &e), ERR_OK);
	assert_true(stop_sleep(&child, LONG_MS));
	assert_true(time_mono_ms() - begin < LONG_MS);
	thread_join(&t);
	stop_done(&child);
	stop_done(&root);
}

/* Registers, looks, waits: whenever the token is set meanwhile, the waiter learns of it. */
static void test_a_watch_loses_no_wakeup(void **state)
{
	struct mutex mtx;
	struct cond cond;

	(void)state;
	mutex_init(&mtx, "test");
	cond_init(&cond);
	for (int i = 0; i < 300; i++) {
		struct stop s;
		struct stop_watch w;
		struct thread t;
		struct err e = ERR_INIT;
		bool in_time = true;

		stop_init(&s, NULL);
		assert_int_equal(thread_start(&t, "setter", set_it, &s, &e), ERR_OK);
		stop_watch_add(&s, &w, &mtx, &cond);
		mutex_lock(&mtx);
		while (!stop_is_set(&s) && in_time)
			in_time = cond_wait(&cond, &mtx, deadline_in(LONG_MS));
		mutex_unlock(&mtx);
		stop_watch_del(&s, &w);
		thread_join(&t);
		stop_done(&s);
		assert_true(in_time);
	}
	cond_done(&cond);
	mutex_done(&mtx);
}

static void test_the_error_is_cancelled(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(stop_err(&e), ERR_CANCELLED);
	assert_int_equal(e.code, ERR_CANCELLED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_children_stop_with_their_parent),
		cmocka_unit_test(test_a_late_child_is_born_stopped),
		cmocka_unit_test(test_sleep_ends_by_itself),
		cmocka_unit_test(test_a_sleeper_wakes_at_once),
		cmocka_unit_test(test_a_watch_loses_no_wakeup),
		cmocka_unit_test(test_the_error_is_cancelled),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
