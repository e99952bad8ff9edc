/* Lanes as the reader sees them: opening, telling the subs, building and pushing packs. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "source/hub_priv.h"

struct outlet *outlet_find_locked(
	UNUSED struct channel *ch, struct reader *r, const struct group_ops *ops, const void *group)
{
	list_foreach (it, &r->outlets) {
		struct outlet *o = LIST_ITEM(it, struct outlet, link);
		if (o->ops == ops && o->group == group && o->n_subs)
			return o;
	}
	return NULL;
}

struct outlet *outlet_new(const struct sub *s, void *lane, bool chaser)
{
	struct outlet *o = xcalloc(1, sizeof(*o));
	o->ops = s->ops;
	o->group = s->group;
	o->lane = lane;
	o->chaser = chaser;
	o->min_start_ts = UINT64_MAX;
	list_init(&o->link);
	return o;
}

void outlet_drop_locked(struct channel *ch, struct outlet *o)
{
	if (!o || o->n_subs || o->pins || o->waiters)
		return;
	list_del(&o->link);
	if (!o->moved) {
		mutex_unlock(&ch->mtx);
		o->ops->lane_close(o->lane);
		mutex_lock(&ch->mtx);
	}
	free(o);
}

bool sub_tell_locked(struct channel *ch, struct sub *s, struct outlet *o)
{
	struct reader *r = s->reader;

	s->calling = true;
	mutex_unlock(&ch->mtx);
	s->lane_set(s->user, o->lane);
	mutex_lock(&ch->mtx);
	s->calling = false;
	cond_broadcast(&ch->cond);
	return s->reader == r;
}

static struct sub *untold_locked(UNUSED struct channel *ch, struct reader *r) REQUIRES(ch->mtx)
{
	if (r->untold)
		list_foreach (it, &r->subs)
			if (!LIST_ITEM(it, struct sub, link)->outlet)
				return LIST_ITEM(it, struct sub, link);
	return NULL;
}

/* Where the first pack of s's group can begin. */
static uint64_t group_start_locked(UNUSED struct channel *ch, struct reader *r, const struct sub *s,
	uint64_t begin_ts) REQUIRES(ch->mtx)
{
	uint64_t ts = s->start.ts;

	list_foreach (it, &r->subs) {
		const struct sub *o = LIST_ITEM(it, struct sub, link);
		if (o->ops == s->ops && o->group == s->group)
			ts = MIN(ts, o->start.ts);
	}
	return MAX(ts, begin_ts);
}

/* The lane's owner is pinned down by s->calling: its unsubscription waits, a close included. */
static struct outlet *open_for_locked(
	struct channel *ch, struct reader *r, struct sub *s, uint64_t begin_ts) REQUIRES(ch->mtx)
{
	uint64_t start = group_start_locked(ch, r, s, begin_ts);
	bool chaser = ch->main != r;

	s->calling = true;
	mutex_unlock(&ch->mtx);
	void *lane = s->ops->lane_open(s->group, ch->name, start, chaser);
	mutex_lock(&ch->mtx);
	struct outlet *o = outlet_new(s, lane, chaser);
	list_push(&r->outlets, &o->link);
	if (s->reader != r) {
		outlet_drop_locked(ch, o);
		o = NULL;
	}
	s->calling = false;
	cond_broadcast(&ch->cond);
	return o;
}

void outlets_open(struct reader *r, uint64_t begin_ts)
{
	struct channel *ch = r->ch;
	struct sub *s;

	mutex_lock(&ch->mtx);
	while ((s = untold_locked(ch, r))) {
		struct outlet *o = outlet_find_locked(ch, r, s->ops, s->group);
		if (!o)
			o = open_for_locked(ch, r, s, begin_ts);
		if (!o)
			continue;
		s->outlet = o;
		o->n_subs++;
		o->min_start_ts = MIN(o->min_start_ts, s->start.ts);
		r->untold--;
		sub_tell_locked(ch, s, o);
	}
	mutex_unlock(&ch->mtx);
}

static struct sub *concerned_locked(UNUSED struct channel *ch, struct reader *r,
	const struct mq_id *upto, struct slice vchannel) REQUIRES(ch->mtx)
{
	list_foreach (it, &r->subs) {
		struct sub *s = LIST_ITEM(it, struct sub, link);
		if (vchannel.n && !slice_eq_str(vchannel, s->vchannel))
			continue;
		if (!upto || r->hub->o.mq->ops->compare(&s->start.id, upto) <= 0)
			return s;
	}
	return NULL;
}

void subs_fail(
	struct reader *r, const struct mq_id *upto, struct slice vchannel, const struct err *why)
{
	struct channel *ch = r->ch;
	struct sub *s;

	mutex_lock(&ch->mtx);
	while ((s = concerned_locked(ch, r, upto, vchannel))) {
		struct outlet *o = s->outlet;
		if (o)
			o->waiters++; /* its last sub may leave meanwhile */
		sub_detach_locked(s, ch);
		s->dead = s->calling = true;
		mutex_unlock(&ch->mtx);
		s->failed(s->user, why);
		mutex_lock(&ch->mtx);
		if (o)
			o->waiters--;
		outlet_drop_locked(ch, o);
		s->calling = false;
		cond_broadcast(&ch->cond);
	}
	mutex_unlock(&ch->mtx);
}

bool subs_have(struct reader *r, struct slice vchannel)
{
	bool found = false;

	mutex_lock(&r->ch->mtx);
	list_foreach (it, &r->subs)
		found |= slice_eq_str(vchannel, LIST_ITEM(it, struct sub, link)->vchannel);
	mutex_unlock(&r->ch->mtx);
	return found;
}

static void pack_add(struct pack *pk, struct pack_msg ***tail, struct sub *s, struct hub_raw *raw)
{
	struct pack_msg *pm = xmalloc(sizeof(*pm));
	*pm = (struct pack_msg){
		.sub = s, .dml = raw->dml, .raw = raw, .cost_bytes = raw->m->cost_bytes};
	raw_ref(raw);
	**tail = pm;
	*tail = &pm->next;
	pk->n_msgs++;
	pk->cost_bytes += pm->cost_bytes;
}

/* A start without a time ("latest") may have joined a reader that is not there yet. */
static bool is_before_start(const struct hub *h, const struct sub *s, const struct hub_raw *raw)
{
	return !s->start.ts && s->start.id.n &&
	       h->o.mq->ops->compare(&raw->m->id, &s->start.id) < 0;
}

/* A message with a replicate id belongs to the pack of the next tick, whatever its own time. */
static bool wants(const struct hub *h, const struct sub *s, const struct outlet *o,
	const struct hub_raw *raw, uint64_t end_ts)
{
	return s->outlet == o && (raw->at_next_tick ? end_ts : raw->ts) > s->start.ts &&
	       !is_before_start(h, s, raw);
}

static struct pack *build_locked(UNUSED struct channel *ch, struct reader *r,
	const struct outlet *o, struct cut *cut) REQUIRES(ch->mtx)
{
	struct pack *pk = xcalloc(1, sizeof(*pk));
	struct pack_msg **tail = &pk->msgs;

	list_init(&pk->link);
	pk->begin_ts = o->end.ts ? o->end.ts : MAX(cut->begin_ts, o->min_start_ts);
	pk->end_ts = cut->end_ts;
	pk->end = cut->end;
	pk->at_head = cut->at_head;
	pk->hub = r->hub;
	list_foreach (it, &cut->msgs) {
		struct hub_raw *raw = LIST_ITEM(it, struct hub_raw, link);
		if (raw_is_dml(raw)) {
			struct sub *s =
				smap_getn(&r->by_vchannel, raw->dml.shard.p, raw->dml.shard.n);
			for (; s; s = s->same)
				if (wants(r->hub, s, o, raw, cut->end_ts))
					pack_add(pk, &tail, s, raw);
			continue;
		}
		list_foreach (sub, &r->subs) {
			struct sub *s = LIST_ITEM(sub, struct sub, link);
			if (s->collection_id == raw->dml.collection_id &&
				wants(r->hub, s, o, raw, cut->end_ts))
				pack_add(pk, &tail, s, raw);
		}
	}
	return pk;
}

void pack_free(struct pack *pk)
{
	if (!pk)
		return;
	for (struct pack_msg *pm = pk->msgs, *next; pm; pm = next) {
		next = pm->next;
		raw_unref(pm->raw);
		free(pm);
	}
	free(pk);
}

/* The next outlet of this round, pinned, with its pack. */
static struct outlet *next_locked(struct channel *ch, struct reader *r, struct cut *cut,
	struct pack **ret_pk) REQUIRES(ch->mtx)
{
	list_foreach (it, &r->outlets) {
		struct outlet *o = LIST_ITEM(it, struct outlet, link);
		if (o->round == r->round && !o->again)
			continue;
		o->round = r->round;
		if (o->broken || !o->n_subs || cut->end_ts <= MAX(o->end.ts, o->min_start_ts))
			continue;
		*ret_pk = build_locked(ch, r, o, cut);
		o->pins++;
		o->uses++;
		return o;
	}
	return NULL;
}

static void count_read(struct reader *r, const struct pack *pk)
{
	if (!r->hub->o.on_read)
		return;
	for (const struct pack_msg *pm = pk->msgs; pm; pm = pm->next)
		r->hub->o.on_read(r->hub->o.arg, pm->sub, &pm->dml, pm->dml.payload.n);
}

static void push_one_locked(struct channel *ch, struct reader *r, struct outlet *o, struct pack *pk,
	const struct cut *cut) REQUIRES(ch->mtx)
{
	struct err e = ERR_INIT;
	struct stop stop;

	stop_init(&stop, &r->stop);
	o->push_stop = &stop;
	o->push_since_ms = time_mono_ms();
	bool first = !o->again;
	o->again = false;
	mutex_unlock(&ch->mtx);
	if (first)
		count_read(r, pk);
	enum err_code code = o->ops->push(o->lane, pk, &stop, &e);
	mutex_lock(&ch->mtx);
	o->push_stop = NULL;
	o->pins--;
	cond_broadcast(&ch->cond);
	bool cancelled = stop_is_set(&stop);
	stop_done(&stop);
	if (!code)
		o->end = (struct position){.id = cut->end.id, .ts = cut->end_ts};
	else if (!cancelled)
		o->broken = true;
	else if (o->split && !stop_is_set(&r->stop))
		reader_split_locked(ch, r, o);
	else
		o->again = true;
	o->split = false;
}

void outlets_push(struct reader *r, struct cut *cut)
{
	struct channel *ch = r->ch;
	struct pack *pk;
	struct outlet *o;

	mutex_lock(&ch->mtx);
	while (!stop_is_set(&r->stop) && (o = next_locked(ch, r, cut, &pk))) {
		push_one_locked(ch, r, o, pk, cut);
		outlet_drop_locked(ch, o);
	}
	mutex_unlock(&ch->mtx);
}
