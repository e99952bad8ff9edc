#include "source/hub_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"

enum err_code hub_new(const struct hub_opts *o, struct hub **ret_h, struct err *e)
{
	struct hub *h = xcalloc(1, sizeof(*h));
	h->o = *o;
	h->grace_ms = HUB_MAIN_GRACE_MS;
	h->split_ms = HUB_SPLIT_MS;
	h->log = (struct log_ctx){.comp = LOG_reader};
	h->budget = budget_new(o->budget_bytes, LIMIT_READER_FLOOR);
	stop_init(&h->stop, NULL);
	mutex_init(&h->mtx, "hub");
	cond_init(&h->cond);
	*ret_h = h;
	if (thread_start(&h->keeper, "reader-keeper", hub_keeper_main, h, e)) {
		hub_free(h);
		*ret_h = NULL;
		return e->code;
	}
	return ERR_OK;
}

static void channel_free(struct channel *ch)
{
	assert(list_empty(&ch->waiting));
	list_foreach (it, &ch->readers)
		reader_free(LIST_ITEM(it, struct reader, link));
	cond_done(&ch->cond);
	mutex_done(&ch->mtx);
	free(ch);
}

void hub_free(struct hub *h)
{
	size_t pos = 0;
	void *ch;

	if (!h)
		return;
	stop_set(&h->stop);
	hub_kick(h);
	thread_join(&h->keeper);
	while (smap_next(&h->channels, &pos, NULL, &ch))
		channel_free(ch);
	smap_done(&h->channels);
	budget_close(h->budget);
	stop_done(&h->stop);
	cond_done(&h->cond);
	mutex_done(&h->mtx);
	free(h);
}

void hub_kick(struct hub *h)
{
	mutex_lock(&h->mtx);
	h->kicked = true;
	cond_signal(&h->cond);
	mutex_unlock(&h->mtx);
}

void hub_note_away(struct hub *h, const char *why)
{
	mutex_lock(&h->mtx);
	bool first = h->away++ == 0;
	if (first)
		h->away_since_ms = time_mono_ms();
	mutex_unlock(&h->mtx);
	if (first)
		log_warn(&h->log,
			"the source's message queue is away: %s; reading goes on by itself", why);
}

void hub_note_back(struct hub *h)
{
	mutex_lock(&h->mtx);
	bool last = --h->away == 0;
	int64_t ms = time_mono_ms() - h->away_since_ms;
	mutex_unlock(&h->mtx);
	if (last)
		log_info(
			&h->log, "the source's message queue is back after %lld ms", (long long)ms);
}

bool hub_first_of_type(struct hub *h, int type)
{
	uint64_t bit = 1ULL << ((unsigned)type % 61);

	mutex_lock(&h->mtx);
	bool first = !(h->ignored_types & bit);
	h->ignored_types |= bit;
	mutex_unlock(&h->mtx);
	return first;
}

static struct channel *channel_new(struct hub *h, const char *pchannel)
{
	struct channel *ch = xcalloc(1, sizeof(*ch));
	ch->hub = h;
	snprintf(ch->name, sizeof(ch->name), "%s", pchannel);
	mutex_init(&ch->mtx, "channel");
	cond_init(&ch->cond);
	list_init(&ch->waiting);
	list_init(&ch->readers);
	return ch;
}

static struct channel *channel_get(struct hub *h, const char *pchannel, bool make)
{
	mutex_lock(&h->mtx);
	struct channel *ch = smap_get(&h->channels, pchannel);
	if (!ch && make) {
		ch = channel_new(h, pchannel);
		smap_put(&h->channels, pchannel, ch);
	}
	mutex_unlock(&h->mtx);
	return ch;
}

void hub_subscribe(struct hub *h, struct sub *s)
{
	struct channel *ch = channel_get(h, s->pchannel, true);
	bool joined = false;

	s->reader = NULL;
	s->outlet = NULL;
	s->same = NULL;
	s->calling = s->dead = false;
	list_init(&s->link);
	mutex_lock(&ch->mtx);
	struct reader *r = ch->main;
	if (r && reader_can_join_locked(ch, r, s)) {
		sub_attach_locked(ch, s, r);
		joined = true;
	} else {
		if (list_empty(&ch->waiting))
			ch->gather_until_ms = time_mono_ms() + HUB_GATHER_MS;
		list_push(&ch->waiting, &s->link);
	}
	mutex_unlock(&ch->mtx);
	if (!joined)
		hub_kick(h);
}

static void wait_for_calls_locked(struct channel *ch, const struct sub *s) REQUIRES(ch->mtx)
{
	while (s->calling)
		cond_wait(&ch->cond, &ch->mtx, DEADLINE_NEVER);
}

/* A push in progress may hold messages of the sub that leaves: let it end, and soon make it end.
 * The pack is then built once more without them. The lane stays until s has been told of it. */
static void wait_for_outlet_locked(struct channel *ch, const struct sub *s, struct outlet *o)
	REQUIRES(ch->mtx)
{
	struct deadline patience = deadline_in(HUB_PATIENCE_MS);
	uint64_t use = o->uses;

	o->waiters++;
	while (o->pins && o->uses == use) {
		if (cond_wait(&ch->cond, &ch->mtx, patience))
			continue;
		if (o->push_stop)
			stop_set(o->push_stop);
		patience = DEADLINE_NEVER; /* the end of each use is told */
	}
	wait_for_calls_locked(ch, s);
	o->waiters--;
	outlet_drop_locked(ch, o);
}

void hub_unsubscribe(struct hub *h, struct sub *s)
{
	struct channel *ch = channel_get(h, s->pchannel, false);

	if (!ch)
		return;
	mutex_lock(&ch->mtx);
	struct outlet *o = s->outlet;
	sub_detach_locked(s, ch);
	if (o)
		wait_for_outlet_locked(ch, s, o);
	wait_for_calls_locked(ch, s);
	mutex_unlock(&ch->mtx);
}

size_t hub_held_bytes(struct hub *h)
{
	return budget_held(h->budget);
}

static bool quiet_locked(const struct channel *ch, uint64_t *ret_ts)
{
	const struct reader *r = ch->main;

	if (!r || !r->quiet_mono_ms || r->trouble[0])
		return false;
	*ret_ts = r->at.ts;
	return time_mono_ms() - r->quiet_mono_ms < HUB_QUIET_MS;
}

bool hub_quiet(struct hub *h, const char *pchannel, uint64_t *ret_ts)
{
	struct channel *ch = channel_get(h, pchannel, false);

	if (!ch)
		return false;
	mutex_lock(&ch->mtx);
	bool quiet = quiet_locked(ch, ret_ts);
	mutex_unlock(&ch->mtx);
	return quiet;
}

void hub_marks(struct hub *h, const struct sub *s, struct hub_marks *ret)
{
	struct channel *ch = channel_get(h, s->pchannel, false);
	uint64_t head_ts = 0;

	*ret = (struct hub_marks){.head_ts = 0};
	if (!ch)
		return;
	mutex_lock(&ch->mtx);
	if (quiet_locked(ch, &head_ts))
		ret->head_ts = head_ts;
	if (s->reader) {
		ret->read_ts = s->reader->at.ts;
		ret->reads = !s->reader->trouble[0];
	}
	mutex_unlock(&ch->mtx);
}

int hub_readers(struct hub *h)
{
	size_t pos = 0;
	void *v;
	int n = 0;

	mutex_lock(&h->mtx);
	while (smap_next(&h->channels, &pos, NULL, &v)) {
		struct channel *ch = v;
		mutex_lock(&ch->mtx);
		list_foreach (it, &ch->readers)
			n += !LIST_ITEM(it, struct reader, link)->done;
		mutex_unlock(&ch->mtx);
	}
	mutex_unlock(&h->mtx);
	return n;
}

static void reader_status_locked(struct reader *r, char *ret_text, size_t cap)
{
	const char *role = r == r->ch->main ? "" : "catching up: ";

	if (r->trouble[0]) {
		snprintf(ret_text, cap, "%s%s", role, r->trouble);
		return;
	}
	list_foreach (it, &r->outlets) {
		const struct outlet *o = LIST_ITEM(it, struct outlet, link);
		int64_t ms = o->push_stop ? time_mono_ms() - o->push_since_ms : 0;
		if (ms < 1000)
			continue;
		snprintf(ret_text, cap, "%swaits for room at a target channel since %lld s", role,
			(long long)ms / 1000);
		return;
	}
	if (!ret_text[0] && account_waits(r->acct))
		snprintf(
			ret_text, cap, "%swaits for memory: the process's budget is used up", role);
}

void hub_status(struct hub *h, const char *pchannel, char *ret_text, size_t cap)
{
	struct channel *ch = channel_get(h, pchannel, false);

	ret_text[0] = '\0';
	if (!ch)
		return;
	mutex_lock(&ch->mtx);
	list_foreach (it, &ch->readers)
		if (!ret_text[0])
			reader_status_locked(LIST_ITEM(it, struct reader, link), ret_text, cap);
	if (!ret_text[0] && !list_empty(&ch->waiting))
		snprintf(ret_text, cap, "waits for a reader");
	mutex_unlock(&ch->mtx);
}
