/* One topic being read. All but what the I/O thread puts into the consumer belongs to the reader's
 * own thread, which also subscribes anew when the subscription is lost:
 *
 *   entries ──▶ consumer's queue ──▶ check the id ──▶ messages ──▶ pulsar_reader_next
 *   permits ◀── by bytes                │ not the entry that must come: GONE
 *                                       │ seen before: dropped
 *   lost (connection, unload, overflow) ──▶ lookup, subscribe at the last entry seen
 *
 * A broker asked to start at an entry it has trimmed starts silently at the next one it has. So
 * every subscription starts at an entry that was there once, and that one must come first. It also
 * moves a reader on silently: so what does not come next by its id is looked into. That nothing comes
 * says nothing: at the end is who has read what the broker, asked, calls the last. */
#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/retry.h"
#include "client/pulsar/entry.h"
#include "client/pulsar/pulsar_priv.h"

enum {
	BACKOFF_FIRST_MS = 100,
	BACKOFF_MOST_MS = 5000,
	DENIED_MS = 30000, /* a refusal is believed after this: brokers refuse while they start */
	BAD_MOST = 5,
	TYPICAL_BYTES = 64 << 10, /* of an entry, until some were seen */
	TYPICAL_LEAST = 1 << 10,
	PERMITS_LEAST = 2,
	CALM_MS = 60000,       /* was at the end so short a time before the loss */
	ASK_RARELY_MS = 20000, /* a third of that */
};

struct pulsar_reader {
	struct pulsar *p;
	char *topic;
	struct pulsar_consumer cs;
	struct pulsar_entries entries;
	struct pulsar_id from; /* messages before it are left out */
	int64_t from_end_ms;   /* wall time at which nothing stood behind from */
	struct pulsar_id seen; /* the last entry taken; earliest: none */
	struct pulsar_id end;  /* the topic's last entry known of */
	struct pulsar_id more; /* the first one known of behind seen, unless that has passed it */
	struct pulsar_id last; /* the last one when at_end_ms was set */
	struct pulsar_ask ask; /* for the end */
	bool subscribed;
	bool doubts;            /* the subscription is made to see what comes next */
	bool must;              /* the entry at start is still to come */
	struct pulsar_id start; /* of the subscription */
	int64_t granted;        /* permits the broker has left; a batch may overdraw them */
	size_t typical;         /* bytes of an entry, quick to grow */
	struct retry backoff;
	struct deadline retry_at;
	struct err trouble; /* why it is not subscribed */
	int64_t failing_since_ms;
	int64_t entry_ms;          /* when the last entry came */
	int64_t at_end_ms;         /* all was read, as the broker answered to what was asked then */
	int64_t begun_ms, lost_ms; /* of the subscription */
	int64_t behind_ms;         /* since then the broker has more and sends nothing; 0: no */
	struct pulsar_id behind_at; /* seen at that time */
	unsigned losses;            /* of the subscription since the last progress */
	unsigned bad;               /* times the same entry was damaged */
};

/* ---- where a subscription starts ---- */

static bool names_after(const struct pulsar_id *id)
{
	return id->batch > 0;
}

static bool has_seen(const struct pulsar_reader *r)
{
	return !pulsar_id_is_earliest(&r->seen);
}

/* Was the entry at start, or the last one seen, the topic's last a moment ago? */
static bool was_calm(const struct pulsar_reader *r)
{
	int64_t since_ms = time_wall_ms() - r->from_end_ms;

	if (!has_seen(r))
		return names_after(&r->from) && r->from_end_ms && since_ms < r->p->calm_ms;
	return r->at_end_ms && r->lost_ms - r->at_end_ms < CALM_MS &&
	       time_mono_ms() - r->lost_ms < r->p->calm_ms;
}

/* Is first the next one behind start? Ledger numbers have gaps: it can only be seen within one. */
static bool follows_start(const struct pulsar_reader *r, const struct pulsar_id *first)
{
	return first && (has_seen(r) || names_after(&r->from)) &&
	       first->ledger == r->start.ledger && first->entry == r->start.entry + 1;
}

static bool is_known(const struct pulsar_reader *r)
{
	return pulsar_id_cmp(&r->more, has_seen(r) ? &r->seen : &r->from) > 0;
}

/* Did the broker once tell of an entry between? */
static bool is_missing(const struct pulsar_reader *r, const struct pulsar_id *first)
{
	return is_known(r) && (!first || pulsar_id_cmp(&r->more, first) < 0);
}

/* The entry at start is not there any more. Nothing is lost if it was needed no more and was the
 * last one, which can't be seen from ids; that is believed of one that was the last a moment
 * before. first: what comes instead, NULL nothing. */
static enum err_code trimmed(struct pulsar_reader *r, const struct pulsar_id *first, struct err *e)
{
	char asked[PULSAR_ID_TEXT], has[PULSAR_ID_TEXT] = "none";
	bool after = has_seen(r) || names_after(&r->from);
	struct pulsar_id start = r->start;

	start.batch = after ? 0 : start.batch;
	pulsar_id_text(&start, asked);
	if (first)
		pulsar_id_text(first, has);
	r->must = false;
	if (follows_start(r, first))
		return ERR_OK;
	if (was_calm(r) && !is_missing(r, first)) {
		log_at(&r->p->log, r->doubts ? LOG_INFO : LOG_WARN,
			"topic %s: the broker no longer keeps message %s, behind which reading "
			"goes on at the first kept: %s. It was the last one a moment before; what "
			"came since is missing if it was trimmed, too",
			r->topic, asked, has);
		return ERR_OK;
	}
	return err_set(e, ERR_GONE,
		"position %s%s of topic %s is older than the broker keeps: first available %s; %s",
		after ? "behind " : "", asked, r->topic, has,
		after ? "whatever was between them is missing"
		      : "what was between them is missing");
}

/* There is no message, or none any more. */
static bool is_none(const struct pulsar_id *last)
{
	return (int64_t)last->ledger < 0 || (int64_t)last->entry < 0;
}

static void note_last(struct pulsar_reader *r, const struct pulsar_id *last)
{
	struct pulsar_id entry = {last->ledger, last->entry, 0, 0};

	if (is_none(last))
		return;
	if (!is_known(r))
		r->more = entry;
	if (pulsar_id_cmp(&entry, &r->end) > 0)
		r->end = entry;
}

/* What can be told before the first entry comes. */
static enum err_code check_start(
	struct pulsar_reader *r, const struct pulsar_id *last, struct err *e)
{
	char asked[PULSAR_ID_TEXT], end[PULSAR_ID_TEXT];
	bool none = is_none(last);
	struct pulsar_id start = r->start;

	r->must = !pulsar_id_is_earliest(&start);
	note_last(r, last);
	if (!r->must)
		return ERR_OK;
	if (none)
		return trimmed(r, NULL, e);
	start.batch = 0;
	if (pulsar_id_cmp(&start, last) <= 0)
		return ERR_OK;
	pulsar_id_text(&start, asked);
	pulsar_id_text(last, end);
	return err_set(e, ERR_GONE,
		"position %s of topic %s is newer than its end %s: the topic was truncated or made "
		"anew",
		asked, r->topic, end);
}

/* ---- losing and getting a subscription ---- */

static void lose(struct pulsar_reader *r)
{
	pulsar_ask_drop(&r->ask);
	pulsar_unsubscribe(r->p, &r->cs);
	r->subscribed = false;
	r->granted = 0;
	r->behind_ms = 0;
	/* One that told nothing new leaves the time since when nothing is known. */
	if (!r->lost_ms || r->at_end_ms >= r->begun_ms ||
		!pulsar_id_same_entry(&r->seen, &r->start))
		r->lost_ms = time_mono_ms();
}

/* Reading goes on at once, even in a call that must not wait. */
static void lose_and_resume(struct pulsar_reader *r)
{
	lose(r);
	r->retry_at = (struct deadline){0};
}

/* A broker that takes the subscription away again gets time. r->trouble says why. */
static void lose_and_wait(struct pulsar_reader *r)
{
	bool again = r->losses++ > 0;

	lose_and_resume(r);
	if (again)
		r->retry_at = deadline_in(retry_next_ms(&r->backoff));
}

static void note_progress(struct pulsar_reader *r)
{
	r->losses = 0;
	retry_reset(&r->backoff);
}

static enum err_code subscribe(struct pulsar_reader *r, struct stop *s, struct err *e)
{
	struct pulsar_id last;

	r->start = has_seen(r) ? r->seen : r->from;
	if (pulsar_subscribe(r->p, &r->cs, r->topic, &r->start, s, &last, e))
		return e->code;
	r->subscribed = true;
	r->granted = 0;
	r->begun_ms = time_mono_ms();
	if (check_start(r, &last, e)) {
		lose(r);
		return e->code;
	}
	return ERR_OK;
}

/* Brokers that start or move topics refuse and miss things for a while. */
static enum err_code believe_later(struct pulsar_reader *r, struct err *e)
{
	int64_t now = time_mono_ms();

	if (!r->failing_since_ms)
		r->failing_since_ms = now;
	if (!retry_may(e->code, true) && e->code != ERR_CANCELLED && e->code != ERR_GONE &&
		now - r->failing_since_ms < DENIED_MS)
		e->code = ERR_UNAVAILABLE;
	return e->code;
}

static enum err_code tell_trouble(const struct pulsar_reader *r, struct err *e)
{
	return err_set_origin(e, r->trouble.code, r->trouble.origin, "%s", r->trouble.text);
}

static enum err_code resume(
	struct pulsar_reader *r, struct deadline d, struct stop *s, struct err *e)
{
	bool later = r->retry_at.at_ms > d.at_ms;

	if (stop_sleep(s, deadline_left_ms(later ? d : r->retry_at)))
		return stop_err(e);
	if (later)
		return tell_trouble(r, e);
	if (!subscribe(r, s, e)) {
		r->failing_since_ms = 0;
		return ERR_OK;
	}
	believe_later(r, e);
	r->trouble = *e;
	r->retry_at = deadline_in(retry_next_ms(&r->backoff));
	return e->code;
}

/* ---- permits ---- */

static uint32_t permits_wanted(struct pulsar_reader *r)
{
	mutex_lock(&r->p->loop.mtx);
	size_t share = LIMIT_PULSAR_QUEUES / MAX(r->p->n_consumers, (size_t)1);
	mutex_unlock(&r->p->loop.mtx);
	share = MAX(MIN(share, (size_t)LIMIT_TOPIC_PREFETCH), (size_t)LIMIT_PULSAR_SHARE);
	size_t n = share / MAX(r->typical, (size_t)TYPICAL_LEAST);
	return (uint32_t)MIN(MAX(n, (size_t)PERMITS_LEAST), (size_t)LIMIT_PULSAR_PERMITS);
}

static void send_permits(struct pulsar_consumer *cs, uint32_t n)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(PULSAR_COMMAND_MOST);

	pulsar_put_flow(&b, cs->id, n);
	pulsar_conn_send(cs->conn, &b);
}

/* A broker sends entries while there are permits, and each costs as many as it has messages. */
static void grant(struct pulsar_reader *r)
{
	if (r->granted > LIMIT_PULSAR_PERMITS / 2)
		return;
	int64_t want = permits_wanted(r);
	if (r->granted > want / 2)
		return;
	int64_t more = MIN(want - r->granted, (int64_t)INT32_MAX);
	send_permits(&r->cs, (uint32_t)more);
	r->granted += more;
}

static void note_size(struct pulsar_reader *r, size_t n, uint32_t messages)
{
	r->granted -= messages;
	r->typical = n > r->typical ? n : r->typical - (r->typical - n) / 16;
}

/* ---- the end ---- */

/* A topic that has no message any more may have had some that were not read. */
static bool is_end(const struct pulsar_reader *r, const struct pulsar_id *last)
{
	if (is_none(last))
		return !has_seen(r) || pulsar_id_same_entry(&r->last, &r->seen);
	return pulsar_id_cmp(&r->seen, &r->end) >= 0;
}

/* The broker had more when it answered, and the same when it was asked long after that: what it had
 * sent in between would have come before the answer. */
static void note_behind(struct pulsar_reader *r, int64_t asked_ms)
{
	if (!r->behind_ms || !pulsar_id_same_entry(&r->behind_at, &r->seen)) {
		r->behind_ms = time_mono_ms();
		r->behind_at = r->seen;
	} else if (asked_ms - r->behind_ms >= r->p->stuck_ms) {
		log_warn(&r->p->log,
			"topic %s: the broker has messages and sends none since %lld ms; they are "
			"asked for anew",
			r->topic, (long long)(time_mono_ms() - r->behind_ms));
		err_clear(&r->trouble);
		err_set(&r->trouble, ERR_UNAVAILABLE,
			"topic %s: the broker has messages and sends none", r->topic);
		lose_and_wait(r);
	}
}

static void look_for_end(struct pulsar_reader *r)
{
	int64_t asked_ms = r->ask.asked_ms;
	struct pulsar_id last;

	if (!pulsar_ask_answer(&r->ask, &last))
		return;
	note_last(r, &last);
	if (!is_end(r, &last)) {
		if (!is_none(&last))
			note_behind(r, asked_ms);
		return;
	}
	r->behind_ms = 0;
	r->at_end_ms = asked_ms;
	if (!is_none(&last))
		r->last = last;
	if (!has_seen(r))
		r->from_end_ms = time_wall_ms();
	note_progress(r);
}

/* The queue is empty, so entries that come before the answer are taken first. A topic that ticks needs
 * no end but for what is believed after a loss. */
static void ask_for_end(struct pulsar_reader *r)
{
	look_for_end(r);
	int64_t now = time_mono_ms();
	bool silent = now - r->entry_ms >= r->p->ask_ms || now - r->ask.asked_ms >= ASK_RARELY_MS;
	if (r->subscribed && silent)
		pulsar_ask(&r->ask, &r->cs);
}

/* ---- entries ---- */

static bool is_lost(struct pulsar_reader *r)
{
	mutex_lock(&r->p->loop.mtx);
	bool lost = r->cs.lost;
	if (lost)
		r->trouble = r->cs.why;
	mutex_unlock(&r->p->loop.mtx);
	return lost;
}

static bool is_neighbour(const struct pulsar_id *a, const struct pulsar_id *b)
{
	return a->ledger == b->ledger && b->entry == a->entry + 1;
}

/* A broker moves a reader that is behind silently on when it trims a ledger below it or when messages
 * expire. So what does not come next by its id is believed only if it comes first behind the start of
 * a subscription; else one is made that starts at the entry before. */
static bool check_step(struct pulsar_reader *r, const struct pulsar_id *id)
{
	char before[PULSAR_ID_TEXT], text[PULSAR_ID_TEXT];

	if (!has_seen(r) || is_neighbour(&r->seen, id) || pulsar_id_same_entry(&r->seen, &r->start))
		return true;
	pulsar_id_text(&r->seen, before);
	pulsar_id_text(id, text);
	log_debug(
		&r->p->log, "topic %s: is %s the next message behind %s?", r->topic, text, before);
	lose_and_resume(r);
	r->doubts = true;
	return false;
}

/* It comes first behind the last one seen, but the broker once told of an entry between. */
static enum err_code check_gap(struct pulsar_reader *r, const struct pulsar_id *id, struct err *e)
{
	return has_seen(r) && is_missing(r, id) ? trimmed(r, id, e) : ERR_OK;
}

/* True for an entry that is to be decoded. */
static enum err_code check_id(
	struct pulsar_reader *r, const struct pulsar_id *id, bool *ret_new, struct err *e)
{
	struct pulsar_id at = *id, start = r->start;

	at.batch = start.batch = 0;
	*ret_new = !has_seen(r) || pulsar_id_cmp(&at, &r->seen) > 0;
	if (!r->must)
		return ERR_OK;
	if (pulsar_id_cmp(&at, &start) > 0)
		return trimmed(r, id, e);
	if (pulsar_id_same_entry(&at, &start))
		r->must = false;
	return ERR_OK;
}

/* A damaged entry is asked for again: the damage may be of the way. */
static enum err_code damaged(struct pulsar_reader *r, const struct pulsar_id *id, struct err *e)
{
	char text[PULSAR_ID_TEXT];

	pulsar_id_text(id, text);
	err_ctx(e, "topic %s, message %s", r->topic, text);
	if (e->code == ERR_MALFORMED && !r->entries.ruined && ++r->bad <= BAD_MOST) {
		log_warn(&r->p->log, "%s; it is fetched again", e->text);
		err_clear(e);
		lose_and_resume(r);
	}
	return e->code;
}

/* Takes m. */
static enum err_code on_entry(struct pulsar_reader *r, struct pulsar_msg *m, struct err *e)
{
	struct pulsar_id id = m->id;
	size_t n = m->n;
	uint32_t messages;
	bool is_new;

	id.partition = id.batch = 0;
	r->entry_ms = time_mono_ms();
	if (check_id(r, &m->id, &is_new, e) || !is_new || !check_step(r, &id) ||
		check_gap(r, &id, e)) {
		note_size(r, n, pulsar_entries_count(m));
		pulsar_msg_free(m);
		return e->code;
	}
	enum err_code code = pulsar_entries_add(&r->entries, m, &r->from, &messages, e);
	note_size(r, n, messages);
	if (code)
		return damaged(r, &id, e);
	r->seen = id;
	r->doubts = false;
	r->bad = 0;
	note_progress(r);
	return ERR_OK;
}

static void give_up_pieces(struct pulsar_reader *r)
{
	const struct pulsar_end end = {.begun_ms = r->begun_ms, .seen_ms = r->at_end_ms};
	struct pulsar_id id;
	char text[PULSAR_ID_TEXT];

	if (!pulsar_entries_give_up(&r->entries, &end, &id))
		return;
	pulsar_id_text(&id, text);
	log_warn(&r->p->log,
		"topic %s: the message in pieces at %s was never completed by its producer, or "
		"begins before what is read; it is left out",
		r->topic, text);
}

static enum err_code on_loss(struct pulsar_reader *r, struct err *e)
{
	lose_and_wait(r);
	/* An entry that is too big stays so. */
	return r->trouble.code == ERR_LIMIT ? tell_trouble(r, e) : ERR_OK;
}

/* Answers are looked at between waits. */
static struct deadline until_next_ask(const struct pulsar_reader *r, struct deadline d)
{
	struct deadline next = deadline_in(r->p->ask_ms);

	return next.at_ms < d.at_ms ? next : d;
}

/* Brings entries until one message is whole or d passes. */
static enum err_code step(struct pulsar_reader *r, struct deadline d, struct stop *s, struct err *e)
{
	if (!r->subscribed)
		return resume(r, d, s, e);
	grant(r);
	if (pulsar_consumer_is_empty(r->p, &r->cs))
		ask_for_end(r);
	if (!r->subscribed)
		return ERR_OK;
	struct pulsar_msg *m = pulsar_consumer_take(r->p, &r->cs, until_next_ask(r, d), s);
	if (m)
		return on_entry(r, m, e);
	if (stop_is_set(s))
		return stop_err(e);
	if (is_lost(r))
		return on_loss(r, e);
	look_for_end(r);
	return deadline_passed(d) ? err_set(e, ERR_TIMEOUT, "no message in time") : ERR_OK;
}

enum err_code pulsar_reader_next(struct pulsar_reader *r, struct deadline d, struct stop *s,
	struct pulsar_msg **ret_m, struct err *e)
{
	for (;;) {
		*ret_m = pulsar_entries_pop(&r->entries);
		if (*ret_m)
			return ERR_OK;
		give_up_pieces(r);
		if (step(r, d, s, e))
			return e->code;
	}
}

bool pulsar_reader_has_more(struct pulsar_reader *r)
{
	return !pulsar_consumer_is_empty(r->p, &r->cs) || !pulsar_entries_empty(&r->entries) ||
	       pulsar_id_cmp(&r->seen, &r->end) < 0;
}

int64_t pulsar_reader_end_age_ms(struct pulsar_reader *r)
{
	bool known = r->at_end_ms && r->subscribed && !pulsar_reader_has_more(r);

	return known ? time_mono_ms() - r->at_end_ms : -1;
}

/* ---- birth and death ---- */

/* Until the entry that must be there has come. */
static enum err_code await_start(struct pulsar_reader *r, struct stop *s, struct err *e)
{
	struct deadline d = deadline_in(PULSAR_CALL_MS);

	while (r->must && r->subscribed) {
		if (step(r, d, s, e) == ERR_TIMEOUT)
			e->code = ERR_UNAVAILABLE;
		if (e->code)
			return e->code;
	}
	return ERR_OK;
}

enum err_code pulsar_reader_open(struct pulsar *p, const char *topic,
	const struct pulsar_start *from, struct stop *s, struct pulsar_reader **ret_r,
	struct err *e)
{
	struct pulsar_reader *r = xcalloc(1, sizeof(*r));

	r->p = p;
	r->topic = pulsar_topic(p, topic);
	r->from = from->id;
	r->from_end_ms = from->end_ms;
	r->seen = r->end = r->more = r->last = PULSAR_EARLIEST;
	r->typical = TYPICAL_BYTES;
	r->backoff = (struct retry)RETRY_INIT(BACKOFF_FIRST_MS, BACKOFF_MOST_MS);
	pulsar_entries_init(&r->entries);
	pulsar_consumer_init(p, &r->cs);
	if (subscribe(r, s, e) || await_start(r, s, e)) {
		pulsar_reader_close(r);
		return e->code;
	}
	*ret_r = r;
	return ERR_OK;
}

void pulsar_reader_close(struct pulsar_reader *r)
{
	if (!r)
		return;
	pulsar_ask_drop(&r->ask);
	pulsar_unsubscribe(r->p, &r->cs);
	pulsar_consumer_done(&r->cs);
	pulsar_entries_done(&r->entries);
	free(r->topic);
	free(r);
}
