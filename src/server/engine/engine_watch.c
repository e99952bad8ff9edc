/* How far each task is behind, looked at once a second whether anybody asks or not: lag, the time to
 * catch up, and how long the source's queue keeps what is to be read next. The thread "watch" takes
 * the engine's locks and asks no peer; what asks the queue and the metastore is a job. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "metrics/metrics.h"
#include "server/task/coll.h"
#include "server/config/config.h"
#include "server/engine/engine_priv.h"
#include "server/task/run.h"
#include "source/catalog.h"
#include "source/mq.h"
#include "source/topics.h"
#include "store/store.h"
#include "store/writer.h"

enum { WATCH_MS = 1000, ASK_MS = 60000, ASK_SOON_MS = 10000, MEMBERS_BYTES = 512 };
enum { WARN_MS = 24 * 3600 * 1000 };

/* ---- the job: what peers know ---- */

/* The shortest retention of the topics of the source's collections; 0 = unknown or for ever. */
static int64_t ask_retention(struct engine *en)
{
	CLEANUP(topics_done) struct topics t = {.n = 0};
	struct err e = ERR_INIT;
	const char *topic;

	topics_of(&t, en->sv.catalog);
	int64_t ms = topics_retention_ms(&t, en->sv.mq, &en->stop, &topic, &e);
	return ms > 0 && ms < INT64_MAX ? ms : 0;
}

static int64_t oldest_ms(const struct store_positions *list, size_t n)
{
	int64_t oldest = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; list[i].collection_id > 0 && k < list[i].n_source; k++) {
			const struct store_position *p = &list[i].source[k];
			if (!p->dropped && p->time_ms && (!oldest || p->time_ms < oldest))
				oldest = p->time_ms;
		}
	return oldest;
}

/* Where a task without a run stands. */
static void ask_store(struct engine *en, const char *id)
{
	struct store_positions *list = NULL;
	struct err e = ERR_INIT;
	size_t n = 0;

	if (store_read_positions(en->sv.store, id, &en->stop, &list, &n, &e))
		return;
	int64_t at_ms = oldest_ms(list, n);
	store_positions_free(list, n);
	mutex_lock(&en->mtx);
	struct etask *t = engine_find_locked(en, id);
	if (t)
		t->stored_ms = at_ms;
	mutex_unlock(&en->mtx);
}

static bool is_paused(struct engine *en, const char *id)
{
	mutex_lock(&en->mtx);
	const struct etask *t = engine_find_locked(en, id);
	bool paused = t && !t->run;
	mutex_unlock(&en->mtx);
	return paused;
}

static int64_t ask_peers(void *arg)
{
	struct engine *en = arg;
	size_t n = 0;
	char **ids = engine_ids(en, &n);
	int64_t ms = ask_retention(en);

	mutex_lock(&en->mtx);
	en->retention_ms = ms;
	mutex_unlock(&en->mtx);
	for (size_t i = 0; i < n; i++) {
		if (is_paused(en, ids[i]))
			ask_store(en, ids[i]);
		free(ids[i]);
	}
	free(ids);
	return !ms && en->sv.mq->ops->retention ? ASK_SOON_MS : ASK_MS;
}

/* ---- the thread ---- */

/* -1 = unknown. */
static int64_t expires_ms(const struct engine *en, int64_t acked_ms)
{
	if (!en->retention_ms || !acked_ms)
		return -1;
	return MAX(en->retention_ms - (time_wall_ms() - acked_ms), (int64_t)0);
}

static void publish(const char *id, const struct etask_watch *w, const struct run_measure *m)
{
	if (w->lag_ms == RUN_LAG_UNKNOWN)
		metrics_drop_of(METRIC_lag_ms, (const char *const[]){id});
	else
		metrics_set(metrics_get(METRIC_lag_ms, id, NULL), w->lag_ms);
	metrics_set(metrics_get(METRIC_catch_up, id, NULL), w->catch_up_s);
	if (w->expires_ms >= 0)
		metrics_set(metrics_get(METRIC_log_expires, id, NULL), w->expires_ms / 1000);
	metrics_set(metrics_get(METRIC_rows_behind, id, NULL), m->rows);
	metrics_set(metrics_get(METRIC_bytes_behind, id, NULL), m->bytes);
	metrics_set(metrics_get(METRIC_task_waits, id, NULL), m->waits);
	for (int i = 0; i < COLL_STATE_COUNT; i++)
		metrics_set(metrics_get(METRIC_collections, id, coll_state_name((enum coll_state)i),
				    NULL),
			(int64_t)m->states[i]);
}

/* Of a task without a run. */
static int64_t stored_lag_ms(int64_t at_ms)
{
	return at_ms ? time_wall_ms() - at_ms : RUN_LAG_UNKNOWN;
}

/* A quiet source has nothing that could expire. True: to be told in the log. */
static bool judge_locked(struct engine *en, struct etask *t, const struct run_measure *m)
	REQUIRES(en->mtx)
{
	struct etask_watch *w = &t->watch;
	int64_t at_ms = t->run ? m->acked_ms : t->stored_ms;

	w->lag_ms = t->run ? m->lag_ms : stored_lag_ms(at_ms);
	bool known = w->lag_ms != RUN_LAG_UNKNOWN;
	if (known)
		catchup_note(&w->history, time_mono_ms(), w->lag_ms);
	w->catch_up_s = t->run && known ? catchup_seconds(&w->history) : CATCHUP_UNKNOWN;
	if (!w->lag_ms && t->run)
		at_ms = time_wall_ms();
	w->expires_ms = expires_ms(en, at_ms);
	bool soon =
		w->expires_ms >= 0 && w->expires_ms < MIN(en->retention_ms / 2, (int64_t)WARN_MS);
	bool tell = soon && !w->told;
	w->told = soon;
	return tell;
}

/* To run, and without a run: it is being started, and tried until that works. */
static bool is_starting(const struct etask *t)
{
	return !t->run && t->task->state == TASK_RUNNING;
}

static void look_at(struct engine *en, const char *id)
{
	struct run_measure m = {.lag_ms = RUN_LAG_UNKNOWN};
	struct etask_watch w = {.lag_ms = RUN_LAG_UNKNOWN};

	mutex_lock(&en->mtx);
	struct etask *t = engine_find_locked(en, id);
	struct run *run = t ? engine_pin_locked(t) : NULL;
	mutex_unlock(&en->mtx);
	if (run)
		run_measure(run, &m);
	mutex_lock(&en->mtx);
	if (run && --t->readers == 0)
		cond_broadcast(&en->cond);
	t = engine_find_locked(en, id);
	if (t && !run)
		m.waits = is_starting(t);
	bool tell = t && judge_locked(en, t, &m);
	if (t) {
		w = t->watch;
		publish(id, &w, &m); /* under the lock: not after the task's end */
	}
	mutex_unlock(&en->mtx);
	if (tell)
		log_warn(en->sv.log,
			"task %s: the source's queue deletes what is to be read next in %" PRId64
			" min; resume the task, mend what it waits for, or raise the retention",
			id, w.expires_ms / 60000);
}

static void watch(void *arg)
{
	struct engine *en = arg;

	do {
		size_t n = 0;
		char **ids = engine_ids(en, &n);
		for (size_t i = 0; i < n; i++) {
			look_at(en, ids[i]);
			free(ids[i]);
		}
		free(ids);
	} while (!stop_sleep(&en->stop, WATCH_MS));
}

enum err_code engine_watch_start(struct engine *en, struct err *e)
{
	if (jobs_new(1, &en->asking, e) || thread_start(&en->watcher, "watch", watch, en, e))
		return e->code;
	job_init(&en->ask, en->asking, ask_peers, en);
	job_wake(&en->ask, WATCH_MS);
	return ERR_OK;
}

void engine_watch_kick(struct engine *en)
{
	job_wake(&en->ask, 0);
}

void engine_watch_stop(struct engine *en)
{
	thread_join(&en->watcher);
	if (en->ask.pool)
		job_stop(&en->ask);
	if (en->asking)
		jobs_free(en->asking);
	en->asking = NULL;
}

/* ---- for people ---- */

char *engine_measures(struct engine *en, const char *id, bool has_run)
{
	struct buf b = BUF_INIT(MEMBERS_BYTES);
	struct json_out o = {.b = &b};

	mutex_lock(&en->mtx);
	const struct etask *t = engine_find_locked(en, id);
	struct etask_watch w = t ? t->watch : (struct etask_watch){.expires_ms = -1};
	bool starting = t && is_starting(t);
	int64_t lag_ms = stored_lag_ms(t ? t->stored_ms : 0);
	mutex_unlock(&en->mtx);
	if (!has_run && lag_ms != RUN_LAG_UNKNOWN)
		json_out_i64(&o, "lag_ms", lag_ms);
	else if (!has_run) /* nothing was acknowledged before the pause, or it is not read yet */
		json_out_null(&o, "lag_ms");
	if (!has_run && starting)
		json_out_str(&o, "waits_for", "the task is being started");
	if (w.catch_up_s >= 0)
		json_out_i64(&o, "catch_up_s", w.catch_up_s);
	else
		json_out_null(&o, "catch_up_s");
	if (w.expires_ms >= 0)
		json_out_i64(&o, "source_log_expires_s", w.expires_ms / 1000);
	else
		json_out_null(&o, "source_log_expires_s");
	return buf_take(&b);
}

bool engine_ready(struct engine *en, struct buf *why)
{
	struct writer_status ws;

	mutex_lock(&en->mtx);
	bool loaded = en->loaded;
	if (!loaded)
		buf_putf(why, "not ready: tasks: %s\n", en->loading);
	mutex_unlock(&en->mtx);
	writer_status(en->sv.writer, &ws);
	if (!ws.healthy)
		buf_putf(why, "not ready: metastore: %s\n", ws.text);
	return loaded && ws.healthy;
}
