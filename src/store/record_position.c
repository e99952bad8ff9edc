/* Position documents: see record.h. */
#include "store/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/ts.h"
#include "store/rjson.h"

enum { EXT_VERSION = 1, ID_TEXT_BYTES = 1024, MAP_MAX = 65536 };

int64_t record_time_ms(uint64_t ts)
{
	int64_t ms = ts_ms(ts);
	return ms > 0 ? ms - 1 : 0;
}

/* --- encode --- */

static int by_channel(const void *a, const void *b)
{
	const struct store_position *const *x = a, *const *y = b;
	return strcmp((*x)->channel, (*y)->channel);
}

static json_t *ext_json(struct rjson *io, const struct store_position *p, const char *id)
{
	char *ts = xasprintf("%llu", (unsigned long long)p->pos.ts);
	json_t *o = json_object();

	rjson_set_int(io, o, "V", EXT_VERSION);
	rjson_set_str(io, o, "TS", ts);
	rjson_set_str(io, o, "ID", id);
	if (p->end_ms)
		rjson_set_int(io, o, "End", p->end_ms);
	free(ts);
	return o;
}

static json_t *entry_json(struct rjson *io, const struct store_position *p)
{
	CLEANUP(freep)
	char *id = b64_text(mq_id_slice(&p->pos.id));
	json_t *o = json_object(), *pair = json_object();

	rjson_set_str_opt(io, pair, "key", p->channel);
	rjson_set_str_opt(io, pair, "data", id);
	rjson_set_int(io, o, "StartTime", p->start_time_ms);
	rjson_set_int(io, o, "Time", p->exact ? record_time_ms(p->pos.ts) : p->time_ms);
	rjson_set(io, o, "DataPair", pair);
	rjson_set_bool(io, o, "Dropped", p->dropped);
	if (p->exact)
		rjson_set(io, o, "Ext", ext_json(io, p, id));
	return o;
}

/* By channel name, as Go writes maps: equal positions are equal texts. */
static json_t *map_json(struct rjson *io, const struct store_position *l, size_t n)
{
	CLEANUP(freep)
	const struct store_position **sorted = xcalloc(n, sizeof(*sorted));
	json_t *o = json_object();

	for (size_t i = 0; i < n; i++)
		sorted[i] = &l[i];
	qsort(sorted, n, sizeof(*sorted), by_channel);
	for (size_t i = 0; i < n; i++)
		rjson_set(io, o, sorted[i]->channel, entry_json(io, sorted[i]));
	return o;
}

static enum err_code finish(struct buf *b, const json_t *o, const struct rjson *io, struct err *e)
{
	if (rjson_failed(io))
		return err_set(e, ERR_INVALID, "position record: %s", io->why);
	return rjson_write(b, o, e);
}

enum err_code record_positions_encode(struct buf *b, const struct store_positions *p, struct err *e)
{
	CLEANUP(json_in_freep)
	json_t *o = json_object();
	struct rjson io = {""};

	rjson_set_str(&io, o, "TaskID", p->task_id);
	rjson_set_int(&io, o, "CollectionID", p->collection_id);
	rjson_set_str(&io, o, "CollectionName", p->collection_name ? p->collection_name : "");
	rjson_set(&io, o, "Positions", map_json(&io, p->source, p->n_source));
	rjson_set(&io, o, "OpPositions", map_json(&io, p->op, p->n_op));
	rjson_set(&io, o, "TargetPositions", map_json(&io, p->target, p->n_target));
	return finish(b, o, &io, e);
}

enum err_code record_entries_encode(
	struct buf *b, const struct store_position *l, size_t n, struct err *e)
{
	struct rjson io = {""};
	CLEANUP(json_in_freep)
	json_t *o = map_json(&io, l, n);
	return finish(b, o, &io, e);
}

/* --- decode --- */

static void read_id(struct rjson *io, const char *text, struct mq_id *id)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(ID_TEXT_BYTES);
	struct err e = ERR_INIT;

	if (!b64_decode(&b, text))
		rjson_fail(io, "the message id is not base64");
	else if (mq_id_set(id, buf_slice(&b), &e))
		rjson_fail(io, "%s", e.text);
}

/* An extension that no longer fits its entry is not an error: the reference, or a person, moved the
 * position by the old fields. */
static void read_ext(const json_t *ext, const char *data, struct store_position *p)
{
	struct rjson quiet = {""};
	uint64_t ts = 0;

	if (!ext || rjson_get_int(&quiet, ext, "V") != EXT_VERSION)
		return;
	const char *id = rjson_get_str(&quiet, ext, "ID");
	bool ok = str_to_u64(rjson_get_str(&quiet, ext, "TS"), &ts);
	if (!ok || rjson_failed(&quiet) || strcmp(id, data) != 0 ||
		p->time_ms != record_time_ms(ts))
		return;
	p->exact = true;
	p->pos.ts = ts;
	p->end_ms = json_object_get(ext, "End") ? rjson_get_int(&quiet, ext, "End") : 0;
}

static void read_entry(
	struct rjson *io, const char *channel, const json_t *o, struct store_position *p)
{
	size_t n = strlen(channel);
	if (n >= sizeof(p->channel)) {
		rjson_fail(io, "a channel name of %zu bytes", n);
		return;
	}
	memcpy(p->channel, channel, n + 1);
	p->start_time_ms = rjson_get_int(io, o, "StartTime");
	p->time_ms = rjson_get_int(io, o, "Time");
	p->dropped = rjson_get_bool(io, o, "Dropped");
	const char *data = rjson_get_str(io, rjson_get_obj(io, o, "DataPair"), "data");
	read_id(io, data, &p->pos.id);
	read_ext(json_object_get(o, "Ext"), data, p);
}

static void read_map(struct rjson *io, json_t *o, struct store_position **ret_l, size_t *ret_n)
{
	const char *channel;
	json_t *v;
	size_t n = 0;

	if (json_object_size(o) > MAP_MAX) {
		rjson_fail(io, "%zu channels", json_object_size(o));
		return;
	}
	if (!json_object_size(o))
		return;
	*ret_l = xcalloc(json_object_size(o), sizeof(**ret_l));
	json_object_foreach (o, channel, v) {
		if (json_is_object(v))
			read_entry(io, channel, v, &(*ret_l)[n++]);
		else if (!json_is_null(v))
			rjson_fail(io, "the entry of %s is not an object", channel);
	}
	*ret_n = n;
}

enum err_code record_positions_decode(struct slice in, struct store_positions *p, struct err *e)
{
	CLEANUP(json_in_freep)
	json_t *o = NULL;
	struct rjson io = {""};

	*p = (struct store_positions){.task_id = NULL};
	if (rjson_read(in, &o, e))
		return e ? e->code : ERR_MALFORMED;
	p->task_id = xstrdup(rjson_get_str(&io, o, "TaskID"));
	p->collection_id = rjson_get_int(&io, o, "CollectionID");
	p->collection_name = xstrdup(rjson_get_str(&io, o, "CollectionName"));
	read_map(&io, rjson_get_obj(&io, o, "Positions"), &p->source, &p->n_source);
	read_map(&io, rjson_get_obj(&io, o, "OpPositions"), &p->op, &p->n_op);
	read_map(&io, rjson_get_obj(&io, o, "TargetPositions"), &p->target, &p->n_target);
	if (!rjson_failed(&io))
		return ERR_OK;
	store_positions_done(p);
	return err_set(e, ERR_MALFORMED, "%s", io.why);
}

enum err_code record_entries_decode(
	struct slice in, struct store_position **ret_l, size_t *ret_n, struct err *e)
{
	CLEANUP(json_in_freep)
	json_t *o = NULL;
	struct rjson io = {""};

	*ret_l = NULL;
	*ret_n = 0;
	if (in.n == 0 || slice_eq_str(in, "null"))
		return ERR_OK;
	if (rjson_read(in, &o, e))
		return e ? e->code : ERR_MALFORMED;
	read_map(&io, o, ret_l, ret_n);
	if (!rjson_failed(&io))
		return ERR_OK;
	freep(ret_l);
	*ret_n = 0;
	return err_set(e, ERR_MALFORMED, "%s", io.why);
}

static void set_damaged(
	const char *task_id, int64_t collection_id, const char *why, struct store_positions *p)
{
	store_positions_done(p);
	p->task_id = xstrdup(task_id);
	p->collection_id = collection_id;
	p->collection_name = xstrdup("");
	p->damaged = xstrdup(why);
}

void record_positions_read(
	const char *task_id, int64_t collection_id, struct slice in, struct store_positions *p)
{
	struct err e = ERR_INIT;

	if (record_positions_decode(in, p, &e))
		set_damaged(task_id, collection_id, e.text, p);
	else if (strcmp(p->task_id, task_id) != 0 || p->collection_id != collection_id)
		set_damaged(task_id, collection_id,
			"it is stored under another task's or collection's key", p);
}

void record_row_read(const char *task_id, int64_t collection_id, const struct store_row *row,
	struct store_positions *p)
{
	struct err e = ERR_INIT;

	*p = (struct store_positions){.task_id = xstrdup(task_id),
		.collection_id = collection_id,
		.collection_name = xstrdup(row->name)};
	if (record_entries_decode(row->texts[0], &p->source, &p->n_source, &e) ||
		record_entries_decode(row->texts[1], &p->op, &p->n_op, &e) ||
		record_entries_decode(row->texts[2], &p->target, &p->n_target, &e))
		set_damaged(task_id, collection_id, e.text, p);
}
