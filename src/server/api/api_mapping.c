/* The rules of name_mapping. The reference has none: there two collections may meet in one of the
 * target, and a name no Milvus accepts fails at the first operation. Whether the sources are
 * selected is task_names' question. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "server/api/api_priv.h"
#include "server/task/task_names.h"

/* A name of the source and where it goes; either part may be "*". Targets are owned. */
struct route {
	const char *db, *coll;
	char *target_db, *target_coll;
	const struct task *task;
	bool fresh; /* of the request, not of a task that exists */
};

struct routes {
	struct route *l;
	size_t n, cap;
};

static void routes_done(struct routes *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->l[i].target_db);
		free(r->l[i].target_coll);
	}
	free(r->l);
}

static bool is_star(const char *s)
{
	return strcmp(s, "*") == 0;
}

static bool letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* NULL if some Milvus may accept it: newer ones let the operator allow further characters. */
static const char *name_fault(const char *s, int64_t most)
{
	if (!*s)
		return "it is empty";
	if ((int64_t)strlen(s) > most)
		return "it is too long";
	if (!letter(*s))
		return "it does not begin with a letter or an underscore";
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 0x7f ||
			strchr("./*\\\"'`,;:", *s))
			return "only letters, digits and underscores are safe";
	return NULL;
}

bool api_name_possible(const char *name)
{
	return is_star(name) || !name_fault(name, INT64_MAX);
}

static enum err_code check_pair(
	const struct task_mapping *m, const struct task_pair *p, int64_t most, struct err *e)
{
	const char *fault;

	if (!*p->key || !*p->value)
		return err_set(e, ERR_INVALID,
			"the name mapping of %s holds an empty collection name", m->source_db);
	if (is_star(p->key) != is_star(p->value))
		return err_set(e, ERR_INVALID,
			"the name mapping of %s leads %s to %s: `*` stands for the whole database "
			"and goes to `*` only",
			m->source_db, p->key, p->value);
	if ((int64_t)strlen(p->key) > most)
		return err_set(e, ERR_INVALID,
			"the name mapping of %s holds a collection name longer than %lld bytes",
			m->source_db, (long long)most);
	fault = is_star(p->value) ? NULL : name_fault(p->value, most);
	if (fault)
		return err_set(e, ERR_INVALID,
			"the name mapping of %s leads to the collection name %.300s: %s",
			m->source_db, p->value, fault);
	return ERR_OK;
}

static enum err_code check_entry(const struct task_mapping *m, int64_t most, struct err *e)
{
	const char *fault;

	if (!*m->source_db)
		return err_set(e, ERR_INVALID, "the source_db of a name mapping is empty");
	if ((int64_t)strlen(m->source_db) > most)
		return err_set(e, ERR_INVALID,
			"the source_db of a name mapping is longer than %lld bytes",
			(long long)most);
	if (is_star(m->source_db))
		return err_set(e, ERR_INVALID, "the source_db of a name mapping can't be `*`");
	fault = name_fault(m->target_db, most);
	if (fault)
		return err_set(e, ERR_INVALID,
			"the name mapping of %s leads to the database name %.300s: %s",
			m->source_db, m->target_db, fault);
	for (size_t i = 0; i < m->n_collections; i++)
		if (check_pair(m, &m->collections[i], most, e))
			return ERR_INVALID;
	return ERR_OK;
}

static void add_route(
	struct routes *r, const struct task *t, const char *db, const char *coll, size_t cap)
{
	struct route one = {.db = db,
		.coll = coll,
		.target_db = xmalloc(cap),
		.target_coll = xmalloc(cap),
		.task = t};

	task_map_name(t, db, coll, one.target_db, one.target_coll, cap);
	mem_grow(&r->l, &r->cap, r->n + 1, sizeof(*r->l));
	r->l[r->n++] = one;
}

static void add_selected(struct routes *r, const struct task *t, const char *db,
	const struct task_collection *l, size_t n, size_t cap)
{
	if (is_star(db))
		return;
	for (size_t i = 0; i < n; i++)
		add_route(r, t, *db ? db : "default", l[i].name, cap);
}

static int by_source(const void *a, const void *b)
{
	const struct route *x = a, *y = b;
	int r = strcmp(x->db, y->db);
	return r ? r : strcmp(x->coll, y->coll);
}

static int by_target(const void *a, const void *b)
{
	const struct route *x = a, *y = b;
	int r = strcmp(x->target_db, y->target_db);
	if (!r)
		r = strcmp(x->target_coll, y->target_coll);
	if (!r)
		r = (int)y->fresh - (int)x->fresh;
	return r ? r : by_source(a, b);
}

static void add_mapped(struct routes *r, const struct task *t, size_t cap)
{
	for (size_t i = 0; i < t->n_mappings; i++) {
		const struct task_mapping *m = &t->mappings[i];
		if (!m->n_collections)
			add_route(r, t, m->source_db, "*", cap);
		for (size_t k = 0; k < m->n_collections; k++)
			add_route(r, t, m->source_db, m->collections[k].key, cap);
	}
}

/* A name mapped twice: which of the two would count? */
static enum err_code check_twice(const struct task *t, size_t cap, struct err *e)
{
	CLEANUP(routes_done)
	struct routes r = {.n = 0};

	add_mapped(&r, t, cap);
	if (r.n)
		qsort(r.l, r.n, sizeof(*r.l), by_source);
	for (size_t i = 1; i < r.n; i++)
		if (by_source(&r.l[i - 1], &r.l[i]) == 0)
			return err_set(e, ERR_INVALID, "the name mapping maps %s.%s twice",
				r.l[i].db, r.l[i].coll);
	return ERR_OK;
}

static void add_task(struct routes *r, const struct task *t, bool fresh, size_t cap)
{
	size_t first = r->n;

	add_mapped(r, t, cap);
	add_selected(r, t, "default", t->collection_infos, t->n_collection_infos, cap);
	for (size_t i = 0; i < t->n_dbs; i++)
		add_selected(
			r, t, t->dbs[i].db, t->dbs[i].collections, t->dbs[i].n_collections, cap);
	for (size_t i = first; i < r->n; i++)
		r->l[i].fresh = fresh;
}

static bool same_target(const struct route *a, const struct route *b)
{
	return strcmp(a->target_db, b->target_db) == 0 &&
	       strcmp(a->target_coll, b->target_coll) == 0;
}

/* Two databases may be merged by two tasks, as long as no two names meet: the catalog tells. */
static bool in_the_way(const struct route *a, const struct route *b)
{
	return a->fresh && (b->fresh || !is_star(b->coll)) && same_target(a, b) &&
	       by_source(a, b) != 0;
}

/* Two names of the source that meet in one of the target, mapped or not; of the request at least
 * one. */
static enum err_code find_meeting(struct routes *r, struct err *e)
{
	if (r->n)
		qsort(r->l, r->n, sizeof(*r->l), by_target);
	for (size_t first = 0, i = 1; i < r->n; i++) {
		const struct route *a = &r->l[first], *b = &r->l[i];
		if (in_the_way(a, b))
			return err_set(e, ERR_INVALID,
				"%s.%s and %s.%s%s%.130s would both be %s.%s on the target: check "
				"the name mapping",
				a->db, a->coll, b->db, b->coll, b->fresh ? "" : " of the task ",
				b->fresh ? "" : b->task->id, b->target_db, b->target_coll);
		if (!same_target(a, b))
			first = i;
	}
	return ERR_OK;
}

static enum err_code check_meetings(const struct task *t, size_t cap, struct err *e)
{
	CLEANUP(routes_done)
	struct routes r = {.n = 0};

	add_task(&r, t, true, cap);
	return find_meeting(&r, e);
}

static size_t name_cap(int64_t most)
{
	return (size_t)MAX(most + 1, (int64_t)sizeof("default"));
}

enum err_code api_create_check_names(const struct task *t, struct task *const *others,
	size_t n_others, int64_t most, struct err *e)
{
	CLEANUP(routes_done)
	struct routes r = {.n = 0};
	bool mapped = t->n_mappings > 0;

	add_task(&r, t, true, name_cap(most));
	for (size_t i = 0; i < n_others; i++) {
		if (!task_names_same_target(t, others[i]))
			continue;
		mapped = mapped || others[i]->n_mappings;
		add_task(&r, others[i], false, name_cap(most));
	}
	return mapped ? find_meeting(&r, e) : ERR_OK;
}

enum err_code api_create_check_mapping(const struct task *t, int64_t most, struct err *e)
{
	for (size_t i = 0; i < t->n_mappings; i++)
		if (check_entry(&t->mappings[i], most, e))
			return ERR_INVALID;
	if (!t->n_mappings)
		return ERR_OK;
	size_t cap = name_cap(most);
	return check_twice(t, cap, e) ? ERR_INVALID : check_meetings(t, cap, e);
}
