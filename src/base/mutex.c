#include "base/mutex.h"

#include <assert.h>
#include <errno.h>

#include "base/thread.h"

void mutex_init(struct mutex *m, const char *name)
{
	m->name = name;
	pthread_mutex_init(&m->m, NULL);
}

void mutex_done(struct mutex *m)
{
	pthread_mutex_destroy(&m->m);
}

void mutex_lock(struct mutex *m) NO_TSA
{
	int r = pthread_mutex_lock(&m->m);
	assert(r == 0);
	(void)r;
}

void mutex_unlock(struct mutex *m) NO_TSA
{
	int r = pthread_mutex_unlock(&m->m);
	assert(r == 0);
	(void)r;
}

void cond_init(struct cond *c)
{
	pthread_condattr_t a;
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&c->c, &a);
	pthread_condattr_destroy(&a);
}

void cond_done(struct cond *c)
{
	pthread_cond_destroy(&c->c);
}

void cond_signal(struct cond *c)
{
	pthread_cond_signal(&c->c);
}

void cond_broadcast(struct cond *c)
{
	pthread_cond_broadcast(&c->c);
}

bool cond_wait(struct cond *c, struct mutex *m, struct deadline d)
{
	struct timespec ts = deadline_timespec(d);
	thread_waits(true);
	int r = pthread_cond_timedwait(&c->c, &m->m, &ts);
	thread_waits(false);
	return r != ETIMEDOUT;
}
