/* Maintenance: rows of a collection are made what they are at the source (milvus-cdc verify --repair).
 * A target takes no ordinary writes, and only its session may write to its channels. So the rows leave
 * as notes of their target channel: a delete and, for rows that the source has, an insert behind it,
 * both above all that was sent there. A change of the same row that the stream sent meanwhile is
 * overwritten: who asks looks again afterwards (verify_settle.c). The task is held meanwhile: nobody
 * pauses or deletes it. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wire.h"
#include "client/milvus/milvus.h"
#include "model/key_shard.h"
#include "server/config/config.h"
#include "server/connect.h"
#include "server/engine/engine_priv.h"
#include "server/target/target.h"
#include "server/task/run.h"
#include "sink/rows.h"
#include "sink/schema_json.h"
#include "source/catalog.h"

enum {
	KEYS_AT_ONCE = 32,
	NOTE_BYTES = 1 << 20,
	NOTE_MS = 20,
	PATIENCE_MS = 30000,
	NAME_MAX_BYTES = 1024
};
enum { A_FIELDS = 2 }; /* milvus.QueryResults */
enum {
	S_FIELDS = 4,
	FS_NAME = 2,
	FS_PARTITION_KEY = 13
}; /* schema.CollectionSchema, FieldSchema */
enum { ALL_PARTITIONS = -1 };
/* msg.InsertRequest and DeleteRequest */
enum {
	F_BASE = 1,
	F_SHARD = 2,
	F_COLLECTION_ID = 7,
	F_PARTITION_ID = 8,
	F_TIMESTAMPS = 10,
	D_ROWS = 11,
	I_ROW_IDS = 11,
	D_KEYS = 12,
	I_FIELDS = 13,
	I_ROWS = 14,
	I_VERSION = 15,
	COLUMN_BASED = 1,
	BASE_TYPE = 1,
	IDS_LONG = 1,
	IDS_STRING = 2,
};

struct repair {
	struct engine *en;
	struct etask *task;
	const struct api_repair *asked;
	struct collection *coll;       /* of the source */
	char *pk_name, *partition_key; /* NULL: it has none */
	char db[NAME_MAX_BYTES], target_db[NAME_MAX_BYTES], target_name[NAME_MAX_BYTES];
	struct milvus *source, *target;
	struct milvus_collection there; /* on the target */
	int64_t partition_id;
	struct buf answer;
	uint64_t row_id;
};

/* ---- messages ---- */

/* What a delete and an insert begin with. Times are put in when they leave. */
static void put_head(
	struct buf *b, const struct repair *r, int type, const char *shard, size_t rows)
{
	CLEANUP(buf_done) struct buf base = BUF_INIT(LIMIT_RECORD);
	CLEANUP(buf_done) struct buf times = BUF_INIT(LIMIT_RECORD);

	wire_put_u64(&base, BASE_TYPE, (uint64_t)type);
	wire_put_bytes(b, F_BASE, buf_slice(&base));
	wire_put_str(b, F_SHARD, shard);
	wire_put_i64(b, F_COLLECTION_ID, r->there.id);
	/* which partition a deleted row was in is not known, and all of them do */
	wire_put_i64(b, F_PARTITION_ID,
		type == MSG_DELETE && r->partition_key ? ALL_PARTITIONS : r->partition_id);
	for (size_t i = 0; i < rows; i++)
		wire_put_varint(&times, 1);
	wire_put_bytes(b, F_TIMESTAMPS, buf_slice(&times));
}

static void make_delete(
	struct buf *b, const struct repair *r, const char *shard, json_t *const *keys, size_t n)
{
	CLEANUP(buf_done) struct buf list = BUF_INIT(LIMIT_MESSAGE);
	CLEANUP(buf_done) struct buf ids = BUF_INIT(LIMIT_MESSAGE);

	for (size_t i = 0; i < n; i++)
		if (r->coll->pk_is_varchar)
			wire_put_bytes(&list, 1,
				slice_of(json_string_value(keys[i]), json_string_length(keys[i])));
		else
			wire_put_i64(&list, 1, json_integer_value(keys[i]));
	put_head(b, r, MSG_DELETE, shard, n);
	wire_put_u64(b, D_ROWS, n);
	wire_put_bytes(&ids, r->coll->pk_is_varchar ? IDS_STRING : IDS_LONG, buf_slice(&list));
	wire_put_bytes(b, D_KEYS, buf_slice(&ids));
}

/* The columns of the source's answer are those of an insert. */
static void make_insert(struct buf *b, struct repair *r, const char *shard, size_t rows)
{
	CLEANUP(buf_done) struct buf ids = BUF_INIT(LIMIT_RECORD);
	struct wire w = wire_open(buf_slice(&r->answer));
	struct wire_field f;

	put_head(b, r, MSG_INSERT, shard, rows);
	for (size_t i = 0; i < rows; i++)
		wire_put_varint(&ids, ++r->row_id);
	wire_put_bytes(b, I_ROW_IDS, buf_slice(&ids));
	while (wire_next(&w, &f))
		if (f.num == A_FIELDS)
			wire_put_bytes(b, I_FIELDS, f.data);
	wire_put_u64(b, I_ROWS, rows);
	wire_put_u64(b, I_VERSION, COLUMN_BASED);
}

/* ---- sending ---- */

static enum err_code send_note(struct repair *r, const struct milvus_shard *s,
	const struct dml *gone, const struct dml *rows, struct err *e)
{
	struct deadline d = deadline_in(PATIENCE_MS);
	struct tchan_note n = {.type = MSG_DELETE,
		.shard = s->vchannel,
		.db = r->target_db,
		.collection = r->target_name,
		.partition = "",
		.collection_id = r->there.id,
		.partition_id = r->partition_id,
		.gone = gone,
		.rows = rows};
	struct tchan *c;

	if (target_chan(r->task->target, s->pchannel, &c, e))
		return e->code;
	tchan_note(c, &n);
	while (!tchan_note_done(c, &n)) {
		bool stopping = stop_sleep(&r->en->stop, NOTE_MS);
		if (!stopping && !deadline_passed(d))
			continue;
		tchan_note_cancel(c, &n);
		return stopping ? stop_err(e)
				: err_set(e, ERR_TIMEOUT,
					  "the target did not take the rows within %d s",
					  PATIENCE_MS / 1000);
	}
	return ERR_OK;
}

static bool find_partition(struct repair *r, const char *name)
{
	for (size_t i = 0; i < r->there.n_partitions; i++)
		if (strcmp(r->there.partitions[i].name, name) == 0) {
			r->partition_id = r->there.partitions[i].id;
			return true;
		}
	return false;
}

/* The partition of a row with a partition key, as the proxy chooses it: <default>_<hash of the key>. */
static enum err_code choose_partition(struct repair *r, struct rows *rows, struct err *e)
{
	CLEANUP(freep) char *name = NULL;
	uint32_t n = (uint32_t)r->there.n_partitions;
	bool more;

	if (rows_next(rows, &more, e))
		return e->code;
	for (size_t i = 0; more && i < rows->n_columns; i++) {
		const struct rows_column *c = &rows->columns[i];
		if (!slice_eq_str(c->name, r->partition_key))
			continue;
		name = xasprintf("%s_%u", r->en->sv.config->default_partition,
			c->values.coding == ROWS_BYTES ? key_shard_text(c->bytes, n)
						       : key_shard_number((int64_t)c->number, n));
		break;
	}
	if (more && (!name || !find_partition(r, name)))
		return err_set(e, ERR_NOT_FOUND, "a row's partition, %s, is not on the target",
			name ? name : "?");
	return ERR_OK;
}

static enum err_code read_rows(
	struct repair *r, json_t *const *keys, size_t n, uint64_t *ret_rows, struct err *e)
{
	CLEANUP(buf_done) struct buf expr = BUF_INIT(LIMIT_RECORD);
	CLEANUP(rows_done) struct rows rows = {.n = 0};
	struct milvus_query q = {.db = r->db,
		.collection = r->coll->name,
		.partition = *r->asked->partition ? r->asked->partition : NULL,
		.field = "*"};

	buf_putf(&expr, "%s in [", r->pk_name);
	for (size_t i = 0; i < n; i++) {
		CLEANUP(freep) char *text = json_dumps(keys[i], JSON_ENCODE_ANY);
		buf_putf(&expr, "%s%s", i ? "," : "", text);
	}
	buf_put_str(&expr, "]");
	q.expr = buf_cstr(&expr);
	if (milvus_query(r->source, &q, &r->en->stop, &r->answer, e) ||
		rows_open_answer(&rows, buf_slice(&r->answer), r->pk_name, e))
		return err_ctx(e, "source");
	*ret_rows = rows.n;
	return r->partition_key ? choose_partition(r, &rows, e) : ERR_OK;
}

static enum err_code repair_keys(struct repair *r, const struct milvus_shard *s,
	json_t *const *keys, size_t n, struct err *e)
{
	CLEANUP(buf_done) struct buf gone = BUF_INIT(LIMIT_MESSAGE);
	CLEANUP(buf_done) struct buf rows = BUF_INIT(LIMIT_MESSAGE);
	struct dml d_gone, d_rows;
	uint64_t there = 0;

	if (read_rows(r, keys, n, &there, e))
		return e->code;
	if (r->answer.n > NOTE_BYTES && n > 1)
		return repair_keys(r, s, keys, n / 2, e)
			       ? e->code
			       : repair_keys(r, s, keys + n / 2, n - n / 2, e);
	make_delete(&gone, r, s->vchannel, keys, n);
	if (there)
		make_insert(&rows, r, s->vchannel, there);
	if (buf_failed(&gone) || buf_failed(&rows))
		return err_set(e, ERR_LIMIT, "the rows are too large for one message");
	if (dml_read(&d_gone, buf_slice(&gone), e) ||
		(there && dml_read(&d_rows, buf_slice(&rows), e)))
		return e->code;
	return send_note(r, s, &d_gone, there ? &d_rows : NULL, e);
}

static uint32_t shard_of(const struct repair *r, const json_t *key)
{
	uint32_t n = (uint32_t)r->there.shards_num;

	if (!r->coll->pk_is_varchar)
		return key_shard_number(json_integer_value(key), n);
	return key_shard_text(slice_of(json_string_value(key), json_string_length(key)), n);
}

static enum err_code repair_all(struct repair *r, struct err *e)
{
	json_t *batch[KEYS_AT_ONCE];
	size_t most = r->partition_key ? 1 : KEYS_AT_ONCE; /* each row has a partition of its own */

	for (int shard = 0; shard < r->there.shards_num; shard++) {
		size_t n = 0, total = json_array_size(r->asked->keys);
		for (size_t i = 0; i < total; i++) {
			json_t *key = json_array_get(r->asked->keys, i);
			if (shard_of(r, key) == (uint32_t)shard)
				batch[n++] = key;
			if (n && (n == most || i + 1 == total)) {
				if (repair_keys(r, &r->there.shards[shard], batch, n, e))
					return e->code;
				n = 0;
			}
		}
	}
	return ERR_OK;
}

/* ---- what is asked for ---- */

static enum err_code check_keys(const struct repair *r, struct err *e)
{
	size_t n = json_array_size(r->asked->keys);

	for (size_t i = 0; i < n; i++) {
		const json_t *key = json_array_get(r->asked->keys, i);
		if (r->coll->pk_is_varchar ? !json_is_string(key) : !json_is_integer(key))
			return err_set(e, ERR_INVALID, "a key is of the wrong type");
	}
	return n ? ERR_OK : err_set(e, ERR_INVALID, "there are no keys");
}

/* Its field's name, heap; NULL if there is none. */
static char *partition_key_of(struct slice schema)
{
	struct wire w = wire_open(schema), field;
	struct wire_field f, x;

	while (wire_next(&w, &f)) {
		struct slice name = {0};
		bool is_key = false;
		field = wire_open(f.num == S_FIELDS ? f.data : (struct slice){0});
		while (wire_next(&field, &x)) {
			if (x.num == FS_NAME)
				name = x.data;
			is_key = is_key || (x.num == FS_PARTITION_KEY && x.value);
		}
		if (is_key && name.n)
			return xstrndup((const char *)name.p, name.n);
	}
	return NULL;
}

static enum err_code find_source(struct repair *r, struct err *e)
{
	struct catalog *cat = r->en->sv.catalog;
	const struct task *t = r->task->task;

	r->coll = catalog_collection(cat, r->asked->collection_id);
	if (!r->coll || !run_has_coll(r->task->run, r->asked->collection_id) ||
		!catalog_database_name(cat, r->coll->db_id, r->db, sizeof(r->db)))
		return err_set(e, ERR_NOT_FOUND, "the task replicates no collection %lld",
			(long long)r->asked->collection_id);
	struct slice pk = schema_field_name(r->coll->schema, r->coll->pk_field_id);
	r->pk_name = xstrndup(pk.n ? (const char *)pk.p : "", pk.n);
	r->partition_key = partition_key_of(r->coll->schema);
	task_map_name(t, r->db, r->coll->name, r->target_db, r->target_name, NAME_MAX_BYTES);
	return check_keys(r, e);
}

static enum err_code find_target(struct repair *r, struct err *e)
{
	const struct milvus_collection *c = &r->there;
	const char *name = r->asked->partition;

	if (milvus_describe(r->target, r->target_db, r->target_name, &r->en->stop, &r->there, e))
		return err_ctx(e, "target");
	if (c->shards_num != r->coll->shards_num)
		return err_set(e, ERR_UNSUPPORTED,
			"%d shards at the source, %d on the target: rows would not lie where the "
			"stream's are",
			r->coll->shards_num, c->shards_num);
	if (r->partition_key)
		return c->n_partitions ? ERR_OK : err_set(e, ERR_NOT_FOUND, "no partitions");
	if (r->task->task->milvus.ignore_partition && (*name || c->n_partitions != 1))
		return err_set(e, ERR_UNSUPPORTED,
			"with ignore_partition rows do not stand in the partition they have at the "
			"source: they are repaired without its name, and only where the target has "
			"a single one; else delete and insert them at the source");
	if (!*name && c->n_partitions == 1)
		r->partition_id = c->partitions[0].id;
	else if (!find_partition(r, name))
		return err_set(e, ERR_NOT_FOUND, "partition \"%s\" is not on the target", name);
	return ERR_OK;
}

static enum err_code open_both(struct repair *r, struct err *e)
{
	const struct task *t = r->task->task;
	CLEANUP(freep) char *uri = task_target(t);
	CLEANUP(freep) char *token = task_token(t);
	struct milvus_opts o = target_milvus_opts(t, uri, token, false);

	if (*t->kafka.address || r->en->sv.config->dry_run)
		return err_set(e, ERR_UNSUPPORTED, "the task writes to no Milvus");
	if (connect_source_milvus(r->en->sv.config, r->en->sv.grpc, &r->source, e))
		return e->code;
	return milvus_open(r->en->sv.grpc, &o, &r->target, e) ? err_ctx(e, "target") : ERR_OK;
}

static void repair_done(struct repair *r)
{
	milvus_collection_done(&r->there);
	milvus_close(r->source);
	milvus_close(r->target);
	collection_unref(r->coll);
	free(r->pk_name);
	free(r->partition_key);
	buf_done(&r->answer);
}

enum err_code engine_repair(struct engine *en, const struct api_repair *asked, struct err *e)
{
	struct repair r = {.en = en,
		.asked = asked,
		.answer = BUF_INIT(LIMIT_MESSAGE),
		.row_id = (uint64_t)time_wall_ms() << 20};

	if (engine_acquire(en, asked->task_id, &r.task, e))
		return e->code;
	if (!r.task->run)
		err_set(e, ERR_INVALID, "the task is paused: resume it first");
	else if (!open_both(&r, e) && !find_source(&r, e) && !find_target(&r, e) &&
		 !repair_all(&r, e))
		log_info(en->sv.log, "task %s: %zu rows of %s.%s are repaired", asked->task_id,
			json_array_size(asked->keys), r.db, r.coll->name);
	engine_release(en, r.task);
	repair_done(&r);
	return e->code;
}
