/* Databases of a task, by source id. A database is created on demand from the catalog and dropped
 * after all its collections; the operations of the replicate channel are only hints. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/wire.h"
#include "model/ts.h"
#include "server/config/config.h"
#include "server/task/run_priv.h"
#include "source/catalog.h"
#include "store/keys.h"
#include "store/writer.h"

enum { FIRST_MS = 200, MOST_MS = 10000, EMPTY_MS = 200, FINAL_TRIES = 8 };
enum { PROPERTIES = 3 /* of CreateDatabaseRequest */ };

static const char default_db[] = "default";

static json_t *kv_json(const struct kv_list *l)
{
	json_t *o = json_object();

	for (size_t i = 0; i < l->n; i++)
		json_object_set_new(o, l->v[i].key, json_string(l->v[i].value));
	return o;
}

static void record_put(struct run_db *d)
{
	json_t *o = json_object();
	json_object_set_new(o, "format", json_integer(1));
	json_object_set_new(o, "database", json_string(d->name));
	json_object_set_new(o, "target", json_string(d->target_name));
	json_object_set_new(o, "dropped", json_boolean(d->dropped));
	if (d->done_known)
		json_object_set_new(o, "properties", kv_json(&d->done));
	CLEANUP(freep) char *text = json_dumps(o, JSON_COMPACT);
	CLEANUP(freep) char *rest = xasprintf("db-%" PRId64, d->id);
	CLEANUP(freep) char *key = keys_ext_task("object", d->run->task->id, rest);
	json_decref(o);
	writer_put_ext(d->run->sv.writer, key, text);
}

static int64_t error(struct run_db *d, const char *what, const struct err *e)
{
	if (e->code == ERR_CANCELLED)
		return JOB_IDLE;
	bool first = d->backoff.failed == 0;
	int64_t delay = retry_next_ms(&d->backoff);
	mutex_lock(&d->run->mtx);
	snprintf(d->reason, sizeof(d->reason), "%s %.100s: %.200s", what, d->target_name, e->text);
	mutex_unlock(&d->run->mtx);
	if (first)
		log_warn(&d->run->log,
			"%s %s: %s; retry in %" PRId64 " ms and so on until it works", what,
			d->target_name, e->text, delay);
	return delay;
}

static enum err_code exists(struct run_db *d, bool *ret, struct err *e)
{
	struct sink *k = target_sink(d->run->target);
	struct sink_names l = {.n = 0};

	*ret = d->recorded; /* a target without a catalogue: what we told it */
	if (!k->ops->databases)
		return ERR_OK;
	enum err_code code = k->ops->databases(k, &d->run->stop, &l, e);

	*ret = false;
	for (size_t i = 0; i < l.n; i++)
		*ret = *ret || strcmp(l.names[i], d->target_name) == 0;
	sink_names_done(&l);
	return code;
}

/* What the source has now; heap. */
static struct slice properties_now(struct run_db *d)
{
	mutex_lock(&d->run->mtx);
	struct slice now = slice_of(
		xmemdup(d->properties ? d->properties : "", d->properties_n), d->properties_n);
	mutex_unlock(&d->run->mtx);
	return now;
}

/* The target has these. */
static void note_done(struct run_db *d, struct slice properties)
{
	kv_done(&d->done);
	d->done_known = kv_read(&d->done, properties, PROPERTIES);
}

static enum err_code change(struct run_db *d, enum sink_change_kind kind, struct err *e)
{
	struct sink *k = target_sink(d->run->target);
	struct sink_change c = {.kind = kind, .db = d->target_name, .source_id = d->id};
	struct slice properties = properties_now(d);

	if (kind == SINK_CREATE_DATABASE)
		c.properties = properties;
	enum err_code code = k->ops->change(k, &c, &d->run->stop, e);
	if (!code && kind == SINK_CREATE_DATABASE)
		note_done(d, properties);
	free((void *)(uintptr_t)properties.p);
	return code;
}

static void done(struct run_db *d, bool created, bool dropped)
{
	mutex_lock(&d->run->mtx);
	d->created = created;
	d->dropped = dropped;
	d->reason[0] = '\0';
	mutex_unlock(&d->run->mtx);
	retry_reset(&d->backoff);
	d->recorded = true;
	record_put(d);
	run_wake_db(d->run, d->id);
}

/* An older database of the name goes first. */
static bool older_left(struct run_db *d)
{
	size_t pos = 0;
	void *v;
	bool left = false;

	mutex_lock(&d->run->mtx);
	while (umap_next(&d->run->dbs, &pos, NULL, &v)) {
		const struct run_db *o = v;
		left = left || (o->id < d->id && !o->dropped && o->recorded &&
				       strcmp(o->target_name, d->target_name) == 0);
	}
	mutex_unlock(&d->run->mtx);
	return left;
}

static int64_t step_create(struct run_db *d)
{
	struct err e = ERR_INIT;
	bool there = false;

	if (older_left(d))
		return EMPTY_MS;
	if (exists(d, &there, &e))
		return error(d, "look for database", &e);
	if (!there) {
		enum err_code code = change(d, SINK_CREATE_DATABASE, &e);
		if (code && code != ERR_EXISTS)
			return error(d, "create database", &e);
		log_info(&d->run->log, "database %s created on the target", d->target_name);
		metrics_add(metrics_get(METRIC_api_execute_total, d->run->task->id,
				    "CreateDatabase", NULL),
			1);
	}
	done(d, true, false);
	return JOB_IDLE;
}

static int64_t step_drop(struct run_db *d)
{
	struct err e = ERR_INIT;
	bool there = false;

	if (!run_db_empty(d->run, d->id))
		return EMPTY_MS;
	if (exists(d, &there, &e))
		return error(d, "look for database", &e);
	if (there) {
		enum err_code code = change(d, SINK_DROP_DATABASE, &e);
		if (code && code != ERR_NOT_FOUND)
			return error(d, "drop database", &e);
		log_info(&d->run->log, "database %s dropped on the target", d->target_name);
		metrics_add(metrics_get(METRIC_api_execute_total, d->run->task->id, "DropDatabase",
				    NULL),
			1);
	}
	done(d, false, true);
	return JOB_IDLE;
}

/* ---- properties that change later ---- */

static enum err_code alter(struct run_db *d, const struct kv_list *now, struct err *e)
{
	enum { NAME = 2, SET = 4, DELETE = 5 }; /* of AlterDatabaseRequest */
	CLEANUP(buf_done) struct buf body = BUF_INIT(LIMIT_RECORD);
	struct sink *k = target_sink(d->run->target);
	struct iov v = {0};
	struct sink_call c = {
		.method = "AlterDatabase", .db = "", .body = &v, .ts = ts_from_ms(time_wall_ms())};

	wire_put_str(&body, NAME, d->target_name);
	kv_put_changes(&body, &d->done, now, SET, DELETE);
	iov_put(&v, buf_slice(&body));
	enum err_code code = k->ops->call(k, &c, &d->run->stop, e);
	iov_done(&v);
	return code;
}

/* Refused for good: listed as an operation that can't be replicated. */
static bool is_refused(struct run_db *d, const struct err *e)
{
	return e->code == ERR_UNSUPPORTED ||
	       (!retry_may(e->code, true) && e->code != ERR_CANCELLED &&
		       ++d->refused >= FINAL_TRIES);
}

static int64_t step_follow(struct run_db *d)
{
	CLEANUP(kv_done) struct kv_list now = {0};
	struct slice raw = properties_now(d);
	struct err e = ERR_INIT;
	int64_t delay = JOB_IDLE;

	bool good = kv_read(&now, raw, PROPERTIES);
	if (good && !d->done_known) { /* there before: what it has is its owner's wish */
		note_done(d, raw);
		record_put(d);
	} else if (good && !kv_equal(&now, &d->done)) {
		bool failed = alter(d, &now, &e) != ERR_OK, refused = failed && is_refused(d, &e);
		if (failed && !refused) {
			delay = error(d, "alter database", &e);
		} else {
			if (refused)
				run_skip_op(d->run, "AlterDatabase", "AlterDatabase of %.80s: %s",
					d->name, e.text);
			else
				log_info(&d->run->log, "database %s altered on the target",
					d->target_name);
			d->refused = 0;
			note_done(d, raw);
			done(d, true, false);
		}
	}
	free((void *)(uintptr_t)raw.p);
	return delay;
}

/* Also one whose drop is not ours, as the task covers a part of it: it is over with its collections, and
 * the next of its name must not wait for it. */
static int64_t step_gone(struct run_db *d, bool known)
{
	if (!known) {
		mutex_lock(&d->run->mtx);
		d->dropped = true; /* came and went before we looked */
		mutex_unlock(&d->run->mtx);
		return JOB_IDLE;
	}
	if (d->managed)
		return step_drop(d);
	if (!run_db_empty(d->run, d->id))
		return EMPTY_MS;
	done(d, false, true);
	return JOB_IDLE;
}

static int64_t step(void *arg)
{
	struct run_db *d = arg;

	mutex_lock(&d->run->mtx);
	bool created = d->created, gone = d->gone, dropped = d->dropped, mine = d->recorded;
	mutex_unlock(&d->run->mtx);
	if (stop_is_set(&d->run->stop) || dropped)
		return JOB_IDLE;
	if (gone)
		return step_gone(d, created || mine);
	if (!created)
		return step_create(d);
	return d->whole ? step_follow(d) : JOB_IDLE;
}

static struct run_db *db_new(struct run *r, int64_t id, const char *name)
{
	struct run_db *d = xcalloc(1, sizeof(*d));
	char target[NAME_BYTES];

	d->run = r;
	d->id = id;
	d->name = xstrdup(name);
	task_map_name(r->task, name, NULL, target, NULL, sizeof(target));
	d->target_name = xstrdup(target);
	d->whole = task_selects(r->task, name, RUN_ANY_COLLECTION, NULL);
	d->managed = d->whole && strcmp(target, default_db) != 0 && strcmp(name, default_db) != 0;
	d->created = strcmp(target, default_db) == 0;
	d->backoff = retry_policy(
		r->sv.config->retry_first_ms, r->sv.config->retry_most_ms, FIRST_MS, MOST_MS);
	job_init(&d->job, target_jobs(r->target), step, d);
	return d;
}

struct run_db *run_db_from_record(struct run *r, int64_t id, const char *json)
{
	json_t *o = json_loads(json, 0, NULL);
	const char *name = json_string_value(json_object_get(o, "database"));
	struct run_db *d = name ? db_new(r, id, name) : NULL;

	if (d) {
		d->recorded = true;
		d->dropped = json_is_true(json_object_get(o, "dropped"));
		d->done_known = json_is_object(json_object_get(o, "properties"));
		const char *key;
		json_t *v;
		json_object_foreach (json_object_get(o, "properties"), key, v)
			if (json_is_string(v))
				kv_put(&d->done, key, json_string_value(v));
		d->gone = true; /* until the catalog shows it */
	}
	json_decref(o);
	return d;
}

void run_db_free(struct run_db *d)
{
	free(d->name);
	free(d->target_name);
	free(d->properties);
	kv_done(&d->done);
	free(d);
}

static struct run_db *db_of(struct run *r, const struct database *src)
{
	mutex_lock(&r->mtx);
	struct run_db *d = umap_get(&r->dbs, (uint64_t)src->id);
	mutex_unlock(&r->mtx);
	if (d || src->state == OBJECT_GONE || !task_covers_db(r->task, src->name))
		return d;
	d = db_new(r, src->id, src->name);
	mutex_lock(&r->mtx);
	umap_put(&r->dbs, (uint64_t)src->id, d);
	mutex_unlock(&r->mtx);
	return d;
}

/* True if they are others than before. */
static bool take_properties(struct run_db *d, struct slice now)
{
	if (d->properties && slice_eq(slice_of(d->properties, d->properties_n), now))
		return false;
	free(d->properties);
	d->properties = xmemdup(now.n ? now.p : (const uint8_t *)"", now.n);
	d->properties_n = now.n;
	return true;
}

void run_db_sync(struct run *r)
{
	struct database *list = NULL;
	size_t n = catalog_databases(r->sv.catalog, &list);

	for (size_t i = 0; i < n; i++) {
		struct run_db *d = db_of(r, &list[i]);
		if (!d)
			continue;
		bool is_gone = list[i].state == OBJECT_GONE || list[i].state == OBJECT_DROPPED;
		mutex_lock(&r->mtx);
		d->gone = is_gone;
		bool altered = !is_gone && take_properties(d, list[i].properties) && d->whole;
		bool work = !d->dropped && (is_gone || altered || (d->managed && !d->created));
		mutex_unlock(&r->mtx);
		if (work)
			job_wake(&d->job, 0);
	}
	catalog_databases_free(list, n);
	/* Recorded ones that the catalog does not know at all. */
	size_t pos = 0;
	void *v;
	mutex_lock(&r->mtx);
	while (umap_next(&r->dbs, &pos, NULL, &v)) {
		struct run_db *d = v;
		if (d->gone && d->recorded && !d->dropped)
			job_wake(&d->job, 0);
	}
	mutex_unlock(&r->mtx);
}

bool run_db_ready(struct run *r, int64_t db_id, char *ret_why, size_t cap)
{
	mutex_lock(&r->mtx);
	struct run_db *d = umap_get(&r->dbs, (uint64_t)db_id);
	/* One that was dropped at the source while we were away is there as long as we did not drop
	 * it: its collections have to end first. */
	bool ready = !d || d->created || (d->gone && d->recorded && !d->dropped);
	if (!ready)
		snprintf(ret_why, cap, "database %.100s: %s", d->target_name,
			d->reason[0] ? d->reason : "being created on the target");
	if (!ready)
		job_wake(&d->job, 0);
	mutex_unlock(&r->mtx);
	return ready;
}

bool run_db_ready_name(struct run *r, const char *name, char *ret_why, size_t cap)
{
	int64_t id = 0;
	size_t pos = 0;
	void *v;

	mutex_lock(&r->mtx);
	while (umap_next(&r->dbs, &pos, NULL, &v)) {
		const struct run_db *d = v;
		if (strcmp(d->name, name) == 0 && !d->dropped)
			id = d->id;
	}
	mutex_unlock(&r->mtx);
	return !id || run_db_ready(r, id, ret_why, cap);
}
