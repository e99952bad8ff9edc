#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "model/ts.h"
#include "pipeline/tchan_priv.h"

struct lane *lane_open(struct tchan *c, const char *pchannel, uint64_t start_ts, bool chaser)
{
	struct lane *l = xcalloc(1, sizeof(*l));

	(void)pchannel;
	(void)chaser;
	l->chan = c;
	l->late = true; /* joins as late: enters the minimum when it has caught up */
	l->watermark = l->eff_ts = l->taken.ts = start_ts;
	l->head_lag_ms = -1;
	l->eff_mono_ms = time_mono_ms();
	list_init(&l->packs);
	list_init(&l->streams);
	mutex_lock(&c->mtx);
	list_push(&c->lanes, &l->link);
	mutex_unlock(&c->mtx);
	return l;
}

/* An idle topic yields a bare tick every 200 ms; only the newest matters. */
static bool merge_tick_locked(struct lane *l, struct pack *pk)
{
	if (pk->msgs || list_empty(&l->packs))
		return false;
	struct pack *last = LIST_ITEM(l->packs.prev, struct pack, link);
	if (last->msgs)
		return false;
	last->end_ts = pk->end_ts;
	last->end = pk->end;
	return true;
}

static void note_head_locked(struct lane *l, const struct pack *pk)
{
	uint64_t now = l->chan->opts.clock(l->chan->opts.clock_arg);
	l->head_lag_ms = pk->at_head && now ? ts_ms(now) - ts_ms(pk->end_ts) : -1;
}

/* Between two ticks a topic is in no order: proxies write the messages of requests that run at the
 * same time between each other, an upsert's delete behind its insert (Milvus 2.3.5). By time a later
 * request stays the later one, and deletes before inserts of equal time leave the insert to whoever
 * applies them one by one. */
static bool before(const struct pack_msg *a, const struct pack_msg *b)
{
	if (a->dml.min_ts != b->dml.min_ts)
		return a->dml.min_ts < b->dml.min_ts;
	return a->dml.type == MSG_DELETE && b->dml.type == MSG_INSERT;
}

static struct pack_msg *merge(struct pack_msg *a, struct pack_msg *b)
{
	struct pack_msg *head = NULL, **tail = &head;

	while (a && b) {
		struct pack_msg **least = before(b, a) ? &b : &a;
		*tail = *least;
		tail = &(*least)->next;
		*least = *tail;
	}
	*tail = a ? a : b;
	return head;
}

static bool is_sorted(const struct pack *pk)
{
	for (const struct pack_msg *m = pk->msgs; m && m->next; m = m->next)
		if (before(m->next, m))
			return false;
	return true;
}

/* A stable merge sort of the list: runs[i] holds 2^i messages. */
static void sort_by_time(struct pack *pk)
{
	struct pack_msg *runs[64] = {NULL}, *sorted = NULL;

	for (struct pack_msg *m = pk->msgs, *next; m; m = next) {
		size_t i = 0;
		next = m->next;
		m->next = NULL;
		for (; runs[i]; i++) {
			m = merge(runs[i], m);
			runs[i] = NULL;
		}
		runs[i] = m;
	}
	for (size_t i = 0; i < ARRAY_LEN(runs); i++)
		sorted = merge(runs[i], sorted);
	pk->msgs = sorted;
}

/* Is it of use to wake the worker for pk? A tick moves the channel only when the other lanes in time
 * have ticked, too; with 16 source channels all 16 would wake it for one call. It looks again by
 * itself before a lane can become late. */
static bool useful_locked(const struct lane *l, const struct pack *pk)
{
	const struct tchan *c = l->chan;

	if (pk->msgs || c->opts.untimed)
		return true;
	list_foreach (it, &c->lanes) {
		const struct lane *o = LIST_ITEM(it, struct lane, link);
		if (o != l && !o->late && !o->closed && o->watermark <= c->last_tick)
			return false;
	}
	return true;
}

enum err_code lane_push(struct lane *l, struct pack *pk, struct stop *s, struct err *e)
{
	struct tchan *c = l->chan;
	struct stop_watch w;
	bool merged = false, pushed = false, wake = false;

	if (!is_sorted(pk))
		sort_by_time(pk);
	stop_watch_add(s, &w, &c->mtx, &c->room);
	mutex_lock(&c->mtx);
	while (!stop_is_set(s) && pk->msgs && l->queued_bytes > LIMIT_LANE_BYTES)
		cond_wait(&c->room, &c->mtx, DEADLINE_NEVER);
	if (!stop_is_set(s)) {
		pushed = true;
		wake = useful_locked(l, pk);
		note_head_locked(l, pk);
		l->watermark = pk->end_ts;
		merged = merge_tick_locked(l, pk);
		if (!merged) {
			list_push(&l->packs, &pk->link);
			l->queued_bytes += pk->cost_bytes;
		}
	}
	mutex_unlock(&c->mtx);
	if (wake) /* after the unlock: the worker runs on at once; the lane keeps c alive */
		cond_signal(&c->work);
	stop_watch_del(s, &w);
	if (merged || !pushed)
		pk->release(pk);
	return pushed ? ERR_OK : stop_err(e);
}

void lane_move(struct lane *from, struct lane *to)
{
	struct tchan *c = from->chan;

	mutex_lock(&c->mtx);
	from->moved_to = to;
	from->closed = true;
	tchan_sweep_locked(c);
	cond_signal(&c->work);
	mutex_unlock(&c->mtx);
}

void lane_close(struct lane *l)
{
	struct tchan *c = l->chan;

	mutex_lock(&c->mtx);
	l->closed = true;
	tchan_sweep_locked(c);
	cond_signal(&c->work);
	mutex_unlock(&c->mtx);
}

size_t lane_held(struct lane *l)
{
	struct tchan *c = l->chan;

	mutex_lock(&c->mtx);
	size_t bytes = l->queued_bytes + l->taken_bytes;
	mutex_unlock(&c->mtx);
	return bytes;
}

void lane_set(struct stream *st, struct lane *l)
{
	struct tchan *c = l->chan;

	mutex_lock(&c->mtx);
	if (st->lane && st->lane != l) {
		/* A second move while the first drains: that lane's own goal does the rest. */
		if (!st->next_lane)
			st->next_lane = l;
	} else if (!st->lane) {
		st->lane = l;
		list_del(&st->link);
		list_push(&l->streams, &st->link);
	}
	tchan_sweep_locked(c);
	mutex_unlock(&c->mtx);
}
