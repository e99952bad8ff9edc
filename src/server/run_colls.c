/* The collections of a task among each other: who lives under a name, whose turn it is, whom a
 * change concerns. */
#include <inttypes.h>
#include <stdio.h>

#include "server/run_priv.h"

bool run_turn_of(struct run *r, const struct coll *c, char *ret_why, size_t cap)
{
	bool turn = true;
	size_t pos = 0;
	void *v;

	mutex_lock(&r->mtx);
	while (turn && umap_next(&r->colls, &pos, NULL, &v)) {
		struct coll *o = v;
		if (o == c || o->create_ts >= c->create_ts ||
			strcmp(o->target_name, c->target_name) ||
			strcmp(o->target_db, c->target_db))
			continue;
		if (coll_get_state(o) == COLL_DROPPED)
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

/* Wakes what waits and has, if c is given, its target name, else the database. */
static void wake_waiting(struct run *r, const struct coll *c, int64_t db_id)
{
	size_t pos = 0;
	void *v;

	mutex_lock(&r->mtx);
	while (umap_next(&r->colls, &pos, NULL, &v)) {
		struct coll *o = v;
		bool meant = c ? strcmp(o->target_name, c->target_name) == 0 &&
					     strcmp(o->target_db, c->target_db) == 0
			       : o->db_id == db_id;
		if (meant && coll_get_state(o) == COLL_WAITING)
			job_wake(&o->job, 0);
	}
	mutex_unlock(&r->mtx);
}

void run_wake_turn(struct run *r, const struct coll *c)
{
	wake_waiting(r, c, 0);
}

void run_wake_db(struct run *r, int64_t db_id)
{
	wake_waiting(r, NULL, db_id);
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
