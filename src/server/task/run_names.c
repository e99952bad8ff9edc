/* Which collection of a task has, or had, which name. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "model/ts.h"
#include "server/task/name_meet.h"
#include "server/task/run_priv.h"
#include "source/catalog.h"

static const uint64_t clocks_differ = (uint64_t)2000 << TS_LOGICAL_BITS;

/* exactly: it had that name at ts, as far as we know. Else: it may have had it. We learn of a
 * rename after it happened, so the new name may be older than we know; the old one is not used after
 * we know, but for the difference of the clocks: what is called so later is another collection. */
static bool is_called(
	const struct coll *c, const char *db, const char *name, uint64_t ts, bool exactly)
{
	enum catalog_called then = catalog_was_called(
		c->run->sv.catalog, c->id, db, name, ts, exactly ? 0 : clocks_differ);

	if (then == CATALOG_CALLED_YES || (then == CATALOG_CALLED_NO && exactly))
		return then == CATALOG_CALLED_YES;
	if (!strcmp(c->db, db) && !strcmp(c->name, name) && (!exactly || ts >= c->named_ts))
		return true;
	for (size_t i = 0; i < c->n_former; i++) {
		const struct coll_former *f = &c->former[i];
		if (!strcmp(f->db, db) && !strcmp(f->name, name) &&
			ts <= f->until_ts + (exactly ? 0 : clocks_differ))
			return true;
	}
	return false;
}

static struct coll *find_locked(
	struct run *r, const char *db, const char *name, uint64_t ts, bool exactly) REQUIRES(r->mtx)
{
	struct coll *best = NULL;
	size_t pos = 0;
	void *v;

	while (umap_next(&r->colls, &pos, NULL, &v)) {
		struct coll *c = v;
		if (c->create_ts > ts || !is_called(c, db, name, ts, exactly))
			continue;
		/* A later one, which the catalog may not have shown yet. */
		if (coll_dropped_before(c, ts))
			continue;
		if (!best || c->create_ts > best->create_ts)
			best = c;
	}
	return best;
}

struct coll *run_find_coll(struct run *r, const char *db, const char *name, uint64_t ts)
{
	mutex_lock(&r->mtx);
	struct coll *c = find_locked(r, db, name, ts, true);
	/* We learn of a rename a little after it happened, or much after, if we were down. */
	if (!c)
		c = find_locked(r, db, name, ts, false);
	mutex_unlock(&r->mtx);
	return c;
}

struct coll *run_coll(struct run *r, int64_t id)
{
	mutex_lock(&r->mtx);
	struct coll *c = umap_get(&r->colls, (uint64_t)id);
	mutex_unlock(&r->mtx);
	return c;
}

bool run_target_name(struct run *r, const struct coll *c, char *ret_db, char *ret_name)
{
	if (!c)
		return false;
	mutex_lock(&r->mtx);
	snprintf(ret_db, NAME_BYTES, "%s", c->target_db);
	snprintf(ret_name, NAME_BYTES, "%s", c->target_name);
	mutex_unlock(&r->mtx);
	return true;
}

/* A name on the target is free. */
static void wake_waiting_locked(struct run *r, const char *target_db, const char *target_name)
	REQUIRES(r->mtx)
{
	struct coll *o = run_on_target_locked(r, target_db, target_name);

	for (; o; o = o->same_target)
		job_wake(&o->job, 0);
}

void run_rename(struct run *r, struct coll *c, const char *db, const char *name,
	const char *target_db, const char *target_name)
{
	mutex_lock(&r->mtx);
	run_unnamed_locked(r, c);
	struct coll_former f = {.db = c->db,
		.name = c->name,
		.target_db = c->target_db,
		.target_name = c->target_name,
		.until_ts = ts_from_ms(time_wall_ms())};
	struct coll_former *more = xcalloc(c->n_former + 1, sizeof(*more));
	for (size_t i = 0; i < c->n_former; i++)
		more[i] = c->former[i];
	more[c->n_former++] = f;
	free(c->former);
	c->former = more;
	if (strcmp(db, f.db) != 0 || strcmp(name, f.name) != 0)
		c->named_ts = f.until_ts;
	c->db = xstrdup(db);
	c->name = xstrdup(name);
	c->target_db = xstrdup(target_db);
	c->target_name = xstrdup(target_name);
	run_named_locked(r, c);
	coll_name_changed(c);
	wake_waiting_locked(r, f.target_db, f.target_name);
	mutex_unlock(&r->mtx);
}

static bool is_leaving(struct run *r, int64_t id, const char *name, int64_t db_id)
{
	struct collection *now = catalog_collection(r->sv.catalog, id);
	bool leaving = now && now->state == OBJECT_CREATED &&
		       (strcmp(now->name, name) != 0 || now->db_id != db_id);

	collection_unref(now);
	return leaving;
}

enum run_name run_name_holder(
	struct run *r, const struct coll *c, const char *target_db, const char *target_name)
{
	char name[NAME_BYTES];
	int64_t id = 0, db_id = 0;

	mutex_lock(&r->mtx);
	struct coll *o = run_on_target_locked(r, target_db, target_name);
	for (; !id && o; o = o->same_target) {
		if (o == c || coll_get_state(o) == COLL_DROPPED)
			continue;
		id = o->id;
		db_id = o->db_id;
		snprintf(name, sizeof(name), "%s", o->name);
	}
	mutex_unlock(&r->mtx);
	if (!id)
		return RUN_NAME_FREE;
	return is_leaving(r, id, name, db_id) ? RUN_NAME_LEAVING : RUN_NAME_TAKEN;
}

struct meeting {
	const struct source_names *names;
	const struct coll *coll;
	struct name_meet found;
};

static bool has_mapping(void *arg, const struct task *t)
{
	(void)arg;
	return t->n_mappings > 0;
}

static bool meets(void *arg, const struct task *t)
{
	struct meeting *m = arg;
	return name_meet_older(t, m->names, m->coll->id, m->coll->create_ts, &m->found);
}

bool run_name_meets(struct run *r, const struct coll *c, char *ret_why, size_t cap)
{
	struct meeting m = {.coll = c};

	if (!target_any_task(r->target, has_mapping, NULL))
		return false; /* every name is its own */
	CLEANUP(source_names_done) struct source_names names = source_names_read(r->sv.catalog);
	m.names = &names;
	run_target_name(r, c, m.found.target_db, m.found.target_name);
	if (!target_any_task(r->target, meets, &m))
		return false;
	snprintf(ret_why, cap,
		"the target name %.60s.%.60s is that of the source's %.60s.%.60s already: give one "
		"of them another name (name_mapping of a new task) or drop one at the source, then "
		"pause and resume",
		m.found.target_db, m.found.target_name, m.found.b->db, m.found.b->name);
	return true;
}

bool run_has_coll(struct run *r, int64_t id)
{
	mutex_lock(&r->mtx);
	struct coll *c = umap_get(&r->colls, (uint64_t)id);
	bool has = c && coll_get_state(c) != COLL_DROPPED;
	mutex_unlock(&r->mtx);
	return has;
}
