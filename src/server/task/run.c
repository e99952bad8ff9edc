#include "server/task/run.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "model/ts.h"
#include "server/config/config.h"
#include "server/target/replicate_id.h"
#include "server/task/run_priv.h"
#include "source/catalog.h"
#include "store/keys.h"
#include "store/writer.h"

enum {
	FLUSH_MS = 10000,
	LEAST_FLUSH_MS = 1000,
	RETRY_FIRST_MS = 200,
	RETRY_MOST_MS = 5000,
	AHEAD_MS = 5000, /* slack between our clock and the source's */
};

/* ---- look-ups for the parts ---- */

const struct store_position *run_start_position(
	const struct run *r, int64_t collection_id, const char *pchannel)
{
	for (size_t i = 0; i < r->n_start; i++) {
		const struct store_positions *d = &r->start[i];
		if (d->collection_id != collection_id)
			continue;
		for (size_t k = 0; k < d->n_source; k++)
			if (strcmp(d->source[k].channel, pchannel) == 0)
				return &d->source[k];
	}
	return NULL;
}

const char *run_start_damaged(const struct run *r, int64_t collection_id)
{
	for (size_t i = 0; i < r->n_start; i++)
		if (r->start[i].collection_id == collection_id && r->start[i].damaged)
			return r->start[i].damaged;
	return NULL;
}

uint64_t run_head_ts(const struct run *r)
{
	return MAX(catalog_clock(r->sv.catalog), ts_from_ms(time_wall_ms() + AHEAD_MS));
}

void run_skip_op(struct run *r, const char *type, const char *fmt, ...)
{
	char text[sizeof(r->skipped[0].text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	mutex_lock(&r->mtx);
	struct skipped_op *s = &r->skipped[r->n_skipped++ % SKIPPED_KEPT];
	memcpy(s->text, text, sizeof(text));
	s->wall_ms = time_wall_ms();
	mutex_unlock(&r->mtx);
	metrics_add(metrics_get(METRIC_skipped_ops, r->task->id, type, NULL), 1);
	log_error(&r->log, "operation skipped: %s", text);
}

enum err_code run_skip_waiting(struct run *r, const char *message, struct err *e)
{
	CLEANUP(buf_done) struct buf id = BUF_INIT(MQ_ID_BYTES);

	if (!b64_decode(&id, message) || buf_failed(&id) || !id.n)
		return err_set(e, ERR_INVALID, "message is not the id of an operation in base64");
	struct oplog *o = run_oplog(r);
	if (!o)
		return err_set(e, ERR_NOT_FOUND, "the replicate channel is not read yet");
	return oplog_skip(o, buf_slice(&id), e);
}

struct oplog *run_oplog(struct run *r)
{
	mutex_lock(&r->mtx);
	struct oplog *o = r->oplog;
	mutex_unlock(&r->mtx);
	return o;
}

static void start_operations(struct run *r)
{
	struct oplog *o = NULL;
	struct err e = ERR_INIT;

	if (oplog_start(r, &o, &e))
		log_error(&r->log, "replicate channel: %s", e.text);
	mutex_lock(&r->mtx);
	r->oplog = o;
	mutex_unlock(&r->mtx);
}

/* ---- the catalog becomes collections ---- */

static void add_coll(struct run *r, struct coll *c)
{
	mutex_lock(&r->mtx);
	umap_put(&r->colls, (uint64_t)c->id, c);
	run_named_locked(r, c);
	mutex_unlock(&r->mtx);
}

static void sync_one(struct run *r, const struct collection *src)
{
	char db[NAME_BYTES];

	mutex_lock(&r->mtx);
	struct coll *known = umap_get(&r->colls, (uint64_t)src->id);
	mutex_unlock(&r->mtx);
	if (known)
		job_wake(&known->job, 0);
	if (known || (src->state != OBJECT_CREATED && src->state != OBJECT_CREATING))
		return;
	/* Two servers with one replicateID against each other: what the other made stays there. */
	const char *id = r->sv.config->replicate_id;
	if (*id && slice_eq_str(replicate_id_of(src->properties), id))
		return;
	if (!catalog_database_name(r->sv.catalog, src->db_id, db, sizeof(db)) ||
		!task_selects(r->task, db, src->name, NULL))
		return;
	struct coll *c = coll_new(r, src, db);
	add_coll(r, c);
	job_wake(&c->job, 0);
}

/* What changed in the catalog after version `seen`. */
static void sync_catalog(struct run *r, uint64_t seen)
{
	struct collection **list = NULL;

	run_db_sync(r);
	size_t n = catalog_collections_since(r->sv.catalog, seen, &list);
	for (size_t i = 0; i < n; i++) {
		sync_one(r, list[i]);
		collection_unref(list[i]);
	}
	free(list);
}

/* ---- the thread ---- */

static enum err_code store_run_record(
	struct run *r, bool clean, int64_t ms, struct stop *s, struct err *e)
{
	CLEANUP(freep) char *key = keys_ext_task("object", r->task->id, "run");

	writer_put_ext(r->sv.writer, key, clean ? "{\"clean\":true}" : "{\"clean\":false}");
	return writer_flush_ext(r->sv.writer, key, deadline_in(ms), s, e);
}

/* "<prefix>/<id>", "<prefix>/db-<id>", "<prefix>/run" or "<prefix>/rbac". */
static void take_record(struct run *r, const char *name, const char *json)
{
	int64_t id;

	if (strcmp(name, "run") == 0) {
		if (!strstr(json, "\"clean\":true"))
			r->replay_until = run_head_ts(r);
	} else if (strcmp(name, USERS_RECORD) == 0) {
		if (r->users)
			users_take_record(r->users, json);
	} else if (str_starts(name, "db-") && str_to_i64(name + 3, &id)) {
		struct run_db *d = run_db_from_record(r, id, json);
		if (d)
			umap_put(&r->dbs, (uint64_t)id, d);
		else
			log_error(&r->log,
				"stored record of database %" PRId64 " is damaged and ignored", id);
	} else if (str_to_i64(name, &id)) {
		struct coll *c = coll_from_record(r, id, json);
		if (c)
			add_coll(r, c);
		else
			log_error(&r->log,
				"stored record of collection %" PRId64 " is damaged and ignored",
				id);
	}
}

static bool overlaps(const struct store_position *p)
{
	return !p->exact || p->pos.ts;
}

static enum err_code load_records(void *arg, struct err *e)
{
	struct run *r = arg;
	CLEANUP(freep) char *prefix = keys_ext_task("object", r->task->id, "");
	struct store_ext_kv *kv = NULL;
	size_t n = 0;
	bool run_seen = false;

	if (store_read_exts(r->sv.store, prefix, &r->stop, &kv, &n, e))
		return e->code;
	for (size_t i = 0; i < n; i++) {
		const char *name = kv[i].key + strlen(prefix);
		run_seen = run_seen || strcmp(name, "run") == 0;
		take_record(r, name, kv[i].value);
	}
	/* Positions without a run record were written by the reference, which has no clean stop, or came
	 * with create: another task, or a back-up, may have brought more than they say, and no bound
	 * of ours tells how much. The end of a topic at create has no time. */
	for (size_t i = 0; i < r->n_start && !run_seen; i++)
		for (size_t k = 0; k < r->start[i].n_source; k++)
			if (r->start[i].collection_id > 0 && overlaps(&r->start[i].source[k])) {
				r->replay_until = run_head_ts(r);
				r->unbounded = true;
			}
	store_exts_free(kv, n);
	return ERR_OK;
}

static enum err_code mark_started(void *arg, struct err *e)
{
	struct run *r = arg;
	enum err_code code = store_run_record(r, false, FLUSH_MS, &r->stop, e);

	r->marked = code == ERR_OK;
	return code;
}

static void note_retry(void *arg, const struct err *e, int64_t delay_ms)
{
	struct run *r = arg;
	log_warn(&r->log, "metastore: %s; retry in %" PRId64 " ms", e->text, delay_ms);
}

static bool persist(struct run *r, enum err_code (*fn)(void *, struct err *))
{
	struct err e = ERR_INIT;
	struct retry_call call = {.policy = RETRY_INIT(RETRY_FIRST_MS, RETRY_MOST_MS),
		.until = DEADLINE_NEVER,
		.idempotent = true,
		.note = note_retry};
	enum err_code code = retry_run(&call, &r->stop, fn, r, &e);

	if (code && code != ERR_CANCELLED)
		log_error(&r->log, "the task can't start: %s", e.text);
	return code == ERR_OK;
}

static void wake_recorded(struct run *r)
{
	size_t pos = 0;
	void *v;

	mutex_lock(&r->mtx);
	while (umap_next(&r->colls, &pos, NULL, &v))
		job_wake(&((struct coll *)v)->job, 0);
	mutex_unlock(&r->mtx);
}

/* Another server writes to our metastore: two clocks on one target break every order there. */
static bool taken_over(struct run *r)
{
	struct writer_status ws;
	writer_status(r->sv.writer, &ws);
	return !ws.healthy && ws.code == ERR_CONFLICT;
}

static bool stop_colls(struct run *r, int64_t patience_ms);

static void give_way(struct run *r)
{
	log_error(&r->log, "another server has taken over the metastore: this task writes nothing "
			   "any more here");
	oplog_stop(r->oplog);
	stop_colls(r, 0);
	target_silence(r->target);
}

static void main_loop(void *arg)
{
	struct run *r = arg;
	uint64_t seen = catalog_wait(r->sv.catalog, 0, DEADLINE_NEVER, &r->stop);

	if (stop_is_set(&r->stop) || !persist(r, load_records) || !persist(r, mark_started))
		return;
	if (r->users)
		users_start(r->users);
	if (r->replay_until)
		log_warn(&r->log,
			"the last run ended uncleanly: rows that it may have sent are replayed%s",
			target_sink(r->target)->ops->replicate
				? " with deletes of their keys in front"
				: ", marked as possible repeats");
	/* Before the operations: whose they are is told by the collections. */
	sync_catalog(r, 0);
	mutex_lock(&r->mtx);
	r->synced = true;
	mutex_unlock(&r->mtx);
	wake_recorded(r);
	start_operations(r);
	run_watch_start(r);
	while (!stop_is_set(&r->stop)) {
		int64_t next =
			r->saved_mono_ms + r->sv.config->checkpoint_interval_ms - time_mono_ms();
		uint64_t now = catalog_wait(
			r->sv.catalog, seen, deadline_in(MAX(next, (int64_t)1)), &r->stop);
		if (stop_is_set(&r->stop))
			break;
		if (now != seen)
			sync_catalog(r, seen);
		seen = now;
		if (time_mono_ms() - r->saved_mono_ms >= r->sv.config->checkpoint_interval_ms) {
			run_save(r, false);
			run_prune(r);
		}
		if (taken_over(r)) {
			give_way(r);
			break;
		}
	}
}

enum err_code run_start(const struct services *sv, const struct task *t,
	const struct store_positions *pos, size_t n_pos, struct run **ret_r, struct err *e)
{
	struct run *r = xcalloc(1, sizeof(*r));

	r->sv = *sv;
	r->task = task_copy(t);
	snprintf(r->log_fields, sizeof(r->log_fields), "task=%.150s", t->id);
	r->log = (struct log_ctx){.parent = sv->log, .comp = LOG_task, .fields = r->log_fields};
	r->start = xcalloc(n_pos + 1, sizeof(*r->start));
	for (size_t i = 0; i < n_pos; i++)
		store_positions_copy(&r->start[r->n_start++], &pos[i]);
	r->saved_mono_ms = time_mono_ms();
	mutex_init(&r->mtx, "run");
	stop_init(&r->stop, NULL);
	enum err_code code = target_get(sv->targets, t, &r->target, e);
	if (!code) {
		run_users_new(r);
		code = thread_start(&r->thread, "task", main_loop, r, e);
	}
	if (code) {
		run_stop(r, 0);
		return code;
	}
	*ret_r = r;
	return ERR_OK;
}

/* ---- the end ---- */

static bool stop_colls(struct run *r, int64_t patience_ms)
{
	struct deadline d = deadline_in(patience_ms);
	size_t pos = 0;
	void *v;
	bool clean = true;

	job_stop(&r->watch);
	while (umap_next(&r->colls, &pos, NULL, &v))
		job_stop(&((struct coll *)v)->job);
	for (pos = 0; umap_next(&r->colls, &pos, NULL, &v);)
		coll_leave(v);
	for (pos = 0; umap_next(&r->colls, &pos, NULL, &v);) {
		struct coll *c = v;
		coll_stop(c, deadline_left_ms(d));
		if (!c->recorded)
			continue;
		if (!coll_started(c) && r->replay_until)
			coll_leave_window(c);
		coll_record_put(c);
		clean = clean && !c->unclean;
	}
	for (pos = 0; umap_next(&r->dbs, &pos, NULL, &v);)
		job_stop(&((struct run_db *)v)->job);
	users_stop(r->users);
	return clean;
}

static void free_all(struct run *r)
{
	size_t pos = 0;
	void *v;

	while (umap_next(&r->colls, &pos, NULL, &v))
		coll_free(v);
	umap_done(&r->colls);
	for (pos = 0; umap_next(&r->dbs, &pos, NULL, &v);)
		run_db_free(v);
	umap_done(&r->dbs);
	smap_done(&r->by_target);
	users_free(r->users);
	for (size_t i = 0; i < r->n_start; i++)
		store_positions_done(&r->start[i]);
	free(r->start);
	task_free(r->task);
	stop_done(&r->stop);
	mutex_done(&r->mtx);
	free(r);
}

/* The mark of a clean end comes behind all that it vouches for. Else a position that the store refuses
 * or that is late would be followed by a start that replays nothing. */
static void store_end(struct run *r, struct deadline d)
{
	int64_t ms = MAX(deadline_left_ms(d), (int64_t)LEAST_FLUSH_MS);
	struct err e = ERR_INIT;
	struct stop none;

	stop_init(&none, NULL);
	run_save(r, true);
	if (writer_flush_task(r->sv.writer, r->task->id, deadline_in(ms), &none, &e) ||
		store_run_record(r, true, LEAST_FLUSH_MS, &none, &e))
		log_error(&r->log, "last positions are not stored: %s; the next start replays",
			e.text);
	stop_done(&none);
}

void run_stop(struct run *r, int64_t patience_ms)
{
	struct deadline d = deadline_in(patience_ms);

	if (!r)
		return;
	stop_set(&r->stop);
	thread_join(&r->thread);
	oplog_stop(r->oplog);
	stop_colls(r, patience_ms);
	if (r->marked)
		store_end(r, d);
	oplog_free(r->oplog);
	if (r->target)
		target_unclaim(r->target, r);
	target_put(r->target, deadline_left_ms(d));
	free_all(r);
}
