#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mutex.h"
#include "server/jobs.h"

enum { WAIT_MS = 20000, JOBS = 200 };

/* What all jobs of a test share. */
struct board {
	struct mutex mtx;
	struct cond cond;
	struct jobs *pool;
	int order[16], n_order; /* ids in the order in which they ran */
	bool open;              /* lets blocked jobs go on */
	int overlaps;
};

struct work {
	struct board *b;
	struct job job;
	int id, runs;
	int until;  /* asks for the next run as long as there were fewer */
	bool block; /* stays inside until the board is open */
	bool inside;
};

static int64_t step(void *arg)
{
	struct work *w = arg;
	struct board *b = w->b;

	mutex_lock(&b->mtx);
	b->overlaps += w->inside;
	w->inside = true;
	w->runs++;
	if (b->n_order < (int)ARRAY_LEN(b->order))
		b->order[b->n_order++] = w->id;
	cond_broadcast(&b->cond);
	struct deadline d = deadline_in(WAIT_MS);
	while (w->block && !b->open && cond_wait(&b->cond, &b->mtx, d))
		;
	w->inside = false;
	int64_t next = w->runs < w->until ? 1 : JOB_IDLE;
	mutex_unlock(&b->mtx);
	return next;
}

static void board_open(struct board *b, int threads)
{
	struct err e = ERR_INIT;

	*b = (struct board){.n_order = 0};
	mutex_init(&b->mtx, "board");
	cond_init(&b->cond);
	assert_int_equal(jobs_new(threads, &b->pool, &e), ERR_OK);
}

static void board_close(struct board *b)
{
	assert_int_equal(b->overlaps, 0);
	jobs_free(b->pool);
	cond_done(&b->cond);
	mutex_done(&b->mtx);
}

static void work_init(struct work *w, struct board *b, int id)
{
	*w = (struct work){.b = b, .id = id};
	job_init(&w->job, b->pool, step, w);
}

/* Waits until w has run that often. */
static void await_runs(struct work *w, int runs)
{
	struct board *b = w->b;
	struct deadline d = deadline_in(WAIT_MS);

	mutex_lock(&b->mtx);
	while (w->runs < runs && cond_wait(&b->cond, &b->mtx, d))
		;
	assert_true(w->runs >= runs);
	mutex_unlock(&b->mtx);
}

static void open_gate(struct board *b)
{
	mutex_lock(&b->mtx);
	b->open = true;
	cond_broadcast(&b->cond);
	mutex_unlock(&b->mtx);
}

static void test_runs_when_due_and_then_idles(void **state)
{
	struct board b;
	struct work w;

	(void)state;
	board_open(&b, 2);
	work_init(&w, &b, 1);
	int64_t begin = time_mono_ms();
	job_wake(&w.job, 10);
	await_runs(&w, 1);
	assert_true(time_mono_ms() - begin >= 10);
	job_stop(&w.job);
	assert_int_equal(w.runs, 1);
	job_wake(&w.job, 0); /* after the stop: nothing */
	job_stop(&w.job);
	assert_int_equal(w.runs, 1);
	board_close(&b);
}

static void test_the_returned_delay_is_the_next_run(void **state)
{
	struct board b;
	struct work w;

	(void)state;
	board_open(&b, 1);
	work_init(&w, &b, 1);
	w.until = 5;
	job_wake(&w.job, 0);
	await_runs(&w, 5);
	job_stop(&w.job);
	assert_int_equal(w.runs, 5);
	board_close(&b);
}

static void test_due_order_not_wake_order(void **state)
{
	struct board b;
	struct work gate, w[5];
	static const int64_t delays[] = {40, 10, 50, 20, 30};

	(void)state;
	board_open(&b, 1);
	work_init(&gate, &b, 9);
	gate.block = true;
	job_wake(&gate.job, 0); /* holds the only thread until all are queued */
	await_runs(&gate, 1);
	for (int i = 0; i < 5; i++) {
		work_init(&w[i], &b, (int)delays[i]);
		job_wake(&w[i].job, delays[i]);
	}
	open_gate(&b);
	await_runs(&w[2], 1);
	for (int i = 1; i <= 5; i++)
		assert_int_equal(b.order[i], 10 * i);
	for (int i = 0; i < 5; i++)
		job_stop(&w[i].job);
	job_stop(&gate.job);
	board_close(&b);
}

static void test_the_earlier_wake_counts(void **state)
{
	struct board b;
	struct work w;

	(void)state;
	board_open(&b, 1);
	work_init(&w, &b, 1);
	job_wake(&w.job, 10 * WAIT_MS);
	job_wake(&w.job, 1);
	job_wake(&w.job, 10 * WAIT_MS);
	await_runs(&w, 1);
	job_stop(&w.job);
	assert_int_equal(w.runs, 1);
	board_close(&b);
}

static void test_a_wake_while_running_is_not_lost(void **state)
{
	struct board b;
	struct work w;

	(void)state;
	board_open(&b, 2);
	work_init(&w, &b, 1);
	w.block = true;
	job_wake(&w.job, 0);
	await_runs(&w, 1);
	for (int i = 0; i < 10; i++)
		/* ten wakes, one more run, and at the earliest of them */
		job_wake(&w.job, i ? 5000 : 0);
	open_gate(&b);
	await_runs(&w, 2);
	job_stop(&w.job);
	assert_int_equal(w.runs, 2);
	board_close(&b);
}

static void test_a_blocked_job_holds_no_other(void **state)
{
	struct board b;
	struct work slow, quick;

	(void)state;
	board_open(&b, 2);
	work_init(&slow, &b, 1);
	work_init(&quick, &b, 2);
	slow.block = true;
	job_wake(&slow.job, 1);
	job_wake(&quick.job, 5);
	await_runs(&slow, 1);
	await_runs(&quick, 1);
	open_gate(&b);
	job_stop(&slow.job);
	job_stop(&quick.job);
	board_close(&b);
}

static void test_stop_waits_for_the_run(void **state)
{
	struct board b;
	struct work w, opener;

	(void)state;
	board_open(&b, 2);
	work_init(&w, &b, 1);
	w.block = true;
	w.until = 100;
	job_wake(&w.job, 0);
	await_runs(&w, 1);
	work_init(&opener, &b, 2);
	job_wake(&opener.job, 1);
	await_runs(&opener, 1);
	open_gate(&b);
	job_stop(&w.job);
	assert_false(w.inside);
	int runs = w.runs;
	job_wake(&opener.job, 1); /* time for a run that must not come */
	await_runs(&opener, 2);
	assert_int_equal(w.runs, runs);
	job_stop(&opener.job);
	board_close(&b);
}

/* Many jobs on few threads, woken from everywhere: each runs often enough, none twice at a time. */
static void test_many_jobs(void **state)
{
	static struct work w[JOBS];
	struct board b;

	(void)state;
	board_open(&b, 4);
	for (int i = 0; i < JOBS; i++) {
		work_init(&w[i], &b, i);
		w[i].until = 3;
		job_wake(&w[i].job, i % 7);
	}
	for (int k = 0; k < 20; k++)
		for (int i = k; i < JOBS; i += 3)
			job_wake(&w[i].job, k % 3);
	for (int i = 0; i < JOBS; i++)
		await_runs(&w[i], 3);
	for (int i = 0; i < JOBS; i++)
		job_stop(&w[i].job);
	board_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs_when_due_and_then_idles),
		cmocka_unit_test(test_the_returned_delay_is_the_next_run),
		cmocka_unit_test(test_due_order_not_wake_order),
		cmocka_unit_test(test_the_earlier_wake_counts),
		cmocka_unit_test(test_a_wake_while_running_is_not_lost),
		cmocka_unit_test(test_a_blocked_job_holds_no_other),
		cmocka_unit_test(test_stop_waits_for_the_run),
		cmocka_unit_test(test_many_jobs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
