/* The collections of a task among each other: who lives under a name, whose turn it is, whom a
 * change concerns. */
#include <inttypes.h>
#include <stdio.h>

#include "server/task/run_priv.h"

enum { KEY_BYTES = 2 * NAME_BYTES + 2 };

static const char *key_of(char key[KEY_BYTES], const char *db, const char *name)
{
	snprintf(key, KEY_BYTES, "%s\x1f%s", db, name);
	return key;
}

void run_named_locked(struct run *r, struct coll *c)
{
	char key[KEY_BYTES];

	c->same_target = smap_put(&r->by_target, key_of(key, c->target_db, c->target_name), c);
}

void run_unnamed_locked(struct run *r, struct coll *c)
{
	char key[KEY_BYTES];
	struct coll *first = smap_get(&r->by_target, key_of(key, c->target_db, c->target_name));
	struct coll **at = &first;

	while (*at != c)
		at = &(*at)->same_target;
	*at = c->same_target;
	if (first)
		smap_put(&r->by_target, key, first);
	else
		smap_del(&r->by_target, key);
}

struct coll *run_on_target_locked(struct run *r, const char *db, const char *name)
{
	char key[KEY_BYTES];

	return smap_get(&r->by_target, key_of(key, db, name));
}

bool run_turn_of(struct run *r, const struct coll *c, char *ret_why, size_t cap)
{
	bool turn = true;

	mutex_lock(&r->mtx);
	struct coll *o = run_on_target_locked(r, c->target_db, c->target_name);
	for (; turn && o; o = o->same_target) {
		if (o == c || o->create_ts >= c->create_ts || coll_get_state(o) == COLL_DROPPED)
			continue;
		if (strcmp(o->name, c->name) || strcmp(o->db, c->db))
			snprintf(ret_why, cap,
				"the target name %.60s.%.60s, which the source's %.60s.%.60s has: "
				"check name_mapping",
				o->target_db, o->target_name, o->db, o->name);
		else
			snprintf(ret_why, cap,
				"the drop of the earlier %.100s.%.100s (source id %" PRId64 ")",
				o->target_db, o->target_name, o->id);
		turn = false;
	}
	mutex_unlock(&r->mtx);
	return turn;
}

void run_wake_turn(struct run *r, const struct coll *c)
{
	mutex_lock(&r->mtx);
	struct coll *o = run_on_target_locked(r, c->target_db, c->target_name);
	for (; o; o = o->same_target)
		if (coll_get_state(o) == COLL_WAITING)
			job_wake(&o->job, 0);
	mutex_unlock(&r->mtx);
}

void run_wake_db(struct run *r, int64_t db_id)
{
	size_t pos = 0;
	void *v;

	mutex_lock(&r->mtx);
	while (umap_next(&r->colls, &pos, NULL, &v)) {
		struct coll *o = v;
		if (o->db_id == db_id && coll_get_state(o) == COLL_WAITING)
			job_wake(&o->job, 0);
	}
	mutex_unlock(&r->mtx);
}

bool run_db_empty(struct run *r, int64_t db_id)
{
	bool empty = true;
	size_t pos = 0;
	void *v;

	mutex_lock(&r->mtx);
	while (umap_next(&r->colls, &pos, NULL, &v)) {
		struct coll *c = v;
		empty = empty && (c->db_id != db_id || coll_get_state(c) == COLL_DROPPED);
	}
	mutex_unlock(&r->mtx);
	return empty;
}
