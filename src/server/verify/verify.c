#include "server/verify/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/time.h"
#include "server/target/replicate_id.h"
#include "server/verify/verify_priv.h"
#include "sink/schema_json.h"
#include "source/catalog.h"

enum { PARTITIONS_MS = 10000, LOOK_MS = 200 };

/* ---- the plan ---- */

static void add_coll(struct verify *v, const struct collection *k, const char *db)
{
	char target_db[VERIFY_NAME_BYTES], target_name[VERIFY_NAME_BYTES];
	struct slice pk = schema_field_name(k->schema, k->pk_field_id);

	task_map_name(v->o.task, db, k->name, target_db, target_name, VERIFY_NAME_BYTES);
	mem_grow(&v->colls, &v->cap, v->n + 1, sizeof(*v->colls));
	v->colls[v->n++] = (struct verify_coll){.id = k->id,
		.db = xstrdup(db),
		.name = xstrdup(k->name),
		.target_db = xstrdup(target_db),
		.target_name = xstrdup(target_name),
		.pk_name = xstrndup(pk.n ? (const char *)pk.p : "", pk.n),
		.varchar = k->pk_is_varchar,
		.has_partition_key = k->has_partition_key,
		.undivided = k->has_partition_key || v->o.task->milvus.ignore_partition};
}

static bool wanted(const struct verify_opts *o, const struct collection *k, const char *db)
{
	const char *id = o->replicate_id;

	if (o->name && (strcmp(o->db, db) != 0 || strcmp(o->name, k->name) != 0))
		return false;
	if (id && *id && slice_eq_str(replicate_id_of(k->properties), id))
		return false; /* the target's own: not replicated back */
	return task_selects(o->task, db, k->name, NULL) && !task_excludes(o->task, db, k->name);
}

static void plan(struct verify *v)
{
	struct collection **list = NULL;
	char db[VERIFY_NAME_BYTES];
	size_t n = catalog_collections(v->o.catalog, &list);

	for (size_t i = 0; i < n; i++) {
		const struct collection *k = list[i];
		if (k->state == OBJECT_CREATED &&
			catalog_database_name(v->o.catalog, k->db_id, db, sizeof(db)) &&
			wanted(&v->o, k, db))
			add_coll(v, k, db);
		collection_unref(list[i]);
	}
	free(list);
}

enum err_code verify_new(const struct verify_opts *o, struct verify **ret_v, struct err *e)
{
	struct verify *v = xcalloc(1, sizeof(*v));

	v->o = *o;
	v->answer = (struct buf)BUF_INIT(LIMIT_GRPC_RECV);
	plan(v);
	if (!v->n) {
		verify_free(v);
		return o->name ? err_set(e, ERR_NOT_FOUND,
					 "task %s replicates no collection %s.%s of the source",
					 o->task->id, o->db, o->name)
			       : err_set(e, ERR_NOT_FOUND,
					 "task %s replicates no collection that is there now",
					 o->task->id);
	}
	*ret_v = v;
	return ERR_OK;
}

static void coll_done(struct verify_coll *c)
{
	free(c->db);
	free(c->name);
	free(c->target_db);
	free(c->target_name);
	free(c->pk_name);
	free(c->reason);
	free(c->at);
	free(c->after);
	for (size_t i = 0; i < c->n_diffs; i++) {
		free(c->diffs[i].partition);
		free(c->diffs[i].key);
		free(c->diffs[i].what);
	}
	free(c->diffs);
}

void verify_free(struct verify *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->n; i++)
		coll_done(&v->colls[i]);
	free(v->colls);
	store_positions_free(v->pos, v->n_pos);
	buf_done(&v->answer);
	free(v);
}

/* ---- a collection ---- */

struct sides {
	struct milvus_collection source, target;
};

static void sides_done(struct sides *s)
{
	milvus_collection_done(&s->source);
	milvus_collection_done(&s->target);
}

static enum err_code describe(
	struct verify *v, const struct verify_coll *c, struct sides *s, struct err *e)
{
	if (milvus_describe(v->o.source, c->db, c->name, v->o.stop, &s->source, e))
		return err_ctx(e, "source");
	if (milvus_describe(v->o.target, c->target_db, c->target_name, v->o.stop, &s->target, e))
		return err_ctx(e, "target");
	return ERR_OK;
}

/* 0: it has none of that name. */
static int64_t partition_id(const struct milvus_collection *c, const char *name)
{
	for (size_t i = 0; i < c->n_partitions; i++)
		if (strcmp(c->partitions[i].name, name) == 0)
			return c->partitions[i].id;
	return 0;
}

static int by_text(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;
	return strcmp(*x, *y);
}

/* The names of both sides, each once, in order. Borrowed. */
static const char **all_partitions(const struct sides *s, size_t *ret_n)
{
	size_t n = 0;
	const char **l =
		xcalloc(s->source.n_partitions + s->target.n_partitions + 1, sizeof(const char *));

	for (size_t i = 0; i < s->source.n_partitions; i++)
		l[n++] = s->source.partitions[i].name;
	for (size_t i = 0; i < s->target.n_partitions; i++)
		if (!partition_id(&s->source, s->target.partitions[i].name))
			l[n++] = s->target.partitions[i].name;
	qsort(l, n, sizeof(*l), by_text);
	*ret_n = n;
	return l;
}

/* Has each side the partitions of the other, but for those that already stood so before? */
static bool agree(const struct sides *s, const struct sides *before)
{
	size_t n;
	CLEANUP(freep) const char **names = all_partitions(s, &n);

	for (size_t i = 0; i < n; i++) {
		int64_t x = partition_id(&s->source, names[i]);
		int64_t y = partition_id(&s->target, names[i]);
		if (!x == !y)
			continue;
		if (!before || x != partition_id(&before->source, names[i]) ||
			y != partition_id(&before->target, names[i]))
			return false;
	}
	return true;
}

/* Partitions are made and dropped on the target a moment after the source, and not by the channels
 * that tell how far the task is: one that a side lacks may be on its way. */
static enum err_code describe_parts(
	struct verify *v, const struct verify_coll *c, struct sides *s, struct err *e)
{
	CLEANUP(sides_done) struct sides first = {.source = {.id = 0}};
	struct deadline d = deadline_in(MIN((int64_t)PARTITIONS_MS, v->o.wait_ms));

	if (describe(v, c, s, e) || c->undivided || agree(s, NULL))
		return e->code;
	first = *s;
	*s = (struct sides){.source = {.id = 0}};
	do {
		if (stop_sleep(v->o.stop, LOOK_MS))
			return stop_err(e);
		sides_done(s);
		if (verify_meet(v, c, e) || describe(v, c, s, e) || agree(s, NULL))
			return e->code;
	} while (!deadline_passed(d));
	return agree(s, &first) ? ERR_OK
				: err_set(e, ERR_BUSY, "partitions come and go all the time");
}

static void place(struct verify_part *p, const struct sides *s)
{
	p->on_source = !p->name || partition_id(&s->source, p->name);
	p->on_target = !p->name || partition_id(&s->target, p->name);
}

enum err_code verify_place(struct verify_part *p, struct err *e)
{
	CLEANUP(sides_done) struct sides s = {.source = {.id = 0}};

	if (!describe(p->v, p->c, &s, e))
		place(p, &s);
	return e->code;
}

static void set_text(char **text, const char *to)
{
	free(*text);
	*text = to ? xstrdup(to) : NULL;
}

/* A partition that both sides have lost while it was read is none. */
static bool is_gone(struct verify_part *p)
{
	CLEANUP(sides_done) struct sides s = {.source = {.id = 0}};
	struct err e = ERR_INIT;

	if (!p->name || stop_is_set(p->v->o.stop) || describe_parts(p->v, p->c, &s, &e))
		return false;
	place(p, &s);
	return !p->on_source && !p->on_target;
}

static enum err_code scan(struct verify *v, struct verify_coll *c, const char *partition,
	const struct sides *s, struct err *e)
{
	struct verify_part p = {.v = v, .c = c, .name = partition};
	bool same = c->at && strcmp(c->at, partition ? partition : "") == 0;

	if (same && c->at_done)
		return ERR_OK;
	if (!same)
		set_text(&c->after, NULL);
	set_text(&c->at, partition ? partition : "");
	c->at_done = false;
	place(&p, s);
	if (verify_scan(&p, e) && is_gone(&p))
		err_clear(e);
	arena_done(&p.arena);
	free(p.suspects);
	return e->code;
}

static enum err_code scan_all(
	struct verify *v, struct verify_coll *c, const struct sides *s, struct err *e)
{
	size_t n;

	if (c->undivided || (s->source.n_partitions == 1 && s->target.n_partitions == 1))
		return scan(v, c, NULL, s, e);
	CLEANUP(freep) const char **names = all_partitions(s, &n);
	for (size_t i = 0; i < n && !e->code; i++)
		if (!c->at || strcmp(names[i], c->at) >= 0)
			(void)scan(v, c, names[i], s, e);
	return e->code;
}

static enum err_code verify_coll(struct verify *v, struct verify_coll *c, struct err *e)
{
	CLEANUP(sides_done) struct sides s = {.source = {.id = 0}};

	if (!*c->pk_name)
		return err_set(e, ERR_UNSUPPORTED, "its primary key is not known");
	if (verify_meet_first(v, c, e) || describe_parts(v, c, &s, e))
		return e->code;
	if (s.source.id != c->id)
		return err_set(e, ERR_NOT_FOUND,
			"the name stands for another collection of the source now");
	return scan_all(v, c, &s, e);
}

static void conclude(struct verify_coll *c, const struct err *e)
{
	char text[ERR_TEXT_BYTES];

	c->state = c->n_different ? VERIFY_DIFFERENT : VERIFY_IDENTICAL;
	if (!e->code && !c->n_changing) {
		set_text(&c->at, NULL);
		set_text(&c->after, NULL);
		return;
	}
	snprintf(text, sizeof(text), "%s", e->text);
	if (!e->code)
		snprintf(text, sizeof(text),
			"%lld rows changed at the source each time they were looked at",
			(long long)c->n_changing);
	set_text(&c->reason, text);
	if (!c->n_different)
		c->state = VERIFY_UNKNOWN;
}

/* ---- the pass ---- */

static enum err_code begin(struct verify *v, struct err *e)
{
	struct milvus_info info;

	if (milvus_connect(v->o.source, v->o.stop, &info, e) ||
		milvus_clock(v->o.source, v->o.stop, &v->meet_ts, e))
		return err_ctx(e, "source (sourceConfig.milvus)");
	if (milvus_connect(v->o.target, v->o.stop, &info, e))
		return err_ctx(e, "target");
	if (!v->since_ts)
		v->since_ts = v->meet_ts;
	v->meet_end_ms = time_mono_ms() + v->o.wait_ms;
	return ERR_OK;
}

enum err_code verify_run(struct verify *v, struct err *e)
{
	if (begin(v, e))
		return e->code;
	for (v->present = 0; v->present < v->n; v->present++) {
		struct verify_coll *c = &v->colls[v->present];
		struct err own = ERR_INIT;
		if (c->state != VERIFY_OPEN)
			continue;
		(void)verify_coll(v, c, &own);
		if (stop_is_set(v->o.stop))
			return stop_err(e);
		conclude(c, &own);
		if (v->o.on_range)
			v->o.on_range(v->o.arg, v);
	}
	return ERR_OK;
}

void verify_progress(const struct verify *v, struct verify_progress *ret)
{
	*ret = (struct verify_progress){
		.db = "", .name = "", .collections = v->n, .since_ts = v->since_ts};
	if (v->present < v->n) {
		const struct verify_coll *c = &v->colls[v->present];
		ret->db = c->db;
		ret->name = c->name;
		ret->coll_rows = c->rows;
		ret->coll_total = c->total;
	}
	for (size_t i = 0; i < v->n; i++) {
		ret->done += v->colls[i].state != VERIFY_OPEN;
		ret->unknown += v->colls[i].state == VERIFY_UNKNOWN;
		ret->rows += v->colls[i].rows;
		ret->different += v->colls[i].n_different;
	}
}

enum verify_state verify_result(const struct verify *v)
{
	enum verify_state s = VERIFY_IDENTICAL;

	for (size_t i = 0; i < v->n; i++) {
		if (v->colls[i].state == VERIFY_DIFFERENT)
			return VERIFY_DIFFERENT;
		if (v->colls[i].state != VERIFY_IDENTICAL)
			s = VERIFY_UNKNOWN;
	}
	return s;
}

const char *verify_state_name(enum verify_state s)
{
	static const char *const names[] = {[VERIFY_OPEN] = "open",
		[VERIFY_IDENTICAL] = "identical",
		[VERIFY_DIFFERENT] = "different",
		[VERIFY_UNKNOWN] = "unknown"};
	return names[s];
}
