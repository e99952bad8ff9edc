#include "net/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/time.h"

enum { EVENTS_A_TURN = 64 };

/* ---- timers: a binary heap whose entries know their place ---- */

static void heap_put(struct loop *l, size_t i, struct loop_timer *t)
{
	l->heap[i - 1] = t;
	t->pos = i;
}

static void heap_up(struct loop *l, size_t i)
{
	struct loop_timer *t = l->heap[i - 1];
	for (; i > 1 && l->heap[i / 2 - 1]->at_ms > t->at_ms; i /= 2)
		heap_put(l, i, l->heap[i / 2 - 1]);
	heap_put(l, i, t);
}

static void heap_down(struct loop *l, size_t i)
{
	struct loop_timer *t = l->heap[i - 1];
	for (;;) {
		size_t kid = i * 2;
		if (kid > l->heap_n)
			break;
		if (kid < l->heap_n && l->heap[kid]->at_ms < l->heap[kid - 1]->at_ms)
			kid++;
		if (l->heap[kid - 1]->at_ms >= t->at_ms)
			break;
		heap_put(l, i, l->heap[kid - 1]);
		i = kid;
	}
	heap_put(l, i, t);
}

void loop_timer_del(struct loop *l, struct loop_timer *t)
{
	size_t i = t->pos;
	if (!i)
		return;
	t->pos = 0;
	struct loop_timer *last = l->heap[--l->heap_n];
	if (last == t)
		return;
	heap_put(l, i, last);
	heap_up(l, i);
	heap_down(l, last->pos);
}

void loop_timer_set(struct loop *l, struct loop_timer *t, int64_t at_ms)
{
	if (at_ms == INT64_MAX) {
		loop_timer_del(l, t);
		return;
	}
	t->at_ms = at_ms;
	if (!t->pos) {
		mem_grow(&l->heap, &l->heap_cap, l->heap_n + 1, sizeof(*l->heap));
		heap_put(l, ++l->heap_n, t);
	}
	heap_up(l, t->pos);
	heap_down(l, t->pos);
}

static void run_timers(struct loop *l)
{
	int64_t now = time_mono_ms();
	while (l->heap_n && l->heap[0]->at_ms <= now) {
		struct loop_timer *t = l->heap[0];
		loop_timer_del(l, t);
		t->fire(t);
	}
}

static int wait_ms(struct loop *l)
{
	if (!list_empty(&l->dirty))
		return 0;
	if (!l->heap_n)
		return -1;
	int64_t left = l->heap[0]->at_ms - time_mono_ms();
	return left < 0 ? 0 : (int)MIN(left, 60000);
}

/* ---- jobs ---- */

void loop_post_locked(struct loop *l, struct loop_job *j, unsigned ops)
{
	j->ops |= ops;
	if (j->queued)
		return;
	/* Whoever fills the empty queue wakes the thread; it pops until the queue is empty
	 * again. */
	bool wake = list_empty(&l->jobs);
	list_push(&l->jobs, &j->link);
	j->queued = true;
	uint64_t one = 1;
	if (wake && write(l->wake, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN);
}

void loop_post(struct loop *l, struct loop_job *j, unsigned ops)
{
	mutex_lock(&l->mtx);
	loop_post_locked(l, j, ops);
	mutex_unlock(&l->mtx);
}

void loop_unpost_locked(struct loop *l UNUSED, struct loop_job *j)
{
	if (!j->queued)
		return;
	list_del(&j->link);
	j->queued = false;
	j->ops = 0;
}

/* One job at a time leaves the queue: a run may end the owner of a job still queued. */
static bool run_jobs(struct loop *l)
{
	for (;;) {
		mutex_lock(&l->mtx);
		struct list *n = list_pop(&l->jobs);
		struct loop_job *j = n ? LIST_ITEM(n, struct loop_job, link) : NULL;
		unsigned ops = j ? j->ops : 0;
		if (j) {
			j->queued = false;
			j->ops = 0;
		}
		bool stopping = l->stopping;
		mutex_unlock(&l->mtx);
		if (!j)
			return !stopping;
		j->run(j, ops);
	}
}

/* ---- descriptors ---- */

void loop_fd_init(struct loop_fd *f)
{
	f->fd = -1;
	list_init(&f->dirty);
	list_init(&f->dead);
}

enum err_code loop_fd_add(struct loop *l, struct loop_fd *f, uint32_t events, struct err *e)
{
	struct epoll_event ev = {.events = events, .data.ptr = f};
	if (epoll_ctl(l->ep, EPOLL_CTL_ADD, f->fd, &ev))
		return err_errno(e, errno, "epoll add");
	f->events = events;
	return ERR_OK;
}

void loop_fd_events(struct loop *l, struct loop_fd *f, uint32_t events)
{
	if (f->fd < 0 || f->events == events)
		return;
	struct epoll_event ev = {.events = events, .data.ptr = f};
	int r = epoll_ctl(l->ep, EPOLL_CTL_MOD, f->fd, &ev);
	assert(r == 0);
	(void)r;
	f->events = events;
}

void loop_fd_dirty(struct loop *l, struct loop_fd *f)
{
	if (list_empty(&f->dirty) && list_empty(&f->dead))
		list_push(&l->dirty, &f->dirty);
}

void loop_fd_retire(struct loop *l, struct loop_fd *f)
{
	assert(list_empty(&f->dead));
	list_del(&f->dirty);
	list_push(&l->dead, &f->dead);
	if (f->fd >= 0) {
		/* A process forked meanwhile may hold a copy, which would keep the registration
		 * alive. */
		epoll_ctl(l->ep, EPOLL_CTL_DEL, f->fd, NULL);
		close(f->fd);
	}
	f->fd = -1;
}

static void run_flushes(struct loop *l)
{
	struct list now;
	list_init(&now);
	list_splice(&now, &l->dirty);
	for (struct list *n; (n = list_pop(&now));) {
		struct loop_fd *f = LIST_ITEM(n, struct loop_fd, dirty);
		f->flush(f);
	}
}

static void run_frees(struct loop *l)
{
	for (struct list *n; (n = list_pop(&l->dead));) {
		struct loop_fd *f = LIST_ITEM(n, struct loop_fd, dead);
		f->free(f);
	}
}

/* ---- the thread ---- */

static void run_ready(struct loop *l, const struct epoll_event *ev, int n)
{
	for (int i = 0; i < n; i++) {
		struct loop_fd *f = ev[i].data.ptr;
		uint64_t count;
		if (f && f->fd >= 0)
			f->ready(f, ev[i].events);
		else if (!f && read(l->wake, &count, sizeof(count)) < 0)
			assert(errno == EAGAIN);
	}
}

static void run(void *arg)
{
	struct loop *l = arg;
	struct epoll_event ev[EVENTS_A_TURN];

	for (bool on = true; on;) {
		thread_waits(true);
		int n = epoll_wait(l->ep, ev, EVENTS_A_TURN, wait_ms(l));
		thread_waits(false);
		run_ready(l, ev, n);
		on = run_jobs(l);
		run_timers(l);
		run_flushes(l);
		run_frees(l);
	}
}

static void loop_done(struct loop *l)
{
	if (l->ep >= 0)
		close(l->ep);
	if (l->wake >= 0)
		close(l->wake);
	free(l->heap);
	free(l->read_buf);
	mutex_done(&l->mtx);
}

enum err_code loop_start(struct loop *l, const char *role, struct err *e)
{
	*l = (struct loop){.read_buf = xmalloc(LOOP_READ_BYTES)};
	mutex_init(&l->mtx, role);
	list_init(&l->jobs);
	list_init(&l->dirty);
	list_init(&l->dead);
	l->ep = epoll_create1(EPOLL_CLOEXEC);
	l->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
	if (l->ep < 0 || l->wake < 0 || epoll_ctl(l->ep, EPOLL_CTL_ADD, l->wake, &ev)) {
		err_errno(e, errno, "event loop %s", role);
		loop_done(l);
		return ERR_SYSTEM;
	}
	enum err_code code = thread_start(&l->thread, role, run, l, e);
	if (code)
		loop_done(l);
	return code;
}

void loop_stop(struct loop *l)
{
	uint64_t one = 1;

	mutex_lock(&l->mtx);
	l->stopping = true;
	mutex_unlock(&l->mtx);
	if (write(l->wake, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN);
	thread_join(&l->thread);
	loop_done(l);
}
