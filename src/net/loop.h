/* The I/O thread's event loop: an epoll set, timers, jobs posted by other threads and descriptors
 * whose output is flushed once a turn.
 *
 * Everything but loop_post* and the mutex belongs to the I/O thread. A turn is: ready descriptors,
 * jobs, timers, flushes, frees. What a callback retires is freed at the end of the turn, so no
 * callback finds itself freed below its feet. */
#pragma once

#include "base/defs.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mutex.h"
#include "base/thread.h"

struct loop;

/* Something to do on the I/O thread. ops are the owner's own bits; posts of one job that meet in
 * the queue become one run with all their bits. */
struct loop_job {
	struct list link;
	unsigned ops;
	bool queued;
	void (*run)(struct loop_job *j, unsigned ops);
};

struct loop_timer {
	int64_t at_ms;
	size_t pos; /* in the heap, from 1; 0 = not set */
	void (*fire)(struct loop_timer *t);
};

struct loop_fd {
	int fd; /* -1 = none or retired */
	uint32_t events;
	struct list dirty, dead;
	void (*ready)(struct loop_fd *f, uint32_t events);
	void (*flush)(struct loop_fd *f);
	void (*free)(struct loop_fd *f);
};

enum { LOOP_READ_BYTES = 64 << 10 };

struct loop {
	struct mutex mtx; /* also guards the results that callers wait for */
	struct list jobs;
	bool stopping;

	int ep, wake;
	struct loop_timer **heap;
	size_t heap_n, heap_cap;
	struct list dirty, dead;
	uint8_t *read_buf; /* scratch of LOOP_READ_BYTES for whoever reads now */
	struct thread thread;
};

NODISCARD enum err_code loop_start(struct loop *l, const char *role, struct err *e);
/* Ends the thread; no descriptor or timer may be left. */
void loop_stop(struct loop *l);

/* @thread any */
void loop_post(struct loop *l, struct loop_job *j, unsigned ops);
void loop_post_locked(struct loop *l, struct loop_job *j, unsigned ops) REQUIRES(l->mtx);
/* Takes the job out of the queue, so that its owner can go. */
void loop_unpost_locked(struct loop *l, struct loop_job *j) REQUIRES(l->mtx);

/* All below: @thread I/O */
void loop_timer_set(struct loop *l, struct loop_timer *t, int64_t at_ms);
void loop_timer_del(struct loop *l, struct loop_timer *t);

void loop_fd_init(struct loop_fd *f);
NODISCARD enum err_code loop_fd_add(
	struct loop *l, struct loop_fd *f, uint32_t events, struct err *e);
void loop_fd_events(struct loop *l, struct loop_fd *f, uint32_t events);
/* f->flush runs at the end of this turn. */
void loop_fd_dirty(struct loop *l, struct loop_fd *f);
/* Takes f out of the set and closes it; f->free runs at the end of the turn. */
void loop_fd_retire(struct loop *l, struct loop_fd *f);
