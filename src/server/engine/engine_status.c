/* The engine for people and scrapers: gauges that are computed, and the status page's JSON. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "metrics/metrics.h"
#include "server/config/config.h"
#include "server/engine/engine_priv.h"
#include "server/task/run.h"
#include "server/target/target.h"
#include "source/catalog.h"
#include "source/reader.h"
#include "store/writer.h"

static json_t *task_json(const struct task *t, const char *extra)
{
	json_t *o = json_loads(*extra ? extra : "{}", 0, NULL);
	CLEANUP(freep) char *target = task_target(t);

	if (!json_is_object(o))
		o = json_object();
	json_object_set_new(o, "task_id", json_string(t->id));
	json_object_set_new(o, "target", json_string(target));
	json_object_set_new(o, "state", json_string(task_state_name(t->state)));
	json_object_set_new(o, "reason", json_string(t->reason));
	return o;
}

static json_t *tasks_json(struct engine *en)
{
	struct api_engine api = engine_api(en);
	json_t *l = json_array();
	struct task **tasks = NULL;
	char **extras = NULL;
	size_t n = 0;
	struct err e = ERR_INIT;

	if (api.list(api.arg, &tasks, &extras, &n, &e))
		return l;
	for (size_t i = 0; i < n; i++) {
		json_array_append_new(l, task_json(tasks[i], extras[i]));
		free(extras[i]);
	}
	free(extras);
	store_tasks_free(tasks, n);
	return l;
}

void engine_status(struct engine *en, struct buf *ret)
{
	json_t *o = json_object(), *source = json_object(), *store = json_object();
	const struct config *c = en->sv.config;
	struct writer_status ws;
	char text[512];

	catalog_status(en->sv.catalog, text, sizeof(text));
	json_object_set_new(source, "address",
		json_string(c->has_pulsar ? c->pulsar_address : c->kafka_address));
	json_object_set_new(source, "status", json_string(text));
	writer_status(en->sv.writer, &ws);
	json_object_set_new(store, "kind", json_string(en->sv.store->ops->name));
	json_object_set_new(store, "status", json_string(ws.text));
	json_object_set_new(o, "version", json_string(en->sv.version));
	json_object_set_new(
		o, "uptime_s", json_integer((time_mono_ms() - en->started_mono_ms) / 1000));
	json_object_set_new(o, "dry_run", json_boolean(en->sv.config->dry_run));
	json_object_set_new(o, "time_ms", json_integer(time_wall_ms()));
	json_object_set_new(o, "held_bytes", json_integer((json_int_t)hub_held_bytes(en->sv.hub)));
	json_object_set_new(o, "memory_budget_bytes", json_integer(c->memory_budget_bytes));
	json_object_set_new(o, "source", source);
	json_object_set_new(o, "store", store);
	json_object_set_new(o, "tasks", tasks_json(en));
	char *dump = json_dumps(o, JSON_COMPACT);
	buf_put_str(ret, dump);
	free(dump);
	json_decref(o);
}

/* Under the lock: no series of a task is made after its end. */
static void count_tasks(struct engine *en, int64_t counts[3])
{
	mutex_lock(&en->mtx);
	for (size_t i = 0; i < en->n; i++) {
		const struct task *t = en->tasks[i]->task;
		if (en->tasks[i]->hidden)
			continue;
		counts[t->state]++;
		metrics_set(metrics_get(METRIC_task_state, t->id, NULL), (int64_t)t->state);
	}
	mutex_unlock(&en->mtx);
}

void engine_refresh_metrics(struct engine *en)
{
	int64_t counts[3] = {0};

	count_tasks(en, counts);
	for (int s = TASK_INITIAL; s <= TASK_PAUSED; s++)
		metrics_set(metrics_get(METRIC_task_num, task_state_name((enum task_state)s), NULL),
			counts[s]);
	metrics_set(metrics_get(METRIC_memory_bytes, NULL), (int64_t)hub_held_bytes(en->sv.hub));
	metrics_set(metrics_get(METRIC_readers, NULL), hub_readers(en->sv.hub));
}
