/* Dropped collections and databases do not stay for ever: one that is gone on both sides is forgotten, with its
 * record, its positions and its series, when no operation of its time can come any more. What a
 * crash leaves of this is Dropped at the next start and forgotten then. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "server/task/run_priv.h"
#include "source/catalog.h"
#include "store/keys.h"
#include "store/writer.h"

enum { KEEP_MS = 10000, AT_ONCE = 1000 };

void run_hold(struct run *r)
{
	mutex_lock(&r->mtx);
	r->holders++;
	mutex_unlock(&r->mtx);
}

void run_release(struct run *r)
{
	mutex_lock(&r->mtx);
	r->holders--;
	mutex_unlock(&r->mtx);
}

/* Milvus leaves a dropped one as Dropping until its files are collected, minutes to hours. */
static bool is_at_source(struct run *r, int64_t id)
{
	struct collection *c = catalog_collection(r->sv.catalog, id);
	bool there = c && (c->state == OBJECT_CREATED || c->state == OBJECT_CREATING);

	collection_unref(c);
	return there;
}

static uint64_t drop_ts(const struct coll *c)
{
	uint64_t ts = c->create_ts;
	for (int i = 0; i < c->n_shards; i++)
		ts = MAX(ts, c->shards[i].drop_ts);
	return ts;
}

static bool is_due(struct run *r, struct coll *c, int64_t now_ms)
{
	if (!c->dropped_mono_ms)
		c->dropped_mono_ms = now_ms;
	return now_ms - c->dropped_mono_ms > KEEP_MS &&
	       oplog_read_past(r->oplog, c->dropped_mono_ms, drop_ts(c)) && !is_at_source(r, c->id);
}

/* Those that may go; heap. */
static struct coll **due(struct run *r, size_t *ret_n)
{
	struct coll **l = xcalloc(AT_ONCE, sizeof(struct coll *));
	size_t pos = 0, n = 0, kept = 0;
	int64_t now = time_mono_ms();
	void *v;

	mutex_lock(&r->mtx);
	while (n < AT_ONCE && umap_next(&r->colls, &pos, NULL, &v))
		if (coll_get_state(v) == COLL_DROPPED)
			l[n++] = v;
	mutex_unlock(&r->mtx);
	for (size_t i = 0; i < n; i++)
		if (is_due(r, l[i], now))
			l[kept++] = l[i];
	*ret_n = kept;
	return l;
}

/* The positions first: a record alone is tidied up later, positions alone are nobody's. */
static void forget(struct run *r, struct coll *c)
{
	CLEANUP(freep) char *id = xasprintf("%" PRId64, c->id);
	CLEANUP(freep) char *key = keys_ext_task("object", r->task->id, id);
	const char *const mine[] = {r->task->id, id, NULL, NULL, NULL};

	writer_delete_position(r->sv.writer, r->task->id, c->id);
	writer_put_ext(r->sv.writer, key, NULL);
	target_unclaim_one(r->target, c->id, r);
	log_debug(&c->log, "forgotten");
	coll_free(c);
	metrics_drop_of(METRIC_replicate_data_cnt, mine);
}

/* ---- databases ---- */

/* Gone at the source, dropped on the target, and none of its collections is left. */
static bool db_is_over_locked(struct run *r, const struct run_db *d) REQUIRES(r->mtx)
{
	size_t pos = 0;
	void *v;

	if (!d->dropped || !d->gone)
		return false;
	while (umap_next(&r->colls, &pos, NULL, &v))
		if (((const struct coll *)v)->db_id == d->id)
			return false;
	return true;
}

static struct run_db *next_db(struct run *r, int64_t now)
{
	struct run_db *found = NULL;
	size_t pos = 0;
	void *v;

	mutex_lock(&r->mtx);
	while (!found && !r->holders && umap_next(&r->dbs, &pos, NULL, &v)) {
		struct run_db *d = v;
		if (!db_is_over_locked(r, d))
			d->dropped_mono_ms = 0;
		else if (!d->dropped_mono_ms)
			d->dropped_mono_ms = now;
		else if (now - d->dropped_mono_ms > KEEP_MS)
			found = d;
	}
	if (found)
		umap_del(&r->dbs, (uint64_t)found->id);
	mutex_unlock(&r->mtx);
	return found;
}

/* What the catalog still shows as gone may be added again, without a record, and ends here again. */
static void prune_dbs(struct run *r)
{
	struct run_db *d;

	while ((d = next_db(r, time_mono_ms()))) {
		CLEANUP(freep) char *rest = xasprintf("db-%" PRId64, d->id);
		CLEANUP(freep) char *key = keys_ext_task("object", r->task->id, rest);
		job_stop(&d->job);
		if (d->recorded)
			writer_put_ext(r->sv.writer, key, NULL);
		log_debug(&r->log, "database %s forgotten", d->name);
		run_db_free(d);
	}
}

void run_prune(struct run *r)
{
	prune_dbs(r);
	size_t n = 0;
	struct coll **l = due(r, &n);

	for (size_t i = 0; i < n; i++)
		job_stop(&l[i]->job);
	mutex_lock(&r->mtx);
	/* The next time will do. A stopped job of a dropped collection is not missed. */
	bool busy = r->holders > 0;
	for (size_t i = 0; !busy && i < n; i++) {
		r->rows_forgotten += coll_rows(l[i]);
		run_unnamed_locked(r, l[i]);
		umap_del(&r->colls, (uint64_t)l[i]->id);
	}
	mutex_unlock(&r->mtx);
	for (size_t i = 0; !busy && i < n; i++)
		forget(r, l[i]);
	free(l);
}
