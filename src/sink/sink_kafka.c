/* The Kafka kind of a target. Rows of one vchannel go to one partition, in order; everything else
 * goes to partition 0. A record carries its identity in headers, so that a consumer can drop what an
 * unclean stop repeats. */
#include "sink/sink_kafka.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/mutex.h"
#include "sink/requests.h"

enum { CHECK_MS = 5000, EVENT_MS = 30000, CLOSE_MS = 2000, ID_BYTES = 512, TS_BYTES = 24 };

struct sink_kafka {
	struct sink head;
	struct kafka_producer *producer;
	enum sink_kafka_format format;
	struct mutex mtx;
	struct smap pending; /* id of an event -> ticket: sent, and its caller stopped waiting */
};

static struct sink_kafka *self_of(struct sink *k)
{
	return CONTAINER_OF(k, struct sink_kafka, head);
}

bool sink_kafka_format_parse(const char *text, enum sink_kafka_format *ret_f)
{
	bool debezium = strcmp(text, "debezium") == 0;

	if (!debezium && *text && strcmp(text, "milvus") != 0)
		return false;
	*ret_f = debezium ? SINK_KAFKA_DEBEZIUM : SINK_KAFKA_MILVUS;
	return true;
}

static enum err_code connect_once(
	struct sink *k, struct stop *s, struct sink_info *ret_info, struct err *e)
{
	*ret_info = (struct sink_info){.version = ""};
	return kafka_producer_check(self_of(k)->producer, CHECK_MS, s, e);
}

/* ---- events: creates, drops, operations ---- */

struct event {
	char id[ID_BYTES];
	const char *kind, *key;
	uint64_t ts;
	struct buf value;
};

static enum err_code send_event(struct sink_kafka *k, const struct event *v, struct kafka_ticket *t,
	struct stop *s, struct err *e)
{
	char ts[TS_BYTES];
	snprintf(ts, sizeof(ts), "%" PRIu64, v->ts);
	const struct kafka_header headers[] = {{"cdc_id", slice_str(v->id)},
		{"cdc_kind", slice_str(v->kind)}, {"cdc_ts", slice_str(ts)}};
	struct kafka_record r = {.key = slice_str(v->key),
		.value = buf_slice(&v->value),
		.headers = headers,
		.n_headers = ARRAY_LEN(headers)};

	return kafka_producer_send(k->producer, &r, t, s, e);
}

static struct kafka_ticket *take_pending(struct sink_kafka *k, const char *id)
{
	mutex_lock(&k->mtx);
	struct kafka_ticket *t = smap_del(&k->pending, id);
	mutex_unlock(&k->mtx);
	return t;
}

static void put_pending(struct sink_kafka *k, const char *id, struct kafka_ticket *t)
{
	mutex_lock(&k->mtx);
	struct kafka_ticket *old = smap_put(&k->pending, id, t);
	mutex_unlock(&k->mtx);
	kafka_ticket_drop(old);
}

/* An event that an earlier call sent and did not see confirmed is not sent again: only waited for. */
static enum err_code deliver(
	struct sink_kafka *k, const struct event *v, struct stop *s, struct err *e)
{
	struct kafka_ticket *t = take_pending(k, v->id);

	if (!t) {
		t = kafka_ticket_new(true); /* not refused for a large neighbour */
		if (send_event(k, v, t, s, e)) {
			kafka_ticket_drop(t);
			return e->code;
		}
	}
	enum err_code code = kafka_ticket_wait(k->producer, t, deadline_in(EVENT_MS), s, e);
	if (code == ERR_TIMEOUT || code == ERR_CANCELLED)
		put_pending(k, v->id, t);
	else
		kafka_ticket_drop(t);
	return code == ERR_TIMEOUT ? (e->code = ERR_UNAVAILABLE) : code;
}

static enum err_code finish(struct sink_kafka *k, struct event *v, struct stop *s, struct err *e)
{
	if (buf_failed(&v->value))
		err_set(e, ERR_LIMIT, "the event %s is larger than a record may be", v->kind);
	else if (!e->code)
		deliver(k, v, s, e);
	buf_done(&v->value);
	return e->code;
}

static enum err_code change(
	struct sink *sk, const struct sink_change *c, struct stop *s, struct err *e)
{
	struct sink_kafka *k = self_of(sk);
	CLEANUP(buf_done) struct buf key = BUF_INIT(LIMIT_RECORD);
	struct event v = {.kind = event_change_kind(c->kind),
		.ts = c->ts,
		.value = BUF_INIT(LIMIT_KAFKA_RECORD)};

	buf_putf(&key, "%s%s%s", c->db, c->collection ? "." : "",
		c->collection ? c->collection : "");
	v.key = buf_cstr(&key);
	snprintf(v.id, sizeof(v.id), "%s/%" PRId64 "/%" PRId64 "/%" PRIu64, v.kind, c->source_id,
		c->source_partition_id, c->ts);
	enum err_code code = k->format == SINK_KAFKA_DEBEZIUM
				     ? event_change(&v.value, c, time_wall_ms(), e)
				     : event_envelope_change(&v.value, c, &v.kind, e);
	return code ? (buf_done(&v.value), code) : finish(k, &v, s, e);
}

static uint64_t hash(const struct iov *body)
{
	uint64_t h = 1469598103934665603ULL;

	for (size_t i = 0; i < body->n; i++)
		for (size_t b = 0; b < body->v[i].n; b++)
			h = (h ^ body->v[i].p[b]) * 1099511628211ULL;
	return h;
}

/* Equal for a repetition only. */
static void call_id(char id[ID_BYTES], const struct sink_call *c)
{
	struct iov both = {0};

	for (size_t i = 0; i < c->body->n; i++)
		iov_put(&both, c->body->v[i]);
	if (!c->ts)
		iov_put(&both, c->message);
	snprintf(id, ID_BYTES, "%s/%" PRIu64 "/%016" PRIx64, c->method, c->ts, hash(&both));
	iov_done(&both);
}

static enum err_code call(struct sink *sk, const struct sink_call *c, struct stop *s, struct err *e)
{
	struct sink_kafka *k = self_of(sk);
	struct event v = {.kind = c->method,
		.key = c->db,
		.ts = c->ts,
		.value = BUF_INIT(LIMIT_KAFKA_RECORD)};

	call_id(v.id, c);
	enum err_code code = k->format == SINK_KAFKA_DEBEZIUM
				     ? event_call(&v.value, c, time_wall_ms(), &v.kind, e)
				     : event_envelope_call(&v.value, c, &v.kind, e);
	return code ? (buf_done(&v.value), code) : finish(k, &v, s, e);
}

/* ---- rows ---- */

bool sink_kafka_wants_body(struct sink *k)
{
	return self_of(k)->format == SINK_KAFKA_MILVUS;
}

/* The identity of a message of the source, or of one of its rows. */
struct identity {
	char id[ID_BYTES], ts[TS_BYTES];
	struct kafka_header headers[5];
	size_t n;
};

static void identify(struct identity *d, const struct event_rows *r, uint64_t ts, int64_t row)
{
	const char *type = msg_type_name(r->dml->type);
	int n = snprintf(d->id, sizeof(d->id), "%s/%" PRIu64 "/%s/%" PRId64, r->vchannel,
		r->dml->min_ts, type ? type : "", r->dml->base.msg_id);

	if (row >= 0 && n > 0 && (size_t)n < sizeof(d->id))
		snprintf(d->id + n, sizeof(d->id) - (size_t)n, "/%" PRId64, row);
	snprintf(d->ts, sizeof(d->ts), "%" PRIu64, ts);
	d->headers[0] = (struct kafka_header){"cdc_id", slice_str(d->id)};
	d->headers[1] = (struct kafka_header){"cdc_kind", slice_str(row >= 0 ? "row" : "rows")};
	d->headers[2] = (struct kafka_header){"cdc_ts", slice_str(d->ts)};
	d->headers[3] = (struct kafka_header){"cdc_vchannel", slice_str(r->vchannel)};
	d->headers[4] = (struct kafka_header){"cdc_repeat", slice_str("1")};
	d->n = r->again ? 5 : 4;
}

static enum err_code send_rows(struct sink_kafka *k, const struct event_rows *r, struct slice key,
	const struct buf *value, const struct identity *d, struct kafka_ticket *t, struct stop *s,
	struct err *e)
{
	struct kafka_record rec = {.key = key,
		.value = buf_slice(value),
		.lane = slice_str(r->vchannel),
		.headers = d->headers,
		.n_headers = d->n};

	if (buf_failed(value))
		return err_set(e, ERR_LIMIT, "it makes a record of more than %d bytes",
			LIMIT_KAFKA_RECORD);
	return kafka_producer_send(k->producer, &rec, t, s, e);
}

static enum err_code put_envelope(struct sink_kafka *k, const struct event_rows *r,
	struct kafka_ticket *t, struct stop *s, struct err *e)
{
	CLEANUP(buf_done) struct buf value = BUF_INIT(LIMIT_KAFKA_RECORD);
	struct identity d = {.n = 0};

	identify(&d, r, r->dml->max_ts, -1);
	event_envelope_rows(&value, r);
	return send_rows(k, r, slice_str(r->vchannel), &value, &d, t, s, e);
}

static enum err_code put_each(struct sink_kafka *k, const struct event_rows *r, struct rows *rows,
	struct kafka_ticket *t, struct stop *s, struct err *e)
{
	CLEANUP(buf_done) struct buf value = BUF_INIT(LIMIT_KAFKA_RECORD);
	CLEANUP(buf_done) struct buf key = BUF_INIT(LIMIT_KAFKA_RECORD);
	struct identity d = {.n = 0};
	bool more;

	for (;;) {
		if (rows_next(rows, &more, e))
			return e->code;
		if (!more)
			return ERR_OK;
		buf_reset(&value);
		buf_reset(&key);
		identify(&d, r, rows->ts, (int64_t)rows->i - 1);
		if (event_row(&value, &key, r, rows, time_wall_ms(), e) ||
			send_rows(k, r, buf_slice(&key), &value, &d, t, s, e))
			return e->code;
	}
}

static enum err_code put_rows(struct sink_kafka *k, const struct event_rows *r,
	struct kafka_ticket *t, struct stop *s, struct err *e)
{
	struct rows rows;

	if (!rows_open(&rows, r->dml, r->pk_field_id, r->pk_name, e))
		put_each(k, r, &rows, t, s, e);
	rows_done(&rows);
	return e->code;
}

enum err_code sink_kafka_put(struct sink *sk, const struct event_rows *r, struct stop *s,
	struct kafka_ticket **ret_t, struct err *e)
{
	struct sink_kafka *k = self_of(sk);
	bool rows = r->dml->type == MSG_INSERT || r->dml->type == MSG_DELETE;

	*ret_t = NULL;
	if (!rows && !r->body)
		return ERR_OK;
	if (!rows && k->format == SINK_KAFKA_DEBEZIUM)
		return ERR_OK;
	struct kafka_ticket *t = kafka_ticket_new(r->alone);
	enum err_code code = k->format == SINK_KAFKA_DEBEZIUM ? put_rows(k, r, t, s, e)
							      : put_envelope(k, r, t, s, e);
	if (code)
		kafka_ticket_drop(t);
	else
		*ret_t = t;
	return code;
}

enum err_code sink_kafka_wait(
	struct sink *k, struct kafka_ticket *t, struct deadline d, struct stop *s, struct err *e)
{
	return kafka_ticket_wait(self_of(k)->producer, t, d, s, e);
}

static void close_topic(struct sink *sk)
{
	struct sink_kafka *k = self_of(sk);
	size_t pos = 0;
	void *t;

	while (smap_next(&k->pending, &pos, NULL, &t))
		kafka_ticket_drop(t);
	smap_done(&k->pending);
	kafka_producer_close(k->producer, CLOSE_MS);
	mutex_done(&k->mtx);
	free(k);
}

static const struct sink_ops ops = {.name = "kafka",
	.connect = connect_once,
	.change = change,
	.call = call,
	.close = close_topic};

enum err_code sink_kafka_open(const struct kafka_producer_opts *o, enum sink_kafka_format format,
	struct sink **ret_k, struct err *e)
{
	struct sink_kafka *k = xcalloc(1, sizeof(*k));

	k->head.ops = &ops;
	k->format = format;
	mutex_init(&k->mtx, "kafka events");
	if (kafka_producer_open(o, &k->producer, e)) {
		mutex_done(&k->mtx);
		free(k);
		return e->code;
	}
	*ret_k = &k->head;
	return ERR_OK;
}
