/* One topic being read. All but what the I/O thread puts into the consumer belongs to the reader's
 * own thread, which also subscribes anew when the subscription is lost:
 *
 *   entries ──▶ consumer's queue ──▶ check the id ──▶ messages ──▶ pulsar_reader_next
 *   permits ◀── by bytes                │ not the entry that must come: GONE
 *                                       │ seen before: dropped
 *   lost (connection, unload, overflow) ──▶ lookup, subscribe at the last entry seen
 *
 * A broker asked to start at an entry it has trimmed starts silently at the next one it has. So
 * every subscription starts at an entry that was there once, and that one must come first. */
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
	CALM_MS = 60000, /* was at the end so short a time before the loss */
};

struct pulsar_reader {
	struct pulsar *p;
	char *topic;
	struct pulsar_consumer cs;
	struct pulsar_entries entries;
	struct pulsar_id from; /* messages before it are left out */
	int64_t from_end_ms;   /* wall time at which nothing stood behind from */
	struct pulsar_id seen; /* the last entry taken; earliest: none */
	struct pulsar_id end;  /* the topic's last message known of */
	bool subscribed;
	bool must;              /* the entry at start is still to come */
	struct pulsar_id start; /* of the subscription */
	uint32_t granted;       /* permits the broker has left */
	size_t typical;         /* bytes of an entry, quick to grow */
	struct retry backoff;
	struct deadline retry_at;
	struct err trouble; /* why it is not subscribed */
	int64_t failing_since_ms;
	int64_t at_end_ms, lost_ms; /* was last seen at the end; lost its subscription */
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
	return r->lost_ms - r->at_end_ms < CALM_MS && time_mono_ms() - r->lost_ms < r->p->calm_ms;
}

/* Is first the next one behind start? Ledger numbers have gaps: it can only be seen within one. */
static bool follows_start(const struct pulsar_reader *r, const struct pulsar_id *first)
{
	return first && (has_seen(r) || names_after(&r->from)) &&
	       first->ledger == r->start.ledger && first->entry == r->start.entry + 1;
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
	if (was_calm(r)) {
		log_warn(&r->p->log,
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

/* What can be told before the first entry comes. */
static enum err_code check_start(
	struct pulsar_reader *r, const struct pulsar_id *last, struct err *e)
{
	char asked[PULSAR_ID_TEXT], end[PULSAR_ID_TEXT];
	bool none = (int64_t)last->ledger < 0 || (int64_t)last->entry < 0;
	struct pulsar_id start = r->start;

	r->must = !pulsar_id_is_earliest(&start);
	if (!none && pulsar_id_cmp(last, &r->end) > 0)
		r->end = *last;
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
	pulsar_unsubscribe(r->p, &r->cs);
	r->subscribed = false;
	r->granted = 0;
	r->lost_ms = time_mono_ms();
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

static void grant(struct pulsar_reader *r)
{
	if (r->granted > LIMIT_PULSAR_PERMITS / 2)
		return;
	uint32_t want = permits_wanted(r);
	if (r->granted > want / 2)
		return;
	send_permits(&r->cs, want - r->granted);
	r->granted = want;
}

static void note_size(struct pulsar_reader *r, size_t n, uint32_t messages)
{
	size_t each = n / messages;

	r->granted -= MIN(messages, r->granted);
	r->typical = each > r->typical ? each : r->typical - (r->typical - each) / 16;
}

/* ---- entries ---- */

static bool at_end(const struct pulsar_reader *r)
{
	return r->granted && pulsar_id_cmp(&r->seen, &r->end) >= 0;
}

/* The oldest entry of the queue; NULL when d passes, s is set or the subscription is lost. */
static struct pulsar_msg *take(
	struct pulsar *p, struct pulsar_consumer *cs, struct deadline d, struct stop *s)
{
	struct loop *l = &p->loop;
	struct stop_watch w;
	bool watched = false;

	mutex_lock(&l->mtx);
	if (list_empty(&cs->queue) && !deadline_passed(d)) {
		mutex_unlock(&l->mtx);
		stop_watch_add(s, &w, &l->mtx, &cs->cond);
		watched = true;
		mutex_lock(&l->mtx);
		while (list_empty(&cs->queue) && !cs->lost && !stop_is_set(s) &&
			cond_wait(&cs->cond, &l->mtx, d))
			;
	}
	struct list *n = list_pop(&cs->queue);
	struct pulsar_msg *m = n ? LIST_ITEM(n, struct pulsar_msg, link) : NULL;
	if (m) {
		cs->queued -= m->n;
		p->queued -= m->n;
	}
	mutex_unlock(&l->mtx);
	if (watched)
		stop_watch_del(s, &w);
	return m;
}

static bool is_lost(struct pulsar_reader *r)
{
	mutex_lock(&r->p->loop.mtx);
	bool lost = r->cs.lost;
	if (lost)
		r->trouble = r->cs.why;
	mutex_unlock(&r->p->loop.mtx);
	return lost;
}

/* The first entry the broker gives to who asks for this one; *ret_id is unset on TIMEOUT. */
static enum err_code first_from(struct pulsar_reader *r, const struct pulsar_id *id, struct stop *s,
	struct pulsar_id *ret_id, struct err *e)
{
	struct pulsar_consumer probe;
	struct pulsar_id last;

	pulsar_consumer_init(r->p, &probe);
	enum err_code code = pulsar_subscribe(r->p, &probe, r->topic, id, s, &last, e);
	if (!code) {
		send_permits(&probe, 1);
		struct pulsar_msg *m = take(r->p, &probe, deadline_in(PULSAR_CALL_MS), s);
		if (m)
			*ret_id = m->id;
		else
			code = err_set(e, ERR_UNAVAILABLE, "topic %s: no entry in time", r->topic);
		pulsar_msg_free(m);
	}
	pulsar_unsubscribe(r->p, &probe);
	pulsar_consumer_done(&probe);
	return code;
}

/* A broker moves a reader that is behind silently on when it trims a ledger below it. As it trims
 * from the front, everything was there if the entry before the step to another ledger still is. A
 * reader that was at the end a moment ago can't have been moved. */
static enum err_code check_step(
	struct pulsar_reader *r, const struct pulsar_id *id, struct stop *s, struct err *e)
{
	struct pulsar_id first;

	if (!has_seen(r) || id->ledger == r->seen.ledger || time_mono_ms() - r->at_end_ms < CALM_MS)
		return ERR_OK;
	if (first_from(r, &r->seen, s, &first, e))
		return e->code;
	if (pulsar_id_same_entry(&first, &r->seen))
		return ERR_OK;
	r->start = r->seen;
	r->lost_ms = time_mono_ms();
	return trimmed(r, id, e);
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
	if (e->code == ERR_MALFORMED && ++r->bad <= BAD_MOST) {
		log_warn(&r->p->log, "%s; it is fetched again", e->text);
		err_clear(e);
		lose(r);
		r->retry_at = deadline_in(0);
	}
	return e->code;
}

/* Takes m. */
static enum err_code on_entry(
	struct pulsar_reader *r, struct pulsar_msg *m, struct stop *s, struct err *e)
{
	struct pulsar_id id = m->id;
	size_t n = m->n;
	uint32_t messages = 1;
	bool is_new;

	id.partition = id.batch = 0;
	if (check_id(r, &m->id, &is_new, e) || !is_new || check_step(r, &id, s, e)) {
		pulsar_msg_free(m);
		note_size(r, n, messages);
		if (is_new && e->code && retry_may(e->code, true))
			lose(r); /* this entry comes again */
		return e->code;
	}
	enum err_code code = pulsar_entries_add(&r->entries, m, &r->from, &messages, e);
	note_size(r, n, messages);
	if (code)
		return damaged(r, &id, e);
	r->seen = id;
	r->bad = 0;
	note_progress(r);
	return ERR_OK;
}

static void give_up_pieces(struct pulsar_reader *r)
{
	struct pulsar_id id;
	char text[PULSAR_ID_TEXT];

	if (!pulsar_entries_give_up(&r->entries, &id))
		return;
	pulsar_id_text(&id, text);
	log_warn(&r->p->log,
		"topic %s: the message in pieces at %s was never completed by its producer, or "
		"begins before what is read; it is left out",
		r->topic, text);
}

/* The first time reading goes on at once; a broker that takes the subscription away again gets
 * time. */
static enum err_code on_loss(struct pulsar_reader *r, struct err *e)
{
	lose(r);
	r->retry_at = deadline_in(r->losses++ ? retry_next_ms(&r->backoff) : 0);
	/* An entry that is too big stays so. */
	return r->trouble.code == ERR_LIMIT ? tell_trouble(r, e) : ERR_OK;
}

/* Brings entries until one message is whole or d passes. */
static enum err_code step(struct pulsar_reader *r, struct deadline d, struct stop *s, struct err *e)
{
	if (!r->subscribed)
		return resume(r, d, s, e);
	grant(r);
	struct pulsar_msg *m = take(r->p, &r->cs, d, s);
	if (m)
		return on_entry(r, m, s, e);
	if (stop_is_set(s))
		return stop_err(e);
	if (is_lost(r))
		return on_loss(r, e);
	if (at_end(r)) {
		r->at_end_ms = time_mono_ms();
		if (!has_seen(r))
			r->from_end_ms = time_wall_ms();
		note_progress(r);
	}
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
	mutex_lock(&r->p->loop.mtx);
	bool more = !list_empty(&r->cs.queue);
	mutex_unlock(&r->p->loop.mtx);
	return more || !pulsar_entries_empty(&r->entries) || pulsar_id_cmp(&r->seen, &r->end) < 0;
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
	r->seen = r->end = PULSAR_EARLIEST;
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
	pulsar_unsubscribe(r->p, &r->cs);
	pulsar_consumer_done(&r->cs);
	pulsar_entries_done(&r->entries);
	free(r->topic);
	free(r);
}
