/* Whose operation is it, can it run yet, and what are its objects called on the target. Collections
 * go by the source's id: one that was renamed since has its present name on the target. */
#include <stdio.h>

#include "base/mem.h"
#include "model/ts.h"
#include "server/task/run_ops_priv.h"
#include "source/catalog.h"

enum {
	UNKNOWN_MS = 10000, /* how long a name may be unknown to the catalog */
	CURRENT_MS = 5000,
	CLOCKS_MS = 10000, /* more than the source's clock differs from ours */
	NEVER_KNOWN = -1,
};

void op_text(struct slice s, char *out, size_t cap)
{
	size_t n = MIN(s.n, cap - 1);
	memcpy(out, s.p ? (const void *)s.p : "", n);
	out[n] = '\0';
}

/* An operation without a time (a grant) means what has the name now. */
static struct coll *coll_of(const struct op_event *v, const char *name)
{
	uint64_t ts = v->op.ts ? v->op.ts : (uint64_t)INT64_MAX;

	return run_find_coll(v->log->run, v->db, name, ts);
}

/* The i-th was taken for a collection that was dropped before. */
static bool is_taken_wrong(const struct op_event *v, size_t i)
{
	struct coll *c = v->ids[i] > 0 ? run_coll(v->log->run, v->ids[i]) : NULL;

	return c && v->op.ts && coll_dropped_before(c, v->op.ts);
}

/* The same of its i-th collection, which may be named by an alias. */
static struct coll *coll_at(const struct op_event *v, size_t i, const char *name)
{
	struct coll *c = coll_of(v, name);

	return c || !v->ids[i] || is_taken_wrong(v, i) ? c : run_coll(v->log->run, v->ids[i]);
}

/* One of the task's collections, or will be when the catalog shows it. */
static bool is_ours(const struct op_event *v, size_t i, const char *name)
{
	const struct run *r = v->log->run;

	if (coll_at(v, i, name))
		return true;
	struct collection *known = v->ids[i] ? catalog_collection(r->sv.catalog, v->ids[i]) : NULL;
	bool ours = task_selects(r->task, v->db, known ? known->name : name, NULL);
	collection_unref(known);
	return ours;
}

/* Are all known? */
static bool find_ids(struct op_event *v)
{
	struct run *r = v->log->run;
	char name[NAME_BYTES];
	bool all = true;

	run_hold(r);
	for (size_t i = 0; i < v->op.n_collections; i++) {
		op_text(v->op.collections[i], name, sizeof(name));
		if (is_taken_wrong(v, i))
			v->ids[i] = 0;
		const struct coll *c = v->ids[i] ? NULL : coll_of(v, name);
		if (c)
			v->ids[i] = c->id;
		else if (!v->ids[i])
			v->ids[i] = catalog_find(r->sv.catalog, v->db, name, v->op.ts);
		all = all && v->ids[i];
	}
	run_release(r);
	return all;
}

enum err_code op_resolve(struct op_event *v, struct err *e)
{
	struct oplog *o = v->log;
	int64_t now = time_wall_ms();

	v->ids = arena_alloc(&v->arena, (v->op.n_collections + 1) * sizeof(*v->ids));
	memset(v->ids, 0, (v->op.n_collections + 1) * sizeof(*v->ids));
	if (v->op.flags & (OP_RBAC | OP_RENAME) || find_ids(v))
		return ERR_OK;
	/* What is older than that, and not known, is gone: a backlog asks once. */
	if (ts_ms(v->op.ts) + CLOCKS_MS < o->current_ms)
		return ERR_OK;
	if (catalog_current(o->run->sv.catalog, deadline_in(CURRENT_MS), &o->stop, e))
		return e->code;
	o->current_ms = now;
	find_ids(v);
	return ERR_OK;
}

bool op_wanted(const struct op_event *v)
{
	const struct task *t = v->log->run->task;
	char name[NAME_BYTES];

	if (v->op.flags & OP_RBAC)
		return t->enable_user_role;
	/* Databases and names follow the catalog (run_db.c, coll_follow.c); their operations only
	 * confirm. */
	if (v->op.type == MSG_CREATE_DATABASE || v->op.type == MSG_DROP_DATABASE ||
		v->op.type == MSG_RENAME_COLLECTION)
		return false;
	/* What is about a database itself belongs to a task that replicates all of it. */
	if (!v->op.n_collections)
		return task_selects(t, v->db, RUN_ANY_COLLECTION, NULL);
	for (size_t i = 0; i < v->op.n_collections; i++) {
		op_text(v->op.collections[i], name, sizeof(name));
		if (is_ours(v, i, name))
			return true;
	}
	return false;
}

/* The catalog has known every name since we began; what was dropped or lost its alias before, it does
 * not. */
static void tell_unknown(struct op_event *v, const char *name)
{
	struct run *r = v->log->run;
	char what[OP_TEXT_BYTES];

	op_describe(v, what, sizeof(what));
	if (ts_ms(v->op.ts) > v->log->began_ms)
		run_skip_op(r, op_type_name(v),
			"%s: the source has no collection of the task with the name or alias "
			"%.100s",
			what, name);
	else
		log_warn(&r->log,
			"operation %s is left out: the source has no collection with the name or "
			"alias %.100s any more",
			what, name);
}

static bool is_in_order(const struct op_event *v)
{
	return catalog_knows_all(v->log->run->sv.catalog, "database/");
}

/* For how long v has been there with a catalog in order, as far as operations have looked. */
static int64_t in_order_ms(struct op_event *v)
{
	int64_t *since = &v->log->in_order_mono_ms, now = time_mono_ms(), none = 0;

	if (!is_in_order(v)) {
		__atomic_store_n(since, 0, __ATOMIC_RELAXED);
		return 0;
	}
	__atomic_compare_exchange_n(since, &none, now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	return now - MAX(v->read_mono_ms, __atomic_load_n(since, __ATOMIC_RELAXED));
}

/* A name that the catalog, being in order, does not know: its collection was dropped. */
static enum op_readiness unknown(struct op_event *v, size_t i, const char *name)
{
	if (v->ids[i] == NEVER_KNOWN)
		return OP_NEVER;
	if (in_order_ms(v) > UNKNOWN_MS) {
		/* it was known once: its collection was dropped meanwhile */
		if (!v->ids[i])
			tell_unknown(v, name);
		v->ids[i] = NEVER_KNOWN;
		return OP_NEVER;
	}
	op_wait(v, 0, "collection %.100s, which the source's catalog does not show", name);
	return OP_NOT_YET;
}

static bool loads(const struct op_event *v)
{
	return v->op.type == MSG_LOAD_COLLECTION || v->op.type == MSG_LOAD_PARTITIONS;
}

/* The catalog has a later one of c's name, of which the task does not know yet. */
static bool is_followed(const struct op_event *v, const struct coll *c, const char *name)
{
	struct run *r = v->log->run;
	int64_t id = catalog_find(r->sv.catalog, v->db, name, v->op.ts);

	return id && id != c->id && !run_coll(r, id);
}

/* The collection `name` as it was when the operation happened. */
static enum op_readiness collection_ready(
	struct op_event *v, size_t i, const char *name, struct coll **ret)
{
	struct coll *c = coll_at(v, i, name);

	*ret = c;
	if (!c)
		return unknown(v, i, name);
	/* Milvus frees a dropped one's name before it writes the message that tells when: only the
	 * catalog knows whose operation it is. */
	if (catalog_is_away(v->log->run->sv.catalog)) {
		op_wait(v, 0,
			"the source's etcd, which tells whether %.100s is still that collection",
			name);
		return OP_NOT_YET;
	}
	enum coll_state s = coll_get_state(c);
	if ((s == COLL_DROPPED || s == COLL_DROP_READY) && is_followed(v, c, name))
		return unknown(v, i, name);
	if (s == COLL_DROPPED || s == COLL_DROP_READY)
		return OP_NEVER;
	if (s == COLL_FAILED)
		return OP_LOST;
	if ((s == COLL_RUNNING || s == COLL_DROPPING) && coll_reached(c, v->op.ts)) {
		if (!loads(v) || !coll_drop_first(c, v->op.ts))
			return OP_READY;
		job_wake(&c->job, 0);
		op_wait(v, 0, "the drop of a partition before it");
		return OP_NOT_YET;
	}
	op_wait(v, 0, "the rows before it");
	return OP_NOT_YET;
}

static const char *keep(struct op_event *v, const char *s)
{
	return (const char *)arena_copy(&v->scratch, slice_of(s, strlen(s) + 1)).p;
}

/* A grant may name what does not exist, or what the task does not replicate. */
static enum op_readiness grant_names(struct op_event *v, struct op_target *to)
{
	char db[NAME_BYTES], target_db[NAME_BYTES], name[NAME_BYTES], target_name[NAME_BYTES];
	struct op *op = &v->op;

	op_text(op->db, db, sizeof(db));
	task_map_name(v->log->run->task, db, NULL, target_db, NULL, NAME_BYTES);
	if (op->n_collections) {
		op_text(op->collections[0], name, sizeof(name));
		if (!run_target_name(v->log->run, coll_of(v, name), target_db, target_name))
			task_map_name(
				v->log->run->task, db, name, target_db, target_name, NAME_BYTES);
		to->collections[to->n++] = keep(v, target_name);
	}
	/* No database said means the default one: it is named only if it has another name. */
	bool unsaid = !op->db.n && strcmp(target_db, "default") == 0;
	to->db = unsaid ? "" : keep(v, target_db);
	return OP_READY;
}

static void add_name(struct op_event *v, struct op_target *all, struct slice source, struct coll *c)
{
	char db[NAME_BYTES], name[NAME_BYTES];

	if (!run_target_name(v->log->run, c, db, name))
		return;
	all->kept[all->n] = source;
	all->collections[2 * all->n] = keep(v, name);
	all->collections[2 * all->n + 1] = keep(v, db);
	all->n++;
}

/* The task's own and living ones; collections come in pairs of name and database. */
static enum op_readiness collection_names(struct op_event *v, struct op_target *all)
{
	enum op_readiness worst = OP_NEVER;
	char name[NAME_BYTES];

	find_ids(v); /* what was not known when it was read */

	for (size_t i = 0; i < v->op.n_collections; i++) {
		struct coll *c = NULL;
		op_text(v->op.collections[i], name, sizeof(name));
		if (!is_ours(v, i, name))
			continue;
		enum op_readiness r = collection_ready(v, i, name, &c);
		if (r == OP_NOT_YET)
			return r;
		if (r == OP_LOST && worst == OP_NEVER)
			worst = OP_LOST;
		if (r != OP_READY)
			continue;
		worst = OP_READY;
		add_name(v, all, v->op.collections[i], c);
	}
	return worst;
}

static enum op_readiness database_names(struct op_event *v, struct op_target *to)
{
	char db[NAME_BYTES], why[OP_TEXT_BYTES];

	if (!run_db_ready_name(v->log->run, v->db, why, sizeof(why))) {
		op_wait(v, 0, "%s", why);
		return OP_NOT_YET;
	}
	task_map_name(v->log->run->task, v->db, NULL, db, NULL, sizeof(db));
	to->db = keep(v, db);
	return OP_READY;
}

static enum op_readiness names_held(struct op_event *v, struct op_target *all)
{
	if (v->op.flags & OP_GRANT)
		return grant_names(v, all);
	if (v->op.flags & OP_RBAC)
		return OP_READY;
	return v->op.n_collections ? collection_names(v, all) : database_names(v, all);
}

enum op_readiness op_names(struct op_event *v, struct op_target *all)
{
	size_t n = v->op.n_collections + 1;

	arena_reset(&v->scratch);
	*all = (struct op_target){.db = "",
		.collections = arena_alloc(&v->scratch, 2 * n * sizeof(char *)),
		.kept = arena_alloc(&v->scratch, n * sizeof(struct slice))};
	if (v->op.flags & OP_RBAC && !users_settled(v->log->run->users)) {
		op_wait(v, 0, "the copy of the users and roles that were there before");
		return OP_NOT_YET;
	}
	run_hold(v->log->run);
	enum op_readiness ready = names_held(v, all);
	run_release(v->log->run);
	return ready;
}

/* Milvus takes the collections of one database a call. */
bool op_next_target(
	struct op_event *v, const struct op_target *all, size_t *at, struct op_target *ret)
{
	bool whole = v->op.flags & OP_RBAC || !v->op.n_collections;

	if (whole && *at)
		return false;
	if (whole) {
		*ret = *all;
		*at = 1;
		return true;
	}
	while (*at < all->n && !all->collections[2 * *at])
		++*at;
	if (*at == all->n)
		return false;
	*ret = (struct op_target){.db = all->collections[2 * *at + 1],
		.collections = arena_alloc(&v->scratch, all->n * sizeof(char *)),
		.kept = arena_alloc(&v->scratch, all->n * sizeof(struct slice))};
	for (size_t i = *at; i < all->n; i++) {
		if (!all->collections[2 * i] || strcmp(all->collections[2 * i + 1], ret->db))
			continue;
		ret->kept[ret->n] = all->kept[i];
		ret->collections[ret->n++] = all->collections[2 * i];
		if (i > *at)
			all->collections[2 * i] = NULL;
	}
	++*at;
	return true;
}
