/* Threads with a role. The closed list of roles is in docs/threads.md. */
#pragma once

#include <pthread.h>

#include "base/defs.h"
#include "base/err.h"

struct thread {
	pthread_t id;
	bool started;
	void (*fn)(void *arg);
	void *arg;
	char name[16];
};

/* Starts fn(arg) on a thread named role (15 characters are kept) with all signals blocked.
 * t must stay where it is until thread_join. */
NODISCARD enum err_code thread_start(
	struct thread *t, const char *role, void (*fn)(void *arg), void *arg, struct err *e);
/* Waits for the end; nothing if it was never started. */
void thread_join(struct thread *t);
