/* The result of a pass: a document, which is also what an interrupted pass goes on from, and a text. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/str.h"
#include "model/ts.h"
#include "server/verify/verify_priv.h"

enum { TIME_BYTES = 64, SHOWN_MAX = 20, SECOND_MS = 1000 };

static void put_time(char out[TIME_BYTES], uint64_t ts)
{
	char day[TIME_BYTES / 2];
	time_t s = (time_t)(ts_ms(ts) / SECOND_MS);
	struct tm tm;

	strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", gmtime_r(&s, &tm));
	snprintf(out, TIME_BYTES, "%s.%03d UTC", day, (int)(ts_ms(ts) % SECOND_MS));
}

/* ---- writing ---- */

static void set_text(json_t *o, const char *key, const char *text)
{
	if (text)
		json_object_set_new(o, key, json_string(text));
}

static void set_number(json_t *o, const char *key, int64_t n)
{
	json_object_set_new(o, key, json_integer(n));
}

static json_t *diff_json(const struct verify_diff *d)
{
	json_t *o = json_object();

	set_text(o, "kind", verify_kind_name(d->kind));
	if (d->key)
		json_object_set_new(o, "key", json_loads(d->key, JSON_DECODE_ANY, NULL));
	set_text(o, "partition", d->partition);
	set_text(o, "what", d->what);
	return o;
}

static json_t *coll_json(const struct verify_coll *c)
{
	json_t *o = json_object(), *l = json_array();

	set_number(o, "collection_id", c->id);
	set_text(o, "database", c->db);
	set_text(o, "collection", c->name);
	set_text(o, "target_database", c->target_db);
	set_text(o, "target_collection", c->target_name);
	set_text(o, "result", verify_state_name(c->state));
	set_text(o, "reason", c->reason);
	set_number(o, "rows", c->state == VERIFY_OPEN ? c->safe_rows : c->rows);
	set_number(o, "different", c->n_different);
	set_number(o, "changing", c->n_changing);
	set_number(o, "repaired", c->n_repaired);
	for (size_t i = 0; i < c->n_diffs; i++)
		json_array_append_new(l, diff_json(&c->diffs[i]));
	json_object_set_new(o, "differences", l);
	if (c->state == VERIFY_OPEN) {
		set_text(o, "partition_read", c->at);
		set_text(o, "after", c->after);
		if (c->at_done)
			json_object_set_new(o, "partition_done", json_true());
	}
	return o;
}

json_t *verify_json(const struct verify *v)
{
	json_t *o = json_object(), *l = json_array();
	struct verify_progress p;
	char up_to[TIME_BYTES];
	bool open = false;

	verify_progress(v, &p);
	put_time(up_to, v->since_ts);
	for (size_t i = 0; i < v->n; i++) {
		open = open || v->colls[i].state == VERIFY_OPEN;
		json_array_append_new(l, coll_json(&v->colls[i]));
	}
	set_text(o, "task_id", v->o.task->id);
	set_text(o, "result", open ? "open" : verify_state_name(verify_result(v)));
	set_text(o, "up_to", up_to);
	set_number(o, "up_to_ts", (int64_t)v->since_ts);
	set_number(o, "rows", p.rows);
	set_number(o, "different", p.different);
	json_object_set_new(o, "collections", l);
	return o;
}

/* ---- reading ---- */

static const char *text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static int64_t number_of(const json_t *o, const char *key)
{
	return MAX(json_integer_value(json_object_get(o, key)), (json_int_t)0);
}

static char *copy_of(const json_t *o, const char *key)
{
	const char *text = text_of(o, key);
	return text ? xstrdup(text) : NULL;
}

static void take_diff(struct verify_coll *c, const json_t *o)
{
	struct verify_diff d = {.kind = VERIFY_MISSING};
	const char *kind = text_of(o, "kind");
	const json_t *key = json_object_get(o, "key");

	for (int k = VERIFY_MISSING; kind && k <= VERIFY_COPIES; k++)
		if (strcmp(kind, verify_kind_name((enum verify_kind)k)) == 0)
			d.kind = (enum verify_kind)k;
	d.partition = copy_of(o, "partition");
	d.what = copy_of(o, "what");
	d.key = key ? json_dumps(key, JSON_ENCODE_ANY) : NULL;
	mem_grow(&c->diffs, &c->cap, c->n_diffs + 1, sizeof(*c->diffs));
	c->diffs[c->n_diffs++] = d;
}

/* A key goes into an expression: it must be one. */
static bool is_key(const struct verify_coll *c, const char *text)
{
	CLEANUP(json_in_freep) json_t *j = json_loads(text, JSON_DECODE_ANY, NULL);
	return c->varchar ? json_is_string(j) : json_is_integer(j);
}

static void take_coll(struct verify_coll *c, const json_t *o, bool repair)
{
	const char *result = text_of(o, "result"), *after = text_of(o, "after");
	const json_t *one;
	size_t i;

	if (!result || text_of(o, "reason") || (after && !is_key(c, after)))
		return; /* from its beginning: not all of it was compared */
	if (repair && number_of(o, "different"))
		return; /* what is to be repaired has to be found again */
	if (strcmp(result, "identical") == 0)
		c->state = VERIFY_IDENTICAL;
	else if (strcmp(result, "different") == 0)
		c->state = VERIFY_DIFFERENT;
	c->rows = c->safe_rows = number_of(o, "rows");
	c->n_different = number_of(o, "different");
	c->n_changing = number_of(o, "changing");
	c->n_repaired = number_of(o, "repaired");
	c->at = copy_of(o, "partition_read");
	c->after = copy_of(o, "after");
	c->at_done = json_is_true(json_object_get(o, "partition_done"));
	json_array_foreach (json_object_get(o, "differences"), i, one) {
		if (c->n_diffs < VERIFY_LISTED_MAX)
			take_diff(c, one);
	}
}

enum err_code verify_resume(struct verify *v, const json_t *doc, struct err *e)
{
	const char *task = text_of(doc, "task_id");
	const json_t *list = json_object_get(doc, "collections"), *one;
	int64_t ts = number_of(doc, "up_to_ts");
	size_t k;

	if (!task || !json_is_array(list) || !ts)
		return err_set(e, ERR_INVALID, "it holds no pass of verify");
	if (strcmp(task, v->o.task->id) != 0)
		return err_set(e, ERR_INVALID, "it is of task %s", task);
	json_array_foreach (list, k, one) {
		int64_t id = number_of(one, "collection_id");
		for (size_t i = 0; i < v->n; i++)
			if (v->colls[i].id == id)
				take_coll(&v->colls[i], one, v->o.repair != NULL);
	}
	v->since_ts = (uint64_t)ts;
	return ERR_OK;
}

/* ---- for people ---- */

static const char *said(enum verify_kind k)
{
	static const char *const texts[] = {[VERIFY_MISSING] = "missing on the target",
		[VERIFY_EXTRA] = "only on the target",
		[VERIFY_DIFFERS] = "differs",
		[VERIFY_COPIES] = "number of rows"};
	return texts[k];
}

static void text_coll(const struct verify_coll *c, struct buf *b)
{
	bool renamed = strcmp(c->db, c->target_db) != 0 || strcmp(c->name, c->target_name) != 0;

	buf_putf(b, "%s.%s", c->db, c->name);
	if (renamed)
		buf_putf(b, " -> %s.%s", c->target_db, c->target_name);
	buf_putf(b, ": %s, %" PRId64 " rows equal", verify_state_name(c->state), c->rows);
	if (c->n_different)
		buf_putf(b, ", %" PRId64 " differences", c->n_different);
	if (c->n_repaired)
		buf_putf(b, ", %" PRId64 " rows repaired", c->n_repaired);
	buf_putf(b, "%s%s\n", c->reason ? ": " : "", c->reason ? c->reason : "");
	for (size_t i = 0; i < MIN(c->n_diffs, (size_t)SHOWN_MAX); i++) {
		const struct verify_diff *d = &c->diffs[i];
		buf_putf(b, "  %s%s%s%s%s%s%s%s\n", said(d->kind), d->key ? ": " : "",
			d->key ? d->key : "", d->partition ? ", partition " : "",
			d->partition ? d->partition : "", d->what ? " (" : "",
			d->what ? d->what : "", d->what ? ")" : "");
	}
	if (c->n_different > SHOWN_MAX)
		buf_putf(b, "  ... %" PRId64 " more; --json lists %d of a collection\n",
			c->n_different - SHOWN_MAX, VERIFY_LISTED_MAX);
}

void verify_text(const struct verify *v, struct buf *b)
{
	struct verify_progress p;
	char up_to[TIME_BYTES];

	verify_progress(v, &p);
	put_time(up_to, v->since_ts);
	for (size_t i = 0; i < v->n; i++)
		text_coll(&v->colls[i], b);
	switch (verify_result(v)) {
	case VERIFY_IDENTICAL:
		buf_putf(b, "identical up to %s (%" PRId64 " rows)\n", up_to, p.rows);
		break;
	case VERIFY_DIFFERENT:
		buf_putf(b, "different: %" PRId64 " differences, %" PRId64 " rows equal\n",
			p.different, p.rows);
		break;
	case VERIFY_OPEN:
	case VERIFY_UNKNOWN:
		buf_putf(b, "unknown: not all could be compared; %" PRId64 " rows equal\n", p.rows);
		break;
	}
}
