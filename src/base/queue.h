/* A bounded queue between threads. What is pushed belongs to the popper. */
#pragma once

#include "base/defs.h"
#include "base/err.h"
#include "base/mutex.h"
#include "base/stop.h"

struct queue {
	struct mutex mtx;
	struct cond not_full, not_empty;
	void **ring;
	size_t cap, head, count;
	bool closed;
};

void queue_init(struct queue *q, size_t cap_items, const char *name);
/* Items still inside are the caller's: pop them first. */
void queue_done(struct queue *q);
/* Waits for room; CANCELLED when s is set or the queue is closed (item stays the caller's). */
NODISCARD enum err_code queue_push(struct queue *q, void *item, struct stop *s, struct err *e);
/* The oldest item; NULL when d passed, s is set, or the queue is closed and empty. s may be
 * NULL. */
void *queue_pop(struct queue *q, struct deadline d, struct stop *s);
size_t queue_count(struct queue *q);
/* No more pushes; poppers get what is left, then NULL. */
void queue_close(struct queue *q);
