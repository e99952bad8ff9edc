#include "client/kafka/producer.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "client/kafka/kafka_priv.h"

enum { POLL_MS = 100, FULL_MS = 50, ASK_MS = 1000, PAUSE_MS = 250, TEXT_BYTES = 300 };

struct kafka_producer {
	struct log_ctx log;
	char *address, *topic;
	rd_kafka_conf_t *conf; /* the template of the instance */
	rd_kafka_t *rk;        /* changed by the thread alone, while users is 0 */
	rd_kafka_topic_t *rkt;
	struct thread thread;
	struct stop stop;
	struct mutex mtx;
	struct cond cond;
	unsigned users; /* calls that use rk; below under mtx */
	bool reopening;
	size_t queued_bytes, queued;
	bool alone; /* what is queued is one record of a ticket that wants to be alone */
	bool denied;
	char why[TEXT_BYTES]; /* librdkafka's last complaint; "" when records get through */
};

struct kafka_ticket {
	bool alone;
	struct mutex mtx;
	unsigned refs; /* the caller's and one a report to come; below under mtx */
	unsigned left; /* records without a report */
	enum err_code code;
	int origin;
	char text[TEXT_BYTES];
};

/* A record on its way: what its report and its partition are made of. */
struct sent {
	struct kafka_ticket *ticket;
	size_t bytes, lane_n;
	uint8_t lane[];
};

struct kafka_ticket *kafka_ticket_new(bool alone)
{
	struct kafka_ticket *t = xcalloc(1, sizeof(*t));

	t->alone = alone;
	t->refs = 1;
	mutex_init(&t->mtx, "kafka ticket");
	return t;
}

void kafka_ticket_drop(struct kafka_ticket *t)
{
	if (!t)
		return;
	mutex_lock(&t->mtx);
	bool last = --t->refs == 0;
	mutex_unlock(&t->mtx);
	if (!last)
		return;
	mutex_done(&t->mtx);
	free(t);
}

static void ticket_add(struct kafka_ticket *t)
{
	mutex_lock(&t->mtx);
	t->refs++;
	t->left++;
	mutex_unlock(&t->mtx);
}

static void ticket_report(struct kafka_ticket *t, const struct err *e)
{
	mutex_lock(&t->mtx);
	t->left--;
	if (e->code && !t->code) {
		t->code = e->code;
		t->origin = e->origin;
		snprintf(t->text, sizeof(t->text), "%.*s", TEXT_BYTES - 1, e->text);
	}
	mutex_unlock(&t->mtx);
	kafka_ticket_drop(t);
}

/* A record's fate as ours: what the broker's answer to reading would mean is no help here. */
static void record_err(
	const struct kafka_producer *p, rd_kafka_resp_err_t code, size_t bytes, struct err *e)
{
	kafka_err(e, code, "topic %s", p->topic);
	if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
		code == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE) {
		err_clear(e);
		err_set_origin(e, ERR_LIMIT, (int)code,
			"topic %s refuses a record of %zu bytes: raise its max.message.bytes (or "
			"message.max.bytes of the broker), then pause and resume the task",
			p->topic, bytes);
	} else if (e->code == ERR_MALFORMED || e->code == ERR_GONE) {
		e->code = ERR_UNAVAILABLE;
	}
}

/* @thread whoever polls */
static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct kafka_producer *p = opaque;
	struct sent *s = m->_private;
	struct err e = ERR_INIT;

	(void)rk;
	if (m->err)
		record_err(p, m->err, m->len, &e);
	ticket_report(s->ticket, &e);
	mutex_lock(&p->mtx);
	p->queued_bytes -= s->bytes;
	p->queued--;
	p->alone = false; /* it was all that was queued */
	if (!m->err) {
		p->why[0] = '\0';
		p->denied = false;
	}
	cond_broadcast(&p->cond);
	mutex_unlock(&p->mtx);
	free(s);
}

static void on_error(rd_kafka_t *rk, int code, const char *why, void *opaque)
{
	struct kafka_producer *p = opaque;
	struct err e = ERR_INIT;

	(void)rk;
	kafka_err(&e, (rd_kafka_resp_err_t)code, "Kafka");
	mutex_lock(&p->mtx);
	p->denied = p->denied || e.code == ERR_DENIED;
	/* "All brokers are down" follows the line that says why. */
	if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || !p->why[0])
		snprintf(p->why, sizeof(p->why), "%.*s", TEXT_BYTES - 1, why);
	mutex_unlock(&p->mtx);
}

/* What matters comes as an error or in a report. */
static void on_log(const rd_kafka_t *rk, int level, const char *fac, const char *text)
{
	const struct kafka_producer *p = rd_kafka_opaque(rk);

	(void)level;
	if (p)
		log_debug(&p->log, "librdkafka %s: %s", fac, text);
}

/* As Java's default partitioner would do it with the lane as the key. */
static int32_t on_partition(const rd_kafka_topic_t *rkt, const void *key, size_t n_key,
	int32_t partitions, void *topic_opaque, void *msg_opaque)
{
	const struct sent *s = msg_opaque;

	(void)key;
	(void)n_key;
	if (!s->lane_n)
		return 0;
	return rd_kafka_msg_partitioner_murmur2(
		rkt, s->lane, s->lane_n, partitions, topic_opaque, NULL);
}

static enum err_code open_instance(struct kafka_producer *p, struct err *e)
{
	char why[TEXT_BYTES];
	rd_kafka_conf_t *conf = rd_kafka_conf_dup(p->conf);

	rd_kafka_conf_set_opaque(conf, p);
	p->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (!p->rk) {
		rd_kafka_conf_destroy(conf);
		return err_set(e, ERR_INVALID, "Kafka settings: %s", why);
	}
	p->rkt = rd_kafka_topic_new(p->rk, p->topic, NULL);
	return p->rkt ? ERR_OK : kafka_err(e, rd_kafka_last_error(), "topic %s", p->topic);
}

/* Everything that is queued gets its report first. */
static void close_instance(struct kafka_producer *p)
{
	if (!p->rk)
		return;
	rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	while (rd_kafka_outq_len(p->rk))
		rd_kafka_poll(p->rk, POLL_MS);
	if (p->rkt)
		rd_kafka_topic_destroy(p->rkt);
	rd_kafka_destroy(p->rk);
	p->rk = NULL;
	p->rkt = NULL;
}

static rd_kafka_t *enter(struct kafka_producer *p)
{
	mutex_lock(&p->mtx);
	while (p->reopening)
		cond_wait(&p->cond, &p->mtx, DEADLINE_NEVER);
	p->users++;
	mutex_unlock(&p->mtx);
	return p->rk;
}

static void leave(struct kafka_producer *p)
{
	mutex_lock(&p->mtx);
	p->users--;
	cond_broadcast(&p->cond);
	mutex_unlock(&p->mtx);
}

/* librdkafka gives an instance up for good, e.g. when the broker lost what it had confirmed. */
static void reopen(struct kafka_producer *p)
{
	char why[TEXT_BYTES];
	struct err e = ERR_INIT;

	rd_kafka_fatal_error(p->rk, why, sizeof(why));
	log_warn(&p->log, "the producer is replaced, records may be repeated: %s", why);
	mutex_lock(&p->mtx);
	p->reopening = true;
	while (p->users)
		cond_wait(&p->cond, &p->mtx, DEADLINE_NEVER);
	mutex_unlock(&p->mtx);
	close_instance(p);
	while (open_instance(p, &e) && !stop_sleep(&p->stop, ASK_MS))
		err_clear(&e);
	mutex_lock(&p->mtx);
	p->reopening = false;
	cond_broadcast(&p->cond);
	mutex_unlock(&p->mtx);
}

static void serve(void *arg)
{
	struct kafka_producer *p = arg;

	while (!stop_is_set(&p->stop)) {
		thread_waits(false); /* one turn, and no more, is to be short */
		rd_kafka_poll(p->rk, POLL_MS);
		if (rd_kafka_fatal_error(p->rk, NULL, 0))
			reopen(p);
	}
}

enum err_code kafka_producer_open(
	const struct kafka_producer_opts *o, struct kafka_producer **ret_p, struct err *e)
{
	struct kafka_producer *p = xcalloc(1, sizeof(*p));

	p->log = (struct log_ctx){.parent = o->log, .comp = LOG_kafka, .fields = ""};
	p->address = xstrdup(o->address);
	p->topic = xstrdup(o->topic);
	stop_init(&p->stop, NULL);
	mutex_init(&p->mtx, "kafka producer");
	cond_init(&p->cond);
	if (!kafka_producer_settings(o, &p->conf, e)) {
		rd_kafka_conf_set_dr_msg_cb(p->conf, on_report);
		rd_kafka_conf_set_error_cb(p->conf, on_error);
		rd_kafka_conf_set_log_cb(p->conf, on_log);
		rd_kafka_topic_conf_set_partitioner_cb(
			rd_kafka_conf_get_default_topic_conf(p->conf), on_partition);
	}
	if (e->code || open_instance(p, e) ||
		thread_start(&p->thread, "kafka-report", serve, p, e)) {
		kafka_producer_close(p, 0);
		return e->code;
	}
	*ret_p = p;
	return ERR_OK;
}

void kafka_producer_close(struct kafka_producer *p, int64_t patience_ms)
{
	if (!p)
		return;
	stop_set(&p->stop);
	thread_join(&p->thread);
	if (p->rk && patience_ms > 0)
		rd_kafka_flush(p->rk, (int)patience_ms);
	close_instance(p);
	if (p->conf)
		rd_kafka_conf_destroy(p->conf);
	cond_done(&p->cond);
	mutex_done(&p->mtx);
	stop_done(&p->stop);
	free(p->address);
	free(p->topic);
	free(p);
}

/* One question; creates the topic where the broker does that. */
static enum err_code ask_topic(struct kafka_producer *p, struct err *e)
{
	const struct rd_kafka_metadata *md = NULL;
	rd_kafka_t *rk = enter(p);
	rd_kafka_resp_err_t code = rd_kafka_metadata(rk, 0, p->rkt, &md, ASK_MS);

	if (!code && md->topic_cnt == 1)
		code = md->topics[0].err                  ? md->topics[0].err
		       : md->topics[0].partition_cnt == 0 ? RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE
							  : RD_KAFKA_RESP_ERR_NO_ERROR;
	if (md)
		rd_kafka_metadata_destroy(md);
	leave(p);
	return code ? kafka_err(e, code, "topic %s at %s", p->topic, p->address) : ERR_OK;
}

/* What the broker complained of says more than "timed out". */
static enum err_code with_reason(struct kafka_producer *p, struct err *e)
{
	char why[TEXT_BYTES];

	mutex_lock(&p->mtx);
	bool denied = p->denied;
	memcpy(why, p->why, sizeof(why));
	mutex_unlock(&p->mtx);
	if (e->code != ERR_UNAVAILABLE || !why[0])
		return e->code;
	err_clear(e);
	return err_set(e, denied ? ERR_DENIED : ERR_UNAVAILABLE, "topic %s at %s: %s", p->topic,
		p->address, why);
}

enum err_code kafka_producer_check(
	struct kafka_producer *p, int64_t patience_ms, struct stop *s, struct err *e)
{
	struct deadline d = deadline_in(patience_ms);

	for (;;) {
		err_clear(e);
		if (!ask_topic(p, e)) {
			mutex_lock(&p->mtx);
			p->why[0] = '\0';
			p->denied = false;
			mutex_unlock(&p->mtx);
			return ERR_OK;
		}
		enum err_code code = with_reason(p, e);
		if (code == ERR_DENIED || deadline_passed(d))
			return code;
		if (stop_sleep(s, PAUSE_MS)) {
			err_clear(e);
			return stop_err(e);
		}
	}
}

/* A single record may be larger than all the room. */
static bool has_room(const struct kafka_producer *p, size_t bytes, bool alone)
{
	if (p->alone || (alone && p->queued))
		return false;
	return !p->queued ||
	       (p->queued_bytes + bytes <= LIMIT_KAFKA_QUEUE && p->queued < LIMIT_KAFKA_RECORDS);
}

/* Reserves room for one record of so many bytes. */
static enum err_code reserve(
	struct kafka_producer *p, size_t bytes, bool alone, struct stop *s, struct err *e)
{
	struct stop_watch w;

	stop_watch_add(s, &w, &p->mtx, &p->cond);
	mutex_lock(&p->mtx);
	while (!stop_is_set(s) && !has_room(p, bytes, alone))
		cond_wait(&p->cond, &p->mtx, DEADLINE_NEVER);
	bool stopped = stop_is_set(s);
	if (!stopped) {
		p->queued_bytes += bytes;
		p->queued++;
		p->alone = alone;
	}
	mutex_unlock(&p->mtx);
	stop_watch_del(s, &w);
	return stopped ? stop_err(e) : ERR_OK;
}

static void unreserve(struct kafka_producer *p, size_t bytes)
{
	mutex_lock(&p->mtx);
	p->queued_bytes -= bytes;
	p->queued--;
	p->alone = false;
	cond_broadcast(&p->cond);
	mutex_unlock(&p->mtx);
}

static rd_kafka_headers_t *make_headers(const struct kafka_record *r)
{
	rd_kafka_headers_t *h = rd_kafka_headers_new(r->n_headers);

	for (size_t i = 0; i < r->n_headers; i++)
		rd_kafka_header_add(h, r->headers[i].name, -1, r->headers[i].value.p,
			(ssize_t)r->headers[i].value.n);
	return h;
}

/* Once; takes s on success. */
static rd_kafka_resp_err_t produce(
	struct kafka_producer *p, const struct kafka_record *r, struct sent *s)
{
	rd_kafka_headers_t *headers = make_headers(r);
	rd_kafka_t *rk = enter(p);
	rd_kafka_resp_err_t code = rd_kafka_producev(rk, RD_KAFKA_V_RKT(p->rkt),
		RD_KAFKA_V_KEY(r->key.n ? (void *)(uintptr_t)r->key.p : NULL, r->key.n),
		RD_KAFKA_V_VALUE((void *)(uintptr_t)r->value.p, r->value.n),
		RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_HEADERS(headers),
		RD_KAFKA_V_OPAQUE(s), RD_KAFKA_V_END);

	leave(p);
	if (code)
		rd_kafka_headers_destroy(headers);
	return code;
}

enum err_code kafka_producer_send(struct kafka_producer *p, const struct kafka_record *r,
	struct kafka_ticket *t, struct stop *s, struct err *e)
{
	size_t bytes = sizeof(struct sent) + r->key.n + r->value.n + r->lane.n;
	rd_kafka_resp_err_t code;

	if (reserve(p, bytes, t->alone, s, e))
		return e->code;
	struct sent *one = xcalloc(1, sizeof(*one) + r->lane.n);
	one->ticket = t;
	one->bytes = bytes;
	one->lane_n = r->lane.n;
	if (r->lane.n)
		memcpy(one->lane, r->lane.p, r->lane.n);
	ticket_add(t);
	while ((code = produce(p, r, one)) == RD_KAFKA_RESP_ERR__QUEUE_FULL &&
		!stop_sleep(s, FULL_MS))
		;
	if (!code)
		return ERR_OK;
	free(one);
	unreserve(p, bytes);
	if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
		stop_err(e);
	else
		record_err(p, code, bytes, e);
	struct err none = ERR_INIT;
	ticket_report(t, &none); /* this record is not part of it */
	return e->code;
}

static bool settled(struct kafka_ticket *t, struct err *e)
{
	mutex_lock(&t->mtx);
	bool all = t->left == 0;
	if (all && t->code)
		err_set_origin(e, t->code, t->origin, "%s", t->text);
	mutex_unlock(&t->mtx);
	return all;
}

enum err_code kafka_ticket_wait(struct kafka_producer *p, struct kafka_ticket *t, struct deadline d,
	struct stop *s, struct err *e)
{
	struct stop_watch w;
	bool all, more = true;

	stop_watch_add(s, &w, &p->mtx, &p->cond);
	mutex_lock(&p->mtx);
	while (!(all = settled(t, e)) && more && !stop_is_set(s))
		more = cond_wait(&p->cond, &p->mtx, d);
	char why[TEXT_BYTES];
	memcpy(why, p->why, sizeof(why));
	mutex_unlock(&p->mtx);
	stop_watch_del(s, &w);
	if (all)
		return e->code;
	if (stop_is_set(s))
		return stop_err(e);
	return err_set(e, ERR_TIMEOUT, "topic %s at %s: %s", p->topic, p->address,
		why[0] ? why : "the broker has not confirmed yet");
}
