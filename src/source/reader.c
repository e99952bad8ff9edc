/* The reader thread: opens the topic at the smallest position of its subs, peeks each message, cuts
 * at each tick, and gives the cut to the outlets. A main reader goes on until it has had no sub for
 * a while, a chaser until it has merged or its subs are gone. Threads: one a reader. Its state is
 * struct reader's first block; the rest is under the channel's lock. */
#include "source/reader.h"

#include <stdio.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/retry.h"
#include "model/channel.h"
#include "source/hub_priv.h"

enum { NEXT_MS = 1000, REOPEN_FIRST_MS = 100, REOPEN_MOST_MS = 5000 };

static void note_trouble(struct reader *r, const struct err *e)
{
	mutex_lock(&r->ch->mtx);
	bool first = !r->away;
	r->away = true;
	snprintf(r->trouble, sizeof(r->trouble), "%.*s", (int)sizeof(r->trouble) - 1, e->text);
	mutex_unlock(&r->ch->mtx);
	if (first)
		hub_note_away(r->hub, e->text);
}

static void clear_trouble(struct reader *r)
{
	if (!r->away) /* written by this thread only */
		return;
	mutex_lock(&r->ch->mtx);
	r->away = false;
	r->trouble[0] = '\0';
	mutex_unlock(&r->ch->mtx);
	hub_note_back(r->hub);
}

static bool id_equal(const struct mq_id *a, const struct mq_id *b)
{
	return slice_eq(mq_id_slice(a), mq_id_slice(b));
}

static struct mq_id first_id_locked(UNUSED struct channel *ch, struct reader *r) REQUIRES(ch->mtx)
{
	struct mq_id min = {.n = 0};

	list_foreach (it, &r->subs) {
		struct mq_id id = sub_resume_locked(LIST_ITEM(it, struct sub, link)).id;
		if (!min.n || (id.n && r->hub->o.mq->ops->compare(&id, &min) < 0))
			min = id;
	}
	return min;
}

static void set_from(struct reader *r, const struct mq_id *from)
{
	struct channel *ch = r->ch;

	mutex_lock(&ch->mtx);
	r->from = from ? *from : first_id_locked(ch, r);
	r->at = (struct position){.ts = 0};
	mutex_unlock(&ch->mtx);
}

static void fail_all(struct reader *r, const struct err *e)
{
	subs_fail(r, NULL, slice_of(NULL, 0), e);
}

/* Back to "not open": subs from anywhere may join, and the next open starts at the smallest. */
static void close_topic(struct reader *r)
{
	const struct mq_id none = {.n = 0};

	if (r->mqr)
		r->hub->o.mq->ops->close(r->mqr);
	r->mqr = NULL;
	account_cut(r->acct, r->cutter.bytes);
	cutter_done(&r->cutter);
	set_from(r, &none);
}

/* Positions that are gone concern only the subs that need them: the others open again after this.
 */
static void fail_gone(struct reader *r, const struct mq_id *upto, struct err *e)
{
	subs_fail(r, upto, slice_of(NULL, 0), e);
}

static void fail_without_id(struct reader *r)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_INVALID, "no start position for channel %s", r->ch->name);
	subs_fail(r, &(const struct mq_id){.n = 0}, slice_of(NULL, 0), &e);
}

static void open_topic(struct reader *r, struct retry *retry)
{
	struct mq *q = r->hub->o.mq;
	struct err e = ERR_INIT;

	fail_without_id(r);
	set_from(r, NULL);
	if (!r->from.n)
		return;
	const struct mq_start from = {.id = r->from};
	enum err_code code = FAILPOINTS(
		"queue.open", q->ops->open(q, r->ch->name, &from, &r->stop, &r->mqr, &e));
	if (!code) {
		retry_reset(retry);
		clear_trouble(r);
		r->last = r->from;
		return;
	}
	r->mqr = NULL;
	close_topic(r);
	if (code == ERR_CANCELLED)
		return;
	if (code == ERR_GONE) {
		fail_gone(r, &from.id, &e);
	} else if (retry_may(code, true) || code == ERR_DENIED) {
		/* A login or a right is mended at the broker, without us. */
		note_trouble(r, &e);
		stop_sleep(&r->stop, retry_next_ms(retry));
	} else {
		fail_all(r, &e);
	}
}

void reader_enter_locked(struct channel *ch, struct reader *r)
{
	while (r->hold)
		cond_wait(&ch->cond, &ch->mtx, DEADLINE_NEVER);
	r->busy = true;
}

void reader_leave_locked(struct channel *ch, struct reader *r)
{
	r->busy = false;
	cond_broadcast(&ch->cond);
}

static void round_begin(struct reader *r, const struct cut *cut)
{
	mutex_lock(&r->ch->mtx);
	reader_enter_locked(r->ch, r);
	r->round++;
	r->at = (struct position){.id = cut->tick, .ts = cut->end_ts};
	mutex_unlock(&r->ch->mtx);
}

static void round_end(struct reader *r)
{
	mutex_lock(&r->ch->mtx);
	reader_leave_locked(r->ch, r);
	mutex_unlock(&r->ch->mtx);
}

static void on_tick(struct reader *r, const struct hub_raw *raw, bool waited)
{
	struct cut cut;

	if (!cutter_tick(&r->cutter, raw->ts, &raw->m->id, &cut))
		return;
	cut.at_head = waited && !raw->m->more;
	if (cut.repeated)
		log_warn(&r->hub->log,
			"channel %s: dropped %zu inserts or deletes whose message id "
			"stood twice between two ticks",
			r->ch->name, cut.repeated);
	account_cut(r->acct, cut.bytes);
	round_begin(r, &cut);
	outlets_open(r, cut.begin_ts);
	outlets_push(r, &cut);
	round_end(r);
	cut_done(&cut);
	reader_merge(r);
}

static void log_full(struct reader *r)
{
	int64_t now = time_mono_ms();

	if (r->cutter.bytes < r->hub->o.budget_bytes || now - r->logged_full_ms < 60000)
		return;
	r->logged_full_ms = now;
	log_warn(&r->hub->log, "channel %s: %zu MiB of messages wait for a time tick of the source",
		r->ch->name, r->cutter.bytes >> 20);
}

/* Takes raw. */
static void on_data(struct reader *r, struct hub_raw *raw)
{
	if (!reader_charge(r, raw)) {
		raw_unref(raw);
		return;
	}
	cutter_add(&r->cutter, raw);
	log_full(r);
}

static void on_ignored(struct reader *r, const struct hub_raw *raw, const char *what)
{
	int type = raw->dml.type;

	if (!hub_first_of_type(r->hub, type))
		return;
	const char *name = msg_type_name(type);
	log_info(&r->hub->log,
		"channel %s: %s of type %d (%s) is passed over; further ones silently", r->ch->name,
		what, type, name ? name : "unknown");
}

static bool is_shard_of(struct slice name, const char *channel)
{
	struct vchannel v;

	return vchannel_parse(&v, name) && strcmp(v.pchannel, channel) == 0;
}

/* Nothing is passed over that might be a row of a sub: all that could be meant fail, loudly. */
static void on_unreadable(struct reader *r, const struct hub_raw *raw, struct err *e)
{
	char id[2 * MQ_ID_BYTES + 1] = "";
	struct slice vchannel = raw_shard(raw);

	if (!is_shard_of(vchannel, r->ch->name))
		vchannel = slice_of(NULL, 0);
	for (size_t i = 0; i < raw->m->id.n; i++)
		snprintf(id + 2 * i, 3, "%02x", raw->m->id.b[i]);
	err_ctx(e, "topic %s, message id %s", r->ch->name, id);
	if (vchannel.n && !subs_have(r, vchannel))
		log_error(&r->hub->log, "%s; it is for %.*s, which nobody reads (any more)",
			e->text, (int)vchannel.n, (const char *)vchannel.p);
	if (e->code == ERR_UNSUPPORTED)
		fail_all(r, e);
	else
		subs_fail(r, &raw->m->id, vchannel, e);
}

/* Takes m. */
static void on_message(struct reader *r, struct mq_msg *m, bool waited)
{
	struct hub_raw *raw = raw_new(m);
	struct err e = ERR_INIT;
	enum raw_kind kind;

	r->last = m->id;
	if (raw_peek(raw, &kind, &e)) {
		on_unreadable(r, raw, &e);
		raw_unref(raw);
		return;
	}
	switch (kind) {
	case RAW_DATA:
		on_data(r, raw);
		return;
	case RAW_TICK:
		on_tick(r, raw, waited);
		break;
	case RAW_UNKNOWN:
		on_ignored(r, raw, "a message");
		break;
	case RAW_EMPTY:
		on_ignored(r, raw, "a message without payload");
		break;
	case RAW_SILENT:
		break;
	}
	raw_unref(raw);
}

static void on_error(struct reader *r, enum err_code code, struct err *e)
{
	if (code == ERR_CANCELLED)
		return;
	if (retry_may(code, true)) {
		note_trouble(r, e);
		stop_sleep(&r->stop, REOPEN_FIRST_MS);
		return;
	}
	struct mq_id upto = r->last;
	close_topic(r);
	if (code == ERR_GONE)
		fail_gone(r, &upto, e);
	else
		fail_all(r, e);
}

/* Nothing is left to read, and what was read is cut: the source is still. */
static void note_quiet(struct reader *r)
{
	int64_t age_ms = mq_end_age_ms(r->hub->o.mq->ops, r->mqr);

	mutex_lock(&r->ch->mtx);
	bool cut_all = r->at.ts && r->last.n && id_equal(&r->last, &r->at.id);
	r->quiet_mono_ms = cut_all && age_ms >= 0 ? time_mono_ms() - age_ms : 0;
	mutex_unlock(&r->ch->mtx);
}

/* One message. "waited" shows that the topic held nothing more. */
static void step(struct reader *r)
{
	const struct mq_ops *ops = r->hub->o.mq->ops;
	struct err e = ERR_INIT;
	struct mq_msg *m = NULL;

	enum err_code code = ops->next(r->mqr, deadline_in(0), &r->stop, &m, &e);
	bool waited = code == ERR_TIMEOUT;
	if (waited) {
		err_clear(&e);
		code = ops->next(r->mqr, deadline_in(NEXT_MS), &r->stop, &m, &e);
	}
	if (code && code != ERR_TIMEOUT) {
		on_error(r, code, &e);
		return;
	}
	clear_trouble(r);
	if (code) {
		note_quiet(r);
		return;
	}
	FAILPOINT("queue.message.after");
	on_message(r, m, waited);
}

/* True when the reader has no more to do; it is marked as done then. */
static bool finished(struct reader *r)
{
	struct channel *ch = r->ch;

	mutex_lock(&ch->mtx);
	bool end = stop_is_set(&r->stop);
	if (!end && list_empty(&r->subs) && !r->hold)
		end = r->chaser || time_mono_ms() - r->alone_since_ms > r->hub->grace_ms;
	if (end)
		reader_end_locked(ch, r);
	mutex_unlock(&ch->mtx);
	return end;
}

static bool has_subs(struct reader *r)
{
	mutex_lock(&r->ch->mtx);
	bool has = !list_empty(&r->subs);
	mutex_unlock(&r->ch->mtx);
	return has;
}

void reader_main(void *reader)
{
	struct reader *r = reader;
	struct retry retry = RETRY_INIT(REOPEN_FIRST_MS, REOPEN_MOST_MS);

	while (!finished(r)) {
		thread_waits(false); /* one turn, and no more, is to be short */
		if (r->mqr)
			step(r);
		else if (has_subs(r))
			open_topic(r, &retry);
		else
			stop_sleep(&r->stop, REOPEN_FIRST_MS);
	}
	close_topic(r);
	clear_trouble(r);
	hub_kick(r->hub);
}
