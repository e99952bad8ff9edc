/* The streams of a collection: one a shard, source shard i to target shard i. The glue between the
 * readers' group vtable and the target channel's lanes is here too. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "model/ts.h"
#include "server/task/coll.h"
#include "server/config/config.h"
#include "server/task/run_priv.h"

static void *glue_lane_open(void *group, const char *pchannel, uint64_t start_ts, bool chaser)
{
	return lane_open(group, pchannel, start_ts, chaser);
}

static struct coll_shard *shard_of_sub(struct sub *s)
{
	return CONTAINER_OF(s, struct coll_shard, sub);
}

/* In data migration: the source is also a target of a server with our replicateID. */
static bool came_from_us(struct coll_shard *s, const struct dml *d)
{
	const char *id = s->coll->run->sv.config->replicate_id;

	if (!*id || !slice_eq_str(d->base.replicate_id, id))
		return false;
	metrics_add(s->skipped_own, (int64_t)d->rows);
	stream_count_skipped(&s->stream, d);
	return true;
}

static enum err_code glue_push(void *lane, struct pack *pk, struct stop *s, struct err *e)
{
	pk->release = pack_free;
	for (struct pack_msg *m = pk->msgs; m; m = m->next) {
		struct coll_shard *shard = shard_of_sub(m->sub);
		m->user = came_from_us(shard, &m->dml) ? NULL : &shard->stream;
	}
	return lane_push(lane, pk, s, e);
}

static void glue_move(void *from, void *to)
{
	lane_move(from, to);
}

static void glue_close(void *lane)
{
	lane_close(lane);
}

static size_t glue_held(void *lane)
{
	return lane_held(lane);
}

static const struct group_ops group_ops = {.lane_open = glue_lane_open,
	.push = glue_push,
	.move = glue_move,
	.lane_close = glue_close,
	.held = glue_held};

static void fail(struct coll *c, const struct err *e)
{
	mutex_lock(&c->mtx);
	if (!c->failure)
		c->failure = xasprintf("%.300s (%.80s)", e->text, err_meaning(e->code));
	mutex_unlock(&c->mtx);
	job_wake(&c->job, 0);
}

static void sub_failed(void *user, const struct err *e)
{
	struct coll_shard *s = user;
	/* Acks of its neighbours must not carry its position past what could not be read. */
	tchan_leave(&s->stream);
	fail(s->coll, e);
}

static void sub_lane_set(void *user, void *lane)
{
	struct coll_shard *s = user;
	lane_set(&s->stream, lane);
}

/* The worker's callback: st's rows are skipped from now on and its position stands still. */
static void stream_failed(struct stream *st, const struct err *e)
{
	st->failed = true;
	fail(st->owner, e);
}

static void stream_doubted(struct stream *st)
{
	coll_doubt(st->owner);
}

static void stream_drop(struct stream *st, const struct dml *d)
{
	struct coll_shard *s = CONTAINER_OF(st, struct coll_shard, stream);
	struct coll *c = s->coll;

	if (d->type == MSG_DROP_PARTITION) {
		coll_part_drop_seen(c, s->index, d->partition_id, d->min_ts);
		return;
	}
	mutex_lock(&c->mtx);
	s->drop_ts = d->min_ts;
	c->drop_pending = true;
	mutex_unlock(&c->mtx);
	job_wake(&c->job, 0);
}

static const struct stream_ops stream_ops = {.partition = coll_part_find,
	.drop = stream_drop,
	.failed = stream_failed,
	.doubted = stream_doubted};

static struct metric_series *rows_metric(struct coll *c, const char *op, const char *api_type)
{
	char id[24];
	snprintf(id, sizeof(id), "%" PRId64, c->id);
	return metrics_get(
		METRIC_replicate_data_cnt, c->run->task->id, id, c->name, op, api_type, NULL);
}

static struct metric_series *bytes_metric(
	struct coll *c, const struct coll_shard *s, const char *op, const char *type)
{
	return metrics_get(
		METRIC_replicate_data_size, c->run->task->id, s->pchannel, op, type, NULL);
}

void coll_count_read(const struct sub *sub, const struct dml *d, size_t bytes)
{
	const struct coll_shard *s = sub->user;
	bool ins = d->type == MSG_INSERT;

	metrics_set(s->read_tt, ts_ms(d->max_ts));
	if (!ins && d->type != MSG_DELETE) { /* a drop, rare: its series need not be kept */
		const char *type = msg_type_name(d->type);
		metrics_add(
			bytes_metric(s->coll, s, "read", type ? type : "unknown"), (int64_t)bytes);
		return;
	}
	metrics_add(ins ? s->read_rows_insert : s->read_rows_delete, (int64_t)d->rows);
	metrics_add(ins ? s->read_bytes_insert : s->read_bytes_delete, (int64_t)bytes);
}

static void set_metrics(struct coll *c, struct coll_shard *s)
{
	const char *task = c->run->task->id;

	s->stream.metrics = (struct stream_metrics){
		.rows_insert = rows_metric(c, "write", "insert"),
		.rows_delete = rows_metric(c, "write", "delete"),
		.bytes_insert = bytes_metric(c, s, "write", "Insert"),
		.bytes_delete = bytes_metric(c, s, "write", "Delete"),
		.calls = metrics_get(METRIC_api_execute_total, task, "ReplicateMessage", NULL),
		.late = metrics_get(METRIC_late_rows, task, NULL),
		.replayed = metrics_get(METRIC_replayed_rows, task, NULL),
		.skipped = metrics_get(METRIC_skipped_rows, task, "dropped", NULL),
		.tt_write = metrics_get(METRIC_replicate_tt, task, s->pchannel, "write", NULL)};
	s->skipped_own = metrics_get(METRIC_skipped_rows, task, "replicated", NULL);
	s->read_rows_insert = rows_metric(c, "read", "insert");
	s->read_rows_delete = rows_metric(c, "read", "delete");
	s->read_bytes_insert = bytes_metric(c, s, "read", "Insert");
	s->read_bytes_delete = bytes_metric(c, s, "read", "Delete");
	s->read_tt = metrics_get(METRIC_replicate_tt, task, s->pchannel, "read", NULL);
}

/* Where the shard starts: its record, else the collection's creation. */
static enum err_code start_position(
	struct coll *c, struct coll_shard *s, struct position *ret, struct err *e)
{
	const struct store_position *p = run_start_position(c->run, c->id, s->pchannel);
	const char *damaged = run_start_damaged(c->run, c->id);

	/* The true place is unknown: to begin anywhere would lose or double rows. */
	if (damaged)
		return err_set(e, ERR_MALFORMED,
			"the stored position is damaged (%s): mend the record, or delete the task "
			"and create it with "
			"positions",
			damaged);
	if (p && (p->pos.id.n || p->exact)) {
		*ret = p->pos;
		if (!p->exact && p->time_ms)
			/* a reference's record: never later than true */
			ret->ts = ts_from_ms(p->time_ms);
		return ERR_OK;
	}
	if (c->src && s->index < c->src->shards_num && c->src->shards[s->index].start.n) {
		*ret = (struct position){.id = c->src->shards[s->index].start, .ts = c->create_ts};
		return ERR_OK;
	}
	return err_set(e, ERR_INVALID,
		"no start position for channel %s: neither a stored one nor one in the source's "
		"etcd; give one "
		"in the create request",
		s->pchannel);
}

/* The source time up to which rows may be on the target beyond the position; 0 = none. A position
 * that the Go server wrote, or that came with create, knows of no bound. */
static uint64_t window_end(struct coll *c, struct coll_shard *s)
{
	const struct store_position *p = run_start_position(c->run, c->id, s->pchannel);
	uint64_t head = c->run->replay_until;
	/* Asked in any case: the first to ask gets what the process before left. */
	uint64_t past = target_window_end(c->run->target, s->target_pchannel, s->chan, s->key);
	uint64_t bound = head || c->unclean ? past : 0;
	uint64_t killed = 0, unclean = 0;

	if (head)
		killed =
			bound && (!p || (p->exact && !c->run->unbounded)) ? MIN(bound, head) : head;
	if (c->unclean)
		unclean = s->sent ? s->sent : bound;
	if (c->unclean && !unclean)
		unclean = run_head_ts(c->run);
	return MAX(killed, unclean);
}

static enum err_code prepare(struct coll *c, struct coll_shard *s, struct err *e)
{
	struct stream *st = &s->stream;
	struct position start;

	if (start_position(c, s, &start, e) ||
		target_chan(c->run->target, s->target_pchannel, &s->chan, e))
		return e->code;
	st->ops = &stream_ops;
	st->owner = c;
	st->log = &c->log;
	st->db = c->target_db;
	st->collection = c->target_name;
	snprintf(st->shard, sizeof(st->shard), "%s", s->target_vchannel);
	st->target_id = c->target_id;
	st->pk_field_id = c->pk_field_id;
	st->pk_is_varchar = c->pk_is_varchar;
	st->pk_name = c->pk_name ? c->pk_name : "";
	if (!s->key)
		s->key = xasprintf("%s/%" PRId64 "/%d", c->run->task->id, c->id, s->index);
	if (!s->window_known)
		s->replay_until = window_end(c, s);
	s->window_known = true;
	st->key = s->key;
	st->replay_until = s->replay_until;
	st->at_least_once = c->run->task->at_least_once;
	st->acked = start;
	set_metrics(c, s);
	s->sub = (struct sub){.vchannel = s->vchannel,
		.pchannel = s->pchannel,
		.collection_id = c->id,
		.start = start,
		.ops = &group_ops,
		.group = s->chan,
		.user = s,
		.failed = sub_failed,
		.lane_set = sub_lane_set};
	return ERR_OK;
}

enum err_code coll_start_streams(struct coll *c, struct err *e)
{
	for (int i = 0; i < c->n_shards; i++)
		if (prepare(c, &c->shards[i], e))
			return err_ctx(e, "shard %d", i);
	for (int i = 0; i < c->n_shards; i++) {
		struct coll_shard *s = &c->shards[i];
		tchan_attach(s->chan, &s->stream);
		s->attached = true;
	}
	__atomic_store_n(&c->started, true, __ATOMIC_RELEASE);
	c->unclean = false; /* known anew when the streams stop */
	for (int i = 0; i < c->n_shards; i++)
		hub_subscribe(c->run->sv.hub, &c->shards[i].sub);
	return ERR_OK;
}

void coll_leave(struct coll *c)
{
	for (int i = 0; i < c->n_shards; i++)
		if (c->shards[i].attached)
			tchan_leave(&c->shards[i].stream);
}

void coll_leave_window(struct coll *c)
{
	c->unclean = true;
	/* It is from before the run that was killed, which may have sent more. */
	for (int i = 0; i < c->n_shards; i++)
		c->shards[i].sent = 0;
}

void coll_stop_streams(struct coll *c, int64_t patience_ms)
{
	coll_leave(c);
	for (int i = 0; i < c->n_shards; i++)
		if (c->shards[i].attached)
			hub_unsubscribe(c->run->sv.hub, &c->shards[i].sub);
	for (int i = 0; i < c->n_shards; i++) {
		struct coll_shard *s = &c->shards[i];
		if (!s->attached)
			continue;
		tchan_detach(&s->stream, patience_ms);
		s->attached = false;
		s->sent = s->stream.sent;
		/* What may be on the target beyond the position: a call of unknown fate, the first
		 * rows of a pack that failed in its middle, the rest of a replay's window. */
		if (s->stream.unclean || s->stream.failed ||
			s->stream.acked.ts < s->stream.replay_until)
			c->unclean = true;
	}
}
