#include "server/target/target_kafka.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/mem.h"
#include "model/channel.h"
#include "pipeline/translate.h"
#include "server/target/target_priv.h"
#include "sink/sink_kafka.h"

static uint64_t mix(uint64_t h, const char *s)
{
	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * 1099511628211ULL;
	return (h ^ 0xff) * 1099511628211ULL;
}

void target_kafka_key(const struct task *t, char *out, size_t cap)
{
	const struct task_kafka *k = &t->kafka;
	const char *const parts[] = {k->address, k->topic, k->sasl_username, k->sasl_password,
		k->sasl_mechanisms, k->security_protocol, k->format, k->enable_sasl ? "1" : "0"};
	uint64_t h = 1469598103934665603ULL;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		h = mix(h, parts[i]);
	for (size_t i = 0; i < k->n_settings; i++)
		h = mix(mix(h, k->settings[i].key), k->settings[i].value);
	snprintf(out, cap, "kafka://%.100s/%.100s#%016" PRIx64, k->address, k->topic, h);
}

enum err_code target_kafka_open(
	const struct task *t, const struct log_ctx *log, struct sink **ret_k, struct err *e)
{
	const struct task_kafka *k = &t->kafka;
	CLEANUP(freep) const char **extra = xcalloc(2 * k->n_settings + 1, sizeof(*extra));
	enum sink_kafka_format format;

	if (!sink_kafka_format_parse(k->format, &format))
		return err_set(e, ERR_INVALID, "the kafka format %s is unknown", k->format);
	for (size_t i = 0; i < k->n_settings; i++) {
		extra[2 * i] = k->settings[i].key;
		extra[2 * i + 1] = k->settings[i].value;
	}
	struct kafka_producer_opts o = {.address = k->address,
		.topic = k->topic,
		.sasl = k->enable_sasl,
		.sasl_username = k->sasl_username,
		.sasl_password = k->sasl_password,
		.sasl_mechanisms = k->sasl_mechanisms,
		.security_protocol = k->security_protocol,
		.extra = extra,
		.log = log};
	return sink_kafka_open(&o, format, ret_k, e);
}

/* The message with the target's names; ids, channels and times are the source's. */
static enum err_code translate(
	const struct event_rows *r, struct arena *a, struct iov *body, struct err *e)
{
	struct translate t = {.db = r->db,
		.collection = r->collection,
		.shard = r->vchannel,
		.collection_id = r->collection_id,
		.partition_id = r->dml->partition_id};

	return translate_dml(&t, r->dml, a, body, e);
}

static enum err_code put_rows(struct sink *k, const struct feed_item *it, struct stop *s,
	void **ret_ticket, struct err *e)
{
	CLEANUP(arena_done) struct arena a = ARENA_INIT;
	CLEANUP(iov_done) struct iov body = {0};
	const struct stream *st = it->stream;
	char pchannel[CHANNEL_BYTES];
	const char *db, *collection;
	struct kafka_ticket *t = NULL;

	channel_to_physical(pchannel, st->shard);
	tchan_names(st, &db, &collection);
	struct event_rows r = {.dml = it->dml,
		.db = db,
		.collection = collection,
		.collection_id = st->target_id,
		.vchannel = st->shard,
		.pchannel = pchannel,
		.pk_field_id = st->pk_field_id,
		.pk_name = st->pk_name,
		.begin_ts = it->begin_ts,
		.end_ts = it->end_ts,
		.end_id = mq_id_slice(it->end_id),
		.last = it->last,
		.again = it->again,
		.alone = it->alone};

	if (it->dml->type != MSG_INSERT && it->dml->type != MSG_DELETE)
		return err_set(e, ERR_UNSUPPORTED, "this server can't replicate it");
	if (sink_kafka_wants_body(k)) {
		if (translate(&r, &a, &body, e))
			return e->code;
		r.body = &body;
	}
	enum err_code code = sink_kafka_put(k, &r, s, &t, e);
	*ret_ticket = t;
	return code;
}

/* A drop as a message of the vchannel's: what a consumer that hands envelopes on to a Milvus needs. */
static enum err_code put_note(struct sink *k, const struct tchan_note *n, struct stop *s,
	void **ret_ticket, struct err *e)
{
	CLEANUP(arena_done) struct arena a = ARENA_INIT;
	CLEANUP(iov_done) struct iov body = {0};
	struct dml d = {.type = n->type, .min_ts = n->source_ts, .max_ts = n->source_ts};
	struct translate t = {.db = n->db,
		.collection = n->collection,
		.collection_id = n->collection_id,
		.partition_id = n->partition_id};
	char pchannel[CHANNEL_BYTES];
	struct kafka_ticket *ticket = NULL;

	channel_to_physical(pchannel, n->shard);
	translate_drop(n->type, &t, n->partition, n->source_ts, &a, &body);
	struct event_rows r = {.dml = &d,
		.db = n->db,
		.collection = n->collection,
		.collection_id = n->collection_id,
		.vchannel = n->shard,
		.pchannel = pchannel,
		.end_ts = n->source_ts,
		.last = true,
		.body = &body};
	enum err_code code = sink_kafka_put(k, &r, s, &ticket, e);
	*ret_ticket = ticket;
	return code;
}

/* A topic's session has one access. */
static struct sink *sink_of(void *arg)
{
	struct session *s = arg;
	mutex_lock(&s->mtx);
	struct sink *k = s->current->remote;
	mutex_unlock(&s->mtx);
	return k;
}

static enum err_code put(
	void *arg, const struct feed_item *it, struct stop *s, void **ret_ticket, struct err *e)
{
	struct sink *k = sink_of(arg);

	return it->note ? put_note(k, it->note, s, ret_ticket, e)
			: put_rows(k, it, s, ret_ticket, e);
}

static enum err_code wait(void *arg, void *ticket, struct deadline d, struct stop *s, struct err *e)
{
	return sink_kafka_wait(sink_of(arg), ticket, d, s, e);
}

static void drop(void *arg, void *ticket)
{
	(void)arg;
	kafka_ticket_drop(ticket);
}

const struct feed_ops target_kafka_feed = {.put = put, .wait = wait, .drop = drop};
