/* A pool of threads for work that blocks on a target: one job an object (a collection, an
 * operation), never two runs of one job at a time. A job's function does one step and says when the
 * next is due, so that a stuck object occupies a thread only while it waits for an answer. Each
 * target session has a pool of its own: one that hangs holds up nobody else. Threads are started
 * when they are needed, up to the given number. */
#pragma once

#include "base/defs.h"
#include "base/err.h"

struct jobs;

struct job {
	/* One step; returns the delay in ms until the next, or JOB_IDLE. */
	int64_t (*fn)(void *arg);
	void *arg;
	/* The pool's, under its lock */
	struct jobs *pool;
	int64_t due_ms;
	size_t heap_at; /* index + 1, 0 = not queued */
	bool running, again, stopped;
	int64_t again_ms;
};

enum { JOB_IDLE = -1 };

/* most: threads. */
NODISCARD enum err_code jobs_new(int most, struct jobs **ret_p, struct err *e);
/* All jobs must be stopped. */
void jobs_free(struct jobs *p);

void job_init(struct job *j, struct jobs *p, int64_t (*fn)(void *arg), void *arg);
/* Runs it in delay_ms at the latest. Any thread, also from within the job. */
void job_wake(struct job *j, int64_t delay_ms);
/* When it returns the job does not run and never will again. Not from within the job. */
void job_stop(struct job *j);
