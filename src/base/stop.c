#include "base/stop.h"

void stop_init(struct stop *s, struct stop *parent)
{
	mutex_init(&s->mtx, "stop");
	cond_init(&s->cond);
	s->parent = parent;
	list_init(&s->link);
	list_init(&s->children);
	list_init(&s->watches);
	__atomic_store_n(&s->set, false, __ATOMIC_RELEASE);
	if (!parent)
		return;
	mutex_lock(&parent->mtx);
	list_push(&parent->children, &s->link);
	__atomic_store_n(&s->set, stop_is_set(parent), __ATOMIC_RELEASE);
	mutex_unlock(&parent->mtx);
}

void stop_done(struct stop *s)
{
	if (s->parent) {
		mutex_lock(&s->parent->mtx);
		list_del(&s->link);
		mutex_unlock(&s->parent->mtx);
	}
	cond_done(&s->cond);
	mutex_done(&s->mtx);
}

/* Locks go from parent to child and from token to watcher, never back. */
void stop_set(struct stop *s)
{
	mutex_lock(&s->mtx);
	__atomic_store_n(&s->set, true, __ATOMIC_RELEASE);
	cond_broadcast(&s->cond);
	list_foreach (it, &s->watches) {
		struct stop_watch *w = LIST_ITEM(it, struct stop_watch, link);
		mutex_lock(w->mtx);
		cond_broadcast(w->cond);
		mutex_unlock(w->mtx);
	}
	list_foreach (it, &s->children)
		stop_set(LIST_ITEM(it, struct stop, link));
	mutex_unlock(&s->mtx);
}

bool stop_is_set(const struct stop *s)
{
	return __atomic_load_n(&s->set, __ATOMIC_ACQUIRE);
}

bool stop_sleep(struct stop *s, int64_t ms)
{
	struct deadline d = deadline_in(ms);

	mutex_lock(&s->mtx);
	while (!stop_is_set(s) && cond_wait(&s->cond, &s->mtx, d))
		;
	mutex_unlock(&s->mtx);
	return stop_is_set(s);
}

void stop_watch_add(struct stop *s, struct stop_watch *w, struct mutex *mtx, struct cond *cond)
{
	w->mtx = mtx;
	w->cond = cond;
	mutex_lock(&s->mtx);
	list_push(&s->watches, &w->link);
	mutex_unlock(&s->mtx);
}

void stop_watch_del(struct stop *s, struct stop_watch *w)
{
	mutex_lock(&s->mtx);
	list_del(&w->link);
	mutex_unlock(&s->mtx);
}

enum err_code stop_err(struct err *e)
{
	return err_set(e, ERR_CANCELLED, "cancelled: the task or the server is stopping");
}
