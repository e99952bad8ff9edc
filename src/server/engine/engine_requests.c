/* The engine behind the API. create, pause, resume and delete hold the task they work on; get and
 * list look at it whoever holds it, so that they never wait for a peer. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "server/config/config.h"
#include "server/engine/engine_priv.h"
#include "server/task/run.h"
#include "server/target/target.h"
#include "server/task/task_names.h"
#include "store/writer.h"

enum { ORPHANS_BYTES = 4096 };

static enum err_code api_check_target(void *arg, const struct task *t, struct err *e)
{
	struct engine *en = arg;

	enum err_code code = target_check(en->sv.targets, t, &en->stop, e);
	return code ? (e->code = ERR_SYSTEM) : ERR_OK;
}

static enum err_code put_new(struct engine *en, const struct task *t,
	const struct store_positions *pos, size_t n, struct err *e)
{
	struct store_batch b = {.task = t, .positions = pos, .n_positions = n};
	if (store_write(en->sv.store, &b, &en->stop, e)) {
		err_ctx(e, "fail to put the task info to etcd");
		return e->code = ERR_SYSTEM;
	}
	return ERR_OK;
}

/* Where the new task starts; looks at the tasks of its target for names that meet. */
static enum err_code resolve_start(struct engine *en, const struct task *t,
	struct store_positions **pos, size_t *n, struct buf *warnings, struct err *e)
{
	struct run_new new = {.task = t};

	mutex_lock(&en->mtx);
	struct task **others = xcalloc(en->n + 1, sizeof(*others));
	for (size_t i = 0; i < en->n; i++)
		if (task_names_same_target(t, en->tasks[i]->task))
			others[new.n_others++] = task_copy(en->tasks[i]->task);
	mutex_unlock(&en->mtx);
	new.others = others;
	enum err_code code = run_resolve_start(&en->sv, &new, &en->stop, pos, n, warnings, e);
	store_tasks_free(others, new.n_others);
	return code;
}

/* Its creator is told that it failed: also while the server stops. */
static void take_back(struct engine *en, const char *id)
{
	struct err e = ERR_INIT;
	struct stop none;

	stop_init(&none, NULL);
	if (store_delete_task(en->sv.store, id, &none, &e))
		log_error(en->sv.log, "task %s could not be taken back: %s", id, e.text);
	stop_done(&none);
}

static enum err_code create(struct engine *en, struct task *t, const struct store_positions *given,
	size_t n_given, struct buf *warnings, struct err *e)
{
	struct store_positions *pos = xcalloc(n_given + 1, sizeof(*pos));
	size_t n = 0;

	for (; n < n_given; n++)
		store_positions_copy(&pos[n], &given[n]);
	t->state = TASK_RUNNING;
	enum err_code code = resolve_start(en, t, &pos, &n, warnings, e);
	if (!code)
		code = put_new(en, t, pos, n, e);
	store_positions_free(pos, n);
	if (code) {
		task_free(t);
		return code;
	}
	struct etask *et = engine_add(en, t, true);
	code = engine_start_run(en, et, e);
	if (code) {
		take_back(en, t->id);
		engine_take_out(en, et);
		return code;
	}
	engine_set_task(en, et, TASK_RUNNING, "");
	engine_look_quick(en, et->task);
	engine_watch_kick(en);
	engine_release(en, et);
	return ERR_OK;
}

static enum err_code api_doctor(
	void *arg, const struct task *t, struct json_out *ret, struct err *e)
{
	return engine_doctor(arg, t, ret, e);
}

static char *api_findings(void *arg, const char *id)
{
	return engine_findings(arg, id);
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

static enum err_code api_pause(void *arg, const char *id, struct err *e)
{
	struct engine *en = arg;
	struct etask *t;

	if (engine_acquire(en, id, &t, e))
		return e->code;
	if (t->task->state == TASK_PAUSED) {
		err_set(e, ERR_INVALID, "the task has paused, task_id: %s", id);
	} else if (!engine_persist_state(en, t, TASK_PAUSED, ENGINE_MANUAL_PAUSE, true, e)) {
		engine_stop_run(en, t, ENGINE_STOP_MS);
		engine_set_task(en, t, TASK_PAUSED, ENGINE_MANUAL_PAUSE);
		engine_watch_kick(en);
	}
	engine_release(en, t);
	return e->code;
}

/* Stored last: what is stored as Running runs. */
static enum err_code resume(struct engine *en, struct etask *t, struct err *e)
{
	if (engine_start_run(en, t, e))
		return e->code;
	if (engine_persist_state(en, t, TASK_RUNNING, "", false, e)) {
		engine_stop_run(en, t, ENGINE_STOP_MS);
		return e->code;
	}
	engine_set_task(en, t, TASK_RUNNING, "");
	return ERR_OK;
}

static enum err_code api_resume(void *arg, const char *id, struct err *e)
{
	struct engine *en = arg;
	struct etask *t;

	if (engine_acquire(en, id, &t, e))
		return e->code;
	if (t->task->state == TASK_RUNNING) {
		err_set(e, ERR_INVALID, "the task has running, task_id: %s", id);
	} else if (resume(en, t, e)) {
		err_ctx(e, "fail to start the task, task_id: %s", id);
		e->code = ERR_SYSTEM;
	}
	engine_release(en, t);
	return e->code;
}

/* Says which collections nobody replicates any more although a wider task could seem to. */
static void tell_orphans(struct engine *en, const struct task *gone)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(ORPHANS_BYTES);

	mutex_lock(&en->mtx);
	for (size_t i = 0; i < en->n; i++)
		task_names_orphans(gone, en->tasks[i]->task, &b);
	mutex_unlock(&en->mtx);
	if (b.n)
		log_warn(en->sv.log,
			"task %s is deleted; no task replicates what it did and wider tasks leave "
			"out:%s. To carry on, create a task for it with positions",
			gone->id, buf_cstr(&b));
}

static enum err_code api_remove(void *arg, const char *id, struct err *e)
{
	struct engine *en = arg;
	struct etask *t;

	if (engine_acquire(en, id, &t, e))
		return e->code;
	engine_stop_run(en, t, ENGINE_STOP_MS);
	writer_forget_task(en->sv.writer, id);
	if (store_delete_task(en->sv.store, id, &en->stop, e)) {
		struct err again = ERR_INIT;
		err_ctx(e, "fail to delete the task meta, task_id: %s", id);
		e->code = ERR_SYSTEM;
		if (t->task->state == TASK_RUNNING && !stop_is_set(&en->stop) &&
			engine_start_run(en, t, &again))
			log_error(en->sv.log,
				"task %s could be neither deleted nor started again: %s", id,
				again.text);
		engine_release(en, t);
		return e->code;
	}
	log_info(en->sv.log, "task %s is deleted", id);
	CLEANUP(task_freep) struct task *gone = task_copy(t->task);
	if (t->target)
		target_release_task(t->target);
	engine_take_out(en, t);
	tell_orphans(en, gone);
	return ERR_OK;
}

static enum err_code api_get(
	void *arg, const char *id, struct task **ret_t, char **ret_extra, struct err *e)
{
	struct engine *en = arg;
	struct run *run = NULL;
	enum err_code code = ERR_OK;

	mutex_lock(&en->mtx);
	struct etask *t = engine_find_locked(en, id);
	if (t && !t->hidden) {
		*ret_t = task_copy(t->task);
		run = engine_pin_locked(t);
	} else {
		code = engine_absent_locked(en, id, e);
	}
	mutex_unlock(&en->mtx);
	if (code)
		return code;
	*ret_extra = run ? run_status(run) : xstrdup("");
	if (run)
		engine_unpin(en, t);
	engine_add_own(en, id, ret_extra);
	return ERR_OK;
}

static enum err_code api_list(
	void *arg, struct task ***ret_list, char ***ret_extras, size_t *ret_n, struct err *e)
{
	struct engine *en = arg;
	size_t n = 0, got = 0;

	mutex_lock(&en->mtx);
	enum err_code code = en->loaded ? ERR_OK : engine_absent_locked(en, "", e);
	mutex_unlock(&en->mtx);
	if (code)
		return code;
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

/* Adds what the runs hold; a request that works on a task is not waited for. */
static void add_fresh(struct engine *en, const char *id, struct store_positions **list, size_t *n)
{
	struct store_positions *fresh = NULL;
	size_t n_fresh = 0;

	mutex_lock(&en->mtx);
	struct etask *t = engine_find_locked(en, id);
	struct run *run = t ? engine_pin_locked(t) : NULL;
	mutex_unlock(&en->mtx);
	if (!run)
		return;
	run_positions(run, &fresh, &n_fresh);
	engine_unpin(en, t);
	merge_docs(list, n, fresh, n_fresh);
}

static enum err_code api_positions(
	void *arg, const char *id, struct store_positions **ret_list, size_t *ret_n, struct err *e)
{
	struct engine *en = arg;
	struct store_positions *fresh = NULL, *stored = NULL;
	size_t n_ids = 0, n_fresh = 0, n_stored = 0;
	struct etask *t;
	struct err gone = ERR_INIT;

	/* A task that is being stopped has its last positions stored when this is over. */
	if (*id && !engine_acquire(en, id, &t, &gone))
		engine_release(en, t);
	/* Memory first: a run that ends in between has stored no less than it showed. */
	char **ids = engine_ids(en, &n_ids);
	for (size_t i = 0; i < n_ids; i++) {
		if (!*id || strcmp(id, ids[i]) == 0)
			add_fresh(en, ids[i], &fresh, &n_fresh);
		free(ids[i]);
	}
	free(ids);
	if (store_read_positions(en->sv.store, *id ? id : NULL, &en->stop, &stored, &n_stored, e)) {
		store_positions_free(fresh, n_fresh);
		return e->code;
	}
	merge_docs(&stored, &n_stored, fresh, n_fresh);
	*ret_list = stored;
	*ret_n = n_stored;
	return ERR_OK;
}

static enum err_code api_skip(void *arg, const char *id, const char *message, struct err *e)
{
	struct engine *en = arg;
	struct etask *t;

	if (engine_acquire(en, id, &t, e))
		return e->code;
	enum err_code code =
		t->run ? run_skip_waiting(t->run, message, e)
		       : err_set(e, ERR_INVALID, "the task is paused: resume it first");
	engine_release(en, t);
	return code;
}

static enum err_code api_repair_rows(void *arg, const struct api_repair *r, struct err *e)
{
	return engine_repair(arg, r, e);
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
		.doctor = api_doctor,
		.findings = api_findings,
		.remove = api_remove,
		.pause = api_pause,
		.resume = api_resume,
		.get = api_get,
		.list = api_list,
		.positions = api_positions,
		.skip_operation = api_skip,
		.repair = api_repair_rows,
		.message_log_force = api_log_force,
		.message_log_reset = api_log_reset};
}
