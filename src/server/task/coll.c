#include "server/task/coll.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "model/ts.h"
#include "server/config/config.h"
#include "server/task/run_priv.h"
#include "store/writer.h"

enum { FIRST_MS = 200, MOST_MS = 10000, FINAL_MS = 60000, FAIL_DETACH_MS = 5000 };
enum { COLL_NAME_LABEL = 2 /* of METRIC_replicate_data_cnt */ };

static const char *const state_names[] = {
#define COLL_NAME(id, text) text,
	COLL_STATES(COLL_NAME)
#undef COLL_NAME
};

/* Legal edges: bit t of edges[s] = s may become t. */
#define TO(x) (1u << COLL_##x)
static const unsigned edges[COLL_STATE_COUNT] = {
	[COLL_WAITING] = TO(CREATING) | TO(DROPPED) | TO(FAILED),
	[COLL_CREATING] = TO(RUNNING) | TO(DROPPED) | TO(FAILED) | TO(DROP_READY),
	[COLL_RUNNING] = TO(DROPPING) | TO(DROP_READY) | TO(FAILED),
	[COLL_DROPPING] = TO(DROP_READY) | TO(FAILED),
	[COLL_DROP_READY] = TO(DROPPED) | TO(FAILED),
	[COLL_DROPPED] = 0,
	[COLL_FAILED] = TO(DROP_READY) | TO(DROPPED),
};

const char *coll_state_name(enum coll_state s)
{
	return state_names[s];
}

enum coll_state coll_get_state(struct coll *c)
{
	mutex_lock(&c->mtx);
	enum coll_state s = c->state;
	mutex_unlock(&c->mtx);
	return s;
}

void coll_doubt(struct coll *c)
{
	mutex_lock(&c->mtx);
	c->doubted = true;
	mutex_unlock(&c->mtx);
	job_wake(&c->job, 0);
}

void coll_set_state(struct coll *c, enum coll_state s, const char *why)
{
	mutex_lock(&c->mtx);
	enum coll_state old = c->state;
	assert(edges[old] & 1u << s);
	c->state = s;
	freep(&c->reason);
	c->reason = s == COLL_FAILED ? xstrdup(why) : NULL;
	mutex_unlock(&c->mtx);
	retry_reset(&c->backoff);
	log_at(&c->log, s == COLL_FAILED ? LOG_ERROR : LOG_INFO, "%s -> %s: %s", state_names[old],
		state_names[s], why);
	if (s != COLL_DROPPED)
		return;
	target_release_name(c->run->target, c->target_db, c->target_name, c->id);
	run_wake_turn(c->run, c);
}

void coll_fail(struct coll *c, const char *fmt, ...)
{
	char why[COLL_REASON_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	/* A failed collection must not hold back the channels it shares. */
	if (coll_started(c))
		coll_stop_streams(c, FAIL_DETACH_MS);
	coll_set_state(c, COLL_FAILED, why);
}

void coll_waits(struct coll *c, const char *fmt, ...)
{
	char why[COLL_REASON_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	mutex_lock(&c->mtx);
	freep(&c->reason);
	c->reason = why[0] ? xstrdup(why) : NULL;
	mutex_unlock(&c->mtx);
}

int64_t coll_error(struct coll *c, const char *what, const struct err *e)
{
	if (e->code == ERR_CANCELLED)
		return JOB_IDLE;
	/* A server that is starting gives odd answers: what looks permanent is tried for a
	 * while. */
	if (!c->backoff.failed)
		c->trouble_mono_ms = time_mono_ms();
	bool final = !retry_may(e->code, true) && time_mono_ms() - c->trouble_mono_ms > FINAL_MS;
	if (final || e->code == ERR_UNSUPPORTED) {
		coll_fail(c, "%s: %s", what, e->text);
		return JOB_IDLE;
	}
	bool first = c->backoff.failed == 0;
	int64_t delay = retry_next_ms(&c->backoff);
	coll_waits(c, "%s: %s", what, e->text);
	if (first)
		log_warn(&c->log, "%s: %s; retry in %" PRId64 " ms and so on until it works", what,
			e->text, delay);
	return delay;
}

static struct coll *coll_base(struct run *r, int64_t id)
{
	struct coll *c = xcalloc(1, sizeof(*c));

	c->run = r;
	c->id = id;
	c->backoff = retry_policy(
		r->sv.config->retry_first_ms, r->sv.config->retry_most_ms, FIRST_MS, MOST_MS);
	mutex_init(&c->mtx, "collection");
	job_init(&c->job, target_jobs(r->target), coll_step, c);
	return c;
}

static char *log_fields_of(const struct coll *c)
{
	return xasprintf("db=%.80s collection=%.120s id=%" PRId64, c->db, c->name, c->id);
}

static void set_log(struct coll *c)
{
	c->log_fields = log_fields_of(c);
	c->log =
		(struct log_ctx){.parent = &c->run->log, .comp = LOG_task, .fields = c->log_fields};
}

/* Old texts stay with the former name: another thread may be at them. */
void coll_name_changed(struct coll *c)
{
	char id[24];

	c->former[c->n_former - 1].log_fields = c->log_fields;
	c->log_fields = log_fields_of(c);
	__atomic_store_n(&c->log.fields, c->log_fields, __ATOMIC_RELEASE);
	snprintf(id, sizeof(id), "%" PRId64, c->id);
	const char *const mine[] = {c->run->task->id, id, NULL, NULL, NULL};
	metrics_relabel(METRIC_replicate_data_cnt, mine, COLL_NAME_LABEL, c->name);
}

struct coll *coll_new(struct run *r, const struct collection *src, const char *db)
{
	struct coll *c = coll_base(r, src->id);
	char target_db[NAME_BYTES], target_name[NAME_BYTES];

	c->db_id = src->db_id;
	c->create_ts = src->create_ts;
	c->db = xstrdup(db);
	c->name = xstrdup(src->name);
	task_map_name(r->task, db, src->name, target_db, target_name, NAME_BYTES);
	c->target_db = xstrdup(target_db);
	c->target_name = xstrdup(target_name);
	set_log(c);
	return c;
}

struct coll *coll_from_record(struct run *r, int64_t id, const char *json)
{
	struct coll *c = coll_base(r, id);

	if (!coll_record_read(c, json)) {
		coll_free(c);
		return NULL;
	}
	set_log(c);
	return c;
}

void coll_stop(struct coll *c, int64_t patience_ms)
{
	job_stop(&c->job);
	if (coll_started(c))
		coll_stop_streams(c, patience_ms);
	coll_notes_cancel(c);
}

void coll_free(struct coll *c)
{
	if (!c)
		return;
	for (int i = 0; i < c->n_shards; i++) {
		free(c->shards[i].target_vchannel);
		free(c->shards[i].target_pchannel);
		free(c->shards[i].vchannel);
		free(c->shards[i].key);
		free(c->shards[i].pchannel);
	}
	free(c->shards);
	coll_parts_free(c);
	coll_follow_done(c);
	collection_unref(c->src);
	free(c->db);
	free(c->name);
	free(c->target_db);
	free(c->target_name);
	free(c->pk_name);
	free(c->reason);
	free(c->failure);
	free(c->log_fields);
	mutex_done(&c->mtx);
	free(c);
}

uint64_t coll_acked_ts(struct coll *c)
{
	uint64_t least = UINT64_MAX;

	if (!coll_started(c))
		return least;
	for (int i = 0; i < c->n_shards; i++) {
		uint64_t ts = tchan_position(&c->shards[i].stream).ts;
		least = MIN(least, ts);
	}
	return least;
}

bool coll_reached(struct coll *c, uint64_t ts)
{
	enum coll_state s = coll_get_state(c);
	if (s == COLL_DROPPED || s == COLL_FAILED || s == COLL_DROP_READY)
		return true;
	return coll_started(c) && coll_acked_ts(c) >= ts;
}

/* All shards share the series. */
int64_t coll_rows(const struct coll *c)
{
	if (!coll_started(c) || !c->n_shards)
		return 0;
	return metrics_value(c->shards[0].stream.metrics.rows_insert) +
	       metrics_value(c->shards[0].stream.metrics.rows_delete);
}

static void put_position(struct store_position *p, const char *channel, struct position pos)
{
	*p = (struct store_position){
		.pos = pos, .time_ms = ts_ms(pos.ts) ? ts_ms(pos.ts) - 1 : 0, .exact = true};
	snprintf(p->channel, sizeof(p->channel), "%s", channel);
}

/* Shards may share a source pchannel (more shards than channels): the smaller place counts. */
static void add_position(struct store_positions *d, const char *channel, struct position pos)
{
	for (size_t i = 0; i < d->n_source; i++) {
		if (strcmp(d->source[i].channel, channel))
			continue;
		if (pos.ts < d->source[i].pos.ts)
			put_position(&d->source[i], channel, pos);
		return;
	}
	put_position(&d->source[d->n_source++], channel, pos);
}

static struct position shard_position(const struct coll_shard *sh)
{
	struct position pos = tchan_position(&sh->stream);

	metrics_set(sh->stream.metrics.tt_write, ts_ms(pos.ts));
	/* Without rows only ticks tell how far was read, and they end here. */
	if (metrics_value(sh->read_tt) < ts_ms(pos.ts))
		metrics_set(sh->read_tt, ts_ms(pos.ts));
	return pos;
}

bool coll_save_due(struct coll *c, int64_t now_ms, int64_t idle_ms)
{
	bool due = false, idle_due = now_ms - c->saved_mono_ms >= idle_ms;

	if (coll_get_state(c) == COLL_DROPPED)
		return !c->saved_dropped;
	for (int i = 0; coll_started(c) && i < c->n_shards; i++) {
		const struct coll_shard *sh = &c->shards[i];
		bool moved = shard_position(sh).ts != sh->saved_ts;
		bool rows = tchan_sent(&sh->stream) > sh->saved_ts;
		due = due || (moved && (rows || idle_due));
	}
	return due;
}

void coll_saved(struct coll *c, const struct store_positions *d, int64_t now_ms)
{
	for (size_t i = 0; i < d->n_source; i++)
		for (int k = 0; k < c->n_shards; k++)
			if (strcmp(c->shards[k].pchannel, d->source[i].channel) == 0)
				c->shards[k].saved_ts = d->source[i].pos.ts;
	c->saved_dropped = d->n_source && d->source[0].dropped;
	c->saved_mono_ms = now_ms;
}

bool coll_positions(struct coll *c, struct store_positions *ret)
{
	enum coll_state st = coll_get_state(c);
	bool dropped = st == COLL_DROPPED && c->recorded;

	if (!c->n_shards || (!coll_started(c) && !dropped))
		return false;
	mutex_lock(&c->run->mtx);
	char *name = xstrdup(c->name);
	mutex_unlock(&c->run->mtx);
	*ret = (struct store_positions){.task_id = xstrdup(c->run->task->id),
		.collection_id = c->id,
		.collection_name = name,
		.source = xcalloc((size_t)c->n_shards, sizeof(*ret->source))};
	for (int i = 0; i < c->n_shards; i++) {
		struct coll_shard *sh = &c->shards[i];
		add_position(ret, sh->pchannel, shard_position(sh));
	}
	for (size_t i = 0; i < ret->n_source; i++)
		ret->source[i].dropped = dropped;
	/* Asked last: a drop that was acknowledged while we looked must not be passed. */
	mutex_lock(&c->mtx);
	bool still = c->drop_pending && !dropped;
	mutex_unlock(&c->mtx);
	if (still)
		store_positions_done(ret);
	return !still;
}
