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

/* The calling thread waits from now on, for as long as it likes, or it goes on. cond_wait says it by
 * itself; other calls that may take long are put between the two. Nothing on threads that
 * thread_start did not start. */
void thread_waits(bool yes);
/* A thread that has done nothing but one thing for ms, without waiting: it spins, or hangs in a lock
 * or a call that should have ended. ret_role is its name. @thread any */
bool thread_stuck(int64_t ms, char ret_role[16]);
