#include "server/task/name_meet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { NAME_BYTES = 1024 };

void source_names_add(
	struct source_names *s, int64_t id, uint64_t create_ts, const char *db, const char *name)
{
	mem_grow(&s->l, &s->cap, s->n + 1, sizeof(*s->l));
	s->l[s->n++] = (struct source_name){
		.id = id, .create_ts = create_ts, .db = xstrdup(db), .name = xstrdup(name)};
}

struct source_names source_names_read(struct catalog *c)
{
	struct source_names s = {.n = 0};
	struct collection **colls = NULL;
	char db[NAME_BYTES];
	size_t n = catalog_collections(c, &colls);

	for (size_t i = 0; i < n; i++) {
		const struct collection *k = colls[i];
		if (k->state == OBJECT_CREATED &&
			catalog_database_name(c, k->db_id, db, sizeof(db)))
			source_names_add(&s, k->id, k->create_ts, db, k->name);
		collection_unref(colls[i]);
	}
	free(colls);
	return s;
}

void source_names_done(struct source_names *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->l[i].db);
		free(s->l[i].name);
	}
	free(s->l);
}

/* Where the task takes it; false if it does not select it. */
static bool goes_to(const struct task *t, const struct source_name *x, char *ret_db, char *ret_name)
{
	if (!task_selects(t, x->db, x->name, NULL))
		return false;
	task_map_name(t, x->db, x->name, ret_db, ret_name, NAME_BYTES);
	return true;
}

/* Cheap: most collections keep their name and have another one. */
static bool may_be_called(const struct task *t, const char *source, const char *target)
{
	if (strcmp(source, target) == 0)
		return true;
	for (size_t i = 0; i < t->n_mappings; i++)
		for (size_t k = 0; k < t->mappings[i].n_collections; k++)
			if (strcmp(t->mappings[i].collections[k].value, target) == 0)
				return true;
	return false;
}

static bool is_older(const struct source_name *x, int64_t id, uint64_t create_ts)
{
	return x->create_ts < create_ts || (x->create_ts == create_ts && x->id < id);
}

bool name_meet_older(const struct task *t, const struct source_names *s, int64_t id,
	uint64_t create_ts, struct name_meet *ret)
{
	char db[NAME_BYTES], name[NAME_BYTES];

	for (size_t i = 0; i < s->n; i++) {
		const struct source_name *x = &s->l[i];
		if (x->id == id || !is_older(x, id, create_ts) ||
			!may_be_called(t, x->name, ret->target_name) || !goes_to(t, x, db, name) ||
			strcmp(db, ret->target_db) != 0 || strcmp(name, ret->target_name) != 0)
			continue;
		ret->b = x;
		ret->task = t;
		return true;
	}
	return false;
}

/* ---- all at once ---- */

struct route {
	char *target; /* owned: database, 0x1f, name */
	const struct source_name *source;
	const struct task *task;
	bool fresh; /* of the new task */
};

struct routes {
	struct route *l;
	size_t n, cap;
};

static void routes_done(struct routes *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->l[i].target);
	free(r->l);
}

static void add_routes(
	struct routes *r, const struct task *t, bool fresh, const struct source_names *s)
{
	char db[NAME_BYTES], name[NAME_BYTES];

	for (size_t i = 0; i < s->n; i++) {
		if (!goes_to(t, &s->l[i], db, name))
			continue;
		mem_grow(&r->l, &r->cap, r->n + 1, sizeof(*r->l));
		r->l[r->n++] = (struct route){.target = xasprintf("%s\x1f%s", db, name),
			.source = &s->l[i],
			.task = t,
			.fresh = fresh};
	}
}

/* By target; those of the new task stand first in a group. */
static int by_target(const void *a, const void *b)
{
	const struct route *x = a, *y = b;
	int r = strcmp(x->target, y->target);
	return r ? r : (int)y->fresh - (int)x->fresh;
}

static bool first_meeting(const struct routes *r, struct name_meet *ret)
{
	for (size_t first = 0, i = 1; i < r->n; i++) {
		const struct route *a = &r->l[first], *b = &r->l[i];
		if (strcmp(a->target, b->target) != 0)
			first = i;
		else if (a->fresh && a->source->id != b->source->id) {
			*ret = (struct name_meet){.a = a->source, .b = b->source, .task = b->task};
			task_map_name(a->task, a->source->db, a->source->name, ret->target_db,
				ret->target_name, NAME_BYTES);
			return true;
		}
	}
	return false;
}

bool name_meet_any(const struct task *t, struct task *const *others, size_t n_others,
	const struct source_names *s, struct name_meet *ret)
{
	CLEANUP(routes_done) struct routes r = {.n = 0};
	bool mapped = t->n_mappings > 0;

	for (size_t i = 0; i < n_others; i++)
		mapped = mapped || others[i]->n_mappings;
	if (!mapped)
		return false; /* every name is its own */
	add_routes(&r, t, true, s);
	for (size_t i = 0; i < n_others; i++)
		add_routes(&r, others[i], false, s);
	if (r.n)
		qsort(r.l, r.n, sizeof(*r.l), by_target);
	return first_meeting(&r, ret);
}
