/* One operation of the replicate channel: waits for its turn and for the rows before it, then goes
 * to the target complete. What can't be done is counted, listed and skipped. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "server/run_ops_priv.h"

enum {
	TURN_MS = 20,
	UNKNOWN_MS = 10000, /* how long a name may be unknown to the catalog */
	FINAL_TRIES = 8,
};

void op_text(struct slice s, char *out, size_t cap)
{
	size_t n = MIN(s.n, cap - 1);
	memcpy(out, s.p ? (const void *)s.p : "", n);
	out[n] = '\0';
}

const char *op_type_name(const struct op_event *v)
{
	const char *n = msg_type_name(v->op.type);
	return n ? n : "unknown";
}

int64_t op_finish(struct op_event *v)
{
	struct oplog *o = v->log;
	mutex_lock(&o->mtx);
	v->done = true;
	o->waits[0] = '\0';
	mutex_unlock(&o->mtx);
	return JOB_IDLE;
}

static int64_t skip(struct op_event *v, const char *why)
{
	char name[NAME_BYTES / 4] = "";
	if (v->op.n_collections)
		op_text(v->op.collections[0], name, sizeof(name));
	run_skip_op(v->log->run, op_type_name(v), "%s %.60s.%.80s: %s", op_type_name(v), v->db,
		name, why);
	return op_finish(v);
}

static int64_t wait(struct op_event *v, int64_t ms, const char *fmt, ...) PRINTF(3, 4);
static int64_t wait(struct op_event *v, int64_t ms, const char *fmt, ...)
{
	char why[COLL_REASON_BYTES / 2];
	struct oplog *o = v->log;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	mutex_lock(&o->mtx);
	snprintf(o->waits, sizeof(o->waits), "operation %s of %.80s waits for %s", op_type_name(v),
		v->db, why);
	mutex_unlock(&o->mtx);
	return ms;
}

/* Earlier operations on the same object that are not done. */
static bool turn_locked(const struct op_event *v)
{
	list_foreach (it, &v->log->events) {
		const struct op_event *u = LIST_ITEM(it, struct op_event, link);
		if (u == v)
			return true;
		if (!u->done && strcmp(u->key, v->key) == 0)
			return false;
	}
	return true;
}

enum readiness { READY, NOT_YET, NEVER, GIVEN_UP };

/* The collection `name` as it was when the operation happened. */
static enum readiness collection_ready(struct op_event *v, const char *name, struct coll **ret)
{
	struct coll *c = run_find_coll(v->log->run, v->db, name, v->op.ts);

	*ret = c;
	if (!c)
		return time_mono_ms() - v->read_mono_ms > UNKNOWN_MS ? GIVEN_UP : NOT_YET;
	enum coll_state s = coll_get_state(c);
	if (s == COLL_DROPPED || s == COLL_DROP_READY)
		return NEVER;
	if (s == COLL_FAILED)
		return GIVEN_UP;
	return (s == COLL_RUNNING || s == COLL_DROPPING) && coll_reached(c, v->op.ts) ? READY
										      : NOT_YET;
}

bool op_selected(const struct op_event *v, const char *name)
{
	return task_selects(v->log->run->task, v->db, name, NULL);
}

/* Names of the request on the target; a Flush names several collections, of which only the task's
 * own and living ones stay. */
struct target_names {
	char db[NAME_BYTES];
	const char **collections;
	struct slice *kept;
	size_t n;
};

static enum readiness map_names(struct op_event *v, struct target_names *to)
{
	struct op *op = &v->op;
	char name[NAME_BYTES];
	enum readiness worst = op->n_collections ? NEVER : READY;

	if (!v->names) {
		v->names = arena_alloc(&v->arena, (op->n_collections + 1) * sizeof(char *));
		v->kept = arena_alloc(&v->arena, (op->n_collections + 1) * sizeof(struct slice));
	}
	to->collections = v->names;
	to->kept = v->kept;
	task_map_name(v->log->run->task, v->db, NULL, to->db, NULL, sizeof(to->db));
	for (size_t i = 0; i < op->n_collections; i++) {
		struct coll *c = NULL;
		op_text(op->collections[i], name, sizeof(name));
		if (!op_selected(v, name))
			continue;
		enum readiness r = collection_ready(v, name, &c);
		if (r == NOT_YET || (r == GIVEN_UP && !c))
			return r;
		if (r == GIVEN_UP)
			worst = worst == READY ? READY : GIVEN_UP;
		if (r != READY)
			continue;
		worst = READY;
		snprintf(to->db, sizeof(to->db), "%s", c->target_db);
		to->kept[to->n] = op->collections[i];
		to->collections[to->n++] = c->target_name;
	}
	return worst;
}

static int64_t failed(struct op_event *v, const struct err *e)
{
	if (e->code == ERR_CANCELLED)
		return JOB_IDLE;
	/* A server that is starting gives odd answers: what looks permanent is tried a few
	 * times. */
	bool again = retry_may(e->code, true) ||
		     (e->code != ERR_UNSUPPORTED && v->backoff.failed < FINAL_TRIES);
	if (!again)
		return skip(v, e->text);
	bool first = v->backoff.failed == 0;
	int64_t delay = retry_next_ms(&v->backoff);
	if (first)
		log_warn(&v->log->run->log,
			"operation %s of %s: %s; retry in %" PRId64 " ms and so on until it works",
			op_type_name(v), v->db, e->text, delay);
	return wait(v, delay, "%.150s", e->text);
}

static enum err_code call(struct op_event *v, const char *db, const struct iov *body, struct err *e)
{
	struct run *r = v->log->run;
	struct sink *k = target_sink(r->target);
	struct sink_call c = {.method = v->op.method, .db = db, .body = body, .ts = v->op.ts};

	return k->ops->call(k, &c, &r->stop, e);
}

/* Sends the request with the names of one or all collections kept. */
static enum err_code forward(
	struct op_event *v, const struct target_names *to, size_t first, size_t n, struct err *e)
{
	struct op one = v->op;
	struct iov body = {0};
	struct op_names names = {.db = to->db, .collections = to->collections + first};

	if (one.n_collections == 1 || n == one.n_collections) {
		/* nothing to leave out */
	} else {
		one.collections = to->kept + first;
		one.n_collections = n;
	}
	enum err_code code = ops_forward(&one, &names, &v->arena, &body, e);
	if (!code)
		code = call(v, v->op.flags & OP_DATABASE ? "" : to->db, &body, e);
	iov_done(&body);
	return code;
}

static int64_t run_op(struct op_event *v)
{
	struct target_names to = {.n = 0};
	struct err e = ERR_INIT;

	switch (map_names(v, &to)) {
	case NOT_YET:
		return wait(v, TURN_MS, "the rows before it");
	case NEVER:
		return op_finish(v); /* its object was dropped later: nothing is left to do */
	case GIVEN_UP:
		return skip(v, "its collection is unknown or failed");
	case READY:
		break;
	}
	if (forward(v, &to, 0, to.n, &e))
		return failed(v, &e);
	metrics_add(
		metrics_get(METRIC_api_execute_total, v->log->run->task->id, op_type_name(v), NULL),
		1);
	log_info(&v->log->run->log, "operation %s of %s%s%s done", op_type_name(v), to.db,
		to.n ? "." : "", to.n ? to.collections[0] : "");
	return op_finish(v);
}

int64_t op_step(void *arg)
{
	struct op_event *v = arg;
	struct oplog *o = v->log;

	if (stop_is_set(&o->run->stop))
		return JOB_IDLE;
	mutex_lock(&o->mtx);
	bool turn = turn_locked(v);
	bool done = v->done;
	mutex_unlock(&o->mtx);
	if (done)
		return JOB_IDLE;
	return turn ? run_op(v) : TURN_MS;
}
