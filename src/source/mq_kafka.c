#include "source/mq_kafka.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/kafka/kafka.h"

enum { ID_BYTES = 8, OVERHEAD_BYTES = 512 };

struct kafka_mq {
	struct mq mq;
	struct kafka *k;
};

struct kafka_reader {
	struct kafka_part *part;
};

/* A copy; librdkafka's message is freed at once. That one would hold a decompressed batch until the
 * ack, in a buffer of exactly twice the batch's compressed size (seen with 2.0.2), which the budget
 * can't know. Figures are in docs/benchmarks.md; the copy is cheap only with few malloc arenas, see
 * main.c. */
struct kafka_mq_msg {
	struct mq_msg msg;
	rd_kafka_headers_t *headers; /* NULL: none */
	uint8_t payload[];
};

static struct kafka *kafka_of(struct mq *q)
{
	return CONTAINER_OF(q, struct kafka_mq, mq)->k;
}

static struct mq_id id_of(int64_t offset)
{
	struct mq_id id = {.n = ID_BYTES};

	for (int i = 0; i < ID_BYTES; i++)
		id.b[i] = (uint8_t)((uint64_t)offset >> (8 * i));
	return id;
}

static int64_t offset_of(const struct mq_id *id)
{
	uint64_t v = 0;

	for (int i = 0; i < ID_BYTES && i < id->n; i++)
		v |= (uint64_t)id->b[i] << (8 * i);
	return (int64_t)v;
}

static enum err_code mqk_check(struct mq *q, struct stop *s, struct err *e)
{
	return kafka_check(kafka_of(q), s, e);
}

static enum err_code mqk_latest(
	struct mq *q, const char *topic, struct stop *s, struct mq_id *ret_id, struct err *e)
{
	int64_t first, next;

	if (kafka_ends(kafka_of(q), topic, s, &first, &next, e))
		return e->code;
	*ret_id = id_of(next);
	return ERR_OK;
}

static enum err_code mqk_retention(struct mq *q, const char *const *topics, size_t n,
	struct stop *s, int64_t *ret_ms, struct err *e)
{
	return kafka_retention(kafka_of(q), topics, n, s, ret_ms, e);
}

static enum err_code mqk_open(struct mq *q, const char *topic, const struct mq_start *from,
	struct stop *s, struct mq_reader **ret_r, struct err *e)
{
	const struct mq_id *id = &from->id;
	struct kafka_part *part;
	int64_t offset = offset_of(id), next;

	if (!id->n && kafka_ends(kafka_of(q), topic, s, &offset, &next, e))
		return e->code;
	if (id->n && (id->n != ID_BYTES || offset < 0 || offset == INT64_MAX))
		return err_set(e, ERR_INVALID,
			"a start position of topic %s has %d bytes; a Kafka position has %d and is "
			"an "
			"offset",
			topic, id->n, ID_BYTES);
	offset += id->n && from->after;
	if (kafka_part_open(kafka_of(q), topic, offset, s, &part, e))
		return e->code;
	struct kafka_reader *r = xcalloc(1, sizeof(*r));
	r->part = part;
	*ret_r = (struct mq_reader *)r;
	return ERR_OK;
}

static struct kafka_reader *reader_of(struct mq_reader *r)
{
	return (struct kafka_reader *)r;
}

static enum err_code mqk_next(struct mq_reader *mr, struct deadline d, struct stop *s,
	struct mq_msg **ret_m, struct err *e);
static struct slice mqk_property(const struct mq_msg *m, const char *key);

static void mqk_close(struct mq_reader *mr)
{
	if (!mr)
		return;
	kafka_part_close(reader_of(mr)->part);
	free(mr);
}

static void mqk_msg_free(struct mq_msg *m)
{
	struct kafka_mq_msg *km = CONTAINER_OF(m, struct kafka_mq_msg, msg);

	if (km->headers)
		rd_kafka_headers_destroy(km->headers);
	free(km);
}

static int mqk_compare(const struct mq_id *a, const struct mq_id *b)
{
	if (!a->n || !b->n) /* no id stands before all */
		return (a->n > 0) - (b->n > 0);
	int64_t x = offset_of(a), y = offset_of(b);
	return (x > y) - (x < y);
}

static void mqk_free(struct mq *q)
{
	kafka_free(kafka_of(q));
	free(CONTAINER_OF(q, struct kafka_mq, mq));
}

static const struct mq_ops mqk_ops = {
	.name = "kafka",
	.check = mqk_check,
	.latest = mqk_latest,
	.retention = mqk_retention,
	.open = mqk_open,
	.next = mqk_next,
	.close = mqk_close,
	.msg_free = mqk_msg_free,
	.property = mqk_property,
	.compare = mqk_compare,
	.free = mqk_free,
};

static enum err_code mqk_next(struct mq_reader *mr, struct deadline d, struct stop *s,
	struct mq_msg **ret_m, struct err *e)
{
	struct kafka_part *part = reader_of(mr)->part;
	struct kafka_lease *owner;
	rd_kafka_message_t *m;

	if (kafka_part_next(part, d, s, &m, &owner, e))
		return e->code;
	struct kafka_mq_msg *km = xmalloc(sizeof(*km) + m->len);
	km->msg = (struct mq_msg){
		.payload = slice_of(km->payload, m->len),
		.id = id_of(m->offset),
		.cost_bytes = m->len + OVERHEAD_BYTES,
		.more = kafka_part_has_more(part),
		.ops = &mqk_ops,
	};
	if (m->len)
		memcpy(km->payload, m->payload, m->len);
	if (rd_kafka_message_detach_headers(m, &km->headers))
		km->headers = NULL;
	kafka_msg_free(owner, m);
	*ret_m = &km->msg;
	return ERR_OK;
}

static struct slice mqk_property(const struct mq_msg *m, const char *key)
{
	const struct kafka_mq_msg *km = (const void *)m; /* msg is its first field */
	const void *value;
	size_t n;

	if (!km->headers || rd_kafka_header_get_last(km->headers, key, &value, &n))
		return slice_of(NULL, 0);
	return slice_of(value ? value : "", n);
}

enum err_code mq_kafka_new(const struct mq_kafka_opts *o, struct mq **ret_q, struct err *e)
{
	const struct kafka_opts ko = {
		.address = o->address,
		.sasl_username = o->sasl_username,
		.sasl_password = o->sasl_password,
		.sasl_mechanisms = o->sasl_mechanisms,
		.security_protocol = o->security_protocol,
		.extra = o->extra,
	};
	struct kafka *k;

	if (kafka_new(&ko, &k, e))
		return e->code;
	struct kafka_mq *q = xcalloc(1, sizeof(*q));
	q->mq.ops = &mqk_ops;
	q->k = k;
	*ret_q = &q->mq;
	return ERR_OK;
}
