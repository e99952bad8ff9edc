#include "server/engine.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/retry.h"
#include "base/str.h"
#include "base/thread.h"
#include "metrics/metrics.h"
#include "model/ts.h"
#include "server/config.h"
#include "server/engine_priv.h"
#include "server/run.h"
#include "server/target.h"
#include "store/writer.h"

enum { STOP_MS = 5000, FIRST_MS = 500, MOST_MS = 5000 };

static const char manual_pause[] = "manually pause through http interface";
static const char auto_start_off[] = "the task is disabled auto start";

/* ---- the list ---- */

static struct etask *find_locked(struct engine *en, const char *id)
{
	for (size_t i = 0; i < en->n; i++)
		if (strcmp(en->tasks[i]->task->id, id) == 0)
			return en->tasks[i];
	return NULL;
}

/* The task for one request: others about it wait. NOT_FOUND or what the engine waits for. */
static enum err_code acquire(struct engine *en, const char *id, struct etask **ret, struct err *e)
{
	enum err_code code = ERR_OK;

	mutex_lock(&en->mtx);
	struct etask *t = find_locked(en, id);
	while (t && t->busy) {
		cond_wait(&en->cond, &en->mtx, DEADLINE_NEVER);
		t = find_locked(en, id);
	}
	if (t)
		t->busy = true;
	else if (!en->loaded)
		code = err_set(e, ERR_SYSTEM, "the server is starting: %s", en->loading);
	else
		code = err_set(e, ERR_NOT_FOUND, "not found the task, task_id: %s", id);
	mutex_unlock(&en->mtx);
	*ret = t;
	return code;
}

static void release(struct engine *en, struct etask *t)
{
	mutex_lock(&en->mtx);
	t->busy = false;
	cond_broadcast(&en->cond);
	mutex_unlock(&en->mtx);
}

static void add(struct engine *en, struct etask *t)
{
	mutex_lock(&en->mtx);
	mem_grow(&en->tasks, &en->cap, en->n + 1, sizeof(struct etask *));
	en->tasks[en->n++] = t;
	mutex_unlock(&en->mtx);
}

static void take_out(struct engine *en, struct etask *t)
{
	mutex_lock(&en->mtx);
	for (size_t i = 0; i < en->n; i++) {
		if (en->tasks[i] != t)
			continue;
		en->tasks[i] = en->tasks[--en->n];
		break;
	}
	cond_broadcast(&en->cond);
	mutex_unlock(&en->mtx);
	target_put(t->target, STOP_MS);
	task_free(t->task);
	free(t);
}

static void set_task(struct engine *en, struct etask *t, enum task_state s, const char *reason)
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

/* ---- start and stop of runs ---- */

static enum err_code start_run(struct engine *en, struct etask *t, struct err *e)
{
	struct store_positions *pos = NULL;
	size_t n = 0;

	if (en->sv.store->ops->positions(en->sv.store, t->task->id, &en->stop, &pos, &n, e)) {
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

static void stop_run(struct engine *en, struct etask *t, int64_t patience_ms)
{
	mutex_lock(&en->mtx);
	struct run *run = t->run;
	t->run = NULL;
	mutex_unlock(&en->mtx);
	run_stop(run, patience_ms);
}

static struct etask *etask_new(struct engine *en, struct task *t)
{
	struct etask *et = xcalloc(1, sizeof(*et));
	struct err e = ERR_INIT;

	et->task = t;
	et->busy = true;
	/* The session stays while the task exists, so that the target's channels go on ticking. */
	if (target_get(en->sv.targets, t, &et->target, &e))
		log_error(en->sv.log, "task %s: target: %s", t->id, e.text);
	return et;
}

/* ---- requests ---- */

static enum err_code api_check_target(void *arg, const struct task *t, struct err *e)
{
	struct engine *en = arg;

	if (*t->kafka.address)
		return err_set(e, ERR_UNSUPPORTED,
			"fail to connect the kafka: this version replicates to Milvus targets "
			"only");
	enum err_code code = target_check(en->sv.targets, t, e);
	return code ? (e->code = ERR_SYSTEM) : ERR_OK;
}

static enum err_code put_new(struct engine *en, const struct task *t,
	const struct store_positions *pos, size_t n, struct err *e)
{
	struct store_batch b = {.task = t, .positions = pos, .n_positions = n};
	if (en->sv.store->ops->write(en->sv.store, &b, &en->stop, e)) {
		err_ctx(e, "fail to put the task info to etcd");
		return e->code = ERR_SYSTEM;
	}
	return ERR_OK;
}

static enum err_code create(struct engine *en, struct task *t, const struct store_positions *given,
	size_t n_given, struct buf *warnings, struct err *e)
{
	struct store_positions *pos = xcalloc(n_given + 1, sizeof(*pos));
	size_t n = 0;

	for (; n < n_given; n++)
		store_positions_copy(&pos[n], &given[n]);
	t->state = TASK_RUNNING;
	enum err_code code = run_resolve_start(&en->sv, t, &pos, &n, warnings, e);
	if (!code)
		code = put_new(en, t, pos, n, e);
	store_positions_free(pos, n);
	if (code) {
		task_free(t);
		return code;
	}
	struct etask *et = etask_new(en, t);
	add(en, et);
	code = start_run(en, et, e);
	if (code) {
		struct err ignored = ERR_INIT;
		if (en->sv.store->ops->task_delete(en->sv.store, t->id, &en->stop, &ignored))
			log_error(en->sv.log, "task %s could not be taken back: %s", t->id,
				ignored.text);
		take_out(en, et);
		return code;
	}
	set_task(en, et, TASK_RUNNING, "");
	release(en, et);
	return ERR_OK;
}

static enum err_code api_create(void *arg, struct task *t, const struct store_positions *pos,
	size_t n_pos, struct buf *warnings, struct err *e)
{
	struct engine *en = arg;

	mutex_lock(&en->mtx);
	bool loaded = en->loaded;
	mutex_unlock(&en->mtx);
	if (!loaded) {
		task_free(t);
		return err_set(e, ERR_SYSTEM,
			"the server is starting: its stored tasks are not loaded yet");
	}
	return create(en, t, pos, n_pos, warnings, e);
}

static enum err_code persist_state(struct engine *en, struct etask *t, enum task_state s,
	const char *reason, bool user_paused, struct err *e)
{
	CLEANUP(task_freep) struct task *copy = task_copy(t->task);

	copy->state = s;
	copy->user_paused = user_paused;
	free(copy->reason);
	copy->reason = xstrdup(reason);
	if (en->sv.store->ops->task_put(en->sv.store, copy, &en->stop, e)) {
		err_ctx(e, "fail to update the task state, task_id: %s", t->task->id);
		return e->code = ERR_SYSTEM;
	}
	t->task->user_paused = user_paused;
	return ERR_OK;
}

static enum err_code api_pause(void *arg, const char *id, struct err *e)
{
	struct engine *en = arg;
	struct etask *t;

	if (acquire(en, id, &t, e))
		return e->code;
	if (t->task->state == TASK_PAUSED) {
		err_set(e, ERR_INVALID, "the task has paused, task_id: %s", id);
	} else if (!persist_state(en, t, TASK_PAUSED, manual_pause, true, e)) {
		stop_run(en, t, STOP_MS);
		set_task(en, t, TASK_PAUSED, manual_pause);
	}
	release(en, t);
	return e->code;
}

static enum err_code api_resume(void *arg, const char *id, struct err *e)
{
	struct engine *en = arg;
	struct etask *t;

	if (acquire(en, id, &t, e))
		return e->code;
	if (t->task->state == TASK_RUNNING) {
		err_set(e, ERR_INVALID, "the task has running, task_id: %s", id);
	} else if (persist_state(en, t, TASK_RUNNING, "", false, e) || start_run(en, t, e)) {
		err_ctx(e, "fail to start the task, task_id: %s", id);
		e->code = ERR_SYSTEM;
	} else {
		set_task(en, t, TASK_RUNNING, "");
	}
	release(en, t);
	return e->code;
}

static enum err_code api_remove(void *arg, const char *id, struct err *e)
{
	struct engine *en = arg;
	struct etask *t;

	if (acquire(en, id, &t, e))
		return e->code;
	stop_run(en, t, STOP_MS);
	writer_forget_task(en->sv.writer, id);
	if (en->sv.store->ops->task_delete(en->sv.store, id, &en->stop, e)) {
		struct err again = ERR_INIT;
		err_ctx(e, "fail to delete the task meta, task_id: %s", id);
		e->code = ERR_SYSTEM;
		if (t->task->state == TASK_RUNNING && start_run(en, t, &again))
			log_error(en->sv.log,
				"task %s could be neither deleted nor started again: %s", id,
				again.text);
		release(en, t);
		return e->code;
	}
	log_info(en->sv.log, "task %s is deleted", id);
	metrics_set(metrics_get(METRIC_task_state, id, NULL), -1);
	metrics_drop("task_id", id);
	take_out(en, t);
	return ERR_OK;
}

static enum err_code api_get(
	void *arg, const char *id, struct task **ret_t, char **ret_extra, struct err *e)
{
	struct engine *en = arg;
	struct etask *t;

	if (acquire(en, id, &t, e))
		return e->code;
	*ret_t = task_copy(t->task);
	*ret_extra = t->run ? run_status(t->run) : xstrdup("");
	release(en, t);
	return ERR_OK;
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

static enum err_code api_list(
	void *arg, struct task ***ret_list, char ***ret_extras, size_t *ret_n, struct err *e)
{
	struct engine *en = arg;
	size_t n = 0, got = 0;

	mutex_lock(&en->mtx);
	bool loaded = en->loaded;
	char why[ERR_TEXT_BYTES];
	memcpy(why, en->loading, sizeof(why));
	mutex_unlock(&en->mtx);
	if (!loaded)
		return err_set(e, ERR_SYSTEM, "the server is starting: %s", why);
	char **ids = engine_ids(en, &n);
	*ret_list = xcalloc(n + 1, sizeof(struct task *));
	*ret_extras = xcalloc(n + 1, sizeof(char *));
	for (size_t i = 0; i < n; i++) {
		struct err gone = ERR_INIT; /* deleted meanwhile */
		if (!api_get(en, ids[i], &(*ret_list)[got], &(*ret_extras)[got], &gone))
			got++;
		free(ids[i]);
	}
	free(ids);
	*ret_n = got;
	return ERR_OK;
}

/* Documents of a running task come from memory; those of collections it does not hold from the
 * store. */
static void merge_docs(
	struct store_positions **list, size_t *n, struct store_positions *fresh, size_t n_fresh)
{
	size_t cap = *n;
	for (size_t i = 0; i < n_fresh; i++) {
		bool found = false;
		for (size_t k = 0; k < *n && !found; k++) {
			if ((*list)[k].collection_id != fresh[i].collection_id ||
				strcmp((*list)[k].task_id, fresh[i].task_id))
				continue;
			store_positions_done(&(*list)[k]);
			(*list)[k] = fresh[i];
			found = true;
		}
		if (found)
			continue;
		mem_grow(list, &cap, *n + 1, sizeof(**list));
		(*list)[(*n)++] = fresh[i];
	}
	free(fresh);
}

static enum err_code api_positions(
	void *arg, const char *id, struct store_positions **ret_list, size_t *ret_n, struct err *e)
{
	struct engine *en = arg;
	size_t n_ids = 0;

	if (en->sv.store->ops->positions(
		    en->sv.store, *id ? id : NULL, &en->stop, ret_list, ret_n, e))
		return e->code;
	char **ids = engine_ids(en, &n_ids);
	for (size_t i = 0; i < n_ids; i++) {
		struct etask *t;
		struct err gone = ERR_INIT;
		bool wanted = !*id || strcmp(id, ids[i]) == 0;
		if (wanted && !acquire(en, ids[i], &t, &gone)) {
			struct store_positions *fresh = NULL;
			size_t n_fresh = 0;
			if (t->run)
				run_positions(t->run, &fresh, &n_fresh);
			merge_docs(ret_list, ret_n, fresh, n_fresh);
			release(en, t);
		}
		free(ids[i]);
	}
	free(ids);
	return ERR_OK;
}

static void api_log_force(void *arg, bool on)
{
	struct engine *en = arg;
	msglog_force(&en->msglog, on);
}

static void api_log_reset(void *arg, int64_t count, int64_t minutes)
{
	struct engine *en = arg;
	msglog_reset(&en->msglog, count, minutes);
}

struct api_engine engine_api(struct engine *en)
{
	return (struct api_engine){.arg = en,
		.check_target = api_check_target,
		.create = api_create,
		.remove = api_remove,
		.pause = api_pause,
		.resume = api_resume,
		.get = api_get,
		.list = api_list,
		.positions = api_positions,
		.message_log_force = api_log_force,
		.message_log_reset = api_log_reset};
}

struct msglog *engine_msglog(struct engine *en)
{
	return &en->msglog;
}

/* ---- stored tasks at start ---- */

struct starting {
	struct engine *en;
	struct etask *task;
};

static enum err_code try_start(void *arg, struct err *e)
{
	struct starting *s = arg;
	if (!start_run(s->en, s->task, e))
		return ERR_OK;
	/* Whatever the metastore says now, the task is to run: it is asked again. */
	return e->code = e->code == ERR_CANCELLED ? ERR_CANCELLED : ERR_UNAVAILABLE;
}

static void note_start(void *arg, const struct err *e, int64_t delay_ms)
{
	struct starting *s = arg;
	log_warn(s->en->sv.log, "task %s: %s; retry in %lld ms", s->task->task->id, e->text,
		(long long)delay_ms);
}

static void start_stored(struct engine *en, struct etask *t)
{
	struct err e = ERR_INIT;
	const struct task *k = t->task;
	bool damaged = str_starts(k->reason, "stored record damaged");
	bool by_user = k->user_paused || strcmp(k->reason, manual_pause) == 0;

	if (damaged || (k->state == TASK_PAUSED && by_user))
		return;
	if (k->disable_auto_start) {
		if (k->state != TASK_PAUSED &&
			persist_state(en, t, TASK_PAUSED, auto_start_off, false, &e))
			log_warn(en->sv.log, "task %s: %s", k->id, e.text);
		set_task(en, t, TASK_PAUSED, auto_start_off);
		return;
	}
	if (k->state != TASK_RUNNING && persist_state(en, t, TASK_RUNNING, "", false, &e))
		log_warn(en->sv.log, "task %s: %s", k->id, e.text);
	struct starting st = {en, t};
	struct retry_call call = {.policy = RETRY_INIT(FIRST_MS, MOST_MS),
		.until = DEADLINE_NEVER,
		.idempotent = true,
		.note = note_start};
	err_clear(&e);
	if (retry_run(&call, &en->stop, try_start, &st, &e)) {
		log_error(en->sv.log, "task %s can't start: %s", k->id, e.text);
		set_task(en, t, TASK_PAUSED, e.text);
		return;
	}
	set_task(en, t, TASK_RUNNING, "");
}

static enum err_code load(void *arg, struct err *e)
{
	struct engine *en = arg;
	struct task **list = NULL;
	size_t n = 0;

	if (en->sv.store->ops->tasks(en->sv.store, &en->stop, &list, &n, e))
		return err_ctx(e, "load the stored tasks");
	for (size_t i = 0; i < n; i++)
		add(en, etask_new(en, list[i]));
	free(list);
	return ERR_OK;
}

static void note_load(void *arg, const struct err *e, int64_t delay_ms)
{
	struct engine *en = arg;
	mutex_lock(&en->mtx);
	snprintf(en->loading, sizeof(en->loading), "%s", e->text);
	mutex_unlock(&en->mtx);
	log_warn(en->sv.log, "%s; retry in %lld ms", e->text, (long long)delay_ms);
}

static void load_all(void *arg)
{
	struct engine *en = arg;
	struct err e = ERR_INIT;
	struct retry_call call = {.policy = RETRY_INIT(FIRST_MS, MOST_MS),
		.until = DEADLINE_NEVER,
		.idempotent = true,
		.note = note_load};

	if (retry_run(&call, &en->stop, load, en, &e)) {
		if (e.code != ERR_CANCELLED)
			log_error(en->sv.log, "%s", e.text);
		mutex_lock(&en->mtx);
		snprintf(en->loading, sizeof(en->loading), "%s", e.text);
		mutex_unlock(&en->mtx);
		return;
	}
	mutex_lock(&en->mtx);
	size_t n = en->n;
	struct etask **all = xmemdup(en->tasks ? (void *)en->tasks : (void *)"", n * sizeof(*all));
	en->loaded = true;
	mutex_unlock(&en->mtx);
	for (size_t i = 0; i < n; i++) {
		if (!stop_is_set(&en->stop))
			start_stored(en, all[i]);
		release(en, all[i]);
	}
	free(all);
	log_info(en->sv.log, "%zu stored tasks loaded", n);
}

enum err_code engine_new(const struct services *sv, struct engine **ret_e, struct err *e)
{
	struct engine *en = xcalloc(1, sizeof(*en));

	(void)e;
	en->sv = *sv;
	en->started_mono_ms = time_mono_ms();
	snprintf(en->loading, sizeof(en->loading), "its stored tasks are being loaded");
	mutex_init(&en->mtx, "engine");
	cond_init(&en->cond);
	stop_init(&en->stop, NULL);
	msglog_init(&en->msglog);
	*ret_e = en;
	return ERR_OK;
}

enum err_code engine_start(struct engine *en, struct err *e)
{
	return thread_start(&en->loader, "engine", load_all, en, e);
}

void engine_stop(struct engine *en, int64_t patience_ms)
{
	struct deadline d = deadline_in(patience_ms);

	stop_set(&en->stop);
	thread_join(&en->loader);
	for (size_t i = 0; i < en->n; i++)
		stop_run(en, en->tasks[i], deadline_left_ms(d));
}

void engine_free(struct engine *en)
{
	if (!en)
		return;
	while (en->n)
		take_out(en, en->tasks[0]);
	free(en->tasks);
	stop_done(&en->stop);
	cond_done(&en->cond);
	mutex_done(&en->mtx);
	msglog_done(&en->msglog);
	free(en);
}
