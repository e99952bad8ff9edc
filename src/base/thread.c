#include "base/thread.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { STACK_BYTES = 1 << 20 };

static void *run(void *arg)
{
	struct thread *t = arg;
	pthread_setname_np(pthread_self(), t->name);
	t->fn(t->arg);
	return NULL;
}

enum err_code thread_start(
	struct thread *t, const char *role, void (*fn)(void *arg), void *arg, struct err *e)
{
	*t = (struct thread){.fn = fn, .arg = arg};
	snprintf(t->name, sizeof(t->name), "%s", role);

	pthread_attr_t attr;
	sigset_t all, old;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
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
