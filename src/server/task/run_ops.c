/* The replicate channel of a task: operations on databases, indexes, load state and so on, which
 * the source's proxies write down after they succeeded. One thread ("ops") reads; each operation is
 * a job that waits for its turn:
 *
 *   an operation at T on a collection   when every live stream of the collection has acknowledged T
 *   operations of one object            one after the other, in the order of the channel
 *
 * What can't be done is counted, listed and skipped. The position is that of the last operation
 * before the first one that is not done; a fresh task's position (ts 0) is where reading starts,
 * later ones are exclusive, as the reference keeps them. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/failpoint.h"
#include "base/limits.h"
#include "base/mem.h"
#include "server/config/config.h"
#include "server/task/run_ops_priv.h"
#include "source/catalog.h"
#include "source/mq.h"

enum {
	NEXT_MS = 1000,
	NO_TOPIC_MS = 500,
	ROOM_MS = 100,
	FIRST_MS = 200,
	MOST_MS = 10000,
	END_MS = 60000, /* so often is it noted that the channel holds nothing more */
};

static void set_status(struct oplog *o, const char *text)
{
	mutex_lock(&o->mtx);
	snprintf(o->status, sizeof(o->status), "%.*s", COLL_REASON_BYTES - 1, text);
	mutex_unlock(&o->mtx);
}

static void event_free(struct op_event *v)
{
	mq_msg_free(v->msg);
	arena_done(&v->arena);
	arena_done(&v->scratch);
	free(v);
}

/* Drops done operations from the front and moves the position to the last of them. */
static void sweep(struct oplog *o)
{
	struct list gone;

	list_init(&gone);
	mutex_lock(&o->mtx);
	while (!list_empty(&o->events)) {
		struct op_event *v = LIST_ITEM(o->events.next, struct op_event, link);
		if (!v->done)
			break;
		/* one without a time, or that can't be read, is as late as those before it */
		o->at = (struct position){
			.id = v->id, .ts = v->op.ts ? v->op.ts : MAX(o->at.ts, (uint64_t)1)};
		o->known = true;
		list_del(&v->link);
		list_push(&gone, &v->link);
		o->n--;
	}
	cond_broadcast(&o->room);
	mutex_unlock(&o->mtx);
	for (struct list *n; (n = list_pop(&gone));) {
		struct op_event *v = LIST_ITEM(n, struct op_event, link);
		job_stop(&v->job);
		event_free(v);
	}
}

/* ---- reading ---- */

static struct op_event *event_new(struct oplog *o, struct mq_msg *m)
{
	struct op_event *v = xcalloc(1, sizeof(*v));

	v->log = o;
	v->msg = m;
	v->id = m->id;
	v->read_mono_ms = time_mono_ms();
	v->backoff = retry_policy(o->run->sv.config->retry_first_ms,
		o->run->sv.config->retry_most_ms, FIRST_MS, MOST_MS);
	list_init(&v->link);
	job_init(&v->job, target_jobs(o->run->target), op_step, v);
	return v;
}

static void wait_room_locked(struct oplog *o) REQUIRES(o->mtx)
{
	cond_wait(&o->room, &o->mtx, deadline_in(ROOM_MS));
	mutex_unlock(&o->mtx);
	sweep(o);
	mutex_lock(&o->mtx);
}

static void wait_room(struct oplog *o)
{
	struct stop_watch w;

	stop_watch_add(&o->stop, &w, &o->mtx, &o->room);
	mutex_lock(&o->mtx);
	while (o->n >= LIMIT_OP_EVENTS && !stop_is_set(&o->stop))
		/* This thread alone takes done ones out. */
		wait_room_locked(o);
	mutex_unlock(&o->mtx);
	stop_watch_del(&o->stop, &w);
}

static bool streaming(struct mq_msg *m)
{
	return m->ops->property && m->ops->property(m, "_v").n > 0;
}

/* What can't be read is an operation too: it is skipped or held in its turn. */
static void refuse(struct op_event *v, const struct err *e)
{
	bool quiet = v->op.type == MSG_TIME_TICK || v->op.type == MSG_REPLICATE ||
		     (v->op.flags & OP_RBAC && !op_wanted(v));

	v->unreadable = !quiet;
	v->done = quiet;
	snprintf(v->why, sizeof(v->why), "%.*s", OP_TEXT_BYTES - 1, e->text);
	op_enqueue(v);
}

/* Its aliases are known to etcd alone; until etcd can tell, nothing after it is read. */
static bool is_wanted(struct oplog *o, struct op_event *v)
{
	char text[COLL_REASON_BYTES];
	struct err e = ERR_INIT;

	while (op_resolve(v, &e) && !op_wanted(v)) {
		snprintf(text, sizeof(text),
			"is operation %s the task's? The source's etcd: %.250s", op_type_name(v),
			e.text);
		set_status(o, text);
		if (stop_sleep(&o->stop, NEXT_MS))
			return true; /* not known: the position stays before it */
		err_clear(&e);
	}
	return op_wanted(v);
}

static void take(struct oplog *o, struct mq_msg *m)
{
	struct op_event *v = event_new(o, m);
	struct err e = ERR_INIT;

	wait_room(o);
	if (streaming(m))
		err_set(&e, ERR_UNSUPPORTED,
			"a message of Milvus 2.6 streaming, which this server can't read");
	if (e.code || ops_read(&v->op, m->payload, &v->arena, &e)) {
		refuse(v, &e);
		return;
	}
	mutex_lock(&o->mtx);
	o->read_ts = MAX(o->read_ts, v->op.ts);
	mutex_unlock(&o->mtx);
	op_text(v->op.db.n ? v->op.db : slice_str("default"), v->db, sizeof(v->db));
	bool wanted = is_wanted(o, v);
	/* Users and roles are one object: the order of the channel is all they need. */
	if (wanted && !v->op.ts && !(v->op.flags & OP_RBAC)) {
		err_set(&e, ERR_MALFORMED, "%s has no time", v->op.method);
		refuse(v, &e);
		return;
	}
	if (wanted) {
		op_count(v, "read");
		op_set_objects(v);
	} else {
		v->done = true;
	}
	op_enqueue(v);
}

/* Nothing was behind the last message read age_ms ago, as far as its reader can see; -1: it can't. Noted
 * anew when the last note is older than least_ms. */
static void note_end(struct oplog *o, int64_t age_ms, int64_t least_ms)
{
	int64_t now = time_wall_ms(), at_ms = now - age_ms;

	if (age_ms < 0)
		return;
	mutex_lock(&o->mtx);
	if (now < o->end_ms || at_ms - o->end_ms >= least_ms)
		o->end_ms = at_ms;
	o->end_mono_ms = MAX(o->end_mono_ms, time_mono_ms() - age_ms);
	mutex_unlock(&o->mtx);
}

static void note_more(struct oplog *o)
{
	mutex_lock(&o->mtx);
	o->end_ms = 0;
	mutex_unlock(&o->mtx);
}

static void note_no_topic(struct oplog *o)
{
	mutex_lock(&o->mtx);
	o->end_mono_ms = time_mono_ms();
	mutex_unlock(&o->mtx);
}

static enum err_code read_some(struct oplog *o, struct mq_reader *r, struct err *e)
{
	const struct mq_ops *q = o->run->sv.mq->ops;
	struct mq_msg *m = NULL;

	enum err_code code = q->next(r, deadline_in(NEXT_MS), &o->stop, &m, e);
	if (code == ERR_OK) {
		struct mq_id id = m->id;
		set_status(o, "");
		if (m->more)
			note_more(o);
		else
			note_end(o, mq_end_age_ms(q, r), 0);
		take(o, m);
		/* a new reader goes on behind it */
		o->start = (struct position){.id = id, .ts = 1};
	}
	sweep(o);
	if (code == ERR_TIMEOUT)
		note_end(o, mq_end_age_ms(q, r), END_MS);
	return code == ERR_TIMEOUT ? ERR_OK : code;
}

static enum err_code open_channel(struct oplog *o, struct mq_reader **ret_r, struct err *e)
{
	struct mq *q = o->run->sv.mq;
	struct mq_start from = {.id = o->start.id, .after = o->start.ts > 0};

	mutex_lock(&o->mtx);
	from.end_ms = o->end_ms;
	mutex_unlock(&o->mtx);
	return q->ops->open(q, o->run->sv.config->replicate_channel, &from, &o->stop, ret_r, e);
}

static void trouble(struct oplog *o, struct retry *backoff, const struct err *e)
{
	char text[COLL_REASON_BYTES];

	snprintf(text, sizeof(text), "replicate channel %.100s: %.250s",
		o->run->sv.config->replicate_channel, e->text);
	set_status(o, text);
	bool first = backoff->failed == 0;
	int64_t delay = retry_next_ms(backoff);
	if (first)
		log_at(&o->run->log, e->code == ERR_UNAVAILABLE ? LOG_WARN : LOG_ERROR,
			"%s; retry in %" PRId64 " ms and so on until it works", text, delay);
	stop_sleep(&o->stop, delay);
}

static void read_all(void *arg)
{
	struct oplog *o = arg;
	const struct mq_ops *q = o->run->sv.mq->ops;
	struct retry backoff = RETRY_INIT(FIRST_MS, MOST_MS);

	while (!stop_is_set(&o->stop)) {
		struct mq_reader *r = NULL;
		struct err e = ERR_INIT;
		enum err_code code = open_channel(o, &r, &e);
		while (!code && !stop_is_set(&o->stop)) {
			err_clear(&e);
			code = read_some(o, r, &e);
			if (!code && backoff.failed)
				set_status(o, ""); /* also when nothing new came */
			if (!code)
				retry_reset(&backoff);
			else if (code == ERR_UNAVAILABLE)
				trouble(o, &backoff, &e);
			code = code == ERR_UNAVAILABLE ? ERR_OK : code;
		}
		if (r)
			q->close(r);
		/* The topic is made with the first operation: until then there is nothing to
		 * read. */
		if (code == ERR_NOT_FOUND) {
			note_no_topic(o);
			stop_sleep(&o->stop, NO_TOPIC_MS);
		}
		if (!stop_is_set(&o->stop) && code && code != ERR_NOT_FOUND)
			trouble(o, &backoff, &e);
	}
}

/* ---- from outside ---- */

static enum err_code find_start(struct oplog *o, struct err *e)
{
	const struct config *c = o->run->sv.config;
	const struct store_position *p =
		run_start_position(o->run, STORE_ID_OPS, c->replicate_channel);

	if (p && (p->pos.id.n || p->exact)) {
		o->start = p->pos;
		if (!p->exact)
			o->start.ts = 1; /* a reference's record: exclusive */
		o->at = o->start;
		o->end_ms = p->end_ms;
		o->known = true;
		return ERR_OK;
	}
	return err_set(e, ERR_INVALID,
		"no stored position of %s: operations before now are not replicated",
		c->replicate_channel);
}

static enum err_code find_latest(void *arg, struct err *e)
{
	struct oplog *o = arg;
	struct mq *q = o->run->sv.mq;
	o->start.ts = 0;
	enum err_code code = FAILPOINTS("queue.latest",
		q->ops->latest(q, o->run->sv.config->replicate_channel, &o->stop, &o->start.id, e));
	if (code != ERR_NOT_FOUND)
		return code;
	err_clear(e);
	return ERR_OK;
}

static void start_reading(void *arg)
{
	struct oplog *o = arg;
	struct err e = ERR_INIT;

	if (!o->known) {
		struct retry_call call = {.policy = RETRY_INIT(FIRST_MS, MOST_MS),
			.until = DEADLINE_NEVER,
			.idempotent = true};
		if (retry_run(&call, &o->stop, find_latest, o, &e)) {
			set_status(o, e.text);
			return;
		}
		mutex_lock(&o->mtx);
		o->at = o->start;
		o->end_ms = time_wall_ms();
		o->known = true;
		mutex_unlock(&o->mtx);
	}
	read_all(o);
}

enum err_code oplog_start(struct run *r, struct oplog **ret_o, struct err *e)
{
	struct oplog *o = xcalloc(1, sizeof(*o));

	o->run = r;
	o->began_ms = time_wall_ms();
	mutex_init(&o->mtx, "operations");
	cond_init(&o->room);
	list_init(&o->events);
	stop_init(&o->stop, &r->stop);
	*ret_o = o;
	struct err none = ERR_INIT;
	const char *damaged = run_start_damaged(r, STORE_ID_OPS);
	if (damaged) {
		snprintf(o->status, sizeof(o->status),
			"operations are not replicated: the stored position -10 is "
			"damaged (%.200s); mend the record, or delete the task and create it anew",
			damaged);
		return err_set(e, ERR_MALFORMED, "%s", o->status);
	}
	if (find_start(o, &none))
		log_warn(&r->log, "%s", none.text);
	return thread_start(&o->thread, "ops", start_reading, o, e);
}

void oplog_stop(struct oplog *o)
{
	if (!o)
		return;
	stop_set(&o->stop);
	thread_join(&o->thread);
	list_foreach (it, &o->events)
		job_stop(&LIST_ITEM(it, struct op_event, link)->job);
	sweep(o);
}

void oplog_free(struct oplog *o)
{
	if (!o)
		return;
	list_foreach (it, &o->events) {
		struct op_event *v = LIST_ITEM(it, struct op_event, link);
		event_free(v);
	}
	stop_done(&o->stop);
	cond_done(&o->room);
	mutex_done(&o->mtx);
	free(o);
}

bool oplog_read_past(struct oplog *o, int64_t mono_ms, uint64_t ts)
{
	if (!o || !o->thread.started)
		return true; /* none is read at all */
	mutex_lock(&o->mtx);
	bool past = o->end_mono_ms > mono_ms || o->read_ts > ts;
	mutex_unlock(&o->mtx);
	return past;
}

bool oplog_position(struct oplog *o, struct store_positions *ret)
{
	mutex_lock(&o->mtx);
	bool known = o->known;
	struct position at = o->at;
	int64_t end_ms = list_empty(&o->events) ? o->end_ms : 0;
	mutex_unlock(&o->mtx);
	if (!known)
		return false;
	*ret = (struct store_positions){.task_id = xstrdup(o->run->task->id),
		.collection_id = STORE_ID_OPS,
		.collection_name = xstrdup("-10"),
		.source = xcalloc(1, sizeof(*ret->source)),
		.n_source = 1};
	ret->source[0] = (struct store_position){.pos = at,
		.time_ms = at.ts > 1 ? (int64_t)(at.ts >> 18) : 0,
		.exact = true,
		.end_ms = end_ms};
	snprintf(ret->source[0].channel, sizeof(ret->source[0].channel), "%s",
		o->run->sv.config->replicate_channel);
	return true;
}

void oplog_status(struct oplog *o, char *ret_text, size_t cap)
{
	mutex_lock(&o->mtx);
	snprintf(ret_text, cap, "%s", o->status);
	list_foreach (it, &o->events) {
		const struct op_event *v = LIST_ITEM(it, struct op_event, link);
		if (o->status[0] || v->done || !v->why[0])
			continue;
		char what[OP_TEXT_BYTES];
		op_describe(v, what, sizeof(what));
		snprintf(ret_text, cap, "operation %s %s %s", what,
			v->held ? "is held:" : "waits for", v->why);
		break;
	}
	mutex_unlock(&o->mtx);
}
