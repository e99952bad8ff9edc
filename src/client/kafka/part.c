/* One topic being read from an exact offset. librdkafka's legacy "simple consumer" calls are used
 * on purpose: they start and stop one topic at a time, need no group, and keep each topic's
 * messages in a queue of ours.
 *
 *   fetched messages ──▶ queue ──▶ kafka_part_next
 *        ▲ starts at p->next          │ empty and the topic has more: wake the fetcher
 *        └── restarted there ◀────────┘ broken batch, odd error; or no message for 10 s though the
 * topic has some: then on another connection
 *
 * Threads: one reader; librdkafka's threads only signal p->cond. */
#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "client/kafka/kafka_priv.h"

enum { WAKE_BYTES = LIMIT_TOPIC_PREFETCH / 2, WAKE_MS = 50, BAD_MOST = 5 };

struct kafka_part {
	struct kafka *k;
	char *topic;
	struct kafka_conn *conn;
	struct kafka_lease *lease;
	rd_kafka_topic_t *rkt;
	rd_kafka_queue_t *queue;
	int64_t next, end;        /* the next offset to return; the end known last */
	size_t since_wake;        /* bytes returned since the fetcher was woken */
	int64_t quiet_since_ms;   /* nothing came since then */
	int64_t missing_since_ms; /* the broker says that there is no such topic; 0: it has it */
	bool suspected;           /* and the topic had more when it was asked */
	int64_t stall_ms;         /* patience with that, doubled at each restart */
	enum kafka_pace pace;
	int64_t at_end_since_ms;           /* 0: behind the end */
	int64_t pace_since_ms, starved_ms; /* waited though there was more, in this while */
	unsigned bad;                      /* restarts at p->next without a message */
	struct mutex mtx;
	struct cond cond;
	bool ready;   /* under mtx: the queue got something */
	bool waiting; /* under mtx */
};

static void on_ready(rd_kafka_t *rk, void *part)
{
	struct kafka_part *p = part;

	(void)rk;
	mutex_lock(&p->mtx);
	bool waiting = p->waiting;
	p->ready = true;
	mutex_unlock(&p->mtx);
	if (waiting)
		cond_signal(&p->cond); /* after the unlock: the reader runs on at once */
}

static void fetch_stop(struct kafka_part *p, bool retire)
{
	if (p->queue) {
		rd_kafka_queue_cb_event_enable(p->queue, NULL, NULL);
		rd_kafka_consume_stop(p->rkt, 0);
		rd_kafka_queue_destroy(p->queue);
	}
	if (p->rkt)
		rd_kafka_topic_destroy(p->rkt);
	if (p->lease)
		kafka_lease_unref(p->lease);
	if (p->conn)
		kafka_conn_put(p->conn, p->topic, retire);
	p->queue = NULL;
	p->rkt = NULL;
	p->lease = NULL;
	p->conn = NULL;
}

static enum err_code fetch_start(struct kafka_part *p, struct err *e)
{
	if (kafka_conn_get(p->k, p->topic, p->pace, &p->conn, e))
		return e->code;
	p->lease = kafka_lease_new(p->conn);
	p->rkt = rd_kafka_topic_new(p->conn->rk, p->topic, NULL);
	if (!p->rkt)
		return kafka_err(e, rd_kafka_last_error(), "topic %s", p->topic);
	p->queue = rd_kafka_queue_new(p->conn->rk);
	rd_kafka_queue_cb_event_enable(p->queue, on_ready, p);
	if (rd_kafka_consume_start_queue(p->rkt, 0, p->next, p->queue))
		return kafka_err(e, rd_kafka_last_error(), "start topic %s at %lld", p->topic,
			(long long)p->next);
	p->quiet_since_ms = time_mono_ms();
	p->since_wake = 0;
	return ERR_OK;
}

static enum err_code check_range(
	const struct kafka_part *p, int64_t first, int64_t end, struct err *e)
{
	if (p->next < first)
		return err_set(e, ERR_GONE,
			"position %lld of topic %s is older than the broker keeps: first available "
			"%lld, %lld messages are missing",
			(long long)p->next, p->topic, (long long)first,
			(long long)(first - p->next));
	if (p->next > end)
		return err_set(e, ERR_GONE,
			"position %lld of topic %s is newer than its end %lld: the topic was "
			"truncated "
			"or made anew",
			(long long)p->next, p->topic, (long long)end);
	return ERR_OK;
}

static struct kafka_part *part_new(struct kafka *k, const char *topic, int64_t offset)
{
	struct kafka_part *p = xcalloc(1, sizeof(*p));
	p->k = k;
	p->topic = xstrdup(topic);
	p->next = offset;
	p->stall_ms = KAFKA_STALL_MS;
	mutex_init(&p->mtx, "kafka part");
	cond_init(&p->cond);
	return p;
}

enum err_code kafka_part_open(struct kafka *k, const char *topic, int64_t offset, struct stop *s,
	struct kafka_part **ret_p, struct err *e)
{
	int64_t first, end;

	if (kafka_ends(k, topic, s, &first, &end, e))
		return e->code;
	struct kafka_part *p = part_new(k, topic, offset);
	p->end = end;
	p->pace = end - offset > KAFKA_BACKLOG ? KAFKA_BUSY : KAFKA_CALM;
	if (check_range(p, first, end, e) || fetch_start(p, e)) {
		kafka_part_close(p);
		return e->code;
	}
	*ret_p = p;
	return ERR_OK;
}

void kafka_part_close(struct kafka_part *p)
{
	if (!p)
		return;
	fetch_stop(p, false);
	cond_done(&p->cond);
	mutex_done(&p->mtx);
	free(p->topic);
	free(p);
}

bool kafka_part_has_more(struct kafka_part *p)
{
	int64_t first, end;

	if (p->end <= p->next && p->conn &&
		!rd_kafka_get_watermark_offsets(p->conn->rk, p->topic, 0, &first, &end))
		p->end = MAX(p->end, end);
	return p->end > p->next;
}

static enum err_code restart(struct kafka_part *p, bool retire, struct err *e)
{
	fetch_stop(p, retire);
	return fetch_start(p, e);
}

/* A broker that has just started may not know its topics for a while. */
static enum err_code believe_later(struct kafka_part *p, struct err *e)
{
	int64_t now = time_mono_ms();

	if (!p->missing_since_ms)
		p->missing_since_ms = now;
	if (now - p->missing_since_ms < KAFKA_MISSING_MS)
		e->code = ERR_UNAVAILABLE;
	return e->code;
}

/* Asks the broker where the topic begins and ends. UNAVAILABLE when it can't be asked now. */
static enum err_code ask_range(struct kafka_part *p, struct err *e)
{
	int64_t first, end;
	enum err_code code = kafka_conn_ends(p->conn, p->topic, &first, &end, e);

	if (code == ERR_NOT_FOUND)
		return believe_later(p, e);
	if (code)
		return code;
	p->missing_since_ms = 0;
	p->end = end;
	return check_range(p, first, end, e);
}

/* An error in place of a message: what librdkafka does next is not exact, so reading starts again
 * at the next offset, unless the broker confirms that this is in vain. */
static enum err_code on_error(struct kafka_part *p, rd_kafka_message_t *m, struct err *e)
{
	struct err first = ERR_INIT;
	rd_kafka_resp_err_t code = m->err;

	kafka_err(&first, code, "topic %s at %lld: %s", p->topic, (long long)p->next,
		rd_kafka_message_errstr(m));
	rd_kafka_message_destroy(m);
	if (first.code == ERR_DENIED) {
		fetch_stop(p, false); /* and start at the next call */
		return err_set_origin(e, first.code, first.origin, "%s", first.text);
	}
	if (ask_range(p, e)) {
		/* Its fetcher may have given up; else only the check for a stall would wake it. */
		if (e->code == ERR_UNAVAILABLE)
			fetch_stop(p, false);
		return e->code;
	}
	if (++p->bad >= BAD_MOST && first.code == ERR_MALFORMED)
		return err_set_origin(e, first.code, first.origin, "%s", first.text);
	if (restart(p, false, e))
		return e->code;
	return err_set_origin(e, ERR_UNAVAILABLE, first.origin, "%s", first.text);
}

static void note_taken(struct kafka_part *p, const rd_kafka_message_t *m)
{
	if (m->offset > p->next)
		log_warn(&p->k->log, "topic %s: offsets %lld to %lld hold no message", p->topic,
			(long long)p->next, (long long)m->offset - 1);
	p->next = m->offset + 1;
	p->bad = 0;
	p->stall_ms = KAFKA_STALL_MS;
	p->quiet_since_ms = 0;
	p->suspected = false;
	p->since_wake += m->len;
	if (p->since_wake < WAKE_BYTES)
		return;
	p->since_wake = 0;
	kafka_conn_wake(p->conn);
}

/* Nothing came for long: is there something? Then the fetcher hangs, or its connection. */
static enum err_code check_stall(struct kafka_part *p, struct err *e)
{
	int64_t now = time_mono_ms();

	if (!p->quiet_since_ms)
		p->quiet_since_ms = now;
	if (now - p->quiet_since_ms < p->stall_ms)
		return ERR_OK;
	p->quiet_since_ms = now;
	if (ask_range(p, e))
		return e->code;
	bool suspected = p->suspected;
	p->suspected = p->end > p->next;
	if (!p->suspected)
		return ERR_OK;
	if (!suspected) {
		/* It may have come just now: look again soon. */
		p->quiet_since_ms = now - p->stall_ms + KAFKA_CONFIRM_MS;
		return ERR_OK;
	}
	p->suspected = false;
	log_warn(&p->k->log,
		"topic %s: nothing fetched for %lld ms though it has offsets %lld to %lld; reading "
		"goes on over another connection",
		p->topic, (long long)(p->stall_ms + KAFKA_CONFIRM_MS), (long long)p->next,
		(long long)p->end - 1);
	p->stall_ms = MIN(p->stall_ms * 2, KAFKA_STALL_MOST_MS);
	return restart(p, true, e);
}

static void wait_ready(struct kafka_part *p, struct deadline d, struct stop *s)
{
	struct deadline look = d;
	struct stop_watch w;

	if (p->end > p->next) {
		kafka_conn_wake(p->conn);
		look.at_ms = MIN(d.at_ms, deadline_in(WAKE_MS).at_ms);
	}
	stop_watch_add(s, &w, &p->mtx, &p->cond);
	mutex_lock(&p->mtx);
	p->waiting = true;
	while (!p->ready && !stop_is_set(s))
		if (!cond_wait(&p->cond, &p->mtx, look))
			break;
	p->ready = p->waiting = false;
	mutex_unlock(&p->mtx);
	stop_watch_del(s, &w);
}

/* Changes to the connection that suits: busy when the topic had more for half of the last while and
 * the reader waited all the same; calm when at its end for some time. */
static enum err_code adapt_pace(struct kafka_part *p, bool behind, int64_t waited_ms, struct err *e)
{
	int64_t now = time_mono_ms();

	if (now - p->pace_since_ms > KAFKA_PACE_MS) {
		p->pace_since_ms = now;
		p->starved_ms = 0;
	}
	p->starved_ms += behind ? waited_ms : 0;
	if (behind)
		p->at_end_since_ms = 0;
	else if (!p->at_end_since_ms)
		p->at_end_since_ms = now;
	bool to_busy = p->pace == KAFKA_CALM && p->starved_ms > KAFKA_PACE_MS / 2;
	bool to_calm = p->pace == KAFKA_BUSY && !behind && now - p->at_end_since_ms > KAFKA_CALM_MS;
	if (!to_busy && !to_calm)
		return ERR_OK;
	p->pace = to_busy ? KAFKA_BUSY : KAFKA_CALM;
	p->starved_ms = 0;
	return restart(p, false, e);
}

static enum err_code take(struct kafka_part *p, rd_kafka_message_t **ret_m, struct err *e)
{
	rd_kafka_message_t *m;

	*ret_m = NULL;
	while ((m = rd_kafka_consume_queue(p->queue, 0))) {
		if (m->err)
			return on_error(p, m, e);
		if (m->offset < p->next) {
			rd_kafka_message_destroy(m);
			continue;
		}
		note_taken(p, m);
		*ret_m = m;
		return ERR_OK;
	}
	return ERR_OK;
}

static enum err_code timed_out(struct kafka_part *p, bool waited, struct err *e)
{
	if (waited && kafka_conn_health(p->conn, p->topic, e))
		return e->code;
	return err_set(e, ERR_TIMEOUT, "no message");
}

static enum err_code next(struct kafka_part *p, struct deadline d, struct stop *s,
	rd_kafka_message_t **ret_m, struct kafka_lease **ret_owner, struct err *e)
{
	/* A restart may have failed half way. */
	if (!p->queue && restart(p, false, e))
		return e->code;
	for (bool waited = false;; waited = true) {
		if (take(p, ret_m, e))
			return e->code;
		if (*ret_m) {
			*ret_owner = p->lease;
			kafka_lease_ref(p->lease);
			return ERR_OK;
		}
		if (stop_is_set(s))
			return stop_err(e);
		if (deadline_passed(d))
			return timed_out(p, waited, e);
		if (check_stall(p, e))
			return e->code;
		bool behind = p->end > p->next;
		int64_t before = time_mono_ms();
		wait_ready(p, d, s);
		if (adapt_pace(p, behind, time_mono_ms() - before, e))
			return e->code;
	}
}

enum err_code kafka_part_next(struct kafka_part *p, struct deadline d, struct stop *s,
	rd_kafka_message_t **ret_m, struct kafka_lease **ret_owner, struct err *e)
{
	enum err_code code = next(p, d, s, ret_m, ret_owner, e);

	/* A login or a right that was taken away may be given back. */
	return code == ERR_DENIED ? (e->code = ERR_UNAVAILABLE) : code;
}
