/* The steps of a collection's life, each short: at most a few calls to the target. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/ts.h"
#include "server/task/coll.h"
#include "server/target/compare.h"
#include "server/config/config.h"
#include "server/target/replicate_id.h"
#include "server/task/run_priv.h"
#include "sink/schema_json.h"
#include "source/catalog.h"

enum { AGAIN_MS = 50, PARTS_MS = 20, WANTED_MS = 500, IDLE_MS = 5000, DETACH_MS = 5000 };

static bool gone(const struct coll *c)
{
	return !c->src || c->src->state == OBJECT_GONE || c->src->state == OBJECT_DROPPED ||
	       c->src->state == OBJECT_DROPPING;
}

/* A field can't be renamed. */
static void note_pk_name(struct coll *c)
{
	struct slice name = schema_field_name(c->src->schema, c->src->pk_field_id);

	if (!c->pk_name && name.n)
		c->pk_name = xasprintf("%.*s", (int)name.n, (const char *)name.p);
}

static void refresh(struct coll *c)
{
	struct collection *now = catalog_collection(c->run->sv.catalog, c->id);
	if (!now)
		return;
	collection_unref(c->src);
	c->src = now;
	if (now->pk_field_id) {
		c->pk_field_id = now->pk_field_id;
		c->pk_is_varchar = now->pk_is_varchar;
		note_pk_name(c);
	}
}

/* Renamed before it was made on the target: it is as if it had never had another name. */
static void take_name(struct coll *c)
{
	char db[NAME_BYTES], target_db[NAME_BYTES], target_name[NAME_BYTES];

	if (c->recorded || !c->src || c->src->state != OBJECT_CREATED ||
		!catalog_database_name(c->run->sv.catalog, c->src->db_id, db, sizeof(db)) ||
		(!strcmp(db, c->db) && !strcmp(c->src->name, c->name)))
		return;
	task_map_name(c->run->task, db, c->src->name, target_db, target_name, NAME_BYTES);
	run_rename(c->run, c, db, c->src->name, target_db, target_name);
	c->db_id = c->src->db_id;
}

static int64_t step_waiting(struct coll *c)
{
	char why[COLL_REASON_BYTES];

	take_name(c);
	if (!c->recorded && gone(c)) {
		coll_set_state(c, COLL_DROPPED, "dropped at the source before it was replicated");
		return JOB_IDLE;
	}
	if (!c->recorded && c->src->state != OBJECT_CREATED) {
		coll_waits(c, "being created at the source");
		return JOB_IDLE;
	}
	if (!target_claim(c->run->target, c->id, c->run)) {
		coll_waits(c, "another task to this target replicates it: it was renamed");
		return IDLE_MS;
	}
	if (!c->recorded && run_name_meets(c->run, c, why, sizeof(why))) {
		coll_fail(c, "%s", why);
		return JOB_IDLE;
	}
	if (!run_turn_of(c->run, c, why, sizeof(why)) ||
		!run_db_ready(c->run, c->db_id, why, sizeof(why))) {
		coll_waits(c, "%s", why);
		return IDLE_MS; /* woken earlier by run_wake_turn or run_wake_db */
	}
	int64_t holder = target_claim_name(c->run->target, c->target_db, c->target_name, c->id);
	if (holder) {
		coll_waits(c,
			"the target name %.100s.%.100s, which the source's collection %" PRId64
			" has by another task",
			c->target_db, c->target_name, holder);
		return IDLE_MS;
	}
	coll_set_state(c, COLL_CREATING, c->recorded ? "known from an earlier run" : "its turn");
	return 0;
}

/* Durable before the call: whatever names change while we are down, the next run knows what it may
 * have made and for which source id. */
static enum err_code announce(struct coll *c, struct err *e)
{
	if (c->recorded)
		return ERR_OK;
	coll_follow_created(c, c->src->properties);
	if (coll_record_flush(c, e))
		return err_ctx(e, "store what is about to be created");
	c->recorded = true;
	return ERR_OK;
}

static enum err_code create(struct coll *c, struct err *e)
{
	struct partition *parts = NULL;
	size_t n = catalog_partitions(c->run->sv.catalog, c->id, &parts);
	catalog_partitions_free(parts, n);
	CLEANUP(buf_done) struct buf properties = BUF_INIT(LIMIT_RECORD);
	replicate_id_properties(c->src->properties, c->run->sv.config->replicate_id, &properties);
	struct sink_change req = {.kind = SINK_CREATE_COLLECTION,
		.schema = c->src->schema,
		.properties = buf_slice(&properties),
		.shards_num = c->src->shards_num,
		.consistency_level = c->src->consistency_level,
		.num_partitions = c->src->has_partition_key ? (int64_t)n : 0,
		.ts = c->create_ts};

	enum err_code code = announce(c, e);
	if (code)
		return code;
	code = coll_change(c, &req, e);
	if (code == ERR_OK) {
		coll_follow_created(c, c->src->properties);
		metrics_add(metrics_get(METRIC_api_execute_total, c->run->task->id,
				    "CreateCollection", NULL),
			1);
		log_info(&c->log, "created on the target as %s.%s", c->target_db, c->target_name);
	}
	return code;
}

static void take_shards(struct coll *c, const struct sink_collection *m)
{
	c->target_id = m->id;
	for (int i = 0; i < c->n_shards; i++) {
		struct coll_shard *s = &c->shards[i];
		free(s->target_vchannel);
		free(s->target_pchannel);
		s->target_vchannel = xstrdup(m->shards[i].vchannel);
		s->target_pchannel = xstrdup(m->shards[i].pchannel);
		s->stream.min_stamp = m->created_ts;
	}
}

static void source_shards(struct coll *c)
{
	if (c->n_shards || !c->src)
		return;
	struct coll_shard *l = xcalloc((size_t)c->src->shards_num, sizeof(*l));
	for (int i = 0; i < c->src->shards_num; i++) {
		l[i].vchannel = xstrdup(c->src->shards[i].vchannel);
		l[i].pchannel = xstrdup(c->src->shards[i].pchannel);
		l[i].index = i;
		l[i].coll = c;
	}
	mutex_lock(&c->mtx); /* operations ask for their drops */
	c->shards = l;
	c->n_shards = c->src->shards_num;
	mutex_unlock(&c->mtx);
}

static void fail_vanished(struct coll *c)
{
	coll_fail(c,
		"%s.%s has vanished from the target. Its rows are lost there: copy it anew, then "
		"delete and create the task; or drop it at the source",
		c->target_db, c->target_name);
}

static void fail_replaced(struct coll *c, int64_t id)
{
	coll_fail(c,
		"the target's %s.%s has id %" PRId64 ", this task made id %" PRId64
		": it was replaced there. Drop it on the target or exclude it, then pause "
		"and resume",
		c->target_db, c->target_name, id, c->target_id);
}

/* The target's collection of this name is ours, or may become ours. */
static bool acceptable(struct coll *c, const struct sink_collection *m)
{
	char diff[COLL_REASON_BYTES / 2];

	if (c->recorded && c->target_id && c->target_id != m->id) {
		fail_replaced(c, m->id);
		return false;
	}
	if (m->shards_num != c->n_shards) {
		coll_fail(c,
			"the target's %s.%s has %d shards, the source %d: drop it on the target or "
			"map the name elsewhere",
			c->target_db, c->target_name, m->shards_num, c->n_shards);
		return false;
	}
	if (!c->target_id && c->src &&
		!compare_schema(c->src->schema, m->schema, diff, sizeof(diff))) {
		coll_fail(c, "the target's %s.%s has another schema: %s", c->target_db,
			c->target_name, diff);
		return false;
	}
	return true;
}

/* The last run ended in the middle of a rename. */
static enum err_code finish_rename(struct coll *c, struct err *e)
{
	struct sink *k = target_sink(c->run->target);
	struct sink_collection m = {.id = 0};

	if (!k->ops->describe) { /* a target without names of its own */
		coll_follow_finish(c, c->target_id);
		return ERR_OK;
	}
	enum err_code code =
		k->ops->describe(k, c->follow.next_db, c->follow.next_name, &c->run->stop, &m, e);
	if (code == ERR_OK)
		coll_follow_finish(c, m.id);
	else if (code == ERR_NOT_FOUND)
		err_clear(e);
	sink_collection_done(&m);
	return e->code;
}

/* An earlier run was about to create it, and the source has dropped it since. If the target's is that
 * one, nothing was written into it yet. */
static int64_t undo_create(struct coll *c, const struct sink_collection *m)
{
	if (c->recorded && m->created_ts == c->create_ts && m->shards_num == c->n_shards) {
		take_shards(c, m);
		coll_set_state(c, COLL_DROP_READY, "created, and dropped at the source at once");
	} else {
		coll_set_state(c, COLL_DROPPED, "dropped at the source; the target's is not ours");
	}
	coll_record_put(c);
	return 0;
}

/* One that we did not make keeps the properties that its owner gave it. A create carries the time of
 * the source's, which Milvus (2.3.5) shows as the time of creation. */
static void forget_announced(struct coll *c, const struct sink_collection *m)
{
	if (c->target_id || c->announced || m->created_ts == c->create_ts)
		return;
	kv_done(&c->follow.properties);
	kv_done(&c->follow.fields);
	c->follow.known = false;
}

static int64_t step_creating(struct coll *c)
{
	struct sink_collection m = {.id = 0};
	struct err e = ERR_INIT;

	source_shards(c);
	if (c->follow.next_name && finish_rename(c, &e))
		return coll_error(c, "describe collection", &e);
	enum err_code code = coll_describe(c, &m, &e);
	if (code == ERR_NOT_FOUND && gone(c)) {
		coll_set_state(c, COLL_DROPPED, "gone on both sides");
		coll_record_put(c);
		return JOB_IDLE;
	}
	if (code == ERR_NOT_FOUND) {
		if (c->recorded && c->target_id) {
			fail_vanished(c);
			return JOB_IDLE;
		}
		err_clear(&e);
		if (create(c, &e))
			return coll_error(c, "create collection", &e);
		return 0;
	}
	if (code)
		return coll_error(c, "describe collection", &e);
	if (!c->target_id && !c->announced && gone(c)) {
		int64_t delay = undo_create(c, &m);
		sink_collection_done(&m);
		return delay;
	}
	if (!acceptable(c, &m)) {
		sink_collection_done(&m);
		return JOB_IDLE;
	}
	forget_announced(c, &m);
	take_shards(c, &m);
	c->recorded = true;
	code = coll_parts_sync(c, &m, &e);
	sink_collection_done(&m);
	coll_record_put(c);
	if (code == ERR_OK)
		code = coll_start_streams(c, &e);
	if (code)
		return coll_error(c, "start", &e);
	coll_set_state(c, COLL_RUNNING, "streams started");
	return AGAIN_MS;
}

static bool all_shards_at_drop(struct coll *c)
{
	bool all = true;
	mutex_lock(&c->mtx);
	for (int i = 0; i < c->n_shards; i++)
		all = all && c->shards[i].drop_ts;
	mutex_unlock(&c->mtx);
	return all;
}

static bool any_shard_at_drop(struct coll *c)
{
	bool any = false;
	mutex_lock(&c->mtx);
	for (int i = 0; i < c->n_shards; i++)
		any = any || c->shards[i].drop_ts;
	mutex_unlock(&c->mtx);
	return any;
}

bool coll_dropped_before(struct coll *c, uint64_t ts)
{
	bool before = false;

	mutex_lock(&c->mtx);
	for (int i = 0; i < c->n_shards; i++)
		before = before || (c->shards[i].drop_ts && c->shards[i].drop_ts < ts);
	mutex_unlock(&c->mtx);
	return before;
}

static bool drops_acked(struct coll *c)
{
	for (int i = 0; i < c->n_shards; i++)
		if (tchan_position(&c->shards[i].stream).ts < c->shards[i].drop_ts)
			return false;
	return true;
}

static bool take_failure(struct coll *c)
{
	mutex_lock(&c->mtx);
	const char *why = c->failure; /* set once */
	mutex_unlock(&c->mtx);
	if (why)
		coll_fail(c, "%s", why);
	return why != NULL;
}

/* The target refuses its rows. If somebody dropped or replaced the collection there, it alone must
 * stop: its rows would hold back the whole channel. What can't be told now is asked at the next
 * refusal. */
static bool fails_doubt(struct coll *c)
{
	struct sink_collection m = {.id = 0};
	struct err e = ERR_INIT;

	mutex_lock(&c->mtx);
	bool doubted = c->doubted;
	c->doubted = false;
	mutex_unlock(&c->mtx);
	if (!doubted || !c->target_id)
		return false;
	enum err_code code = coll_describe(c, &m, &e);
	int64_t id = m.id;
	sink_collection_done(&m);
	if (code == ERR_NOT_FOUND)
		fail_vanished(c);
	else if (!code && id != c->target_id)
		fail_replaced(c, id);
	return code == ERR_NOT_FOUND || (!code && id != c->target_id);
}

static int64_t step_running(struct coll *c)
{
	struct err e = ERR_INIT;
	bool pending = false;

	if (take_failure(c) || fails_doubt(c))
		return JOB_IDLE;
	if (any_shard_at_drop(c)) {
		coll_set_state(c, COLL_DROPPING, "the source dropped it");
		return 0;
	}
	if (coll_parts_sync(c, NULL, &e))
		return coll_error(c, "partitions", &e);
	if (coll_parts_drop(c, &pending, &e))
		return coll_error(c, "drop partition", &e);
	if (coll_follow(c, &e))
		return coll_error(c, "follow the source", &e);
	retry_reset(&c->backoff);
	char why[COLL_REASON_BYTES];
	bool wanted = coll_parts_wanted(c, why, sizeof(why));
	coll_waits(c, "%s", why);
	if (pending)
		return PARTS_MS;
	return wanted ? WANTED_MS : coll_parts_prune(c);
}

static int64_t step_dropping(struct coll *c)
{
	struct err e = ERR_INIT;
	bool pending = false;

	if (take_failure(c) || fails_doubt(c))
		return JOB_IDLE;
	if (!all_shards_at_drop(c)) {
		/* Shards that are not there yet may still need a partition. */
		if (coll_parts_sync(c, NULL, &e) || coll_parts_drop(c, &pending, &e))
			return coll_error(c, "partitions", &e);
		coll_waits(c, "the drop message of all shards");
		return pending ? PARTS_MS : WANTED_MS;
	}
	if (!coll_notes_settled(c))
		return AGAIN_MS; /* of a partition's drop; the collection's does the rest of it */
	if (!drops_acked(c)) {
		coll_waits(c, "the acknowledgement of its last rows");
		return AGAIN_MS;
	}
	coll_stop_streams(c, DETACH_MS);
	coll_set_state(c, COLL_DROP_READY, "all shards are done");
	coll_record_put(c);
	return 0;
}

/* What failed and is dropped at the source needs no mending any more: the name is free again. */
static int64_t step_failed(struct coll *c)
{
	static const char why[] = "it failed, and the source dropped it";

	if (!c->src || !gone(c))
		return JOB_IDLE;
	if (!c->recorded) {
		coll_set_state(c, COLL_DROPPED, why);
		return JOB_IDLE;
	}
	coll_set_state(c, COLL_DROP_READY, why);
	coll_record_put(c);
	return 0;
}

int64_t coll_step(void *arg)
{
	struct coll *c = arg;

	if (stop_is_set(&c->run->stop))
		return JOB_IDLE;
	refresh(c);
	switch (coll_get_state(c)) {
	case COLL_WAITING:
		return step_waiting(c);
	case COLL_CREATING:
		return step_creating(c);
	case COLL_RUNNING:
		return step_running(c);
	case COLL_DROPPING:
		return step_dropping(c);
	case COLL_DROP_READY:
		return coll_drop_step(c);
	case COLL_FAILED:
		return step_failed(c);
	case COLL_DROPPED:
	case COLL_STATE_COUNT:
		break;
	}
	return JOB_IDLE;
}
