#include "pipeline/bundle.h"

#include <stdlib.h>

#include "base/mem.h"
#include "model/ts.h"
#include "pipeline/translate.h"

void bundle_init(struct bundle *k)
{
	*k = (struct bundle){.tick = 0};
}

static void empty(struct bundle *k)
{
	arena_reset(&k->arena);
	for (size_t i = 0; i < k->n_msgs; i++)
		iov_reset(&k->msgs[i]);
	k->n_msgs = k->rows = 0;
	k->lowest = k->highest = k->tick = 0;
	iov_reset(&k->request);
}

void bundle_done(struct bundle *k)
{
	for (size_t i = 0; i < k->cap_msgs; i++)
		iov_done(&k->msgs[i]);
	free(k->msgs);
	free(k->from);
	arena_done(&k->arena);
	iov_done(&k->request);
}

static struct iov *next_msg(struct bundle *k)
{
	size_t old = k->cap_msgs;
	mem_grow(&k->msgs, &k->cap_msgs, k->n_msgs + 1, sizeof(*k->msgs));
	if (k->cap_msgs != old)
		k->from = xrealloc(k->from, k->cap_msgs * sizeof(*k->from));
	k->from[k->n_msgs] = NULL;
	for (size_t i = old; i < k->cap_msgs; i++)
		k->msgs[i] = (struct iov){.n = 0};
	return &k->msgs[k->n_msgs];
}

static void note_stamps(struct bundle *k, uint64_t lowest, uint64_t highest)
{
	k->lowest = k->lowest ? MIN(k->lowest, lowest) : lowest;
	k->highest = MAX(k->highest, highest);
}

static void fail_stream(struct stream *st, const struct pack_msg *m, struct err *e)
{
	err_ctx(e, "%s message of %.*s", msg_type_name(m->dml.type), (int)m->dml.shard.n,
		(const char *)m->dml.shard.p);
	st->ops->failed(st, e);
}

/* A header that tells another time than its rows have may have put them behind ticks that an earlier
 * run sent: none may be at or below its pack's begin. What a replicator wrote is in time whatever its
 * rows say, and replays have times of their own. */
static uint64_t begin_of(const struct pack *pk, const struct pack_msg *m, bool again)
{
	return again || m->dml.base.replicate_id.n ? 0 : pk->begin_ts;
}

/* Adds one message of rows, in a replay with a delete of its keys in front. */
static enum err_code add_rows(struct bundle *k, struct taken *taken, struct stream *st,
	const struct pack *pk, struct pack_msg *m, const struct bundle_opts *o, struct err *e)
{
	bool again = o->replay_from || m->again;
	uint64_t floor = MAX(MAX(o->floor, st->min_stamp), begin_of(pk, m, again));
	struct stamped times;
	struct translate t = {.shard = st->shard,
		.collection_id = st->target_id,
		.partition_id = m->target_partition,
		.replicate_id = o->replicate_id};

	tchan_names(st, &t.db, &t.collection);
	uint64_t from = MAX(o->replay_from, again ? o->window_from : 0);
	if (from)
		floor = MAX(floor, from - 1);
	if (stamp_message(&st->stamp, &m->dml, floor, &k->arena, &times, e))
		return e->code;
	if (again && m->dml.type == MSG_INSERT && !st->at_least_once) {
		/* One time for all deletes of the replay: rows of it that share a key survive. */
		t.msg_id = o->fresh_id(o->arg);
		uint64_t at = from ? MAX(from, floor + 1) : times.lowest;
		if (translate_replay_delete(&t, &m->dml, st->pk_field_id, st->pk_is_varchar, at,
			    &k->arena, next_msg(k), e))
			return e->code;
		k->from[k->n_msgs++] = m;
		note_stamps(k, at, at);
	}
	t.msg_id = again ? o->fresh_id(o->arg) : 0;
	t.stamps = (struct stamps){.change = times.change, .one = times.one, .rows = times.rows};
	if (translate_dml(&t, &m->dml, &k->arena, next_msg(k), e))
		return e->code;
	k->from[k->n_msgs++] = m;
	k->rows += m->dml.rows;
	note_stamps(k, times.lowest, times.highest);
	if (again)
		taken->replayed = MAX(taken->replayed, times.highest);
	if (times.change)
		metrics_add(st->metrics.late, (int64_t)m->dml.rows);
	return ERR_OK;
}

static void add_msg(struct bundle *k, struct tchan *c, struct taken *t, const struct pack *pk,
	struct pack_msg *m, const struct bundle_opts *o)
{
	struct stream *st = m->user;
	struct err e = ERR_INIT;

	if (!st || st->ended_ts)
		return;
	if (m->dml.type == MSG_DROP_COLLECTION || m->dml.type == MSG_DROP_PARTITION) {
		if (m->dml.type == MSG_DROP_COLLECTION)
			st->ended_ts = m->dml.min_ts;
		st->ops->drop(st, &m->dml);
		tchan_forget(c, m); /* last: from now on st may go */
		return;
	}
	if (m->dml.type != MSG_INSERT && m->dml.type != MSG_DELETE) {
		err_set(&e, ERR_UNSUPPORTED, "this server can't replicate it");
		fail_stream(st, m, &e);
		return;
	}
	size_t before = k->n_msgs;
	if (add_rows(k, t, st, pk, m, o, &e)) {
		for (size_t i = before; i <= k->n_msgs && i < k->cap_msgs; i++)
			iov_reset(&k->msgs[i]);
		k->n_msgs = before;
		fail_stream(st, m, &e);
	}
}

/* False: it can't be sent, and is left out. */
static bool add_own(struct bundle *k, struct translate *t, const struct dml *d, uint64_t ts)
{
	struct err e = ERR_INIT;

	t->stamps = (struct stamps){.change = true, .one = ts};
	if (translate_dml(t, d, &k->arena, next_msg(k), &e)) {
		iov_reset(&k->msgs[k->n_msgs]);
		return false;
	}
	k->n_msgs++;
	note_stamps(k, ts, ts);
	return true;
}

static void add_note_rows(struct bundle *k, const struct tchan *c, const struct tchan_note *n,
	const struct bundle_opts *o)
{
	uint64_t ts = MAX(k->highest, o->floor) + 1;
	struct translate t = {.db = n->db,
		.collection = n->collection,
		.shard = n->shard,
		.collection_id = n->collection_id,
		.partition_id = n->partition_id,
		.msg_id = o->fresh_id(o->arg),
		.replicate_id = tchan_replicate_id(c)};

	if (!add_own(k, &t, n->gone, ts) || !n->rows)
		return;
	t.msg_id = o->fresh_id(o->arg);
	/* Rows: of an unknown fate they are built anew, above the copy that may have landed. */
	if (add_own(k, &t, n->rows, ts + 1))
		k->rows += n->rows->rows;
}

static void add_note(
	struct bundle *k, const struct tchan *c, const struct tchan_note *n, uint64_t floor)
{
	uint64_t ts = MAX(k->highest, floor) + 1;
	struct translate t = {.db = n->db,
		.collection = n->collection,
		.collection_id = n->collection_id,
		.partition_id = n->partition_id,
		.replicate_id = tchan_replicate_id(c)};

	translate_drop(n->type, &t, n->partition, ts, &k->arena, next_msg(k));
	k->n_msgs++;
	note_stamps(k, ts, ts);
}

void bundle_select(struct bundle *k, const struct tchan *c, size_t first, size_t n)
{
	struct replicate_request r = {.channel = tchan_name(c),
		.begin_ts = k->lowest ? k->lowest : k->tick,
		.end_ts = MAX(k->highest, k->tick),
		.start_id = k->end_id,
		.end_id = k->end_id,
		.msgs = k->msgs + first,
		.n_msgs = n};

	iov_reset(&k->request);
	translate_request(&r, &k->arena, &k->request);
}

static void finish(struct bundle *k, const struct tchan *c, struct slice end)
{
	k->end_id = end;
	if (k->tick) {
		translate_tick(k->tick, tchan_replicate_id(c), &k->arena, next_msg(k));
		k->n_msgs++;
	}
	if (k->n_msgs)
		bundle_select(k, c, 0, k->n_msgs);
}

static uint64_t tick_of(
	const struct bundle *k, const struct taken *t, bool notes, const struct bundle_opts *o)
{
	uint64_t tick = t->tick > o->floor ? t->tick : 0;

	/* A drop message, a replay and rows without any lane in time are made visible by a tick of
	 * their own. */
	if (k->highest > tick && (notes || t->raise_tick || o->replay_from))
		tick = k->highest;
	if (tick)
		tick = MAX(tick, MAX(t->untold, t->replayed));
	return tick > t->tick && t->parted ? 0 : tick;
}

void bundle_build(struct bundle *k, struct tchan *c, struct taken *t, const struct bundle_opts *o)
{
	struct slice end = slice_of("", 0);
	bool notes = !list_empty(&t->notes);

	empty(k);
	t->replayed = 0;
	list_foreach (it, &t->packs) {
		struct pack *pk = LIST_ITEM(it, struct pack, link);
		for (struct pack_msg *m = pk->msgs; m; m = m->next)
			add_msg(k, c, t, pk, m, o);
		end = mq_id_slice(&pk->end.id);
	}
	list_foreach (it, &t->notes) {
		const struct tchan_note *n = LIST_ITEM(it, struct tchan_note, link);
		if (n->gone)
			add_note_rows(k, c, n, o);
		else
			add_note(k, c, n, o->floor);
	}
	k->tick = tick_of(k, t, notes, o);
	finish(k, c, end);
}

void bundle_build_tick(struct bundle *k, const struct tchan *c, uint64_t tick)
{
	empty(k);
	k->tick = tick;
	finish(k, c, slice_of("", 0));
}

/* The tasks whose messages a call carried, each once. */
struct callers {
	struct metric_series *seen[16];
	size_t n;
};

static void count_caller(struct callers *c, struct metric_series *calls)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->seen[i] == calls)
			return;
	if (c->n < ARRAY_LEN(c->seen)) {
		c->seen[c->n++] = calls;
		metrics_add(calls, 1);
	}
}

static void count_msg(struct callers *c, const struct pack_msg *m)
{
	struct stream *st = m->user;

	if (!st)
		return;
	bool ins = m->dml.type == MSG_INSERT;
	count_caller(c, st->metrics.calls);
	metrics_add(ins ? st->metrics.rows_insert : st->metrics.rows_delete, (int64_t)m->dml.rows);
	metrics_add(ins ? st->metrics.bytes_insert : st->metrics.bytes_delete,
		(int64_t)m->dml.payload.n);
	metrics_set(st->metrics.tt_write, ts_ms(m->dml.max_ts));
	if (ins && m->again)
		metrics_add(st->metrics.replayed, (int64_t)m->dml.rows);
}

void bundle_count(const struct taken *t)
{
	struct callers callers = {.n = 0};

	list_foreach (it, &t->packs) {
		const struct pack *pk = LIST_ITEM(it, struct pack, link);
		for (const struct pack_msg *m = pk->msgs; m; m = m->next)
			count_msg(&callers, m);
	}
}
