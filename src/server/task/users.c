/* Each try asks the target anew what it has, so that a try whose answer was lost, or one that was
 * cut by a restart, is simply repeated. The snapshot is taken after the replicate channel's position
 * was stored: a change is in the snapshot, in the channel, or in both, and repeating one does no
 * harm. Names and counts are logged, never a password or its hash. */
#include "server/task/users.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/mutex.h"
#include "base/retry.h"
#include "base/wire.h"
#include "store/keys.h"
#include "store/writer.h"

enum { FIRST_MS = 200, MOST_MS = 10000, FINAL_TRIES = 8 };
enum { MESSAGE_BYTES = 16 << 20, LEFT_OUT_BYTES = 64 << 10 };
enum { META = 2 /* RBAC_meta in BackupRBAC's answer and in RestoreRBAC's request */ };

struct users {
	struct users_opts o;
	struct job job;
	struct retry backoff;
	int unanswered; /* calls in a row whose answer was lost */

	struct mutex mtx;
	bool settled, recorded;
	char text[USERS_TEXT_BYTES];
};

static void settle(struct users *u, bool settled, const char *text)
{
	mutex_lock(&u->mtx);
	u->settled = settled;
	snprintf(u->text, sizeof(u->text), "%s", text);
	mutex_unlock(&u->mtx);
}

static void record(struct users *u, const char *text)
{
	json_t *o = json_object();

	json_object_set_new(o, "format", json_integer(1));
	json_object_set_new(o, "done", json_string(text));
	CLEANUP(freep) char *json = json_dumps(o, JSON_COMPACT);
	CLEANUP(freep) char *key = keys_ext_task("object", u->o.task->id, USERS_RECORD);
	json_decref(o);
	writer_put_ext(u->o.writer, key, json);
}

/* ---- the target ---- */

static enum err_code call(struct users *u, const char *method, const struct buf *request,
	struct buf *answer, struct err *e)
{
	struct iov body = {0};
	struct sink_call c = {.method = method, .db = "", .body = &body, .ret_answer = answer};

	iov_put(&body, buf_slice(request));
	enum err_code code = u->o.sink->ops->call(u->o.sink, &c, u->o.stop, e);
	iov_done(&body);
	return code;
}

static enum err_code backup(struct users *u, struct rbac *ret, struct err *e)
{
	CLEANUP(buf_done) struct buf request = BUF_INIT(1);
	CLEANUP(buf_done) struct buf answer = BUF_INIT(LIMIT_GRPC_RECV);
	struct wire_field f;

	if (call(u, "BackupRBAC", &request, &answer, e))
		return e->code;
	struct wire w = wire_open(buf_slice(&answer));
	while (wire_next(&w, &f))
		if (f.num == META && f.type == WIRE_LEN && rbac_read(ret, f.data, e))
			return err_ctx(e, "the target's answer to BackupRBAC");
	return w.bad ? err_set(e, ERR_MALFORMED, "BackupRBAC: an unreadable answer") : ERR_OK;
}

static enum err_code restore(struct users *u, const struct rbac *plan, struct err *e)
{
	CLEANUP(buf_done) struct buf meta = BUF_INIT(MESSAGE_BYTES);
	CLEANUP(buf_done) struct buf request = BUF_INIT(MESSAGE_BYTES);

	/* Milvus refuses an empty list. */
	if (!plan->users.n && !plan->roles.n && !plan->n_grants && !plan->groups.n)
		return ERR_OK;
	rbac_put(&meta, plan);
	wire_put_bytes(&request, META, buf_slice(&meta));
	if (buf_failed(&meta) || buf_failed(&request))
		return err_set(e, ERR_LIMIT, "more users and grants than one call takes");
	return call(u, "RestoreRBAC", &request, NULL, e);
}

/* ---- one try ---- */

static void say_left_out(struct users *u, struct buf *left_out)
{
	char *save = NULL, *text = (char *)(uintptr_t)buf_cstr(left_out);

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		log_warn(u->o.log, "users and roles: not copied, can't be read: %s", line);
}

static void done(struct users *u, const struct rbac *plan, size_t there, size_t left_out)
{
	char text[USERS_TEXT_BYTES];
	int n = snprintf(text, sizeof(text),
		"copied to the target: %zu users, %zu roles, %zu grants, %zu privilege groups; %zu "
		"were there and stay as they are",
		plan->users.n, plan->roles.n, plan->n_grants, plan->groups.n, there);

	if (left_out)
		snprintf(text + n, sizeof(text) - (size_t)n,
			"; %zu records of the source can't be read, the log names them", left_out);
	log_info(u->o.log, "users and roles: %s", text);
	record(u, text);
	settle(u, true, text);
}

static enum err_code try_once(struct users *u, struct err *e)
{
	CLEANUP(rbac_done) struct rbac target = {.n_grants = 0};
	CLEANUP(rbac_done) struct rbac source = {.n_grants = 0};
	CLEANUP(rbac_done) struct rbac plan = {.n_grants = 0};
	CLEANUP(buf_done) struct buf left_out = BUF_INIT(LEFT_OUT_BYTES);
	size_t n_left_out = 0;

	if (backup(u, &target, e))
		return e->code;
	if (u->o.read(u->o.arg, u->o.stop, &source, &left_out, &n_left_out, e))
		return err_ctx(e, "the source's users and roles");
	size_t there = users_plan(u->o.task, &source, &target, &plan);
	if (restore(u, &plan, e))
		return e->code;
	say_left_out(u, &left_out);
	done(u, &plan, there, n_left_out);
	return ERR_OK;
}

static int64_t give_up(struct users *u, const struct err *e)
{
	char text[USERS_TEXT_BYTES];

	if (e->code == ERR_UNSUPPORTED)
		snprintf(text, sizeof(text), "%s (the target has no BackupRBAC and RestoreRBAC)",
			USERS_NOTE);
	else
		snprintf(text, sizeof(text), "%s; or pause and resume the task to try again (%s)",
			USERS_NOTE, e->text);
	log_warn(u->o.log, "%s", text);
	settle(u, true, text);
	return JOB_IDLE;
}

/* As with operations: a server that is starting gives odd answers, so what looks permanent is tried
 * a few times, and so is a call that is never answered. */
static int64_t failed(struct users *u, const struct err *e)
{
	char text[USERS_TEXT_BYTES];

	if (e->code == ERR_CANCELLED)
		return JOB_IDLE;
	bool again = retry_may(e->code, true) || u->backoff.failed < FINAL_TRIES;
	u->unanswered = e->code == ERR_UNCERTAIN ? u->unanswered + 1 : 0;
	if (e->code == ERR_UNSUPPORTED || !again || u->unanswered >= FINAL_TRIES)
		return give_up(u, e);
	bool first = u->backoff.failed == 0;
	int64_t delay = retry_next_ms(&u->backoff);
	snprintf(text, sizeof(text),
		"users, roles and grants from before the task are not copied yet: %s; it is "
		"repeated until it works",
		e->text);
	settle(u, false, text);
	if (first)
		log_warn(u->o.log, "%s", text);
	return delay;
}

static int64_t step(void *arg)
{
	struct users *u = arg;
	struct err e = ERR_INIT;

	if (stop_is_set(u->o.stop) || users_settled(u))
		return JOB_IDLE;
	return try_once(u, &e) ? failed(u, &e) : JOB_IDLE;
}

/* ---- from outside ---- */

struct users *users_new(const struct users_opts *o)
{
	struct users *u = xcalloc(1, sizeof(*u));

	u->o = *o;
	mutex_init(&u->mtx, "users");
	u->backoff = retry_policy(o->retry_first_ms, o->retry_most_ms, FIRST_MS, MOST_MS);
	job_init(&u->job, o->jobs, step, u);
	settle(u, false, "users, roles and grants from before the task are not copied yet");
	return u;
}

void users_free(struct users *u)
{
	if (!u)
		return;
	mutex_done(&u->mtx);
	free(u);
}

void users_take_record(struct users *u, const char *json)
{
	json_t *o = json_loads(json, 0, NULL);
	const char *text = json_string_value(json_object_get(o, "done"));

	if (text) {
		u->recorded = true;
		settle(u, true, text);
	} else {
		log_error(u->o.log, "stored record of the copied users is damaged and ignored");
	}
	json_decref(o);
}

void users_start(struct users *u)
{
	const char *none = NULL;

	if (u->recorded)
		return;
	if (u->o.dry_run)
		none = "dry run: users, roles and grants from before the task are not copied";
	else if (!u->o.sink->ops->replicate)
		none = "a topic takes no copy of the users, roles and grants from before the task, "
		       "only the source's later operations on them";
	if (none) {
		log_warn(u->o.log, "%s", none);
		settle(u, true, none);
		return;
	}
	job_wake(&u->job, 0);
}

void users_stop(struct users *u)
{
	if (u)
		job_stop(&u->job);
}

bool users_settled(struct users *u)
{
	if (!u)
		return true;
	mutex_lock(&u->mtx);
	bool settled = u->settled;
	mutex_unlock(&u->mtx);
	return settled;
}

void users_status(struct users *u, char *ret_text, size_t cap)
{
	mutex_lock(&u->mtx);
	snprintf(ret_text, cap, "%s", u->text);
	mutex_unlock(&u->mtx);
}
