#include "base/queue.h"

#include <stdlib.h>

#include "base/mem.h"

void queue_init(struct queue *q, size_t cap_items, const char *name)
{
	*q = (struct queue){.cap = cap_items, .ring = xcalloc(cap_items, sizeof(void *))};
	mutex_init(&q->mtx, name);
	cond_init(&q->not_full);
	cond_init(&q->not_empty);
}

void queue_done(struct queue *q)
{
	free(q->ring);
	cond_done(&q->not_full);
	cond_done(&q->not_empty);
	mutex_done(&q->mtx);
}

enum err_code queue_push(struct queue *q, void *item, struct stop *s, struct err *e)
{
	struct stop_watch w;
	bool done = false;

	stop_watch_add(s, &w, &q->mtx, &q->not_full);
	mutex_lock(&q->mtx);
	while (q->count == q->cap && !q->closed && !stop_is_set(s))
		cond_wait(&q->not_full, &q->mtx, DEADLINE_NEVER);
	if (q->count < q->cap && !q->closed && !stop_is_set(s)) {
		q->ring[(q->head + q->count++) % q->cap] = item;
		cond_signal(&q->not_empty);
		done = true;
	}
	mutex_unlock(&q->mtx);
	stop_watch_del(s, &w);
	return done ? ERR_OK : stop_err(e);
}

static void *take_locked(struct queue *q) REQUIRES(q->mtx)
{
	void *item = q->ring[q->head];
	q->head = (q->head + 1) % q->cap;
	q->count--;
	cond_signal(&q->not_full);
	return item;
}

void *queue_pop(struct queue *q, struct deadline d, struct stop *s)
{
	struct stop_watch w;
	void *item = NULL;

	if (s)
		stop_watch_add(s, &w, &q->mtx, &q->not_empty);
	mutex_lock(&q->mtx);
	while (!q->count && !q->closed && !(s && stop_is_set(s)))
		if (!cond_wait(&q->not_empty, &q->mtx, d))
			break;
	if (q->count && !(s && stop_is_set(s)))
		item = take_locked(q);
	mutex_unlock(&q->mtx);
	if (s)
		stop_watch_del(s, &w);
	return item;
}

size_t queue_count(struct queue *q)
{
	mutex_lock(&q->mtx);
	size_t n = q->count;
	mutex_unlock(&q->mtx);
	return n;
}

void queue_close(struct queue *q)
{
	mutex_lock(&q->mtx);
	q->closed = true;
	cond_broadcast(&q->not_full);
	cond_broadcast(&q->not_empty);
	mutex_unlock(&q->mtx);
}
