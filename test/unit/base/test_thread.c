#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <string.h>

#include "base/thread.h"

struct seen {
	char name[16];
	bool term_blocked;
};

static void look(void *arg)
{
	struct seen *s = arg;
	sigset_t set;

	pthread_getname_np(pthread_self(), s->name, sizeof(s->name));
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	s->term_blocked = sigismember(&set, SIGTERM) == 1;
}

static void test_role_and_signals(void **state)
{
	struct thread t;
	struct seen s = {.term_blocked = false};
	struct err e = ERR_INIT;
	sigset_t before, after;

	(void)state;
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	assert_int_equal(thread_start(&t, "a role longer than fifteen", look, &s, &e), ERR_OK);
	thread_join(&t);
	assert_string_equal(s.name, "a role longer t");
	assert_true(s.term_blocked);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	assert_int_equal(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM));
}

static void test_join_without_a_start_is_nothing(void **state)
{
	struct thread t = {.started = false};
	struct seen s = {.term_blocked = false};
	struct err e = ERR_INIT;

	(void)state;
	thread_join(&t);
	assert_int_equal(thread_start(&t, "x", look, &s, &e), ERR_OK);
	thread_join(&t);
	thread_join(&t);
	assert_false(t.started);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_role_and_signals),
		cmocka_unit_test(test_join_without_a_start_is_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
