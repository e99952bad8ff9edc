/* The keeper: the hub's own thread. It gives waiting subs a reader, starts and joins reader
 * threads, promotes a chaser when the main reader is gone, and finds lanes that hold up their
 * reader. */
#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "source/hub_priv.h"

static int id_cmp(const struct hub *h, const struct mq_id *a, const struct mq_id *b)
{
	return h->o.mq->ops->compare(a, b);
}

/* After a tick nothing at or below its time comes any more, so a sub that has all up to there needs
 * only what r has not cut yet; and what stands behind the tick has not been cut either. */
bool reader_can_join_locked(UNUSED struct channel *ch, const struct reader *r, const struct sub *s)
{
	if (r->done || stop_is_set(&r->stop))
		return false;
	if (!r->from.n)
		return true; /* not open yet: it will start at the smallest */
	if (!r->at.ts)
		return id_cmp(r->hub, &s->start.id, &r->from) >= 0;
	return s->start.ts >= r->at.ts || id_cmp(r->hub, &s->start.id, &r->at.id) >= 0;
}

struct reader *reader_new_locked(struct channel *ch)
{
	struct reader *r = xcalloc(1, sizeof(*r));
	r->hub = ch->hub;
	r->ch = ch;
	r->acct = account_open(ch->hub->budget);
	stop_init(&r->stop, &ch->hub->stop);
	cutter_init(&r->cutter);
	list_init(&r->subs);
	list_init(&r->outlets);
	list_push(&ch->readers, &r->link);
	return r;
}

void reader_free(struct reader *r)
{
	stop_set(&r->stop);
	thread_join(&r->thread);
	assert(list_empty(&r->subs) && list_empty(&r->outlets));
	account_close(r->acct);
	smap_done(&r->by_vchannel);
	stop_done(&r->stop);
	free(r);
}

void reader_end_locked(struct channel *ch, struct reader *r)
{
	assert(list_empty(&r->subs));
	r->done = true;
	if (ch->main == r)
		ch->main = NULL;
	if (r->chaser)
		ch->n_chasers--;
	/* Those whose unsubscription still looks at them: it frees them. */
	while (list_pop(&r->outlets))
		;
}

void sub_attach_locked(UNUSED struct channel *ch, struct sub *s, struct reader *r)
{
	s->reader = r;
	list_push(&r->subs, &s->link);
	s->same = smap_put(&r->by_vchannel, s->vchannel, s);
	r->untold += !s->outlet;
	r->alone_since_ms = 0;
}

static void unchain(struct reader *r, struct sub *s)
{
	struct sub *first = smap_get(&r->by_vchannel, s->vchannel);
	struct sub **at = &first;

	while (*at != s)
		at = &(*at)->same;
	*at = s->same;
	s->same = NULL;
	if (first)
		smap_put(&r->by_vchannel, s->vchannel, first);
	else
		smap_del(&r->by_vchannel, s->vchannel);
}

void sub_detach_locked(struct sub *s, struct channel *ch)
{
	struct reader *r = s->reader;

	list_del(&s->link);
	if (!r)
		return;
	assert(r->ch == ch);
	unchain(r, s);
	s->reader = NULL;
	r->untold -= !s->outlet;
	if (s->outlet)
		s->outlet->n_subs--;
	s->outlet = NULL;
	if (list_empty(&r->subs))
		r->alone_since_ms = time_mono_ms();
}

struct position sub_resume_locked(const struct sub *s)
{
	return s->outlet && s->outlet->end.ts > s->start.ts ? s->outlet->end : s->start;
}

/* A main reader that nobody needs gives way, so that a sub from before it needs no chaser. */
static void retire_idle_main_locked(struct channel *ch) REQUIRES(ch->mtx)
{
	struct reader *m = ch->main;

	if (!m || !list_empty(&m->subs) || m->busy || m->hold)
		return;
	stop_set(&m->stop);
	ch->main = NULL;
}

static void attach_all_locked(struct channel *ch, struct reader *r) REQUIRES(ch->mtx)
{
	for (struct list *n; (n = list_pop(&ch->waiting));)
		sub_attach_locked(ch, LIST_ITEM(n, struct sub, link), r);
}

static void serve_waiting_locked(struct channel *ch) REQUIRES(ch->mtx)
{
	if (ch->main)
		list_foreach (it, &ch->waiting) {
			struct sub *s = LIST_ITEM(it, struct sub, link);
			if (!reader_can_join_locked(ch, ch->main, s))
				continue;
			list_del(&s->link);
			sub_attach_locked(ch, s, ch->main);
		}
	if (list_empty(&ch->waiting))
		return;
	retire_idle_main_locked(ch);
	if (!ch->main) {
		ch->main = reader_new_locked(ch);
		attach_all_locked(ch, ch->main);
	} else if (ch->n_chasers < LIMIT_CHASERS_PER_CHANNEL) {
		struct reader *r = reader_new_locked(ch);
		r->chaser = true;
		ch->n_chasers++;
		attach_all_locked(ch, r);
	}
}

/* Without a main reader the chaser that is farthest becomes it. */
static void promote_locked(struct channel *ch) REQUIRES(ch->mtx)
{
	struct reader *best = NULL;

	if (ch->main)
		return;
	list_foreach (it, &ch->readers) {
		struct reader *r = LIST_ITEM(it, struct reader, link);
		if (!r->done && !stop_is_set(&r->stop) && !list_empty(&r->subs) &&
			(!best || r->at.ts > best->at.ts))
			best = r;
	}
	if (!best)
		return;
	ch->main = best;
	ch->n_chasers -= best->chaser;
	best->chaser = false;
}

/* A lane that is full must not hold up the others of its reader. */
static void find_blocked_locked(struct channel *ch, struct reader *r) REQUIRES(ch->mtx)
{
	size_t served = 0;
	struct outlet *blocked = NULL;

	list_foreach (it, &r->outlets) {
		struct outlet *o = LIST_ITEM(it, struct outlet, link);
		served += o->n_subs && !o->broken;
		if (o->push_stop && time_mono_ms() - o->push_since_ms > ch->hub->split_ms)
			blocked = o;
	}
	if (served < 2 || ch->n_chasers >= LIMIT_CHASERS_PER_CHANNEL)
		return;
	if (blocked && !blocked->split) {
		blocked->split = true;
		stop_set(blocked->push_stop);
	}
	/* Lanes that are not full yet, but together use up the budget. */
	if (r->take_stop && time_mono_ms() - r->take_since_ms > ch->hub->split_ms)
		stop_set(r->take_stop);
}

static void start_reader(struct channel *ch, struct reader *r)
{
	struct err e = ERR_INIT;

	if (!thread_start(&r->thread, "reader", reader_main, r, &e))
		return;
	subs_fail(r, NULL, slice_of(NULL, 0), &e);
	mutex_lock(&ch->mtx);
	reader_end_locked(ch, r);
	mutex_unlock(&ch->mtx);
}

/* The next reader to start or to join, with all else of the channel done. */
static struct reader *keep_locked(struct channel *ch, bool *ret_start) REQUIRES(ch->mtx)
{
	list_foreach (it, &ch->readers) {
		struct reader *r = LIST_ITEM(it, struct reader, link);
		if (r->done) {
			list_del(&r->link);
			*ret_start = false;
			return r;
		}
		find_blocked_locked(ch, r);
	}
	promote_locked(ch);
	if (!list_empty(&ch->waiting) && time_mono_ms() >= ch->gather_until_ms)
		serve_waiting_locked(ch);
	list_foreach (it, &ch->readers) {
		struct reader *r = LIST_ITEM(it, struct reader, link);
		if (r->started)
			continue;
		r->started = *ret_start = true;
		return r;
	}
	return NULL;
}

/* When to look again: soon while subs are gathered, else at the keeper's pace. */
static int64_t keep_channel(struct channel *ch)
{
	for (;;) {
		bool start = false;
		mutex_lock(&ch->mtx);
		struct reader *r = keep_locked(ch, &start);
		int64_t left = ch->gather_until_ms - time_mono_ms();
		bool gathering = !list_empty(&ch->waiting) && left > 0;
		mutex_unlock(&ch->mtx);
		if (!r)
			return gathering ? left : HUB_KEEPER_MS;
		if (start)
			start_reader(ch, r);
		else
			reader_free(r);
	}
}

static int64_t keep_all(struct hub *h)
{
	struct channel **list = NULL;
	size_t n = 0, cap = 0, pos = 0;
	int64_t wait = HUB_KEEPER_MS;
	void *ch;

	mutex_lock(&h->mtx);
	h->kicked = false;
	while (smap_next(&h->channels, &pos, NULL, &ch)) {
		mem_grow(&list, &cap, n + 1, sizeof(*list));
		list[n++] = ch;
	}
	mutex_unlock(&h->mtx);
	for (size_t i = 0; i < n; i++) {
		int64_t ms = keep_channel(list[i]);
		wait = MIN(wait, ms);
	}
	free(list);
	return wait;
}

void hub_keeper_main(void *hub)
{
	struct hub *h = hub;

	while (!stop_is_set(&h->stop)) {
		struct deadline d = deadline_in(keep_all(h));
		mutex_lock(&h->mtx);
		while (!h->kicked && cond_wait(&h->cond, &h->mtx, d))
			;
		mutex_unlock(&h->mtx);
	}
}
