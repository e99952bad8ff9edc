/* The order of operations, and what becomes of those that can't be replicated.
 *
 * Each operation is about a few objects (a collection by name and by id, which its other names and
 * aliases share, an alias, a database, all of users and roles). It counts the earlier ones that share an object and are not done; at none it runs. One
 * that is held stops all that come after it until a person skips it or the task is resumed. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "server/task/run_ops_priv.h"

enum { HELD_MS = 500, OBJECTS_MORE = 4, OBJECTS_EACH = 2 };

const char *op_type_name(const struct op_event *v)
{
	const char *n = msg_type_name(v->op.type);
	return n ? n : "unknown";
}

void op_describe(const struct op_event *v, char *out, size_t cap)
{
	char name[OP_TEXT_BYTES / 2] = "";

	if (v->op.n_collections)
		op_text(v->op.collections[0], name, sizeof(name));
	else if (v->op.alias.n)
		op_text(v->op.alias, name, sizeof(name));
	if (v->op.flags & OP_RBAC || !v->op.method)
		snprintf(out, cap, "%s", op_type_name(v));
	else
		snprintf(out, cap, "%s of %.60s%s%s%s", op_type_name(v), v->db, *name ? "." : "",
			name, v->op.n_collections > 1 ? " and others" : "");
}

/* ---- objects ---- */

static uint64_t hash_add(uint64_t h, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ (uint8_t)p[i]) * 1099511628211ULL;
	return (h ^ 0xff) * 1099511628211ULL; /* the end of a part is a part of it */
}

static void add_object(struct op_event *v, char kind, const char *db, struct slice name)
{
	uint64_t h = hash_add(14695981039346656037ULL, &kind, 1);

	h = hash_add(h, db, strlen(db));
	v->objects[v->n_objects++] = hash_add(h, (const char *)name.p, name.n);
}

void op_set_objects(struct op_event *v)
{
	struct op *op = &v->op;
	char new_db[NAME_BYTES];

	size_t n = OBJECTS_EACH * op->n_collections + OBJECTS_MORE;
	v->objects = arena_alloc(&v->arena, n * sizeof(*v->objects));
	if (op->flags & OP_RBAC) {
		add_object(v, 'u', "", (struct slice){0});
		return;
	}
	for (size_t i = 0; i < op->n_collections; i++) {
		add_object(v, 'c', v->db, op->collections[i]);
		if (v->ids[i])
			add_object(v, 'i', "", slice_of(&v->ids[i], sizeof(v->ids[i])));
	}
	if (op->alias.n)
		add_object(v, 'a', v->db, op->alias);
	if (op->flags & OP_RENAME) {
		op_text(op->new_db, new_db, sizeof(new_db));
		add_object(v, 'c', new_db[0] ? new_db : v->db, op->collections[1]);
	}
	if (!v->n_objects)
		add_object(v, 'd', v->db, (struct slice){0});
}

static bool share(const struct op_event *a, const struct op_event *b)
{
	for (size_t i = 0; i < a->n_objects; i++)
		for (size_t k = 0; k < b->n_objects; k++)
			if (a->objects[i] == b->objects[k])
				return true;
	return false;
}

/* ---- turns ---- */

void op_enqueue(struct op_event *v)
{
	struct oplog *o = v->log;

	mutex_lock(&o->mtx);
	list_foreach (it, &o->events) {
		const struct op_event *u = LIST_ITEM(it, struct op_event, link);
		v->blockers += !u->done && share(u, v);
	}
	list_push(&o->events, &v->link);
	o->n++;
	bool first = !v->blockers;
	mutex_unlock(&o->mtx);
	if (first)
		job_wake(&v->job, 0);
}

static bool held_before_locked(const struct op_event *v)
{
	if (!v->log->n_held)
		return false;
	list_foreach (it, &v->log->events) {
		const struct op_event *u = LIST_ITEM(it, struct op_event, link);
		if (u == v)
			return false;
		if (u->held)
			return true;
	}
	return false;
}

enum op_turn op_turn(struct op_event *v)
{
	struct oplog *o = v->log;
	enum op_turn t = OP_TURN;

	mutex_lock(&o->mtx);
	bool held = held_before_locked(v);
	if (v->done || v->held)
		t = OP_OVER;
	else if (v->skip_asked)
		t = OP_SKIPPED;
	else if (v->blockers || held)
		t = OP_BEHIND;
	if (held && t == OP_BEHIND)
		snprintf(v->why, sizeof(v->why), "an operation before it that is held");
	mutex_unlock(&o->mtx);
	if (held && t == OP_BEHIND)
		job_wake(&v->job, HELD_MS);
	return t;
}

int64_t op_finish(struct op_event *v)
{
	struct oplog *o = v->log;

	mutex_lock(&o->mtx);
	bool was = v->done;
	v->done = true;
	for (struct list *it = v->link.next; !was && it != &o->events; it = it->next) {
		struct op_event *u = LIST_ITEM(it, struct op_event, link);
		if (!u->done && share(u, v) && --u->blockers == 0)
			job_wake(&u->job, 0);
	}
	mutex_unlock(&o->mtx);
	return JOB_IDLE;
}

int64_t op_wait(struct op_event *v, int64_t ms, const char *fmt, ...)
{
	va_list ap;

	mutex_lock(&v->log->mtx);
	va_start(ap, fmt);
	vsnprintf(v->why, sizeof(v->why), fmt, ap);
	va_end(ap);
	mutex_unlock(&v->log->mtx);
	return ms;
}

/* ---- hold and skip ---- */

static int64_t skip(struct op_event *v, const char *why)
{
	char what[OP_TEXT_BYTES];

	op_describe(v, what, sizeof(what));
	run_skip_op(v->log->run, op_type_name(v), "%s: %s", what, why);
	return op_finish(v);
}

static int64_t hold(struct op_event *v, const char *why)
{
	char what[OP_TEXT_BYTES];
	CLEANUP(freep) char *id = b64_text(slice_of(v->id.b, v->id.n));

	op_describe(v, what, sizeof(what));
	mutex_lock(&v->log->mtx);
	v->held = true;
	v->log->n_held++;
	snprintf(v->why, sizeof(v->why), "%s", why);
	mutex_unlock(&v->log->mtx);
	log_error(&v->log->run->log,
		"operation held: %s: %s; no later operation is replicated until it is skipped "
		"(maintenance, skip_operation, message %s) or the task is paused and resumed",
		what, why, id);
	return JOB_IDLE;
}

int64_t op_refuse(struct op_event *v, const char *why)
{
	mutex_lock(&v->log->mtx);
	bool asked = v->skip_asked;
	mutex_unlock(&v->log->mtx);
	if (asked)
		return skip(v, "skipped on request");
	return task_holds_operations(v->log->run->task) ? hold(v, why) : skip(v, why);
}

enum err_code oplog_skip(struct oplog *o, struct slice id, struct err *e)
{
	bool found = false;

	mutex_lock(&o->mtx);
	list_foreach (it, &o->events) {
		struct op_event *v = LIST_ITEM(it, struct op_event, link);
		if (v->done || !slice_eq(slice_of(v->id.b, v->id.n), id))
			continue;
		found = true;
		v->skip_asked = true;
		o->n_held -= v->held;
		v->held = false;
		job_wake(&v->job, 0);
	}
	mutex_unlock(&o->mtx);
	return found ? ERR_OK
		     : err_set(e, ERR_NOT_FOUND, "no operation with this message is waiting");
}

size_t oplog_waiting(struct oplog *o, struct oplog_item *items, size_t cap)
{
	size_t n = 0;

	mutex_lock(&o->mtx);
	list_foreach (it, &o->events) {
		const struct op_event *v = LIST_ITEM(it, struct op_event, link);
		if (v->done || !v->why[0] || n == cap)
			continue;
		struct oplog_item *t = &items[n++];
		op_describe(v, t->what, sizeof(t->what));
		snprintf(t->why, sizeof(t->why), "%s", v->why);
		t->id = v->id;
		t->held = v->held;
	}
	mutex_unlock(&o->mtx);
	return n;
}
