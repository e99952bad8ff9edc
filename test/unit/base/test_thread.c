#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <string.h>

#include "base/stop.h"
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

/* What a thread of the test does: hang in a lock that the checked one does not know of, or wait. */
struct hanging {
	pthread_mutex_t mtx;
	struct stop stop;
};

static void hang(void *arg)
{
	struct hanging *h = arg;

	pthread_mutex_lock(&h->mtx);
	pthread_mutex_unlock(&h->mtx);
}

static void wait_for_stop(void *arg)
{
	struct hanging *h = arg;

	while (!stop_sleep(&h->stop, 100000))
		continue;
}

static bool stuck_soon(char role[16])
{
	struct deadline d = deadline_in(5000);
	struct stop never;

	stop_init(&never, NULL);
	bool stuck = thread_stuck(30, role);
	while (!stuck && !deadline_passed(d) && !stop_sleep(&never, 5))
		stuck = thread_stuck(30, role);
	stop_done(&never);
	return stuck;
}

static void test_stuck(void **state)
{
	struct thread waiting, hangs;
	struct hanging h = {.mtx = PTHREAD_MUTEX_INITIALIZER};
	struct err e = ERR_INIT;
	char role[16] = "";

	(void)state;
	assert_false(thread_stuck(-1, role));
	stop_init(&h.stop, NULL);
	pthread_mutex_lock(&h.mtx);
	assert_int_equal(thread_start(&waiting, "waits", wait_for_stop, &h, &e), ERR_OK);
	assert_int_equal(thread_start(&hangs, "hangs", hang, &h, &e), ERR_OK);
	assert_true(stuck_soon(role));
	assert_string_equal(role, "hangs");
	assert_false(thread_stuck(100000, role));
	pthread_mutex_unlock(&h.mtx);
	thread_join(&hangs);
	stop_set(&h.stop);
	thread_join(&waiting);
	assert_false(thread_stuck(-1, role));
	stop_done(&h.stop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_role_and_signals),
		cmocka_unit_test(test_stuck),
		cmocka_unit_test(test_join_without_a_start_is_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
