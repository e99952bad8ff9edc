#include "pipeline/tchan.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "model/ts.h"
#include "pipeline/tchan_priv.h"

enum { MARGIN_MS = 1000, MARGIN_MOST_MS = 60000, MARGIN_EXTRA_MS = 300 };

enum err_code tchan_new(const struct tchan_opts *o, struct tchan **ret_c, struct err *e)
{
	struct tchan *c = xcalloc(1, sizeof(*c));

	if (strlen(o->name) >= sizeof(c->name)) {
		free(c);
		return err_set(e, ERR_LIMIT, "the channel name %.40s... is longer than %d bytes",
			o->name, CHANNEL_BYTES - 1);
	}
	snprintf(c->name, sizeof(c->name), "%s", o->name);
	c->opts = *o;
	c->log = o->log;
	c->last_tick = o->floor_ts;
	c->last_tick_mono_ms = time_mono_ms();
	if (o->bound) {
		c->bound.all = o->bound->all;
		for (size_t i = 0; i < o->bound->n_late; i++)
			bound_record_add(&c->bound, o->bound->late[i].key, o->bound->late[i].ts);
	}
	c->opts.bound = NULL;
	mutex_init(&c->mtx, "target channel");
	cond_init(&c->work);
	cond_init(&c->room);
	list_init(&c->lanes);
	list_init(&c->unlaned);
	list_init(&c->notes);
	*ret_c = c;
	return ERR_OK;
}

static void lane_free(struct lane *l)
{
	for (struct list *n; (n = list_pop(&l->packs));) {
		struct pack *pk = LIST_ITEM(n, struct pack, link);
		pk->release(pk);
	}
	free(l);
}

void tchan_free(struct tchan *c)
{
	if (!c)
		return;
	for (struct list *n; (n = list_pop(&c->lanes));)
		lane_free(LIST_ITEM(n, struct lane, link));
	bound_record_done(&c->bound);
	cond_done(&c->work);
	cond_done(&c->room);
	mutex_done(&c->mtx);
	free(c);
}

const char *tchan_name(const struct tchan *c)
{
	return c->name;
}

const char *tchan_replicate_id(const struct tchan *c)
{
	return c->opts.replicate_id;
}

int64_t tchan_margin_ms_locked(const struct tchan *c)
{
	int64_t margin = MARGIN_MS;
	list_foreach (it, &c->lanes) {
		const struct lane *l = LIST_ITEM(it, struct lane, link);
		if (l->head_lag_ms >= 0)
			margin = MAX(margin, l->head_lag_ms + MARGIN_EXTRA_MS);
	}
	return MIN(margin, (int64_t)MARGIN_MOST_MS);
}

static bool drained(const struct lane *l)
{
	return l->closed && list_empty(&l->packs) && !l->in_flight;
}

static void move_streams(struct lane *from)
{
	for (struct list *n; (n = list_pop(&from->streams));) {
		struct stream *st = LIST_ITEM(n, struct stream, link);
		struct lane *to = st->next_lane ? st->next_lane : from->moved_to;
		st->lane = to;
		st->next_lane = NULL;
		list_push(to ? &to->streams : &from->chan->unlaned, &st->link);
	}
}

static bool pointed_to(const struct tchan *c, const struct lane *l)
{
	list_foreach (it, &c->lanes)
		if (LIST_ITEM(it, struct lane, link)->moved_to == l)
			return true;
	return false;
}

void tchan_window_end_locked(struct tchan *c, struct stream *st)
{
	if (st->replaying)
		c->replaying--;
	st->replaying = false;
}

/* A lane that others move to is kept until they are gone, so one that went may set free another. */
void tchan_sweep_locked(struct tchan *c)
{
	for (bool again = true; again;) {
		again = false;
		list_foreach (it, &c->lanes) {
			struct lane *l = LIST_ITEM(it, struct lane, link);
			if (!drained(l) || pointed_to(c, l))
				continue;
			move_streams(l);
			list_del(&l->link);
			lane_free(l);
			again = true;
		}
	}
	cond_broadcast(&c->room);
}

void tchan_attach(struct tchan *c, struct stream *st)
{
	mutex_lock(&c->mtx);
	st->chan = c;
	st->lane = st->next_lane = NULL;
	st->failed = st->stopped = st->unclean = false;
	/* Above all that was ever sent: a replay's deletes must be later than the copies they
	 * remove. */
	st->min_stamp = MAX(st->min_stamp, c->used);
	st->replaying = false;
	bound_attach_locked(c, st);
	list_push(&c->unlaned, &st->link);
	c->streams++;
	mutex_unlock(&c->mtx);
}

static void forget_in(struct list *packs, const struct stream *st)
{
	list_foreach (it, packs) {
		struct pack *pk = LIST_ITEM(it, struct pack, link);
		for (struct pack_msg *m = pk->msgs; m; m = m->next) {
			if (m->user == st)
				m->user = NULL;
		}
	}
}

static bool in_flight_locked(const struct tchan *c, const struct stream *st)
{
	if (!c->taken)
		return false;
	list_foreach (it, &c->taken->packs) {
		const struct pack *pk = LIST_ITEM(it, struct pack, link);
		for (const struct pack_msg *m = pk->msgs; m; m = m->next)
			if (m->user == st)
				return true;
	}
	return false;
}

/* Waits until the worker holds no row of st; an impatient caller cancels the call, and the worker
 * leaves the stopped stream's rows out when it builds the call again (tchan_prune). */
static void leave_call_locked(struct tchan *c, struct stream *st, struct deadline d)
	REQUIRES(c->mtx)
{
	while (in_flight_locked(c, st)) {
		if (cond_wait(&c->room, &c->mtx, d))
			continue;
		if (c->call)
			stop_set(c->call);
		d = deadline_in(100);
	}
}

static void forget_queued_locked(struct tchan *c, struct stream *st)
{
	list_foreach (it, &c->lanes)
		forget_in(&LIST_ITEM(it, struct lane, link)->packs, st);
}

void tchan_leave(struct stream *st)
{
	struct tchan *c = st->chan;

	if (!c)
		return;
	mutex_lock(&c->mtx);
	if (!st->stopped) {
		st->stopped = true;
		st->limit = st->lane ? st->lane->taken.ts : 0;
		if (st->lane && st->lane->partial)
			/* the first part of a pack is there, its position is not */
			st->unclean = true;
		forget_queued_locked(c, st);
	}
	cond_signal(&c->work);
	mutex_unlock(&c->mtx);
}

void tchan_detach(struct stream *st, int64_t patience_ms)
{
	struct tchan *c = st->chan;

	if (!c)
		return;
	tchan_leave(st);
	mutex_lock(&c->mtx);
	forget_queued_locked(c, st);
	leave_call_locked(c, st, deadline_in(patience_ms));
	tchan_window_end_locked(c, st);
	list_del(&st->link);
	c->streams--;
	st->chan = NULL;
	st->lane = st->next_lane = NULL;
	tchan_sweep_locked(c);
	mutex_unlock(&c->mtx);
}

struct position tchan_position(const struct stream *st)
{
	struct tchan *c = st->chan;
	if (!c)
		return st->acked;
	mutex_lock(&c->mtx);
	struct position p = st->acked;
	mutex_unlock(&c->mtx);
	return p;
}

bool tchan_still(const struct stream *st)
{
	struct tchan *c = st->chan;
	if (!c)
		return true;
	mutex_lock(&c->mtx);
	bool still = !st->lane || !st->lane->in_flight;
	mutex_unlock(&c->mtx);
	return still;
}

/* A lane counts as late for a moment after each tick, until its next pack is there; what is told here
 * is behind by more than the bound. */
int64_t tchan_late_ms(const struct stream *st)
{
	struct tchan *c = st->chan;
	int64_t ms = 0;

	if (!c || c->opts.untimed)
		return 0;
	mutex_lock(&c->mtx);
	uint64_t most = c->last_tick;
	list_foreach (it, &c->lanes)
		most = MAX(most, LIST_ITEM(it, const struct lane, link)->eff_ts);
	if (st->lane && st->lane->late && st->lane->eff_ts && most > st->lane->eff_ts)
		ms = ts_ms(most) - ts_ms(st->lane->eff_ts);
	mutex_unlock(&c->mtx);
	return ms > c->opts.late_bound_ms ? ms : 0;
}

uint64_t tchan_sent(const struct stream *st)
{
	struct tchan *c = st->chan;
	if (!c)
		return st->sent;
	mutex_lock(&c->mtx);
	uint64_t sent = st->sent;
	mutex_unlock(&c->mtx);
	return sent;
}

void tchan_rename(struct stream *st, const char *db, const char *collection)
{
	struct tchan *c = st->chan;

	if (!c)
		return;
	mutex_lock(&c->mtx);
	st->db = db;
	st->collection = collection;
	mutex_unlock(&c->mtx);
}

void tchan_names(const struct stream *st, const char **ret_db, const char **ret_collection)
{
	struct tchan *c = st->chan;

	mutex_lock(&c->mtx);
	*ret_db = st->db;
	*ret_collection = st->collection;
	mutex_unlock(&c->mtx);
}

void tchan_note(struct tchan *c, struct tchan_note *n)
{
	mutex_lock(&c->mtx);
	n->sent = n->acked = n->cancelled = false;
	list_push(&c->notes, &n->link);
	cond_signal(&c->work);
	mutex_unlock(&c->mtx);
}

bool tchan_note_done(struct tchan *c, struct tchan_note *n)
{
	mutex_lock(&c->mtx);
	bool done = n->acked;
	mutex_unlock(&c->mtx);
	return done;
}

void tchan_note_cancel(struct tchan *c, struct tchan_note *n)
{
	mutex_lock(&c->mtx);
	n->cancelled = true;
	while (n->sent && !n->acked) {
		if (c->call)
			stop_set(c->call);
		cond_wait(&c->room, &c->mtx, deadline_in(100));
	}
	if (!n->acked)
		list_del(&n->link);
	mutex_unlock(&c->mtx);
}

void tchan_wake(struct tchan *c)
{
	mutex_lock(&c->mtx);
	cond_signal(&c->work);
	mutex_unlock(&c->mtx);
}

void tchan_forget(struct tchan *c, struct pack_msg *m)
{
	mutex_lock(&c->mtx);
	m->user = NULL;
	cond_broadcast(&c->room);
	mutex_unlock(&c->mtx);
}

void tchan_call_begin(struct tchan *c, struct stop *call)
{
	mutex_lock(&c->mtx);
	c->call = call;
	mutex_unlock(&c->mtx);
}

void tchan_call_end(struct tchan *c)
{
	mutex_lock(&c->mtx);
	c->call = NULL;
	mutex_unlock(&c->mtx);
}

void tchan_note_used(struct tchan *c, uint64_t ts)
{
	mutex_lock(&c->mtx);
	c->used = MAX(c->used, ts);
	mutex_unlock(&c->mtx);
}

uint64_t tchan_used(struct tchan *c)
{
	mutex_lock(&c->mtx);
	uint64_t ts = MAX(c->used, c->last_tick);
	mutex_unlock(&c->mtx);
	return ts;
}

uint64_t tchan_last_tick(struct tchan *c)
{
	mutex_lock(&c->mtx);
	uint64_t t = c->last_tick;
	mutex_unlock(&c->mtx);
	return t;
}

bool tchan_unclean(struct tchan *c)
{
	mutex_lock(&c->mtx);
	bool unclean = c->opts.unclean;
	c->opts.unclean = false;
	mutex_unlock(&c->mtx);
	return unclean;
}

void tchan_stats(struct tchan *c, struct tchan_stats *ret)
{
	*ret = (struct tchan_stats){0};
	mutex_lock(&c->mtx);
	list_foreach (it, &c->lanes) {
		const struct lane *l = LIST_ITEM(it, struct lane, link);
		ret->queued_bytes += l->queued_bytes;
		ret->lanes++;
		ret->late_lanes += l->late;
	}
	ret->streams = c->streams;
	ret->last_tick = c->last_tick;
	ret->held_ms = c->held_ms;
	ret->waits_bound = c->bound_short;
	mutex_unlock(&c->mtx);
}
