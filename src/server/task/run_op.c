/* One operation of the replicate channel: waits for its turn and for the rows before it, then goes
 * to the target complete. What can't be done is skipped or held (run_op_queue.c). */
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "model/ts.h"
#include "server/config/config.h"
#include "server/task/run_ops_priv.h"

enum { READY_MS = 20, FINAL_TRIES = 8 };

void op_count(const struct op_event *v, const char *what)
{
	const struct run *r = v->log->run;
	const char *channel = r->sv.config->replicate_channel, *task = r->task->id;

	if (v->op.ts)
		metrics_set(metrics_get(METRIC_replicate_tt, task, channel, what, NULL),
			ts_ms(v->op.ts));
	metrics_add(
		metrics_get(METRIC_replicate_data_size, task, channel, what, op_type_name(v), NULL),
		(int64_t)v->op.payload.n);
}

static enum err_code send(struct op_event *v, const char *method, const char *db,
	const struct iov *body, struct err *e)
{
	struct run *r = v->log->run;
	struct sink *k = target_sink(r->target);
	struct sink_call c = {.method = method,
		.db = db,
		.body = body,
		.ts = v->op.ts,
		.message = mq_id_slice(&v->id)};

	return k->ops->call(k, &c, &r->stop, e);
}

/* Its old password is not the target's: perhaps because the new one is set already. */
static enum err_code ask_password(struct op_event *v, const struct err *refused, struct err *e)
{
	struct iov body = {0};
	struct err ask = ERR_INIT;

	enum err_code code = ops_ask_password(&v->op, &v->scratch, &body, &ask);
	if (!code)
		code = send(v, v->op.method, "", &body, &ask);
	iov_done(&body);
	if (!code) {
		err_clear(e);
		return ERR_OK;
	}
	*e = *refused;
	return err_ctx(e, "the user's password on the target is neither the old nor the new one");
}

/* What the target answers to a repetition, or to what was done by other means, is no failure. */
static enum err_code settle(struct op_event *v, const struct op_target *to, const struct iov *body,
	enum err_code code, struct err *e)
{
	struct err refused = *e;
	const char *instead = NULL;

	if (code == ERR_DENIED && v->op.type == MSG_UPDATE_CREDENTIAL)
		return ask_password(v, &refused, e);
	switch (ops_verdict(&v->op, code, &instead)) {
	case OP_DONE:
		err_clear(e);
		return ERR_OK;
	case OP_INSTEAD:
		err_clear(e);
		return send(v, instead, to->db, body, e);
	case OP_FAILED:
		break;
	}
	return code;
}

static enum err_code forward(struct op_event *v, const struct op_target *to, struct err *e)
{
	struct op one = v->op;
	struct iov body = {0};
	struct op_names names = {.db = to->db,
		.collections = to->collections,
		.replicate_id = v->log->run->sv.config->replicate_id};
	/* Users and databases are nobody's in particular. */
	const char *conn = v->op.flags & (OP_DATABASE | OP_RBAC) ? "" : to->db;

	if (to->n != one.n_collections) {
		one.collections = to->kept;
		one.n_collections = to->n;
	}
	enum err_code code = ops_forward(&one, &names, &v->scratch, &body, e);
	if (!code)
		code = settle(v, to, &body, send(v, v->op.method, conn, &body, e), e);
	iov_done(&body);
	return code;
}

static int64_t failed(struct op_event *v, const struct err *e)
{
	char what[OP_TEXT_BYTES];

	if (e->code == ERR_CANCELLED)
		return JOB_IDLE;
	/* A server that is starting gives odd answers: what looks permanent is tried a few
	 * times. */
	bool again = retry_may(e->code, true) ||
		     (e->code != ERR_UNSUPPORTED && v->backoff.failed < FINAL_TRIES);
	/* A lost answer comes with an outage, and then calls don't even leave. A server that gets
	 * each of them and never answers has no answer to this one. */
	v->unanswered = e->code == ERR_UNCERTAIN ? v->unanswered + 1 : 0;
	if (!again || v->unanswered >= FINAL_TRIES)
		return op_refuse(v, e->text);
	bool first = v->backoff.failed == 0;
	int64_t delay = retry_next_ms(&v->backoff);
	op_describe(v, what, sizeof(what));
	if (first)
		log_warn(&v->log->run->log,
			"operation %s: %s; retry in %" PRId64 " ms and so on until it works", what,
			e->text, delay);
	return op_wait(v, delay, "%.150s", e->text);
}

static int64_t send_all(struct op_event *v, const struct op_target *all)
{
	struct op_target to;
	struct err e = ERR_INIT;
	char what[OP_TEXT_BYTES];

	for (size_t at = 0; op_next_target(v, all, &at, &to);) {
		if (forward(v, &to, &e))
			return failed(v, &e);
		metrics_add(metrics_get(METRIC_api_execute_total, v->log->run->task->id,
				    op_type_name(v), NULL),
			1);
	}
	op_count(v, "write");
	op_describe(v, what, sizeof(what));
	log_info(&v->log->run->log, "operation %s done", what);
	return op_finish(v);
}

/* Data migration in both directions: the source had it from a server with our replicateID. */
static bool came_from_us(const struct op_event *v)
{
	const char *id = v->log->run->sv.config->replicate_id;
	return *id && slice_eq_str(v->op.replicate_id, id);
}

static int64_t try_once(struct op_event *v)
{
	struct op_target all;

	if (came_from_us(v))
		return op_finish(v);
	switch (op_names(v, &all)) {
	case OP_NOT_YET:
		return READY_MS;
	case OP_NEVER:
		return op_finish(v);
	case OP_LOST:
		return op_refuse(v, "its collection failed");
	case OP_READY:
		break;
	}
	return send_all(v, &all);
}

static int64_t refuse_unreadable(struct op_event *v)
{
	char why[OP_TEXT_BYTES];

	mutex_lock(&v->log->mtx);
	memcpy(why, v->why, sizeof(why));
	mutex_unlock(&v->log->mtx);
	return op_refuse(v, why);
}

int64_t op_step(void *arg)
{
	struct op_event *v = arg;

	if (stop_is_set(&v->log->run->stop))
		return JOB_IDLE;
	switch (op_turn(v)) {
	case OP_TURN:
		return v->unreadable ? refuse_unreadable(v) : try_once(v);
	case OP_SKIPPED:
		return op_refuse(v, "");
	case OP_BEHIND:
	case OP_OVER:
		break;
	}
	return JOB_IDLE;
}
