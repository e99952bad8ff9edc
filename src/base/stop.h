/* The stop token: set once, never cleared; children stop with their parent. Whoever waits on a
 * condition of its own registers a watch, so that setting the token wakes it at once. */
#pragma once

#include "base/defs.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mutex.h"

struct stop {
	struct mutex mtx;
	struct cond cond;
	bool set; /* read and written with __atomic */
	struct stop *parent;
	struct list link;     /* in parent->children, under parent->mtx */
	struct list children; /* under mtx */
	struct list watches;  /* under mtx */
};

/* A condition to be woken when the token is set. wake is called without stop's own lock order
 * constraints on the caller: it takes *mtx, broadcasts *cond and releases *mtx. */
struct stop_watch {
	struct list link;
	struct mutex *mtx;
	struct cond *cond;
};

/* parent may be NULL; it must outlive s. */
void stop_init(struct stop *s, struct stop *parent);
void stop_done(struct stop *s);
void stop_set(struct stop *s);
bool stop_is_set(const struct stop *s);

/* Waits ms or until the token is set; true when it is set. @locks none */
bool stop_sleep(struct stop *s, int64_t ms);

/* Between add and del, *mtx must not be held by the caller of stop_set. */
void stop_watch_add(struct stop *s, struct stop_watch *w, struct mutex *mtx, struct cond *cond);
void stop_watch_del(struct stop *s, struct stop_watch *w);

/* ERR_CANCELLED with a text. */
enum err_code stop_err(struct err *e);
