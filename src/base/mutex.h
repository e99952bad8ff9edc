/* A mutex that knows its name, and a condition on the monotonic clock. Nothing blocks under a lock:
 * no I/O, no log, no callback. Functions named *_locked carry REQUIRES(x->mtx). The names are not
 * mtx_*: those are C11's, and an executable that defines them overrides libc's for every library it
 * loads (librdkafka locks with them). tools/lint compares all our names with the libraries'. */
#pragma once

#include <pthread.h>

#include "base/defs.h"
#include "base/time.h"

struct CAPABILITY("mutex") mutex {
	pthread_mutex_t m;
	const char *name;
};

struct cond {
	pthread_cond_t c;
};

void mutex_init(struct mutex *m, const char *name);
void mutex_done(struct mutex *m);
void mutex_lock(struct mutex *m) ACQUIRES(*m);
void mutex_unlock(struct mutex *m) RELEASES(*m);

void cond_init(struct cond *c);
void cond_done(struct cond *c);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);
/* Waits until signalled or d; false when d has passed. */
bool cond_wait(struct cond *c, struct mutex *m, struct deadline d) REQUIRES(*m);
