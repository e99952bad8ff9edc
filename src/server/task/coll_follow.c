/* What the source's etcd tells of a collection that is replicated already, and no message does: its
 * name and database, its fields, its properties, its aliases. Compared with what this task has done on the
 * target (coll->follow, kept in the record) and made equal, a step at a time.
 *
 * A collection is followed by its id: one that is renamed stays with the task under the name that
 * the mapping gives to its new one, whether the task would select that name or not. Milvus 2.3.5
 * writes changed properties one change late: etcd shows them when the collection is altered again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/wire.h"
#include "model/ts.h"
#include "server/task/coll.h"
#include "server/task/run_priv.h"
#include "source/catalog.h"

enum { FINAL_TRIES = 8, PROPERTIES_OF_CREATE = 7 };
/* Fields of the requests. */
enum { F_BASE = 1, F_DB = 2, F_COLLECTION = 3, F_ALIAS = 4, F_PROPERTIES = 5, F_DELETE_KEYS = 6 };
enum { F_NEW_NAME = 4, F_NEW_DB = 5, F_DROPPED_ALIAS = 3, F_FIELD = 5 };
/* Of a CollectionSchema and a FieldSchema. */
enum { SCHEMA_FIELDS = 4, FIELD_ID = 1, FIELD_NAME = 2 };

/* MsgBase{msg_type, timestamp, replicateInfo{isReplicate, msgTimestamp}}: etcd does not say when it
 * happened, so it is now. */
static void put_base(struct buf *b, int type, uint64_t ts)
{
	struct buf info = BUF_INIT(LIMIT_RECORD), base = BUF_INIT(LIMIT_RECORD);

	wire_put_u64(&info, 1, 1);
	wire_put_u64(&info, 2, ts);
	wire_put_u64(&base, 1, (uint64_t)type);
	wire_put_u64(&base, 3, ts);
	wire_put_bytes(&base, 7, buf_slice(&info));
	wire_put_bytes(b, F_BASE, buf_slice(&base));
	buf_done(&info);
	buf_done(&base);
}

static void begin(struct buf *b, const struct coll *c, int type)
{
	put_base(b, type, ts_from_ms(time_wall_ms()));
	wire_put_str(b, F_DB, c->target_db);
}

static enum err_code call(
	struct coll *c, const char *method, const char *db, const struct buf *body, struct err *e)
{
	struct sink *k = target_sink(c->run->target);
	struct iov v = {0};
	struct sink_call sc = {
		.method = method, .db = db, .body = &v, .ts = ts_from_ms(time_wall_ms())};

	iov_put(&v, buf_slice(body));
	enum err_code code = k->ops->call(k, &sc, &c->run->stop, e);
	iov_done(&v);
	return code;
}

/* True when the change is done, or refused for good: then it is listed as a skipped operation. */
static bool settled(struct coll *c, const char *what, struct err *e)
{
	if (!e->code) {
		c->follow.refused = 0;
		metrics_add(metrics_get(METRIC_api_execute_total, c->run->task->id, what, NULL), 1);
		log_info(&c->log, "%s done, as the source's etcd tells it", what);
		return true;
	}
	bool final = e->code == ERR_UNSUPPORTED ||
		     (!retry_may(e->code, true) && ++c->follow.refused >= FINAL_TRIES);
	if (!final || e->code == ERR_CANCELLED)
		return false;
	c->follow.refused = 0;
	run_skip_op(c->run, what, "%s of %.60s.%.80s: %s", what, c->db, c->name, e->text);
	err_clear(e);
	return true;
}

/* The name of a schema's field, heap; NULL for other parts of the schema. */
static char *field_name(const struct wire_field *part)
{
	struct wire w = wire_open(part->data);
	struct wire_field f;

	if (part->num != SCHEMA_FIELDS || part->type != WIRE_LEN)
		return NULL;
	while (wire_next(&w, &f))
		if (f.num == FIELD_NAME && f.type == WIRE_LEN)
			return xasprintf("%.*s", (int)f.data.n, (const char *)f.data.p);
	return NULL;
}

/* ---- properties ---- */

static void note_fields(struct coll *c)
{
	struct wire w = wire_open(c->src->schema);
	struct wire_field f;

	while (wire_next(&w, &f)) {
		CLEANUP(freep) char *name = field_name(&f);
		if (name)
			kv_put(&c->follow.fields, name, "");
	}
}

void coll_follow_created(struct coll *c, struct slice properties)
{
	kv_done(&c->follow.properties);
	c->follow.known = kv_read(&c->follow.properties, properties, PROPERTIES_OF_CREATE);
	kv_done(&c->follow.fields);
	note_fields(c);
}

static enum err_code follow_properties(struct coll *c, struct err *e)
{
	CLEANUP(kv_done) struct kv_list now = {0};
	CLEANUP(buf_done) struct buf body = BUF_INIT(LIMIT_RECORD);

	if (!c->follow.known) { /* adopted: what the target has is its owner's wish */
		coll_follow_created(c, c->src->properties);
		return ERR_OK;
	}
	if (!kv_read(&now, c->src->properties, PROPERTIES_OF_CREATE) ||
		kv_equal(&now, &c->follow.properties))
		return ERR_OK;
	begin(&body, c, MSG_ALTER_COLLECTION);
	wire_put_str(&body, F_COLLECTION, c->target_name);
	kv_put_changes(&body, &c->follow.properties, &now, F_PROPERTIES, F_DELETE_KEYS);
	if (call(c, "AlterCollection", c->target_db, &body, e))
		err_ctx(e, "alter collection");
	if (!settled(c, "AlterCollection", e))
		return e->code;
	kv_copy(&c->follow.properties, &now);
	coll_record_put(c);
	return ERR_OK;
}

/* ---- fields ---- */

/* Without the source's id of the field: the target gives its own. */
static enum err_code add_field(struct coll *c, struct slice schema, struct err *e)
{
	CLEANUP(buf_done) struct buf body = BUF_INIT(LIMIT_RECORD);
	CLEANUP(buf_done) struct buf field = BUF_INIT(LIMIT_RECORD);
	struct wire w = wire_open(schema);
	struct wire_field f;

	while (wire_next(&w, &f))
		if (f.num != FIELD_ID)
			buf_put(&field, f.raw.p, f.raw.n);
	begin(&body, c, MSG_ADD_COLLECTION_FIELD);
	wire_put_str(&body, F_COLLECTION, c->target_name);
	wire_put_bytes(&body, F_FIELD, buf_slice(&field));
	if (call(c, "AddCollectionField", c->target_db, &body, e) == ERR_EXISTS)
		err_clear(e); /* its operation came through the replicate channel */
	return e->code;
}

/* What was added since (2.6 and later can). A field can be neither renamed nor dropped there. */
static enum err_code follow_fields(struct coll *c, struct err *e)
{
	struct wire w = wire_open(c->src->schema);
	struct wire_field f;

	if (!c->follow.fields.n) { /* adopted, or recorded by an earlier version */
		note_fields(c);
		coll_record_put(c);
	}
	while (wire_next(&w, &f)) {
		CLEANUP(freep) char *name = field_name(&f);
		if (!name || kv_get(&c->follow.fields, name))
			continue;
		if (add_field(c, f.data, e))
			err_ctx(e, "field %s", name);
		if (!settled(c, "AddCollectionField", e))
			return e->code;
		kv_put(&c->follow.fields, name, "");
		coll_record_put(c);
	}
	return ERR_OK;
}

/* ---- aliases ---- */

static enum err_code put_alias(struct coll *c, const char *alias, struct err *e)
{
	CLEANUP(buf_done) struct buf body = BUF_INIT(LIMIT_RECORD);

	begin(&body, c, MSG_CREATE_ALIAS);
	wire_put_str(&body, F_COLLECTION, c->target_name);
	wire_put_str(&body, F_ALIAS, alias);
	if (call(c, "CreateAlias", c->target_db, &body, e) == ERR_EXISTS) {
		err_clear(e); /* of another collection, before */
		call(c, "AlterAlias", c->target_db, &body, e);
	}
	return e->code;
}

void coll_alias_dropped(struct coll *c, const char *alias)
{
	int64_t owner = catalog_alias(c->run->sv.catalog, c->db_id, alias);

	if (!owner || owner == c->id)
		return;
	mutex_lock(&c->run->mtx);
	struct coll *o = umap_get(&c->run->colls, (uint64_t)owner);
	if (o) {
		mutex_lock(&o->mtx);
		o->alias_lost = true;
		mutex_unlock(&o->mtx);
		job_wake(&o->job, 0);
	}
	mutex_unlock(&c->run->mtx);
}

/* Moved to one that some task replicates: it takes the alias, or has it. */
static bool has_taker(struct coll *c, const char *alias)
{
	int64_t owner = catalog_alias(c->run->sv.catalog, c->db_id, alias);

	return owner && (run_has_coll(c->run, owner) || target_has_claim(c->run->target, owner));
}

static enum err_code drop_alias(struct coll *c, const char *alias, struct err *e)
{
	CLEANUP(buf_done) struct buf body = BUF_INIT(LIMIT_RECORD);

	if (has_taker(c, alias))
		return ERR_OK;
	begin(&body, c, MSG_DROP_ALIAS);
	wire_put_str(&body, F_DROPPED_ALIAS, alias);
	if (call(c, "DropAlias", c->target_db, &body, e) == ERR_NOT_FOUND)
		err_clear(e);
	coll_alias_dropped(c, alias);
	return e->code;
}

static bool has_name(char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static bool set_alias_lost(struct coll *c, bool lost)
{
	mutex_lock(&c->mtx);
	bool was = c->alias_lost;
	c->alias_lost = lost;
	mutex_unlock(&c->mtx);
	return was;
}

static bool add_aliases(struct coll *c, char *const *now, size_t n, bool *changed, struct err *e)
{
	bool lost = set_alias_lost(c, false);

	for (size_t i = 0; i < n; i++) {
		if (!lost && kv_get(&c->follow.aliases, now[i]))
			continue;
		if (put_alias(c, now[i], e))
			err_ctx(e, "alias %s", now[i]);
		if (!settled(c, "CreateAlias", e)) {
			if (lost)
				(void)set_alias_lost(c, true);
			return false;
		}
		kv_put(&c->follow.aliases, now[i], "");
		*changed = true;
	}
	return true;
}

static enum err_code follow_aliases(struct coll *c, struct err *e)
{
	struct kv_list kept = {0};
	char **now = NULL;
	bool changed = false;
	size_t n = catalog_aliases(c->run->sv.catalog, c->id, &now);
	bool all = add_aliases(c, now, n, &changed, e);

	for (size_t i = 0; i < c->follow.aliases.n; i++) {
		const char *alias = c->follow.aliases.v[i].key;
		bool stays = !all || has_name(now, n, alias);
		if (!stays && drop_alias(c, alias, e))
			err_ctx(e, "alias %s", alias);
		if (stays || !settled(c, "DropAlias", e))
			kv_put(&kept, alias, "");
		else
			changed = true;
		all = all && !e->code;
	}
	kv_done(&c->follow.aliases);
	c->follow.aliases = kept;
	for (size_t i = 0; i < n; i++)
		free(now[i]);
	free(now);
	if (changed)
		coll_record_put(c);
	return e->code;
}

/* ---- the name ---- */

static void set_next(struct coll *c, const char *db, const char *name)
{
	freep(&c->follow.next_db);
	freep(&c->follow.next_name);
	if (name) {
		c->follow.next_db = xstrdup(db);
		c->follow.next_name = xstrdup(name);
	}
}

static void names_set(struct coll *c, const char *db, const char *name, const char *target_db,
	const char *target_name)
{
	struct target *t = c->run->target;

	if (strcmp(c->target_db, target_db) != 0 || strcmp(c->target_name, target_name) != 0) {
		target_release_name(t, c->target_db, c->target_name, c->id);
		(void)target_claim_name(t, target_db, target_name, c->id);
	}
	run_rename(c->run, c, db, name, target_db, target_name);
	for (int i = 0; i < c->n_shards; i++)
		if (c->started)
			tchan_rename(&c->shards[i].stream, c->target_db, c->target_name);
}

bool coll_follow_finish(struct coll *c, int64_t found_id)
{
	if (!c->follow.next_name || found_id != c->target_id)
		return false;
	names_set(c, c->db, c->name, c->follow.next_db, c->follow.next_name);
	set_next(c, NULL, NULL);
	coll_record_put(c);
	return true;
}

static enum err_code describe_as(
	struct coll *c, const char *db, const char *name, int64_t *ret_id, struct err *e)
{
	struct sink *k = target_sink(c->run->target);
	struct sink_collection m = {.id = 0};

	*ret_id = 0;
	if (!k->ops->describe)
		return ERR_OK;
	enum err_code code = k->ops->describe(k, db, name, &c->run->stop, &m, e);
	*ret_id = m.id;
	sink_collection_done(&m);
	if (code == ERR_NOT_FOUND)
		err_clear(e);
	return e->code;
}

/* The name on the target changes, durably announced: a restart finds it under either. */
static enum err_code move(struct coll *c, const char *db, const char *name, struct err *e)
{
	CLEANUP(buf_done) struct buf body = BUF_INIT(LIMIT_RECORD);
	int64_t id = 0;

	set_next(c, db, name);
	if (coll_record_flush(c, e) || describe_as(c, db, name, &id, e))
		return e->code;
	if (id != c->target_id) {
		begin(&body, c, MSG_RENAME_COLLECTION);
		wire_put_str(&body, F_COLLECTION, c->target_name);
		wire_put_str(&body, F_NEW_NAME, name);
		if (strcmp(db, c->target_db) != 0)
			wire_put_str(&body, F_NEW_DB, db);
		if (call(c, "RenameCollection", c->target_db, &body, e))
			return err_ctx(e, "rename to %s.%s", db, name);
	}
	log_info(&c->log, "%s.%s is %s.%s on the target now", c->target_db, c->target_name, db,
		name);
	return ERR_OK;
}

/* Another collection of the task has the name on the target. If it is about to leave it, this one
 * steps aside, so that two may swap names. */
static enum err_code step_aside(struct coll *c, const char *db, const char *name, struct err *e)
{
	char aside[64];

	if (run_name_holder(c->run, c, db, name) != RUN_NAME_LEAVING)
		return err_set(e, ERR_BUSY, "waits for %s.%s to be free on the target", db, name);
	snprintf(aside, sizeof(aside), "cdc_renaming_%" PRId64, c->id);
	if (strcmp(c->target_name, aside) != 0) {
		if (move(c, c->target_db, aside, e))
			return e->code;
		coll_follow_finish(c, c->target_id);
	}
	return err_set(e, ERR_BUSY, "waits for %s.%s to be free on the target", db, name);
}

static enum err_code follow_name(struct coll *c, struct err *e)
{
	char db[NAME_BYTES], target_db[NAME_BYTES], target_name[NAME_BYTES], why[COLL_REASON_BYTES];

	if (!catalog_database_name(c->run->sv.catalog, c->src->db_id, db, sizeof(db)))
		return ERR_OK;
	if (!strcmp(c->src->name, c->name) && !strcmp(db, c->db))
		return ERR_OK;
	task_map_name(c->run->task, db, c->src->name, target_db, target_name, NAME_BYTES);
	if (!run_db_ready(c->run, c->src->db_id, why, sizeof(why)))
		return err_set(e, ERR_BUSY, "waits for %s", why);
	if (strcmp(target_db, c->target_db) || strcmp(target_name, c->target_name)) {
		if (run_name_holder(c->run, c, target_db, target_name) != RUN_NAME_FREE)
			return step_aside(c, target_db, target_name, e);
		if (target_claim_name(c->run->target, target_db, target_name, c->id))
			return err_set(e, ERR_BUSY,
				"waits for %s.%s, which another task has on the target", target_db,
				target_name);
		bool moved = move(c, target_db, target_name, e) == ERR_OK;
		if (!settled(c, "RenameCollection", e))
			return e->code;
		if (!moved) { /* refused for good: it keeps its name there */
			target_release_name(c->run->target, target_db, target_name, c->id);
			snprintf(target_db, sizeof(target_db), "%s", c->target_db);
			snprintf(target_name, sizeof(target_name), "%s", c->target_name);
		}
	}
	c->db_id = c->src->db_id;
	names_set(c, db, c->src->name, target_db, target_name);
	set_next(c, NULL, NULL);
	coll_record_put(c);
	return ERR_OK;
}

enum err_code coll_follow(struct coll *c, struct err *e)
{
	if (!c->src || c->src->state != OBJECT_CREATED)
		return ERR_OK;
	if (follow_name(c, e) || follow_fields(c, e) || follow_properties(c, e))
		return e->code;
	return follow_aliases(c, e);
}

void coll_follow_done(struct coll *c)
{
	kv_done(&c->follow.properties);
	kv_done(&c->follow.aliases);
	kv_done(&c->follow.fields);
	set_next(c, NULL, NULL);
	for (size_t i = 0; i < c->n_former; i++) {
		free(c->former[i].db);
		free(c->former[i].name);
		free(c->former[i].target_db);
		free(c->former[i].target_name);
		free(c->former[i].log_fields);
	}
	free(c->former);
}
