/* The source's queue: is it the right one, does the source tick, and how long does the queue keep
 * what a task has not read? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/dml.h"
#include "model/ts.h"
#include "server/config/config.h"
#include "server/doctor/doctor.h"
#include "source/catalog.h"
#include "source/mq.h"
#include "source/topics.h"
#include "store/store.h"

enum { SUBJECT_BYTES = 300, TICK_MS = 5000 };

static void subject_of(const struct doctor_env *env, char out[SUBJECT_BYTES])
{
	const struct config *c = env->config;

	snprintf(out, SUBJECT_BYTES, "source %s %s", env->mq->ops->name,
		c->has_pulsar ? c->pulsar_address : c->kafka_address);
}

/* ---- topics ---- */

static enum doctor_code trouble(enum err_code code)
{
	return code == ERR_DENIED ? DOCTOR_CODE_QUEUE_AUTH : DOCTOR_CODE_QUEUE_UNREACHABLE;
}

static enum err_code look_for(const struct doctor_env *env, const char *topic, struct err *e)
{
	struct mq_id id;
	return env->mq->ops->latest(env->mq, topic, env->stop, &id, e);
}

static void say_missing(
	const char *subject, const char *first, size_t missing, size_t all, struct doctor *d)
{
	if (missing)
		doctor_note(d, DOCTOR_CODE_QUEUE_TOPIC, subject,
			"%zu of the %zu topics of the source's collections are not there, e.g. %s",
			missing, all, first);
}

/* Leaves those that are there. False if there is no use in looking further. */
static bool look_at_topics(
	const struct doctor_env *env, const char *subject, struct topics *t, struct doctor *d)
{
	char first[CHANNEL_BYTES] = "";
	size_t kept = 0, all = t->n;

	for (size_t i = 0; i < all && !stop_is_set(env->stop); i++) {
		struct err e = ERR_INIT;
		enum err_code code = look_for(env, t->v[i], &e);
		if (code && code != ERR_NOT_FOUND) {
			doctor_note(d, trouble(code), subject, "topic %s: %s", t->v[i], e.text);
			return false;
		}
		if (!code && kept++ != i)
			memcpy(t->v[kept - 1], t->v[i], sizeof(t->v[i]));
		else if (code && !*first)
			memcpy(first, t->v[i], sizeof(first));
	}
	t->n = kept;
	say_missing(subject, first, all - kept, all, d);
	return true;
}

static void look_at_operations(const struct doctor_env *env, const char *subject, struct doctor *d)
{
	const char *topic = env->config->replicate_channel;
	struct err e = ERR_INIT;

	if (look_for(env, topic, &e) == ERR_NOT_FOUND)
		doctor_note(d, DOCTOR_CODE_QUEUE_REPLICATE, subject, "there is no topic %s", topic);
}

/* ---- ticks ---- */

/* Keeps the time of the first message that comes; false if none does. */
static bool hear(struct doctor_env *env, const char *topic)
{
	const struct mq_ops *ops = env->mq->ops;
	struct mq_reader *r = NULL;
	struct mq_msg *m = NULL;
	struct err e = ERR_INIT;
	struct mq_id end;
	struct dml dml;

	if (ops->latest(env->mq, topic, env->stop, &end, &e) ||
		ops->open(env->mq, topic, &(const struct mq_start){.id = end}, env->stop, &r, &e))
		return false;
	bool came = !ops->next(r, deadline_in(TICK_MS), env->stop, &m, &e);
	if (came && !dml_read(&dml, m->payload, &e) && dml.base.type == MSG_TIME_TICK) {
		env->source_ts = dml.base.ts;
		env->source_mono_ms = time_mono_ms();
	}
	mq_msg_free(m);
	ops->close(r);
	return came;
}

static void look_at_ticks(
	struct doctor_env *env, const char *subject, const struct topics *t, struct doctor *d)
{
	if (!t->n)
		return;
	if (hear(env, t->v[0]))
		doctor_fact(d, subject, "%zu topics, and the source ticks", t->n);
	else if (!stop_is_set(env->stop))
		doctor_note(d, DOCTOR_CODE_QUEUE_SILENT, subject,
			"nothing came on topic %s within %d s", t->v[0], TICK_MS / 1000);
}

/* ---- retention ---- */

static void look_at_retention(
	const struct doctor_env *env, const char *subject, const struct topics *t, struct doctor *d)
{
	struct err e = ERR_INIT;
	const char *topic = "";
	char keeps[TIME_SPAN_BYTES], wanted[TIME_SPAN_BYTES];
	int64_t ms = topics_retention_ms(t, env->mq, env->stop, &topic, &e);

	if (ms < 0) {
		doctor_note(d, DOCTOR_CODE_QUEUE_RETENTION_UNKNOWN, subject, "%s",
			e.code ? e.text : "its protocol does not tell");
		return;
	}
	time_span_text(ms, keeps);
	time_span_text(env->outage_ms, wanted);
	if (ms < env->outage_ms)
		doctor_note(d, DOCTOR_CODE_QUEUE_RETENTION, subject,
			"topic %s keeps messages for %s; an outage of %s is expected", topic, keeps,
			wanted);
}

static bool look_at_queue(const struct doctor_env *env, const char *subject, struct doctor *d)
{
	struct err e = ERR_INIT;
	enum err_code code = env->mq->ops->check(env->mq, env->stop, &e);

	if (code)
		doctor_note(d, trouble(code), subject, "%s", e.text);
	return !code;
}

void doctor_queue(struct doctor_env *env, struct doctor *d)
{
	struct topics t = {.n = 0};
	char subject[SUBJECT_BYTES];

	if (!env->mq || !env->catalog)
		return;
	subject_of(env, subject);
	if (!look_at_queue(env, subject, d))
		return;
	topics_of(&t, env->catalog);
	if (look_at_topics(env, subject, &t, d)) {
		look_at_operations(env, subject, d);
		look_at_ticks(env, subject, &t, d);
		look_at_retention(env, subject, &t, d);
	}
	topics_done(&t);
}

/* ---- stored positions ---- */

struct oldest {
	char channel[CHANNEL_BYTES];
	struct mq_id id;
	int64_t time_ms; /* 0 = unknown */
	bool behind;     /* the message itself was taken; see mq_start */
	int64_t end_ms;
};

struct olds {
	struct oldest v[TOPICS_MAX];
	size_t n;
};

static struct oldest *old_of(struct olds *o, const char *channel)
{
	for (size_t i = 0; i < o->n; i++)
		if (strcmp(o->v[i].channel, channel) == 0)
			return &o->v[i];
	if (o->n == TOPICS_MAX)
		return NULL;
	struct oldest *one = &o->v[o->n++];
	snprintf(one->channel, sizeof(one->channel), "%s", channel);
	return one;
}

/* Of each channel the position that the queue deletes first. */
static void take_oldest(
	const struct doctor_env *env, const struct store_positions *list, size_t n, struct olds *o)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < list[i].n_source; k++) {
			const struct store_position *p = &list[i].source[k];
			bool real = !p->dropped && p->pos.id.n &&
				    list[i].collection_id != STORE_ID_USER;
			struct oldest *one = real ? old_of(o, p->channel) : NULL;
			if (!one || (one->id.n && env->mq->ops->compare(&p->pos.id, &one->id) >= 0))
				continue;
			one->id = p->pos.id;
			one->behind = list[i].collection_id == STORE_ID_OPS && p->pos.ts;
			one->end_ms = p->end_ms;
			one->time_ms = p->exact ? ts_ms(p->pos.ts) : p->time_ms;
		}
}

static void look_at_old(
	const struct doctor_env *env, const char *subject, const struct oldest *o, struct doctor *d)
{
	struct mq_reader *r = NULL;
	struct err e = ERR_INIT;

	const struct mq_start from = {.id = o->id, .after = o->behind, .end_ms = o->end_ms};
	enum err_code code = env->mq->ops->open(env->mq, o->channel, &from, env->stop, &r, &e);
	if (!code)
		env->mq->ops->close(r);
	else if (code == ERR_GONE)
		doctor_note(d, DOCTOR_CODE_QUEUE_GONE, subject, "%s", e.text);
}

static void look_at_rest(const struct doctor_env *env, const char *subject, const struct oldest *o,
	int64_t keeps_ms, struct doctor *d)
{
	char left[TIME_SPAN_BYTES], wanted[TIME_SPAN_BYTES];
	int64_t left_ms = keeps_ms - (time_wall_ms() - o->time_ms);

	if (!o->time_ms || o->behind || keeps_ms < env->outage_ms || left_ms >= env->outage_ms)
		return;
	time_span_text(left_ms, left);
	time_span_text(env->outage_ms, wanted);
	doctor_note(d, DOCTOR_CODE_QUEUE_EXPIRES, subject,
		"what is next to be read of topic %s is deleted in %s; an outage of %s is expected",
		o->channel, left, wanted);
}

void doctor_positions(const struct doctor_env *env, const struct task *t,
	const struct store_positions *list, size_t n, struct doctor *d)
{
	struct olds *o = xcalloc(1, sizeof(*o));
	struct topics one = {.v = xcalloc(1, sizeof(*one.v)), .n = 1};
	char subject[SUBJECT_BYTES];
	const char *topic;

	snprintf(subject, sizeof(subject), "task %s", t->id);
	take_oldest(env, list, n, o);
	for (size_t i = 0; i < o->n && !stop_is_set(env->stop); i++) {
		struct err e = ERR_INIT;
		look_at_old(env, subject, &o->v[i], d);
		snprintf(one.v[0], sizeof(one.v[0]), "%s", o->v[i].channel);
		int64_t ms = topics_retention_ms(&one, env->mq, env->stop, &topic, &e);
		if (ms >= 0 && ms < INT64_MAX)
			look_at_rest(env, subject, &o->v[i], ms, d);
	}
	topics_done(&one);
	free(o);
}
