/* Accesses of a target session. Each looks after itself in a job: it connects, which tells whether
 * its credentials still hold, and reads the target's clock. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "server/target/target_kafka.h"
#include "server/target/target_priv.h"
#include "sink/sink_dry.h"
#include "sink/sink_milvus.h"

enum { CHECK_MS = 10000, RETRY_MS = 1000, RETRY_MOST_MS = 8000 };

struct milvus_opts target_milvus_opts(
	const struct task *t, const char *uri, const char *token, bool strict)
{
	return (struct milvus_opts){.uri = uri,
		.token = token,
		.server_name = t->milvus.server_name,
		.server_pem_path = t->milvus.server_pem_path,
		.ca_pem_path = t->milvus.ca_pem_path,
		.client_pem_path = t->milvus.client_pem_path,
		.client_key_path = t->milvus.client_key_path,
		.late_files = !strict,
		.connect_timeout_ms = t->milvus.connect_timeout * 1000};
}

enum err_code target_open_sink(struct grpc *g, const struct log_ctx *log, const struct task *t,
	bool strict, struct sink **ret, struct err *e)
{
	CLEANUP(freep) char *uri = task_target(t);
	CLEANUP(freep) char *token = task_token(t);

	if (*t->kafka.address)
		return target_kafka_open(t, log, ret, e);
	struct milvus_opts o = target_milvus_opts(t, uri, token, strict);
	return sink_milvus_open(g, &o, ret, e);
}

enum err_code access_open_sink(
	struct targets *s, const struct task *t, bool strict, struct sink **ret, struct err *e)
{
	if (*t->kafka.address && s->opts.dry_run) {
		*ret = sink_dry_open(NULL, s->opts.log);
		return ERR_OK;
	}
	if (target_open_sink(s->opts.grpc, s->opts.log, t, strict, ret, e))
		return e->code;
	if (s->opts.dry_run)
		*ret = sink_dry_open(*ret, s->opts.log);
	return ERR_OK;
}

static char *settings_of(const struct task *t)
{
	CLEANUP(freep) char *uri = task_target(t);
	CLEANUP(freep) char *token = task_token(t);
	const struct task_milvus *m = &t->milvus;

	return xasprintf("%s\n%s\n%s\n%s\n%s\n%s\n%s\n%lld", uri, token, m->server_name,
		m->server_pem_path, m->ca_pem_path, m->client_pem_path, m->client_key_path,
		(long long)m->connect_timeout);
}

/* ---- the check ---- */

/* The clock is known to all only when the records of earlier channels are: a channel must not start
 * below its floor, nor forget its bound. Other accesses stay silent about it meanwhile. */
static enum err_code take_clock(
	struct session *s, const struct sink_info *info, uint64_t ts, struct err *e)
{
	mutex_lock(&s->mtx);
	bool first = !s->reopened;
	s->reopened = true;
	mutex_unlock(&s->mtx);
	if (first && session_load_past(s, e)) {
		mutex_lock(&s->mtx);
		s->reopened = false;
		mutex_unlock(&s->mtx);
		return e->code;
	}
	if (first)
		log_info(&s->log, "connected, version %s",
			info->version[0] ? info->version : "unknown");
	mutex_lock(&s->mtx);
	if (first || s->clock_ts) {
		s->clock_ts = ts;
		s->clock_mono_ms = time_mono_ms(); /* it was true earlier: never ahead */
	}
	mutex_unlock(&s->mtx);
	if (first)
		session_reopen(s);
	return ERR_OK;
}

static int64_t note_failure(struct access *a, const struct err *e)
{
	struct session *s = a->session;
	int64_t delay_ms = retry_next_ms(&a->backoff);

	mutex_lock(&s->mtx);
	bool was_good = !a->error[0];
	snprintf(a->error, sizeof(a->error), "target %s: %.300s", s->address, e->text);
	mutex_unlock(&s->mtx);
	if (was_good && e->code != ERR_CANCELLED)
		log_warn(&s->log, "%s; asked again every %d ms at most", e->text, RETRY_MOST_MS);
	return delay_ms;
}

static void note_success(struct access *a)
{
	struct session *s = a->session;

	retry_reset(&a->backoff);
	mutex_lock(&s->mtx);
	bool was_bad = a->error[0] != '\0';
	a->error[0] = '\0';
	a->refused = false;
	mutex_unlock(&s->mtx);
	if (was_bad)
		log_info(&s->log, "answers again");
}

static int64_t check(void *arg)
{
	struct access *a = arg;
	struct session *s = a->session;
	struct sink *k = a->remote;
	struct err e = ERR_INIT;
	struct sink_info info;
	uint64_t ts = 0;

	if (k->ops->connect(k, &s->stop, &info, &e) ||
		(!s->untimed && k->ops->clock(k, &s->stop, &ts, &e)))
		return note_failure(a, &e);
	if (!s->untimed && take_clock(s, &info, ts, &e))
		return note_failure(a, &e);
	note_success(a);
	return CHECK_MS;
}

/* ---- birth and death ---- */

enum err_code access_new(
	struct targets *s, const struct task *t, struct access **ret_a, struct err *e)
{
	struct access *a = xcalloc(1, sizeof(*a));

	if (access_open_sink(s, t, false, &a->remote, e)) {
		free(a);
		return e->code;
	}
	a->settings = settings_of(t);
	a->backoff = (struct retry)RETRY_INIT(RETRY_MS, RETRY_MOST_MS);
	list_init(&a->link);
	*ret_a = a;
	return ERR_OK;
}

void access_free(struct access *a)
{
	if (!a)
		return;
	sink_close(a->remote);
	free(a->settings);
	free(a);
}

void access_join(struct access *a, struct session *s)
{
	a->session = s;
	a->refs = 1;
	job_init(&a->job, s->jobs, check, a);
	mutex_lock(&s->mtx);
	list_push(&s->accesses, &a->link);
	if (!s->current)
		s->current = a;
	mutex_unlock(&s->mtx);
	job_wake(&a->job, 0);
}

static void unref(struct access *a)
{
	struct session *s = a->session;

	mutex_lock(&s->mtx);
	bool last = --a->refs == 0;
	mutex_unlock(&s->mtx);
	if (last)
		access_free(a);
}

static struct access *first_locked(struct session *s) REQUIRES(s->mtx)
{
	return list_empty(&s->accesses) ? NULL : LIST_ITEM(s->accesses.next, struct access, link);
}

void access_leave(struct access *a)
{
	struct session *s = a->session;

	job_stop(&a->job);
	mutex_lock(&s->mtx);
	list_del(&a->link);
	if (s->current == a)
		s->current = first_locked(s);
	mutex_unlock(&s->mtx);
	unref(a);
}

/* ---- calls of channels ---- */

static bool is_good(const struct access *a)
{
	return !a->error[0] && !a->refused;
}

/* The current one while it works, else one that does, else the next in turn. */
static struct access *choose_locked(struct session *s) REQUIRES(s->mtx)
{
	if (is_good(s->current))
		return s->current;
	list_foreach (it, &s->accesses)
		if (is_good(LIST_ITEM(it, struct access, link)))
			return LIST_ITEM(it, struct access, link);
	struct list *next = s->current->link.next;
	return next == &s->accesses ? first_locked(s) : LIST_ITEM(next, struct access, link);
}

struct access *access_pick(struct session *s)
{
	mutex_lock(&s->mtx);
	struct access *a = s->current = choose_locked(s);
	a->refs++;
	mutex_unlock(&s->mtx);
	return a;
}

void access_done(struct access *a, enum err_code code)
{
	struct session *s = a->session;

	mutex_lock(&s->mtx);
	if (code == ERR_OK)
		a->refused = false;
	else if (code == ERR_DENIED || code == ERR_UNAVAILABLE)
		a->refused = true;
	mutex_unlock(&s->mtx);
	unref(a);
}
