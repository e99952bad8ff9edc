/* The rolling check (verify.interval): the thread "verify" goes through the running tasks, one after the
 * other, at verify.rowsPerSecond, and begins again. It has connections of its own, opened for a task's
 * pass. What it finds is in the metrics and one line of the log. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "client/milvus/milvus.h"
#include "metrics/metrics.h"
#include "model/ts.h"
#include "server/config/config.h"
#include "server/connect.h"
#include "server/engine/engine_priv.h"
#include "server/target/target.h"
#include "server/task/run.h"
#include "server/verify/verify.h"
#include "store/store.h"

enum { LOADING_MS = 1000, SECOND_MS = 1000 };

struct pass {
	struct engine *en;
	const struct task *task;
	struct milvus *source, *target;
	struct stop stop;
	int64_t rows; /* counted so far */
};

/* False if the task is gone or paused. Under the lock, so that nothing is published after its end. */
static bool publish(struct pass *p, const struct verify_progress *w)
{
	struct engine *en = p->en;

	mutex_lock(&en->mtx);
	const struct etask *t = engine_find_locked(en, p->task->id);
	bool runs = t && t->run;
	if (runs)
		metrics_add(metrics_get(METRIC_verify_rows, p->task->id, NULL),
			MAX(w->rows - p->rows, (int64_t)0));
	if (runs && w->different)
		metrics_set(metrics_get(METRIC_verify_different, p->task->id, NULL), w->different);
	mutex_unlock(&en->mtx);
	p->rows = MAX(p->rows, w->rows);
	return runs;
}

static void on_range(void *arg, struct verify *v)
{
	struct pass *p = arg;
	struct verify_progress w;

	verify_progress(v, &w);
	if (!publish(p, &w))
		stop_set(&p->stop);
}

static void conclude(struct pass *p, const struct verify *v)
{
	const char *id = p->task->id;
	enum verify_state result = verify_result(v);
	struct verify_progress w;

	verify_progress(v, &w);
	if (!publish(p, &w))
		return;
	mutex_lock(&p->en->mtx);
	if (engine_find_locked(p->en, id)) {
		metrics_set(metrics_get(METRIC_verify_different, id, NULL), w.different);
		metrics_set(metrics_get(METRIC_verify_unknown, id, NULL), (int64_t)w.unknown);
		if (result == VERIFY_IDENTICAL)
			metrics_set(metrics_get(METRIC_verify_identical, id, NULL),
				ts_ms(w.since_ts) / SECOND_MS);
	}
	mutex_unlock(&p->en->mtx);
	if (result == VERIFY_DIFFERENT)
		log_warn(p->en->sv.log,
			"task %s: source and target differ: %" PRId64 " differences, %" PRId64
			" rows equal; milvus-cdc verify %s names them",
			id, w.different, w.rows, id);
	else
		log_info(p->en->sv.log,
			"task %s: rolling check: %s, %" PRId64
			" rows equal, %zu collections not known",
			id, verify_state_name(result), w.rows, w.unknown);
}

/* From memory: those of an idle collection are stored only once in a while. */
static enum err_code positions(
	void *arg, struct store_positions **ret_list, size_t *ret_n, UNUSED struct err *e)
{
	struct pass *p = arg;
	struct engine *en = p->en;

	*ret_list = NULL;
	*ret_n = 0;
	mutex_lock(&en->mtx);
	struct etask *t = engine_find_locked(en, p->task->id);
	struct run *run = t ? engine_pin_locked(t) : NULL;
	mutex_unlock(&en->mtx);
	if (!run)
		return ERR_OK;
	run_positions(run, ret_list, ret_n);
	engine_unpin(en, t);
	return ERR_OK;
}

static enum err_code compare(struct pass *p, struct err *e)
{
	struct engine *en = p->en;
	CLEANUP(freep) char *uri = task_target(p->task);
	CLEANUP(freep) char *token = task_token(p->task);
	struct milvus_opts mo = target_milvus_opts(p->task, uri, token, false);
	struct verify *v = NULL;

	if (connect_source_milvus(en->sv.config, en->sv.grpc, &p->source, e) ||
		milvus_open(en->sv.grpc, &mo, &p->target, e))
		return e->code;
	struct verify_opts o = {.source = p->source,
		.target = p->target,
		.positions = positions,
		.replicate_id = en->sv.config->replicate_id,
		.catalog = en->sv.catalog,
		.task = p->task,
		.rows_per_second = en->sv.config->verify_rows_per_second,
		.wait_ms = VERIFY_WAIT_MS,
		.stop = &p->stop,
		.on_range = on_range,
		.arg = p};
	if (verify_new(&o, &v, e))
		return e->code;
	if (!verify_run(v, e))
		conclude(p, v);
	verify_free(v);
	return e->code;
}

static void check(struct engine *en, const struct task *t)
{
	struct pass p = {.en = en, .task = t};
	struct err e = ERR_INIT;

	if (*t->kafka.address)
		return;
	stop_init(&p.stop, &en->stop);
	if (compare(&p, &e) && e.code != ERR_CANCELLED && e.code != ERR_NOT_FOUND)
		log_warn(en->sv.log, "task %s: rolling check: %s; again in %" PRId64 " s", t->id,
			e.text, en->sv.config->verify_interval_ms / SECOND_MS);
	milvus_close(p.source);
	milvus_close(p.target);
	stop_done(&p.stop);
}

static struct task **running(struct engine *en, size_t *ret_n)
{
	size_t n = 0;

	mutex_lock(&en->mtx);
	struct task **l = xcalloc(en->n + 1, sizeof(struct task *));
	for (size_t i = 0; i < en->n; i++)
		if (en->tasks[i]->run && !en->tasks[i]->hidden)
			l[n++] = task_copy(en->tasks[i]->task);
	mutex_unlock(&en->mtx);
	*ret_n = n;
	return l;
}

static void roll(void *arg)
{
	struct engine *en = arg;
	bool loaded = false;

	while (!loaded && !stop_sleep(&en->stop, LOADING_MS)) {
		mutex_lock(&en->mtx);
		loaded = en->loaded;
		mutex_unlock(&en->mtx);
	}
	while (!stop_is_set(&en->stop)) {
		size_t n;
		struct task **l = running(en, &n);
		for (size_t i = 0; i < n && !stop_is_set(&en->stop); i++)
			check(en, l[i]);
		store_tasks_free(l, n);
		stop_sleep(&en->stop, en->sv.config->verify_interval_ms);
	}
}

enum err_code engine_verify_start(struct engine *en, struct err *e)
{
	if (!en->sv.config->verify_interval_ms || en->sv.config->dry_run)
		return ERR_OK;
	return thread_start(&en->verifier, "verify", roll, en, e);
}
