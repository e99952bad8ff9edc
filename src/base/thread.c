#include "base/thread.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/time.h"

enum { STACK_BYTES = 1 << 20 };

/* A running thread in the list of all. Not in struct thread: one that is detached may free that. */
struct life {
	struct list link;
	int64_t busy_since; /* monotonic ms, 0 while it waits; read and written with __atomic */
	char role[16];
};

/* A plain lock: the checked one tells us of its waits. */
static pthread_mutex_t threads_mtx = PTHREAD_MUTEX_INITIALIZER;
static struct list threads = {&threads, &threads};
static __thread struct life *own_life;

static void *run(void *arg)
{
	struct thread *t = arg;
	CLEANUP(freep) struct life *life = xcalloc(1, sizeof(*life));

	pthread_setname_np(pthread_self(), t->name);
	snprintf(life->role, sizeof(life->role), "%s", t->name);
	own_life = life;
	thread_waits(false);
	pthread_mutex_lock(&threads_mtx);
	list_push(&threads, &life->link);
	pthread_mutex_unlock(&threads_mtx);
	t->fn(t->arg);
	pthread_mutex_lock(&threads_mtx);
	list_del(&life->link);
	pthread_mutex_unlock(&threads_mtx);
	own_life = NULL;
	return NULL;
}

void thread_waits(bool yes)
{
	if (own_life)
		__atomic_store_n(&own_life->busy_since, yes ? 0 : time_mono_ms(), __ATOMIC_RELAXED);
}

bool thread_stuck(int64_t ms, char ret_role[16])
{
	int64_t now = time_mono_ms();
	bool found = false;

	pthread_mutex_lock(&threads_mtx);
	list_foreach (it, &threads) {
		const struct life *l = LIST_ITEM(it, struct life, link);
		int64_t since = __atomic_load_n(&l->busy_since, __ATOMIC_RELAXED);
		if (!found && since && now - since > ms) {
			snprintf(ret_role, sizeof(l->role), "%s", l->role);
			found = true;
		}
	}
	pthread_mutex_unlock(&threads_mtx);
	return found;
}

enum err_code thread_start(
	struct thread *t, const char *role, void (*fn)(void *arg), void *arg, struct err *e)
{
	*t = (struct thread){.fn = fn, .arg = arg};
	snprintf(t->name, sizeof(t->name), "%s", role);

	pthread_attr_t attr;
	sigset_t every, old;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&every);
	pthread_sigmask(SIG_SETMASK, &every, &old);
	int r = pthread_create(&t->id, &attr, run, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (r)
		return err_errno(e, r, "start thread %s", role);
	t->started = true;
	return ERR_OK;
}

void thread_join(struct thread *t)
{
	if (!t->started)
		return;
	pthread_join(t->id, NULL);
	t->started = false;
}
