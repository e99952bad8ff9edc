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

enum err_code lane_push(struct lane *l, struct pack *pk, struct stop *s, struct err *e)
{
	struct tchan *c = l->chan;
	struct stop_watch w;
	bool merged = false, pushed = false;

	stop_watch_add(s, &w, &c->mtx, &c->room);
	mutex_lock(&c->mtx);
	while (!stop_is_set(s) && pk->msgs && l->queued_bytes > LIMIT_LANE_BYTES)
		cond_wait(&c->room, &c->mtx, DEADLINE_NEVER);
	if (!stop_is_set(s)) {
		pushed = true;
		note_head_locked(l, pk);
		l->watermark = pk->end_ts;
		merged = merge_tick_locked(l, pk);
		if (!merged) {
			list_push(&l->packs, &pk->link);
			l->queued_bytes += pk->cost_bytes;
		}
		cond_signal(&c->work);
	}
	mutex_unlock(&c->mtx);
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
