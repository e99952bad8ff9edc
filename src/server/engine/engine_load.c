/* The stored tasks when the server starts: read, and those started that are to run. Both are tried
 * for as long as it takes. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/retry.h"
#include "base/str.h"
#include "server/engine/engine_priv.h"
#include "server/task/run.h"
#include "server/target/target.h"

enum { FIRST_MS = 500, MOST_MS = 5000 };

static const char auto_start_off[] = "the task is disabled auto start";

struct starting {
	struct engine *en;
	struct etask *task;
};

static enum err_code try_start(void *arg, struct err *e)
{
	struct starting *s = arg;
	if (!engine_start_run(s->en, s->task, e))
		return ERR_OK;
	/* Settings that can't be right stay so. Whatever else the metastore says now, the task is
	 * to run: it is asked again. */
	if (e->code == ERR_CANCELLED || e->code == ERR_INVALID)
		return e->code;
	return e->code = ERR_UNAVAILABLE;
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
	bool damaged = str_starts(k->reason, STORE_DAMAGED);
	bool by_user = k->user_paused || strcmp(k->reason, ENGINE_MANUAL_PAUSE) == 0;

	if (damaged || (k->state == TASK_PAUSED && by_user))
		return;
	if (k->disable_auto_start) {
		if (k->state != TASK_PAUSED &&
			engine_persist_state(en, t, TASK_PAUSED, auto_start_off, false, &e))
			log_warn(en->sv.log, "task %s: %s", k->id, e.text);
		engine_set_task(en, t, TASK_PAUSED, auto_start_off);
		return;
	}
	if (k->state != TASK_RUNNING && engine_persist_state(en, t, TASK_RUNNING, "", false, &e))
		log_warn(en->sv.log, "task %s: %s", k->id, e.text);
	struct starting st = {en, t};
	struct retry_call call = {.policy = RETRY_INIT(FIRST_MS, MOST_MS),
		.until = DEADLINE_NEVER,
		.idempotent = true,
		.note = note_start};
	err_clear(&e);
	if (retry_run(&call, &en->stop, try_start, &st, &e)) {
		log_error(en->sv.log, "task %s can't start: %s", k->id, e.text);
		engine_set_task(en, t, TASK_PAUSED, e.text);
		return;
	}
	engine_set_task(en, t, TASK_RUNNING, "");
}

static enum err_code load(void *arg, struct err *e)
{
	struct engine *en = arg;
	struct task **list = NULL;
	size_t n = 0, sealed = 0;

	if (store_reseal(en->sv.store, &en->stop, &sealed, e) ||
		store_read_tasks(en->sv.store, &en->stop, &list, &n, e)) {
		err_ctx(e, "load the stored tasks");
		/* A missing database, a wrong password or a right not granted is mended at the
		 * store, under our feet: asked again like one that is away. */
		if (e->code == ERR_NOT_FOUND || e->code == ERR_DENIED)
			e->code = ERR_UNAVAILABLE;
		return e->code;
	}
	if (sealed)
		log_info(en->sv.log,
			"the credentials of %zu tasks were encrypted with the first "
			"key of metaStoreConfig.encryptionKeyFile",
			sealed);
	for (size_t i = 0; i < n; i++)
		engine_add(en, list[i], false);
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

/* Before any of them runs: what a paused task has on a target is not to be taken by another. */
static enum err_code claim_names(void *arg, struct err *e)
{
	struct starting *s = arg;
	enum err_code code =
		target_claim_recorded(s->task->target, s->en->sv.store, &s->en->stop, e);

	return code == ERR_CANCELLED || !code ? code : (e->code = ERR_UNAVAILABLE);
}

static void claim_all(struct engine *en, struct etask *const *all, size_t n)
{
	for (size_t i = 0; i < n && !stop_is_set(&en->stop); i++) {
		struct starting st = {en, all[i]};
		struct retry_call call = {.policy = RETRY_INIT(FIRST_MS, MOST_MS),
			.until = DEADLINE_NEVER,
			.idempotent = true,
			.note = note_start};
		struct err e = ERR_INIT;
		if (all[i]->target && retry_run(&call, &en->stop, claim_names, &st, &e))
			log_debug(en->sv.log, "%s", e.text); /* we are stopping */
	}
}

void engine_load(void *arg)
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
	claim_all(en, all, n);
	for (size_t i = 0; i < n; i++) {
		if (!stop_is_set(&en->stop))
			start_stored(en, all[i]);
		engine_release(en, all[i]);
	}
	free(all);
	log_info(en->sv.log, "%zu stored tasks loaded", n);
}
