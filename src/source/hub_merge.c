/* Chasers: joining the main reader when they have caught up with it, and leaving it with a lane
 * that would hold it up. */
#include <stdlib.h>

#include "base/limits.h"
#include "source/hub_priv.h"

/* A lane that holds that much, and so many times what another one does. */
enum { HOARD_LEAST = LIMIT_READER_FLOOR / 2, HOARD_FACTOR = 8 };

/* Main may be behind r, never ahead; and it must not be in a round, so that its lanes are used by
 * one thread only. Otherwise r goes on and asks again after its next pack. */
static bool may_merge_locked(
	UNUSED struct channel *ch, const struct reader *r, const struct reader *m) REQUIRES(ch->mtx)
{
	return m && m != r && !m->done && !stop_is_set(&m->stop) && !m->busy && !m->hold &&
	       m->at.ts && m->at.ts <= r->at.ts;
}

static struct sub *sub_of_locked(
	UNUSED struct channel *ch, struct reader *r, const struct outlet *o) REQUIRES(ch->mtx)
{
	list_foreach (it, &r->subs)
		if (LIST_ITEM(it, struct sub, link)->outlet == o)
			return LIST_ITEM(it, struct sub, link);
	return NULL;
}

/* From now on s gets from reader `to` only what r has not given it. */
static void change_reader_locked(
	struct channel *ch, struct sub *s, struct outlet *o, struct reader *to) REQUIRES(ch->mtx)
{
	struct position start = sub_resume_locked(s);

	sub_detach_locked(s, ch);
	s->start = start;
	s->outlet = o;
	o->n_subs++;
	o->min_start_ts = MIN(o->min_start_ts, start.ts);
	sub_attach_locked(ch, s, to);
}

/* The lane itself goes to another reader; the group need not know. */
static void hand_over_locked(
	struct channel *ch, struct reader *r, struct outlet *o, struct reader *to) REQUIRES(ch->mtx)
{
	struct sub *s;
	struct list subs;

	list_init(&subs);
	while ((s = sub_of_locked(ch, r, o))) {
		struct position start = sub_resume_locked(s);
		sub_detach_locked(s, ch);
		s->start = start;
		list_push(&subs, &s->link);
	}
	for (struct list *n; (n = list_pop(&subs));) {
		s = LIST_ITEM(n, struct sub, link);
		s->outlet = o;
		o->n_subs++;
		sub_attach_locked(ch, s, to);
	}
	list_del(&o->link);
	o->round = to->round;
	list_push(&to->outlets, &o->link);
}

/* Main's lane for o's group, opened if need be, pinned. o is pinned: its group stays. */
static struct outlet *main_outlet_locked(struct channel *ch, struct reader *m, struct outlet *o,
	const struct sub *s) REQUIRES(ch->mtx)
{
	struct outlet *to = outlet_find_locked(ch, m, o->ops, o->group);

	if (!to) {
		mutex_unlock(&ch->mtx);
		void *lane = o->ops->lane_open(o->group, ch->name, m->at.ts, false);
		mutex_lock(&ch->mtx);
		to = outlet_new(s, lane, false);
		to->round = m->round;
		list_push(&m->outlets, &to->link);
	}
	to->pins++;
	to->uses++;
	return to;
}

static void unpin_locked(struct channel *ch, struct outlet *o) REQUIRES(ch->mtx)
{
	o->pins--;
	cond_broadcast(&ch->cond);
	outlet_drop_locked(ch, o);
}

static void merge_outlet_locked(
	struct channel *ch, struct reader *r, struct outlet *o, struct reader *m) REQUIRES(ch->mtx)
{
	struct sub *s = sub_of_locked(ch, r, o);

	if (!s) {
		list_del(&o->link); /* its subs left: who waits for it or closed it frees it */
		return;
	}
	if (o->broken || (!o->chaser && !outlet_find_locked(ch, m, o->ops, o->group))) {
		hand_over_locked(ch, r, o, m);
		return;
	}
	o->pins++;
	o->uses++;
	struct outlet *to = main_outlet_locked(ch, m, o, s);
	while ((s = sub_of_locked(ch, r, o)))
		if (sub_tell_locked(ch, s, to))
			change_reader_locked(ch, s, to, m);
	mutex_unlock(&ch->mtx);
	o->ops->move(o->lane, to->lane);
	mutex_lock(&ch->mtx);
	o->moved = true;
	list_del(&o->link);
	unpin_locked(ch, to);
	unpin_locked(ch, o);
}

void reader_merge(struct reader *r)
{
	struct channel *ch = r->ch;

	mutex_lock(&ch->mtx);
	struct reader *m = ch->main;
	if (!may_merge_locked(ch, r, m)) {
		mutex_unlock(&ch->mtx);
		return;
	}
	m->hold++;
	r->busy = true;
	while (!list_empty(&r->outlets))
		merge_outlet_locked(ch, r, LIST_ITEM(r->outlets.next, struct outlet, link), m);
	r->busy = false;
	m->hold--;
	cond_broadcast(&ch->cond);
	mutex_unlock(&ch->mtx);
}

void reader_split_locked(struct channel *ch, struct reader *r, struct outlet *o)
{
	struct reader *to = reader_new_locked(ch);

	to->chaser = true;
	ch->n_chasers++;
	hand_over_locked(ch, r, o, to);
	/* What the lane holds stays on the account that goes with it, so that r reads on at once.
	 */
	struct account *fresh = to->acct;
	to->acct = r->acct;
	r->acct = fresh;
	cutter_charge(&r->cutter, to->acct, fresh);
	account_cut(to->acct, SIZE_MAX);
}

static struct outlet *unasked_locked(UNUSED struct channel *ch, struct reader *r) REQUIRES(ch->mtx)
{
	list_foreach (it, &r->outlets) {
		struct outlet *o = LIST_ITEM(it, struct outlet, link);
		if (!o->asked && o->n_subs && !o->broken)
			return o;
	}
	return NULL;
}

/* Asks each lane what it holds; lets go of the lock meanwhile. */
static void ask_lanes_locked(struct channel *ch, struct reader *r) REQUIRES(ch->mtx)
{
	struct outlet *o;

	list_foreach (it, &r->outlets)
		LIST_ITEM(it, struct outlet, link)->asked = false;
	while ((o = unasked_locked(ch, r))) {
		o->asked = true;
		o->pins++;
		o->uses++;
		mutex_unlock(&ch->mtx);
		size_t bytes = o->ops->held(o->lane);
		mutex_lock(&ch->mtx);
		o->held = bytes;
		unpin_locked(ch, o);
	}
}

/* The lane that holds most, if another one has next to nothing. */
static struct outlet *hoarder_locked(UNUSED struct channel *ch, struct reader *r) REQUIRES(ch->mtx)
{
	struct outlet *most = NULL;
	size_t least = SIZE_MAX;

	list_foreach (it, &r->outlets) {
		struct outlet *o = LIST_ITEM(it, struct outlet, link);
		if (!o->asked || o->broken || !o->n_subs)
			continue;
		least = MIN(least, o->held);
		if (!most || o->held > most->held)
			most = o;
	}
	if (!most || most->held < HOARD_LEAST)
		return NULL; /* others use up the budget */
	return most->held / HOARD_FACTOR > least ? most : NULL;
}

/* The budget is used up: if it is so by what one of r's lanes holds, that lane leaves and takes the
 * account along. */
static void relieve(struct reader *r)
{
	struct channel *ch = r->ch;

	mutex_lock(&ch->mtx);
	reader_enter_locked(ch, r);
	ask_lanes_locked(ch, r);
	struct outlet *o = hoarder_locked(ch, r);
	if (o && ch->n_chasers < LIMIT_CHASERS_PER_CHANNEL)
		reader_split_locked(ch, r, o);
	reader_leave_locked(ch, r);
	mutex_unlock(&ch->mtx);
	hub_kick(r->hub);
}

static void note_take(struct reader *r, struct stop *s)
{
	mutex_lock(&r->ch->mtx);
	r->take_stop = s;
	r->take_since_ms = time_mono_ms();
	mutex_unlock(&r->ch->mtx);
}

bool reader_charge(struct reader *r, struct hub_raw *raw)
{
	if (account_try(r->acct, raw->m->cost_bytes)) {
		raw->acct = r->acct;
		return true;
	}
	while (!stop_is_set(&r->stop)) {
		struct err e = ERR_INIT;
		struct stop s;
		stop_init(&s, &r->stop);
		note_take(r, &s);
		enum err_code code = raw_charge(raw, r->acct, &s, &e);
		note_take(r, NULL);
		stop_done(&s);
		if (!code)
			return true;
		if (!stop_is_set(&r->stop))
			relieve(r);
	}
	return false;
}
