/* The debezium format. */
#include "base/mem.h"
#include "sink/event.h"
#include "sink/event_data.h"

#include "model/ts.h"

static void put_source(struct gojson *o, const struct event_rows *r, const struct rows *rows)
{
	gojson_open(o, "source", '{');
	gojson_cstr(o, "connector", "milvus");
	gojson_i64(o, "version", 1);
	gojson_cstr(o, "db", r->db);
	gojson_cstr(o, "collection", r->collection);
	gojson_i64(o, "collection_id", r->collection_id);
	gojson_str(o, "partition", r->dml->partition_name);
	gojson_i64(o, "partition_id", r->dml->partition_id);
	gojson_cstr(o, "vchannel", r->vchannel);
	gojson_u64(o, "ts", rows->ts);
	gojson_i64(o, "ts_ms", ts_ms(rows->ts));
	gojson_i64(o, "msg_id", r->dml->base.msg_id);
	gojson_u64(o, "row", rows->i - 1);
	gojson_bool(o, "repeat", r->again);
	gojson_close(o, '}');
}

static enum err_code put_key(
	struct buf *out, const struct event_rows *r, const struct rows *rows, struct err *e)
{
	struct gojson o = {.b = out};

	gojson_open(&o, NULL, '{');
	gojson_cstr(&o, "db", r->db);
	gojson_cstr(&o, "collection", r->collection);
	if (rows_json_field(rows, r->pk_field_id, &o, "key", e))
		return e->code;
	gojson_close(&o, '}');
	return ERR_OK;
}

enum err_code event_row(struct buf *out, struct buf *key, const struct event_rows *r,
	struct rows *rows, int64_t now_ms, struct err *e)
{
	struct gojson o = {.b = out};
	bool ins = r->dml->type == MSG_INSERT;

	if (put_key(key, r, rows, e))
		return e->code;
	gojson_open(&o, NULL, '{');
	if (ins)
		gojson_null(&o, "before");
	if (rows_json(rows, &o, ins ? "after" : "before", e))
		return e->code;
	if (!ins)
		gojson_null(&o, "after");
	put_source(&o, r, rows);
	gojson_cstr(&o, "op", ins ? "c" : "d");
	gojson_i64(&o, "ts_ms", now_ms);
	gojson_close(&o, '}');
	return ERR_OK;
}

/* {"op":"ddl","kind":..,"source":{..},"data":{..},"ts_ms":..}; data comes last but one, so that its
 * failure is the event's. */
struct ddl {
	const char *kind, *db, *collection, *partition;
	int64_t id, partition_id;
	uint64_t ts;
};

static void open_ddl(struct gojson *o, const struct ddl *d, int64_t now_ms)
{
	gojson_open(o, NULL, '{');
	gojson_cstr(o, "op", "ddl");
	gojson_cstr(o, "kind", d->kind);
	gojson_open(o, "source", '{');
	gojson_cstr(o, "connector", "milvus");
	gojson_i64(o, "version", 1);
	gojson_cstr(o, "db", d->db);
	if (d->collection) {
		gojson_cstr(o, "collection", d->collection);
		gojson_i64(o, "collection_id", d->id);
	}
	if (d->partition) {
		gojson_cstr(o, "partition", d->partition);
		gojson_i64(o, "partition_id", d->partition_id);
	}
	gojson_u64(o, "ts", d->ts);
	gojson_i64(o, "ts_ms", ts_ms(d->ts));
	gojson_close(o, '}');
	gojson_i64(o, "ts_ms", now_ms);
}

enum err_code event_change(
	struct buf *out, const struct sink_change *c, int64_t now_ms, struct err *e)
{
	struct gojson o = {.b = out};
	struct ddl d = {.kind = event_change_kind(c->kind),
		.db = c->db,
		.collection = c->collection,
		.partition = c->partition,
		.id = c->source_id,
		.partition_id = c->source_partition_id,
		.ts = c->ts};

	open_ddl(&o, &d, now_ms);
	if (event_data_change(&o, "data", c, e))
		return e->code;
	gojson_close(&o, '}');
	return ERR_OK;
}

enum err_code event_call(struct buf *out, const struct sink_call *c, int64_t now_ms,
	const char **ret_kind, struct err *e)
{
	CLEANUP(buf_done) struct buf inner = BUF_INIT(out->max);
	struct gojson o = {.b = out}, data = {.b = &inner};
	struct ddl d = {.db = c->db, .ts = c->ts};

	if (event_data_call(&data, NULL, c, &d.kind, e))
		return e->code;
	*ret_kind = d.kind;
	open_ddl(&o, &d, now_ms);
	gojson_key(&o, "data");
	buf_put(out, inner.p, inner.n);
	out->failed = out->failed || inner.failed;
	gojson_close(&o, '}');
	return ERR_OK;
}
