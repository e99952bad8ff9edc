#include "server/jobs.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/mutex.h"
#include "base/thread.h"

struct jobs {
	struct mutex mtx;
	struct cond due, idle;
	struct job **heap; /* smallest due_ms first */
	size_t n, cap;
	bool stop;
	struct thread *threads;
	int n_threads, most;
	int waiting; /* threads that do nothing */
};

static void run(void *arg);

/* While work is queued one thread waits for it, as long as there may be more of them. */
static void reserve_locked(struct jobs *p) REQUIRES(p->mtx)
{
	struct err ignored = ERR_INIT; /* those that are there do the work */

	if (p->waiting || p->n_threads == p->most || p->stop)
		return;
	if (!thread_start(&p->threads[p->n_threads], "ddl", run, p, &ignored)) {
		p->n_threads++;
		p->waiting++; /* it will */
	}
}

static void place(struct jobs *p, size_t i, struct job *j)
{
	p->heap[i] = j;
	j->heap_at = i + 1;
}

static void sift_up(struct jobs *p, size_t i)
{
	struct job *j = p->heap[i];
	while (i && p->heap[(i - 1) / 2]->due_ms > j->due_ms) {
		place(p, i, p->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	place(p, i, j);
}

static void sift_down(struct jobs *p, size_t i)
{
	struct job *j = p->heap[i];
	for (;;) {
		size_t k = 2 * i + 1;
		if (k + 1 < p->n && p->heap[k + 1]->due_ms < p->heap[k]->due_ms)
			k++;
		if (k >= p->n || p->heap[k]->due_ms >= j->due_ms)
			break;
		place(p, i, p->heap[k]);
		i = k;
	}
	place(p, i, j);
}

static void heap_remove(struct jobs *p, struct job *j)
{
	size_t i = j->heap_at - 1;
	struct job *last = p->heap[--p->n];
	j->heap_at = 0;
	if (last == j)
		return;
	place(p, i, last);
	sift_up(p, i);
	sift_down(p, last->heap_at - 1);
}

static void heap_put(struct jobs *p, struct job *j)
{
	mem_grow(&p->heap, &p->cap, p->n + 1, sizeof(struct job *));
	p->heap[p->n++] = j;
	j->heap_at = p->n;
	sift_up(p, p->n - 1);
}

static void queue_locked(struct jobs *p, struct job *j, int64_t delay_ms) REQUIRES(p->mtx)
{
	int64_t due = time_mono_ms() + delay_ms;
	if (j->heap_at && j->due_ms <= due)
		return;
	if (j->heap_at)
		heap_remove(p, j);
	j->due_ms = due;
	heap_put(p, j);
	reserve_locked(p);
	cond_signal(&p->due);
}

static struct job *next_locked(struct jobs *p) REQUIRES(p->mtx)
{
	while (!p->stop) {
		int64_t wait = p->n ? p->heap[0]->due_ms - time_mono_ms() : 3600000;
		if (p->n && wait <= 0) {
			struct job *j = p->heap[0];
			heap_remove(p, j);
			j->running = true;
			p->waiting--;
			/* Another may be due as well, and only one thread was woken for both. */
			if (p->n) {
				reserve_locked(p);
				cond_signal(&p->due);
			}
			return j;
		}
		cond_wait(&p->due, &p->mtx, deadline_in(wait));
	}
	return NULL;
}

static void run(void *arg)
{
	struct jobs *p = arg;
	struct job *j;

	mutex_lock(&p->mtx);
	while ((j = next_locked(p))) {
		mutex_unlock(&p->mtx);
		int64_t delay = j->fn(j->arg);
		mutex_lock(&p->mtx);
		p->waiting++;
		j->running = false;
		if (j->again)
			delay = delay == JOB_IDLE ? j->again_ms : MIN(delay, j->again_ms);
		j->again = false;
		if (delay != JOB_IDLE && !j->stopped)
			queue_locked(p, j, delay);
		cond_broadcast(&p->idle);
	}
	mutex_unlock(&p->mtx);
}

enum err_code jobs_new(int most, struct jobs **ret_p, struct err *e)
{
	struct jobs *p = xcalloc(1, sizeof(*p));

	mutex_init(&p->mtx, "jobs");
	cond_init(&p->due);
	cond_init(&p->idle);
	p->threads = xcalloc((size_t)most, sizeof(*p->threads));
	p->most = most;
	p->waiting = 1;
	if (thread_start(&p->threads[0], "ddl", run, p, e)) {
		jobs_free(p);
		return e->code;
	}
	p->n_threads = 1;
	*ret_p = p;
	return ERR_OK;
}

void jobs_free(struct jobs *p)
{
	if (!p)
		return;
	mutex_lock(&p->mtx);
	p->stop = true;
	cond_broadcast(&p->due);
	mutex_unlock(&p->mtx);
	for (int i = 0; i < p->n_threads; i++)
		thread_join(&p->threads[i]);
	free(p->threads);
	free(p->heap);
	cond_done(&p->due);
	cond_done(&p->idle);
	mutex_done(&p->mtx);
	free(p);
}

void job_init(struct job *j, struct jobs *p, int64_t (*fn)(void *arg), void *arg)
{
	*j = (struct job){.fn = fn, .arg = arg, .pool = p};
}

void job_wake(struct job *j, int64_t delay_ms)
{
	struct jobs *p = j->pool;

	mutex_lock(&p->mtx);
	if (j->stopped) {
		mutex_unlock(&p->mtx);
		return;
	}
	if (j->running) {
		j->again_ms = j->again ? MIN(j->again_ms, delay_ms) : delay_ms;
		j->again = true;
	} else {
		queue_locked(p, j, delay_ms);
	}
	mutex_unlock(&p->mtx);
}

void job_stop(struct job *j)
{
	struct jobs *p = j->pool;

	if (!p)
		return;
	mutex_lock(&p->mtx);
	j->stopped = true;
	if (j->heap_at)
		heap_remove(p, j);
	while (j->running)
		cond_wait(&p->idle, &p->mtx, DEADLINE_NEVER);
	mutex_unlock(&p->mtx);
}
