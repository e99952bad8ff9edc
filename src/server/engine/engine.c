#include "server/engine/engine.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "metrics/metrics.h"
#include "server/engine/engine_priv.h"
#include "server/task/run.h"
#include "server/target/target.h"

/* Longer than any request about a task takes while its peers behave. */
enum { BUSY_MS = 60000 };

static const char starting[] = "its stored tasks are being loaded";

/* ---- the list ---- */

struct etask *engine_find_locked(struct engine *en, const char *id)
{
	for (size_t i = 0; i < en->n; i++)
		if (strcmp(en->tasks[i]->task->id, id) == 0)
			return en->tasks[i];
	return NULL;
}

enum err_code engine_absent_locked(struct engine *en, const char *id, struct err *e)
{
	if (!en->loaded)
		return err_set(e, ERR_SYSTEM, "the server is starting: %s", en->loading);
	return err_set(e, ERR_NOT_FOUND, "not found the task, task_id: %s", id);
}

enum err_code engine_acquire(struct engine *en, const char *id, struct etask **ret, struct err *e)
{
	struct deadline d = deadline_in(BUSY_MS);
	struct stop_watch w;
	enum err_code code = ERR_OK;

	stop_watch_add(&en->stop, &w, &en->mtx, &en->cond);
	mutex_lock(&en->mtx);
	struct etask *t = engine_find_locked(en, id);
	while (t && t->busy && !stop_is_set(&en->stop) && cond_wait(&en->cond, &en->mtx, d))
		t = engine_find_locked(en, id);
	if (stop_is_set(&en->stop))
		code = stop_err(e);
	else if (!t)
		code = engine_absent_locked(en, id, e);
	else if (t->busy)
		code = err_set(e, ERR_BUSY,
			"another request works on the task, task_id: %s. Try again later", id);
	else
		t->busy = true;
	mutex_unlock(&en->mtx);
	stop_watch_del(&en->stop, &w);
	*ret = t;
	return code;
}

void engine_release(struct engine *en, struct etask *t)
{
	mutex_lock(&en->mtx);
	t->busy = t->hidden = false;
	cond_broadcast(&en->cond);
	mutex_unlock(&en->mtx);
}

struct etask *engine_add(struct engine *en, struct task *task, bool hidden)
{
	struct etask *t = xcalloc(1, sizeof(*t));
	struct err e = ERR_INIT;

	t->task = task;
	t->busy = true;
	t->hidden = hidden;
	/* The session stays while the task exists, so that the target's channels go on ticking. */
	if (target_get(en->sv.targets, task, &t->target, &e))
		log_error(en->sv.log, "task %s: target: %s", task->id, e.text);
	mutex_lock(&en->mtx);
	mem_grow(&en->tasks, &en->cap, en->n + 1, sizeof(struct etask *));
	en->tasks[en->n++] = t;
	mutex_unlock(&en->mtx);
	return t;
}

void engine_take_out(struct engine *en, struct etask *t)
{
	mutex_lock(&en->mtx);
	for (size_t i = 0; i < en->n; i++) {
		if (en->tasks[i] != t)
			continue;
		en->tasks[i] = en->tasks[--en->n];
		break;
	}
	/* Under the lock: another task of this id can begin as soon as it is free, while the target
	 * is still being left, and its series are not ours to drop. */
	metrics_drop("task_id", t->task->id);
	cond_broadcast(&en->cond);
	mutex_unlock(&en->mtx);
	target_put(t->target, ENGINE_STOP_MS);
	task_free(t->task);
	free(t->findings);
	free(t);
}

void engine_set_task(struct engine *en, struct etask *t, enum task_state s, const char *reason)
{
	char *text = xstrdup(reason);
	mutex_lock(&en->mtx);
	free(t->task->reason);
	t->task->reason = text;
	t->task->state = s;
	mutex_unlock(&en->mtx);
	log_info(en->sv.log, "task %s is %s%s%s", t->task->id, task_state_name(s),
		*reason ? ": " : "", reason);
}

static int by_id(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char **engine_ids(struct engine *en, size_t *ret_n)
{
	mutex_lock(&en->mtx);
	size_t n = en->n;
	char **ids = xcalloc(n + 1, sizeof(char *));
	for (size_t i = 0; i < n; i++)
		ids[i] = xstrdup(en->tasks[i]->task->id);
	mutex_unlock(&en->mtx);
	qsort(ids, n, sizeof(char *), by_id);
	*ret_n = n;
	return ids;
}

/* ---- runs ---- */

struct run *engine_pin_locked(struct etask *t)
{
	t->readers += t->run != NULL;
	return t->run;
}

void engine_unpin(struct engine *en, struct etask *t)
{
	mutex_lock(&en->mtx);
	if (--t->readers == 0)
		cond_broadcast(&en->cond);
	mutex_unlock(&en->mtx);
}

enum err_code engine_start_run(struct engine *en, struct etask *t, struct err *e)
{
	struct store_positions *pos = NULL;
	size_t n = 0;

	if (run_stored(&en->sv, t->task->id, &en->stop, &pos, &n, e)) {
		err_ctx(e, "fail to get the task collection position");
		e->code = ERR_SYSTEM;
		return e->code;
	}
	struct run *run = NULL;
	enum err_code code = run_start(&en->sv, t->task, pos, n, &run, e);
	store_positions_free(pos, n);
	if (code)
		return code;
	mutex_lock(&en->mtx);
	t->run = run;
	mutex_unlock(&en->mtx);
	return ERR_OK;
}

void engine_stop_run(struct engine *en, struct etask *t, int64_t patience_ms)
{
	mutex_lock(&en->mtx);
	struct run *run = t->run;
	t->run = NULL;
	while (t->readers) /* of its status: they block on nothing */
		cond_wait(&en->cond, &en->mtx, DEADLINE_NEVER);
	mutex_unlock(&en->mtx);
	run_stop(run, patience_ms);
}

enum err_code engine_persist_state(struct engine *en, struct etask *t, enum task_state s,
	const char *reason, bool user_paused, struct err *e)
{
	CLEANUP(task_freep) struct task *copy = task_copy(t->task);

	copy->state = s;
	copy->user_paused = user_paused;
	free(copy->reason);
	copy->reason = xstrdup(reason);
	if (store_put_task(en->sv.store, copy, &en->stop, e)) {
		err_ctx(e, "fail to update the task state, task_id: %s", t->task->id);
		return e->code = ERR_SYSTEM;
	}
	mutex_lock(&en->mtx);
	t->task->user_paused = user_paused;
	mutex_unlock(&en->mtx);
	return ERR_OK;
}

struct msglog *engine_msglog(struct engine *en)
{
	return &en->msglog;
}

/* ---- the whole ---- */

enum err_code engine_new(const struct services *sv, struct engine **ret_e, struct err *e)
{
	struct engine *en = xcalloc(1, sizeof(*en));

	(void)e;
	en->sv = *sv;
	en->started_mono_ms = time_mono_ms();
	snprintf(en->loading, sizeof(en->loading), "%s", starting);
	mutex_init(&en->mtx, "engine");
	cond_init(&en->cond);
	stop_init(&en->stop, NULL);
	msglog_init(&en->msglog);
	*ret_e = en;
	return ERR_OK;
}

enum err_code engine_start(struct engine *en, struct err *e)
{
	if (engine_watch_start(en, e) || engine_verify_start(en, e))
		return e->code;
	return thread_start(&en->loader, "engine", engine_load, en, e);
}

void engine_cancel(struct engine *en)
{
	stop_set(&en->stop);
}

void engine_stop(struct engine *en, int64_t patience_ms)
{
	struct deadline d = deadline_in(patience_ms);

	engine_cancel(en);
	thread_join(&en->loader);
	thread_join(&en->verifier);
	engine_watch_stop(en);
	for (size_t i = 0; i < en->n; i++)
		engine_stop_run(en, en->tasks[i], deadline_left_ms(d));
}

void engine_free(struct engine *en)
{
	if (!en)
		return;
	while (en->n)
		engine_take_out(en, en->tasks[0]);
	free(en->tasks);
	stop_done(&en->stop);
	cond_done(&en->cond);
	mutex_done(&en->mtx);
	msglog_done(&en->msglog);
	free(en);
}
