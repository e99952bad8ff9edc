#include "pipeline/bound.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "model/ts.h"
#include "pipeline/tchan_priv.h"

enum {
	STEP_LEAST_MS = 4000,
	STEP_IDLE_MS = 20000, /* no row has left lately: a far bound costs nothing */
	STEP_MOST_MS = 3600 * 1000,
	IDLE_MS = 30000,
	PACE_MS = 2000, /* a step lasts that long at the present pace */
	LEAST_ELAPSED_MS = 100,
	WORTH_MS = 10000, /* a late stream's own bound must save that much */
};

void bound_record_done(struct bound_record *r)
{
	for (size_t i = 0; i < r->n_late; i++)
		free(r->late[i].key);
	free(r->late);
	*r = (struct bound_record){.all = 0};
}

static struct bound_late *find(const struct bound_record *r, const char *key)
{
	for (size_t i = 0; i < r->n_late; i++)
		if (strcmp(r->late[i].key, key) == 0)
			return &r->late[i];
	return NULL;
}

void bound_record_add(struct bound_record *r, const char *key, uint64_t ts)
{
	struct bound_late *l = find(r, key);

	if (l) {
		l->ts = ts;
		return;
	}
	mem_grow(&r->late, &r->cap_late, r->n_late + 1, sizeof(*r->late));
	r->late[r->n_late++] = (struct bound_late){xstrdup(key), ts};
}

uint64_t bound_record_of(const struct bound_record *r, const char *key)
{
	const struct bound_late *l = key ? find(r, key) : NULL;
	return l ? l->ts : r->all;
}

void tchan_bound(struct tchan *c, struct bound_record *ret)
{
	mutex_lock(&c->mtx);
	*ret = (struct bound_record){.all = c->bound.all};
	for (size_t i = 0; i < c->bound.n_late; i++)
		bound_record_add(ret, c->bound.late[i].key, c->bound.late[i].ts);
	mutex_unlock(&c->mtx);
}

uint64_t tchan_bound_of(struct tchan *c, const char *key)
{
	mutex_lock(&c->mtx);
	uint64_t ts = bound_record_of(&c->bound, key);
	mutex_unlock(&c->mtx);
	return ts;
}

/* A window that another life left may end above the bound (the Go server has none): its end is made
 * durable before the first row moves the position into it. */
bool bound_allows_locked(struct tchan *c, const struct stream *st, uint64_t ts)
{
	uint64_t bound = st->own_bound ? st->own_bound : c->bound.all;

	if (!c->opts.bounded || MAX(ts, st->replay_until) <= bound)
		return true;
	c->bound_short = true;
	return false;
}

void bound_attach_locked(struct tchan *c, struct stream *st)
{
	const struct bound_late *l = st->key ? find(&c->bound, st->key) : NULL;

	st->own_bound = l ? l->ts : 0;
	st->sent = MAX(st->acked.ts, st->replay_until);
}

/* How far a lane wants to send now: its newest row, or what it has sent. */
static uint64_t wanted(const struct lane *l)
{
	return MAX(l->watermark, l->taken.ts);
}

int64_t bound_step_ms(int64_t step_ms, int64_t used_ms, int64_t elapsed_ms)
{
	int64_t pace = used_ms * PACE_MS / MAX(elapsed_ms, (int64_t)LEAST_ELAPSED_MS);
	return MIN(MAX(MAX(pace, step_ms / 2), (int64_t)STEP_LEAST_MS), (int64_t)STEP_MOST_MS);
}

static void pace(struct bound_pace *p, uint64_t now_ts, int64_t now_ms)
{
	int64_t used_ms = p->at && now_ts > p->at ? ts_ms(now_ts) - ts_ms(p->at) : 0;

	p->step_ms = bound_step_ms(p->step_ms, used_ms, now_ms - p->mono_ms);
	p->at = now_ts;
	p->mono_ms = now_ms;
}

static uint64_t most_wanted_locked(const struct tchan *c, bool any)
{
	uint64_t most = 0;

	list_foreach (it, &c->lanes) {
		const struct lane *l = LIST_ITEM(it, struct lane, link);
		if (any || !l->late)
			most = MAX(most, wanted(l));
	}
	return most;
}

static uint64_t most_sent(const struct list *streams)
{
	uint64_t most = 0;
	list_foreach (it, streams)
		most = MAX(most, LIST_ITEM(it, const struct stream, link)->sent);
	return most;
}

static uint64_t most_sent_locked(const struct tchan *c)
{
	uint64_t most = most_sent(&c->unlaned);
	list_foreach (it, &c->lanes)
		most = MAX(most, most_sent(&LIST_ITEM(it, const struct lane, link)->streams));
	return most;
}

static size_t count_streams(const struct lane *l)
{
	size_t n = 0;
	list_foreach (it, &l->streams)
		n++;
	return n;
}

/* A lane far behind the others gets bounds of its own, so that a crash doesn't make everything
 * between it and the others a window. */
static void plan_late_locked(struct lane *l, struct bound_record *r)
{
	uint64_t at = wanted(l);

	if (!l->late || r->n_late + count_streams(l) > LIMIT_BOUND_LATE)
		return;
	pace(&l->pace, at, time_mono_ms());
	uint64_t to = at + ts_from_ms(l->pace.step_ms);
	if (to + ts_from_ms(WORTH_MS) > r->all)
		return;
	list_foreach (it, &l->streams) {
		const struct stream *st = LIST_ITEM(it, struct stream, link);
		if (st->key && MAX(to, st->sent) < r->all)
			bound_record_add(r, st->key, MAX(to, st->sent));
	}
}

static bool late_needs_locked(const struct lane *l)
{
	list_foreach (it, &l->streams) {
		const struct stream *st = LIST_ITEM(it, struct stream, link);
		if (st->own_bound && st->own_bound < wanted(l) + ts_from_ms(l->pace.step_ms / 2))
			return true;
	}
	return false;
}

static bool needed_locked(const struct tchan *c, uint64_t most)
{
	if (c->bound_short || (most && c->bound.all < most + ts_from_ms(c->pace.step_ms / 2)))
		return true;
	list_foreach (it, &c->lanes) {
		const struct lane *l = LIST_ITEM(it, struct lane, link);
		if (l->late && !list_empty(&l->packs) && late_needs_locked(l))
			return true;
	}
	return false;
}

bool tchan_bound_next(struct tchan *c, struct bound_record *ret)
{
	mutex_lock(&c->mtx);
	uint64_t most = most_wanted_locked(c, false);
	if (!most)
		most = most_wanted_locked(c, true);
	bool needed = c->opts.bounded && needed_locked(c, most);
	if (needed) {
		c->bound_short = false;
		int64_t now_ms = time_mono_ms();
		pace(&c->pace, most, now_ms);
		if (now_ms - c->rows_mono_ms > IDLE_MS)
			c->pace.step_ms = MAX(c->pace.step_ms, (int64_t)STEP_IDLE_MS);
		*ret = (struct bound_record){.all = MAX(MAX(c->bound.all, most_sent_locked(c)),
						     most + ts_from_ms(c->pace.step_ms))};
		list_foreach (it, &c->lanes)
			plan_late_locked(LIST_ITEM(it, struct lane, link), ret);
	}
	mutex_unlock(&c->mtx);
	return needed;
}

static void apply(struct list *streams, const struct bound_record *r)
{
	list_foreach (it, streams) {
		struct stream *st = LIST_ITEM(it, struct stream, link);
		const struct bound_late *l = st->key ? find(r, st->key) : NULL;
		st->own_bound = l ? l->ts : 0;
	}
}

void tchan_bound_set(struct tchan *c, struct bound_record *r)
{
	mutex_lock(&c->mtx);
	struct bound_record old = c->bound;
	c->bound = *r;
	list_foreach (it, &c->lanes)
		apply(&LIST_ITEM(it, struct lane, link)->streams, &c->bound);
	apply(&c->unlaned, &c->bound);
	cond_signal(&c->work);
	mutex_unlock(&c->mtx);
	bound_record_done(&old);
	*r = (struct bound_record){.all = 0};
}
