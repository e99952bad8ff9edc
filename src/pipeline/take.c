/* What the next call carries.
 *
 *   in time   the lane is part of the minimum: the channel's watermark is the smallest of these
 *   lanes' ends
 *   late      the lane is below the last tick (or at it with rows), or it held the channel back for
 *             longer than the bound; its packs go along with the next call and their rows get times
 *             above the last tick
 *
 * A lane becomes in time again when it is above the last tick and within a quarter of the bound of
 * the most advanced lane. With no lane in time the tick follows the target's clock (less a
 * margin). */
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "model/ts.h"
#include "pipeline/tchan_priv.h"

enum {
	STALL_CHECK_MS = 50,
	TICK_CHECK_MS = 250, /* longer than a tick of the source takes to come */
	LATE_SHARE_PERCENT = 25,
	UNTIMED_WAIT_MS = 60000,
	UNWANTED_MS = 1000,
	WINDOW_MS = 3000, /* the longest time without a tick that a window may take */
	HEAD_MS = 1000,   /* a lane so close to the target's clock is at the head of the source */
};

void taken_init(struct taken *t)
{
	*t = (struct taken){.tick = 0};
	list_init(&t->packs);
	list_init(&t->notes);
}

void taken_done(struct taken *t)
{
	freep(&t->lanes);
	t->n_lanes = t->cap_lanes = 0;
}

static void reset(struct taken *t, uint64_t floor)
{
	t->tick = 0;
	t->floor = floor;
	t->raise_tick = t->keepalive = false;
	t->window_from = t->untold = t->replayed = 0;
	t->parted = false;
	t->n_msgs = t->bytes = t->n_lanes = 0;
}

/* Can the first queued pack leave? All its rows need a target partition, and their streams must
 * have arrived at this lane (a moving stream's older packs leave first). */
static bool ready_locked(struct lane *l, struct pack *pk)
{
	for (struct pack_msg *m = pk->msgs; m; m = m->next) {
		struct stream *st = m->user;
		if (!st || st->stopped || st->failed)
			continue;
		if (st->lane != l)
			return false;
		if (!bound_allows_locked(l->chan, st, pk->end_ts))
			return false;
		m->target_partition = m->dml.partition_id;
		if (m->dml.partition_id == -1 ||
			(m->dml.type != MSG_INSERT && m->dml.type != MSG_DELETE))
			continue;
		switch (st->ops->partition(
			st, m->dml.partition_id, m->dml.partition_name, &m->target_partition)) {
		case STREAM_PARTITION_OK:
			break;
		case STREAM_PARTITION_WAIT:
			return false;
		case STREAM_PARTITION_SKIP:
			metrics_add(st->metrics.skipped, (int64_t)m->dml.rows);
			stream_count_skipped(st, &m->dml);
			m->user = NULL;
			break;
		}
	}
	return true;
}

static struct pack *first(struct lane *l)
{
	return list_empty(&l->packs) ? NULL : LIST_ITEM(l->packs.next, struct pack, link);
}

/* How far a lane lets the channel go: the end of what it has queued, or, when its first pack can't
 * leave, the end of what has left. */
static void refresh_lane_locked(struct lane *l, int64_t now_ms)
{
	struct pack *pk = first(l);
	l->blocked = pk && !ready_locked(l, pk);
	uint64_t eff = l->blocked ? l->taken.ts : l->watermark;
	if (eff != l->eff_ts) {
		l->eff_ts = eff;
		l->eff_mono_ms = now_ms;
	}
}

/* Below which time a lane holds no row: the begin of its first queued pack that has rows. */
static uint64_t row_free_until(struct lane *l)
{
	uint64_t until = l->taken.ts;
	list_foreach (it, &l->packs) {
		const struct pack *pk = LIST_ITEM(it, struct pack, link);
		if (pk->msgs)
			return MAX(until, pk->begin_ts);
		until = pk->end_ts;
	}
	return UINT64_MAX;
}

/* At the last tick a lane without rows has only ticked, and its next rows are above. One with rows
 * there has been overtaken or is stuck, and holds nobody. */
static bool holds_rows(struct lane *l)
{
	return row_free_until(l) != UINT64_MAX;
}

static void refresh_late_locked(struct tchan *c, int64_t now_ms)
{
	uint64_t bound = ts_from_ms(c->opts.late_bound_ms), most = 0;

	list_foreach (it, &c->lanes) {
		struct lane *l = LIST_ITEM(it, struct lane, link);
		refresh_lane_locked(l, now_ms);
		most = MAX(most, l->eff_ts);
	}
	list_foreach (it, &c->lanes) {
		struct lane *l = LIST_ITEM(it, struct lane, link);
		if (l->eff_ts < c->last_tick || (l->eff_ts == c->last_tick && holds_rows(l)))
			l->late = true;
		else if (l->late)
			l->late = l->eff_ts + bound / 4 < most;
		else if (l->eff_ts + bound < most &&
			 now_ms - l->eff_mono_ms > c->opts.late_bound_ms)
			l->late = true;
	}
}

/* The smallest end of the lanes in time; 0 if there is none. */
static uint64_t watermark_locked(const struct tchan *c)
{
	uint64_t w = 0;
	list_foreach (it, &c->lanes) {
		const struct lane *l = LIST_ITEM(it, struct lane, link);
		bool over = l->closed && list_empty(&l->packs); /* waits only for its last ack */
		if (!l->late && !over && (!w || l->eff_ts < w))
			w = l->eff_ts;
	}
	return w;
}

/* Rows are never stamped ahead of the target's clock: what is newer waits for it. */
static uint64_t hold_locked(struct tchan *c, uint64_t w, uint64_t now)
{
	c->held_ms = now && w > now ? ts_ms(w) - ts_ms(now) : 0;
	return c->held_ms ? now : w;
}

static struct taken_lane *taken_lane(struct taken *t, struct lane *l)
{
	for (size_t i = 0; i < t->n_lanes; i++)
		if (t->lanes[i].lane == l)
			return &t->lanes[i];
	mem_grow(&t->lanes, &t->cap_lanes, t->n_lanes + 1, sizeof(*t->lanes));
	t->lanes[t->n_lanes] = (struct taken_lane){.lane = l};
	l->in_flight = true;
	return &t->lanes[t->n_lanes++];
}

/* May the message be on the target already? It was sent if its pack was: one with a replicate id
 * belongs to the pack of the next tick, whatever its own time, and a header may tell another time than
 * its rows. */
static bool in_window(const struct stream *st, const struct pack *pk, const struct pack_msg *m)
{
	uint64_t ts = MIN(MAX(m->dml.max_ts, pk->begin_ts + 1), pk->end_ts);

	return (m->dml.base.replicate_id.n ? pk->end_ts : ts) <= st->replay_until;
}

/* Notes that the rows of pk leave: what their streams have sent, and windows that begin. */
static void count_locked(struct tchan *c, struct taken *t, const struct pack *pk)
{
	t->n_msgs += pk->n_msgs;
	t->bytes += pk->cost_bytes;
	for (struct pack_msg *m = pk->msgs; m; m = m->next) {
		struct stream *st = m->user;
		if (!st)
			continue;
		st->sent = MAX(st->sent, pk->end_ts);
		m->again = in_window(st, pk, m);
		if (m->again && !st->replaying) {
			st->replaying = true;
			c->replaying++;
		}
	}
}

static void take_whole_locked(struct taken *t, struct lane *l, struct pack *pk)
{
	struct taken_lane *tl = taken_lane(t, l);
	list_del(&pk->link);
	l->queued_bytes -= MIN(l->queued_bytes, pk->cost_bytes);
	l->taken_bytes += pk->cost_bytes;
	l->taken = pk->end;
	tl->part = l->queue_parted = false;
	tl->end = pk->end;
	tl->whole = true;
	count_locked(l->chan, t, pk);
	list_push(&t->packs, &pk->link);
}

/* A pack longer than a call leaves in parts: the first messages become a pack of their own, without
 * a position. */
static void take_part_locked(struct taken *t, struct lane *l, struct pack *pk, size_t room_bytes)
{
	struct pack *part = xmemdup(pk, sizeof(*pk));
	struct pack_msg *last = pk->msgs;

	list_init(&part->link);
	part->n_msgs = 1;
	part->cost_bytes = last->cost_bytes;
	while (last->next && part->n_msgs < LIMIT_CALL_MSGS &&
		part->cost_bytes + last->next->cost_bytes <= room_bytes) {
		last = last->next;
		part->n_msgs++;
		part->cost_bytes += last->cost_bytes;
	}
	pk->msgs = last->next;
	last->next = NULL;
	pk->n_msgs -= part->n_msgs;
	pk->cost_bytes -= MIN(pk->cost_bytes, part->cost_bytes);
	l->queued_bytes -= MIN(l->queued_bytes, part->cost_bytes);
	l->taken_bytes += part->cost_bytes;
	l->partial = l->queue_parted = true;
	taken_lane(t, l)->part = true;
	count_locked(l->chan, t, part);
	list_push(&t->packs, &part->link);
}

/* The lane (of the late or of the others) whose first pack has the smallest end <= limit. */
static struct lane *next_lane_locked(struct tchan *c, bool late, uint64_t limit)
{
	struct lane *best = NULL;
	list_foreach (it, &c->lanes) {
		struct lane *l = LIST_ITEM(it, struct lane, link);
		struct pack *pk = first(l);
		if (!pk || l->late != late || pk->end_ts > limit)
			continue;
		if (best && first(best)->end_ts <= pk->end_ts)
			continue;
		if (!ready_locked(l, pk))
			continue;
		best = l;
	}
	return best;
}

/* A pack leaves whole if it can, if need be with the next call: ticks and notes wait for the rest of a
 * parted one. */
static void take_lanes_locked(
	struct tchan *c, struct taken *t, bool late, uint64_t limit, size_t max_bytes)
{
	size_t room = max_bytes > t->bytes ? max_bytes - t->bytes : 0, before = t->n_msgs;
	struct lane *l;

	while (t->n_msgs < LIMIT_CALL_MSGS && t->bytes < max_bytes &&
		(l = next_lane_locked(c, late, limit))) {
		struct pack *pk = first(l);
		bool fits = t->bytes + pk->cost_bytes <= max_bytes &&
			    t->n_msgs + pk->n_msgs <= LIMIT_CALL_MSGS;
		if (fits || pk->n_msgs == 1 || c->opts.untimed)
			take_whole_locked(t, l, pk);
		else if (t->n_msgs == before || pk->cost_bytes > room)
			take_part_locked(t, l, pk, max_bytes - t->bytes);
		if (!fits)
			break;
	}
}

static bool late_waits_locked(struct tchan *c)
{
	return next_lane_locked(c, true, UINT64_MAX) != NULL;
}

/* The tick a call may carry: below every row that an in-time lane still holds. */
static uint64_t tick_after_locked(struct tchan *c, uint64_t w)
{
	list_foreach (it, &c->lanes) {
		struct lane *l = LIST_ITEM(it, struct lane, link);
		if (!l->late)
			w = MIN(w, row_free_until(l));
	}
	return w > c->last_tick ? w : 0;
}

static uint64_t clock_tick_locked(const struct tchan *c, uint64_t now)
{
	uint64_t margin = ts_from_ms(tchan_margin_ms_locked(c));
	return now > margin && now - margin > c->last_tick ? now - margin : 0;
}

/* Did nothing move for so long that the target's readers must be told the time? */
static bool silent_locked(const struct tchan *c, int64_t now_ms)
{
	const struct tchan_opts *o = &c->opts;

	return o->keepalive_ms && now_ms - c->last_tick_mono_ms >= o->keepalive_ms &&
	       (!o->keep_alive || o->keep_alive(o->clock_arg));
}

/* A pack of which a part has left: a tick before the rest would part its equal times, and of an
 * insert and a delete of one time the delete would come out as the later one. The ticks of lanes in
 * time stay below such a pack, unless something raises them. */
static bool parted_locked(struct tchan *c, bool late)
{
	list_foreach (it, &c->lanes) {
		struct lane *l = LIST_ITEM(it, struct lane, link);
		if (l->late == late && l->queue_parted)
			return true;
	}
	return false;
}

/* All lanes are late for ever: nobody waits for anybody. Packs leave whole. */
static void choose_untimed_locked(struct tchan *c, struct taken *t)
{
	take_lanes_locked(c, t, true, UINT64_MAX, LIMIT_CALL_BYTES);
	list_splice(&t->notes, &c->notes);
}

/* Does a window under way still have its backlog before it? At the head of the source it waits for
 * rows that may come, and readers must not wait with it. */
static bool window_backlog_locked(const struct tchan *c, uint64_t now)
{
	list_foreach (it, &c->lanes) {
		const struct lane *l = LIST_ITEM(it, struct lane, link);
		if (l->watermark + ts_from_ms(HEAD_MS) >= now)
			continue;
		list_foreach (s, &l->streams)
			if (LIST_ITEM(s, const struct stream, link)->replaying)
				return true;
	}
	return false;
}

/* The windows of all streams are replayed between two ticks, with their deletes at one time: a
 * reader sees the state before or after, and rows of a window that share a key all survive. A
 * window that takes longer is cut by the next tick (tchan_acked), but not inside a pack. */
static bool window_locked(struct tchan *c, struct taken *t, int64_t now_ms, uint64_t now)
{
	if (!c->replaying) {
		c->window_from = 0;
		return false;
	}
	if (!c->window_from) {
		c->window_from = MAX(c->last_tick, c->used) + 1;
		c->window_mono_ms = now_ms;
	}
	t->window_from = c->window_from;
	return t->parted ||
	       (now_ms - c->window_mono_ms <= WINDOW_MS && window_backlog_locked(c, now));
}

/* Fills t; false if there is nothing to send now. */
static bool choose_locked(struct tchan *c, struct taken *t, int64_t now_ms)
{
	uint64_t now = c->opts.clock(c->opts.clock_arg);
	size_t most = c->opts.call_bytes ? c->opts.call_bytes : LIMIT_CALL_BYTES;

	reset(t, c->last_tick);
	if (c->opts.untimed) {
		choose_untimed_locked(c, t);
		return t->n_lanes || !list_empty(&t->notes);
	}
	refresh_late_locked(c, now_ms);
	uint64_t mark = watermark_locked(c), w = hold_locked(c, mark, now);
	if (w > c->last_tick) {
		size_t share =
			late_waits_locked(c) ? most / 100 * (100 - LATE_SHARE_PERCENT) : most;
		take_lanes_locked(c, t, false, w, share);
		take_lanes_locked(c, t, true, w, most);
		t->tick = tick_after_locked(c, w);
	} else if (mark) {
		/* Between two ticks of the lanes in time late rows leave all the same. */
		take_lanes_locked(c, t, true, w, most);
	} else {
		take_lanes_locked(c, t, true, now ? now : UINT64_MAX, most);
		t->raise_tick = true;
		if (t->n_msgs)
			t->tick = clock_tick_locked(c, now);
	}
	bool late_parted = parted_locked(c, true);
	t->parted = late_parted || parted_locked(c, false);
	if (!t->tick && !t->parted && silent_locked(c, now_ms)) {
		t->tick = clock_tick_locked(c, now);
		t->keepalive = t->tick && !t->n_msgs;
	}
	if (t->n_msgs)
		c->rows_mono_ms = now_ms;
	bool window = window_locked(c, t, now_ms, now);
	t->untold = c->untold;
	if (late_parted || window) {
		t->tick = 0;
		t->raise_tick = t->keepalive = false;
	} else if (!t->parted) {
		list_splice(&t->notes, &c->notes);
	}
	return t->n_lanes || t->tick || !list_empty(&t->notes);
}

static int64_t wait_ms_locked(const struct tchan *c, int64_t now_ms)
{
	int64_t ms = c->opts.keepalive_ms - (now_ms - c->last_tick_mono_ms);
	/* keep-alive ticks that nobody wants may be wanted later */
	if (ms <= 0 && !silent_locked(c, now_ms))
		ms = UNWANTED_MS;
	/* Ticks that can't leave alone do not wake the worker (lane.c): in time it sees them. */
	ms = c->opts.untimed ? UNTIMED_WAIT_MS : MIN(MAX(ms, STALL_CHECK_MS), TICK_CHECK_MS);
	list_foreach (it, &c->lanes)
		if (!list_empty(&LIST_ITEM(it, struct lane, link)->packs))
			/* something waits: for a partition, the bound or the clock */
			ms = STALL_CHECK_MS;
	return ms;
}

static void mark_notes_sent(struct taken *t)
{
	list_foreach (it, &t->notes)
		LIST_ITEM(it, struct tchan_note, link)->sent = true;
}

enum err_code tchan_take(struct tchan *c, struct taken *t, struct stop *s, struct err *e)
{
	struct stop_watch w;
	bool got = false, asked = false;

	stop_watch_add(s, &w, &c->mtx, &c->work);
	mutex_lock(&c->mtx);
	while (!stop_is_set(s)) {
		int64_t now_ms = time_mono_ms();
		got = choose_locked(c, t, now_ms);
		if (got)
			break;
		if (c->bound_short && !asked) {
			asked = true;
			mutex_unlock(&c->mtx);
			c->opts.wants_bound(c->opts.clock_arg);
			mutex_lock(&c->mtx);
			continue;
		}
		asked = false;
		cond_wait(&c->work, &c->mtx, deadline_in(wait_ms_locked(c, now_ms)));
	}
	if (got) {
		mark_notes_sent(t);
		c->taken = t;
	}
	mutex_unlock(&c->mtx);
	stop_watch_del(s, &w);
	return got ? ERR_OK : stop_err(e);
}

static void given_back(struct lane *l)
{
	l->in_flight = false;
	l->taken_bytes = 0;
}

static void release_packs(struct list *packs)
{
	for (struct list *n; (n = list_pop(packs));) {
		struct pack *pk = LIST_ITEM(n, struct pack, link);
		pk->release(pk);
	}
}

static void move_positions_locked(struct lane *l, const struct position *end)
{
	list_foreach (it, &l->streams) {
		struct stream *st = LIST_ITEM(it, struct stream, link);
		if (st->failed || st->stopped || end->ts >= st->replay_until)
			tchan_window_end_locked(l->chan, st);
		if (st->failed || (st->stopped && end->ts > st->limit))
			continue;
		if (end->ts > st->acked.ts)
			st->acked = *end;
	}
}

void tchan_acked(struct tchan *c, struct taken *t, uint64_t sent_tick)
{
	struct list packs;

	list_init(&packs);
	mutex_lock(&c->mtx);
	c->untold = MAX(c->untold, t->replayed);
	if (sent_tick >= c->untold)
		c->untold = 0;
	if (sent_tick) {
		c->last_tick = sent_tick;
		c->window_from = 0; /* what is replayed after a tick is replayed above it */
		c->last_tick_mono_ms = time_mono_ms();
	}
	for (size_t i = 0; i < t->n_lanes; i++) {
		given_back(t->lanes[i].lane);
		t->lanes[i].lane->partial = t->lanes[i].part;
		if (t->lanes[i].whole)
			move_positions_locked(t->lanes[i].lane, &t->lanes[i].end);
	}
	for (struct list *n; (n = list_pop(&t->notes));)
		LIST_ITEM(n, struct tchan_note, link)->acked = true;
	list_splice(&packs, &t->packs);
	t->n_lanes = 0;
	c->taken = NULL;
	tchan_sweep_locked(c);
	mutex_unlock(&c->mtx);
	release_packs(&packs); /* gives budget back: may wake readers, so not under the lock */
}

static void leave_locked(struct taken *t, bool all, bool may_have_landed)
{
	list_foreach (it, &t->packs) {
		struct pack *pk = LIST_ITEM(it, struct pack, link);
		for (struct pack_msg *m = pk->msgs; m; m = m->next) {
			struct stream *st = m->user;
			if (!st || !(all || st->stopped || st->failed))
				continue;
			st->unclean = st->unclean || may_have_landed;
			st->limit = 0;
			m->user = NULL;
		}
	}
}

static void drop_cancelled_notes(struct taken *t)
{
	list_foreach (it, &t->notes) {
		struct tchan_note *n = LIST_ITEM(it, struct tchan_note, link);
		if (!n->cancelled)
			continue;
		list_del(it);
		n->acked = true; /* its owner waits for that, and knows that it cancelled */
	}
}

void tchan_prune(struct tchan *c, struct taken *t, bool may_have_landed)
{
	mutex_lock(&c->mtx);
	leave_locked(t, false, may_have_landed);
	drop_cancelled_notes(t);
	cond_broadcast(&c->room);
	mutex_unlock(&c->mtx);
}

void tchan_given_up(struct tchan *c, struct taken *t, bool may_have_landed)
{
	struct list packs;

	list_init(&packs);
	mutex_lock(&c->mtx);
	leave_locked(t, true, may_have_landed);
	for (size_t i = 0; i < t->n_lanes; i++)
		given_back(t->lanes[i].lane);
	for (struct list *n; (n = list_pop(&t->notes));) {
		LIST_ITEM(n, struct tchan_note, link)->sent = false;
		list_push(&c->notes, n);
	}
	list_splice(&packs, &t->packs);
	t->n_lanes = 0;
	c->taken = NULL;
	tchan_sweep_locked(c);
	mutex_unlock(&c->mtx);
	release_packs(&packs);
}
