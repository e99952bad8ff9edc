/* A mutex that knows its name, and a condition on the monotonic clock. Nothing blocks under a
 * lock: no I/O, no log, no callback. Functions named *_locked carry REQUIRES(x->mtx). */
#pragma once

#include <pthread.h>

#include "base/defs.h"
#include "base/time.h"

struct CAPABILITY("mutex") mtx {
	pthread_mutex_t m;
	const char *name;
};

struct cond {
	pthread_cond_t c;
};

void mtx_init(struct mtx *m, const char *name);
void mtx_done(struct mtx *m);
void mtx_lock(struct mtx *m) ACQUIRES(*m);
void mtx_unlock(struct mtx *m) RELEASES(*m);

void cond_init(struct cond *c);
void cond_done(struct cond *c);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);
/* Waits until signalled or d; false when d has passed. */
bool cond_wait(struct cond *c, struct mtx *m, struct deadline d) REQUIRES(*m);
