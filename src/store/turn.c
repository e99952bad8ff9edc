#include "store/turn.h"

void turn_init(struct turn *t, const char *name)
{
	mutex_init(&t->mtx, name);
	cond_init(&t->cond);
	t->taken = false;
}

void turn_done(struct turn *t)
{
	cond_done(&t->cond);
	mutex_done(&t->mtx);
}

enum err_code turn_take(struct turn *t, struct stop *s, struct err *e)
{
	struct stop_watch w;

	stop_watch_add(s, &w, &t->mtx, &t->cond);
	mutex_lock(&t->mtx);
	while (t->taken && !stop_is_set(s))
		cond_wait(&t->cond, &t->mtx, DEADLINE_NEVER);
	bool ok = !stop_is_set(s);
	t->taken = ok ? true : t->taken;
	mutex_unlock(&t->mtx);
	stop_watch_del(s, &w);
	return ok ? ERR_OK : stop_err(e);
}

void turn_give(struct turn *t)
{
	mutex_lock(&t->mtx);
	t->taken = false;
	/* All: a waiter whose token is set would swallow a single signal. */
	cond_broadcast(&t->cond);
	mutex_unlock(&t->mtx);
}
