/* Target sessions: who uses which, from the first task of an address to the last. */
#include "server/target/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "server/config/address.h"
#include "server/target/target_kafka.h"
#include "server/target/target_priv.h"

enum err_code target_check(
	struct targets *s, const struct task *t, struct stop *stop, struct err *e)
{
	struct sink *k = NULL;
	struct sink_info info;

	if (access_open_sink(s, t, true, &k, e) || k->ops->connect(k, stop, &info, e))
		err_ctx(e, "fail to connect the %s", *t->kafka.address ? "kafka" : "milvus");
	sink_close(k);
	return e->code;
}

enum err_code targets_new(const struct targets_opts *o, struct targets **ret_s, struct err *e)
{
	struct targets *s = xcalloc(1, sizeof(*s));

	(void)e;
	s->opts = *o;
	stop_init(&s->stop, NULL);
	mutex_init(&s->mtx, "targets");
	cond_init(&s->cond);
	*ret_s = s;
	return ERR_OK;
}

/* ---- sessions ---- */

/* By what a session is found. A topic is one with all its settings: no clock is shared there. */
static void session_key(const struct task *t, char key[ADDRESS_TARGET_BYTES])
{
	CLEANUP(freep) char *uri = task_target(t);

	if (*t->kafka.address)
		target_kafka_key(t, key, ADDRESS_TARGET_BYTES);
	else
		address_of_target(uri, key);
}

static enum err_code session_new(struct targets *set, const char *key, const struct task *task,
	struct session **ret_s, struct err *e)
{
	struct session *s = xcalloc(1, sizeof(*s));

	if (jobs_new(LIMIT_DDL_WORKERS, &s->jobs, e)) {
		free(s);
		return e->code;
	}
	s->set = set;
	/* A dry run writes to no topic: its made-up target has a clock. */
	s->untimed = *task->kafka.address && !set->opts.dry_run;
	snprintf(s->key, sizeof(s->key), "%s", key);
	if (*task->kafka.address)
		snprintf(s->address, sizeof(s->address), "kafka://%.100s/%.100s",
			task->kafka.address, task->kafka.topic);
	else
		snprintf(s->address, sizeof(s->address), "%s", key);
	snprintf(s->fields, sizeof(s->fields), "target=%s", s->address);
	s->log = (struct log_ctx){.parent = set->opts.log, .comp = LOG_sink, .fields = s->fields};
	mutex_init(&s->mtx, "target");
	cond_init(&s->cond);
	cond_init(&s->bounds_cond);
	stop_init(&s->stop, &set->stop);
	list_init(&s->accesses);
	list_init(&s->handles);
	session_init_channels(s);
	*ret_s = s;
	return ERR_OK;
}

/* Ends all that runs. The accesses go last: calls in flight need them. */
static void session_end(struct session *s, int64_t patience_ms)
{
	stop_set(&s->stop);
	list_foreach (it, &s->accesses)
		job_stop(&LIST_ITEM(it, struct access, link)->job);
	session_bounds_stop(s);
	session_close_channels(s, patience_ms);
	while (!list_empty(&s->accesses))
		access_leave(LIST_ITEM(s->accesses.next, struct access, link));
}

static void session_free(struct session *s)
{
	stop_done(&s->stop);
	cond_done(&s->cond);
	cond_done(&s->bounds_cond);
	session_claims_done(s);
	jobs_free(s->jobs);
	mutex_done(&s->mtx);
	free(s);
}

/* The session of the address, new if there is none. One that is being closed still ticks: it is
 * waited for. */
static enum err_code session_get_locked(struct targets *set, const char *key,
	const struct task *task, struct session **ret_s, struct err *e) REQUIRES(set->mtx)
{
	struct session *s;

	while ((s = smap_get(&set->by_address, key)) && s->closing)
		cond_wait(&set->cond, &set->mtx, DEADLINE_NEVER);
	if (!s) {
		if (session_new(set, key, task, &s, e))
			return e->code;
		smap_put(&set->by_address, s->key, s);
	}
	s->users++;
	*ret_s = s;
	return ERR_OK;
}

static struct access *find_access(struct session *s, const char *settings)
{
	struct access *found = NULL;

	mutex_lock(&s->mtx);
	list_foreach (it, &s->accesses) {
		struct access *a = LIST_ITEM(it, struct access, link);
		if (a->users && strcmp(a->settings, settings) == 0)
			found = a;
	}
	mutex_unlock(&s->mtx);
	return found;
}

/* ---- handles ---- */

/* A tick is for all who read a channel: one task that wants them is enough. */
static void judge_keep_alive_locked(UNUSED struct targets *set, struct session *s)
	REQUIRES(set->mtx)
{
	bool none = !list_empty(&s->handles);

	list_foreach (it, &s->handles)
		none = none && LIST_ITEM(it, struct target, link)->task->no_keep_alive;
	mutex_lock(&s->mtx);
	s->no_keep_alive = none;
	mutex_unlock(&s->mtx);
}

enum err_code target_get(
	struct targets *set, const struct task *task, struct target **ret_t, struct err *e)
{
	char key[ADDRESS_TARGET_BYTES];
	struct access *made = NULL;

	if (access_new(set, task, &made, e))
		return e->code;
	session_key(task, key);
	struct target *t = xcalloc(1, sizeof(*t));
	list_init(&t->link);
	mutex_lock(&set->mtx);
	if (session_get_locked(set, key, task, &t->session, e)) {
		mutex_unlock(&set->mtx);
		access_free(made);
		free(t);
		return e->code;
	}
	t->task = task_copy(task);
	list_push(&t->session->handles, &t->link);
	judge_keep_alive_locked(set, t->session);
	t->access = find_access(t->session, made->settings);
	bool join = !t->access;
	if (join)
		t->access = TAKE(made);
	t->access->users++;
	if (join)
		access_join(t->access, t->session);
	mutex_unlock(&set->mtx);
	access_free(made);
	*ret_t = t;
	return ERR_OK;
}

/* The name stays taken until nothing ticks any more. */
static void session_close(struct session *s, int64_t patience_ms)
{
	struct targets *set = s->set;

	mutex_lock(&set->mtx);
	while (s->leaving)
		cond_wait(&set->cond, &set->mtx, DEADLINE_NEVER);
	mutex_unlock(&set->mtx);
	session_end(s, patience_ms);
	mutex_lock(&set->mtx);
	smap_del(&set->by_address, s->key);
	cond_broadcast(&set->cond);
	mutex_unlock(&set->mtx);
	session_free(s); /* whoever waited for the address looks it up anew */
}

static void leave(struct access *a)
{
	struct session *s = a->session;
	struct targets *set = s->set;

	access_leave(a);
	mutex_lock(&set->mtx);
	s->leaving--;
	cond_broadcast(&set->cond);
	mutex_unlock(&set->mtx);
}

void target_put(struct target *t, int64_t patience_ms)
{
	if (!t)
		return;
	struct session *s = t->session;
	struct targets *set = s->set;
	mutex_lock(&set->mtx);
	list_del(&t->link);
	judge_keep_alive_locked(set, s);
	s->closing = --s->users == 0;
	bool last = s->closing;
	bool unused = --t->access->users == 0;
	if (unused && !last)
		s->leaving++;
	mutex_unlock(&set->mtx);
	if (last)
		session_close(s, patience_ms);
	else if (unused)
		leave(t->access);
	task_free(t->task);
	free(t);
}

void targets_free(struct targets *s, int64_t patience_ms)
{
	size_t pos = 0;
	const char *name;
	void *value;

	if (!s)
		return;
	while (smap_next(&s->by_address, &pos, &name, &value)) {
		session_end(value, patience_ms);
		session_free(value);
	}
	smap_done(&s->by_address);
	stop_set(&s->stop);
	stop_done(&s->stop);
	cond_done(&s->cond);
	mutex_done(&s->mtx);
	free(s);
}

void target_silence(struct target *t)
{
	stop_set(&t->session->stop);
}

struct sink *target_sink(struct target *t)
{
	return t->access->remote;
}

struct jobs *target_jobs(struct target *t)
{
	return t->session->jobs;
}

uint64_t target_clock(void *target)
{
	return session_clock(((struct target *)target)->session);
}

enum err_code target_chan(
	struct target *t, const char *pchannel, struct tchan **ret_c, struct err *e)
{
	return session_chan(t->session, pchannel, ret_c, e);
}

void target_status(struct target *t, char *ret_text, size_t cap)
{
	struct session *s = t->session;
	const char *elsewhere = "";

	mutex_lock(&s->mtx);
	if (t->access->error[0] && s->current != t->access && !s->call_error[0])
		elsewhere = "; until then its rows go with the login of another task";
	const char *calls = s->call_error[0] ? s->call_error : s->bound_error;
	snprintf(ret_text, cap, "%s%s", t->access->error[0] ? t->access->error : calls, elsewhere);
	mutex_unlock(&s->mtx);
}
