/* Whose operation is it, can it run yet, and what are its objects called on the target. Collections
 * go by the source's id: one that was renamed since has its present name on the target. */
#include <stdio.h>

#include "base/mem.h"
#include "server/task/run_ops_priv.h"
#include "source/catalog.h"

enum { UNKNOWN_MS = 10000 /* how long a name may be unknown to the catalog */ };

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

/* One of the task's collections, or will be when the catalog shows it. */
static bool is_ours(const struct op_event *v, const char *name)
{
	return coll_of(v, name) || task_selects(v->log->run->task, v->db, name, NULL);
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
		if (is_ours(v, name))
			return true;
	}
	return false;
}

/* A name that the catalog, being in order, does not know: its collection was dropped. */
static enum op_readiness unknown(struct op_event *v, const char *name)
{
	if (catalog_knows_all(v->log->run->sv.catalog, "database/") &&
		time_mono_ms() - v->read_mono_ms > UNKNOWN_MS)
		return OP_NEVER;
	op_wait(v, 0, "collection %.100s, which the source's catalog does not show", name);
	return OP_NOT_YET;
}

static bool loads(const struct op_event *v)
{
	return v->op.type == MSG_LOAD_COLLECTION || v->op.type == MSG_LOAD_PARTITIONS;
}

/* The collection `name` as it was when the operation happened. */
static enum op_readiness collection_ready(struct op_event *v, const char *name, struct coll **ret)
{
	struct coll *c = coll_of(v, name);

	*ret = c;
	if (!c)
		return unknown(v, name);
	enum coll_state s = coll_get_state(c);
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

	for (size_t i = 0; i < v->op.n_collections; i++) {
		struct coll *c = NULL;
		op_text(v->op.collections[i], name, sizeof(name));
		if (!is_ours(v, name))
			continue;
		enum op_readiness r = collection_ready(v, name, &c);
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
