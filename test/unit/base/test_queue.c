#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/queue.h"
#include "base/thread.h"

enum { ITEMS = 20000, WAIT_MS = 10000 };

struct side {
	struct queue *q;
	struct stop *stop;
	intptr_t from, count;
	intptr_t sum;
	enum err_code code;
};

static void push_all(void *arg)
{
	struct side *s = arg;
	struct err e = ERR_INIT;

	for (intptr_t i = 0; i < s->count && !s->code; i++)
		s->code = queue_push(s->q, (void *)(s->from + i), s->stop, &e);
}

static void pop_all(void *arg)
{
	struct side *s = arg;
	void *item;

	while ((item = queue_pop(s->q, deadline_in(WAIT_MS), s->stop))) {
		s->sum += (intptr_t)item;
		s->count++;
	}
}

static void start(struct thread *t, void (*fn)(void *arg), void *arg)
{
	struct err e = ERR_INIT;
	assert_int_equal(thread_start(t, "test", fn, arg, &e), ERR_OK);
}

static void test_first_in_first_out(void **state)
{
	struct queue q;
	struct stop stop;
	struct err e = ERR_INIT;
	int v[5];

	(void)state;
	stop_init(&stop, NULL);
	queue_init(&q, 3, "test");
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 3; i++)
			assert_int_equal(queue_push(&q, &v[i], &stop, &e), ERR_OK);
		assert_int_equal(queue_count(&q), 3);
		for (int i = 0; i < 3; i++)
			assert_ptr_equal(queue_pop(&q, deadline_in(0), NULL), &v[i]);
	}
	assert_null(queue_pop(&q, deadline_in(1), &stop));
	queue_done(&q);
	stop_done(&stop);
}

/* Two pushers, two poppers, and a queue so short that both sides wait all the time. */
static void test_nothing_is_lost_between_threads(void **state)
{
	struct queue q;
	struct stop stop;
	struct thread t[4];

	(void)state;
	stop_init(&stop, NULL);
	queue_init(&q, 2, "test");
	struct side push[2] = {{.q = &q, .stop = &stop, .from = 1, .count = ITEMS / 2},
		{.q = &q, .stop = &stop, .from = 1 + ITEMS / 2, .count = ITEMS / 2}};
	struct side pop[2] = {{.q = &q, .stop = &stop}, {.q = &q, .stop = &stop}};
	for (int i = 0; i < 2; i++) {
		start(&t[i], push_all, &push[i]);
		start(&t[2 + i], pop_all, &pop[i]);
	}
	thread_join(&t[0]);
	thread_join(&t[1]);
	queue_close(&q);
	thread_join(&t[2]);
	thread_join(&t[3]);
	assert_int_equal(push[0].code, ERR_OK);
	assert_int_equal(push[1].code, ERR_OK);
	assert_int_equal(pop[0].count + pop[1].count, ITEMS);
	assert_int_equal(pop[0].sum + pop[1].sum, (intptr_t)ITEMS * (ITEMS + 1) / 2);
	queue_done(&q);
	stop_done(&stop);
}

static void test_close_lets_the_rest_out(void **state)
{
	struct queue q;
	struct stop stop;
	struct err e = ERR_INIT;
	int a;

	(void)state;
	stop_init(&stop, NULL);
	queue_init(&q, 3, "test");
	assert_int_equal(queue_push(&q, &a, &stop, &e), ERR_OK);
	queue_close(&q);
	assert_int_equal(queue_push(&q, &a, &stop, &e), ERR_CANCELLED);
	assert_ptr_equal(queue_pop(&q, DEADLINE_NEVER, &stop), &a);
	assert_null(queue_pop(&q, DEADLINE_NEVER, &stop));
	queue_done(&q);
	stop_done(&stop);
}

/* The pusher of a full queue and the popper of an empty one are woken by the token at once. */
static void test_stop_wakes_both_sides(void **state)
{
	struct queue full, empty;
	struct stop stop;
	struct thread t[2];
	struct err e = ERR_INIT;
	int a;

	(void)state;
	stop_init(&stop, NULL);
	queue_init(&full, 1, "full");
	queue_init(&empty, 1, "empty");
	assert_int_equal(queue_push(&full, &a, &stop, &e), ERR_OK);
	struct side push = {.q = &full, .stop = &stop, .from = 1, .count = 1};
	struct side pop = {.q = &empty, .stop = &stop};
	int64_t begin = time_mono_ms();
	start(&t[0], push_all, &push);
	start(&t[1], pop_all, &pop);
	stop_set(&stop);
	thread_join(&t[0]);
	thread_join(&t[1]);
	assert_true(time_mono_ms() - begin < WAIT_MS);
	assert_int_equal(push.code, ERR_CANCELLED);
	assert_int_equal(pop.count, 0);
	assert_ptr_equal(queue_pop(&full, deadline_in(0), NULL), &a);
	queue_done(&full);
	queue_done(&empty);
	stop_done(&stop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_in_first_out),
		cmocka_unit_test(test_nothing_is_lost_between_threads),
		cmocka_unit_test(test_close_lets_the_rest_out),
		cmocka_unit_test(test_stop_wakes_both_sides),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
