#include "source/mq_pulsar.h"

#include <stdlib.h>

#include "base/mem.h"
#include "client/pulsar/pulsar.h"

enum { OVERHEAD_BYTES = 256 };

struct pulsar_mq {
	struct mq mq;
	struct pulsar *p;
};

struct pulsar_mq_msg {
	struct mq_msg msg;
	struct pulsar_msg *m; /* payload and properties lie in it */
};

static struct pulsar *pulsar_of(struct mq *q)
{
	return CONTAINER_OF(q, struct pulsar_mq, mq)->p;
}

static struct pulsar_reader *reader_of(struct mq_reader *r)
{
	return (struct pulsar_reader *)r;
}

static struct mq_id id_of(const struct pulsar_id *from)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(MQ_ID_BYTES);
	struct err e = ERR_INIT;
	struct mq_id id = {.n = 0};

	pulsar_id_put(&b, from);
	if (mq_id_set(&id, buf_slice(&b), &e))
		id.n = 0;
	return id;
}

/* No id, and bytes that are none, stand before all. */
static struct pulsar_id pulsar_id_of(const struct mq_id *id)
{
	struct pulsar_id to;

	if (!id->n || pulsar_id_read(&to, mq_id_slice(id), NULL))
		return PULSAR_EARLIEST;
	return to;
}

static enum err_code mqp_check(struct mq *q, struct stop *s, struct err *e)
{
	return pulsar_check(pulsar_of(q), s, e);
}

static enum err_code mqp_latest(
	struct mq *q, const char *topic, struct stop *s, struct mq_id *ret_id, struct err *e)
{
	struct pulsar_id last;

	if (pulsar_latest(pulsar_of(q), topic, s, &last, e))
		return e->code;
	*ret_id = id_of(&last);
	return ERR_OK;
}

static enum err_code mqp_open(struct mq *q, const char *topic, const struct mq_start *from,
	struct stop *s, struct mq_reader **ret_r, struct err *e)
{
	struct pulsar_start at = {.id = PULSAR_EARLIEST, .end_ms = from->end_ms};
	struct pulsar_reader *r;

	if (from->id.n && pulsar_id_read(&at.id, mq_id_slice(&from->id), NULL))
		return err_set(e, ERR_INVALID,
			"a start position of topic %s has %d bytes that are no Pulsar message id; "
			"was "
			"it taken from a Kafka source?",
			topic, from->id.n);
	if (from->after && !pulsar_id_is_earliest(&at.id))
		at.id = pulsar_id_behind(&at.id);
	if (pulsar_reader_open(pulsar_of(q), topic, &at, s, &r, e))
		return e->code;
	*ret_r = (struct mq_reader *)r;
	return ERR_OK;
}

static enum err_code mqp_next(struct mq_reader *mr, struct deadline d, struct stop *s,
	struct mq_msg **ret_m, struct err *e);

static int64_t mqp_end_age_ms(struct mq_reader *r)
{
	return pulsar_reader_end_age_ms(reader_of(r));
}

static void mqp_close(struct mq_reader *r)
{
	pulsar_reader_close(reader_of(r));
}

static void mqp_msg_free(struct mq_msg *m)
{
	struct pulsar_mq_msg *pm = CONTAINER_OF(m, struct pulsar_mq_msg, msg);

	pulsar_msg_free(pm->m);
	free(pm);
}

static struct slice mqp_property(const struct mq_msg *m, const char *key)
{
	const struct pulsar_mq_msg *pm = (const void *)m; /* msg is its first field */

	return pulsar_property(pm->m->meta, pm->m->properties, key);
}

static int mqp_compare(const struct mq_id *a, const struct mq_id *b)
{
	struct pulsar_id x = pulsar_id_of(a), y = pulsar_id_of(b);

	if (!a->n || !b->n)
		return (a->n > 0) - (b->n > 0);
	return pulsar_id_cmp(&x, &y);
}

static void mqp_free(struct mq *q)
{
	pulsar_free(pulsar_of(q));
	free(CONTAINER_OF(q, struct pulsar_mq, mq));
}

static const struct mq_ops mqp_ops = {
	.name = "pulsar",
	.check = mqp_check,
	.latest = mqp_latest,
	.open = mqp_open,
	.next = mqp_next,
	.end_age_ms = mqp_end_age_ms,
	.close = mqp_close,
	.msg_free = mqp_msg_free,
	.property = mqp_property,
	.compare = mqp_compare,
	.free = mqp_free,
};

static enum err_code mqp_next(struct mq_reader *mr, struct deadline d, struct stop *s,
	struct mq_msg **ret_m, struct err *e)
{
	struct pulsar_reader *r = reader_of(mr);
	struct pulsar_msg *m;

	if (pulsar_reader_next(r, d, s, &m, e))
		return e->code;
	struct pulsar_mq_msg *pm = xmalloc(sizeof(*pm));
	pm->m = m;
	pm->msg = (struct mq_msg){
		.payload = m->payload,
		.id = id_of(&m->id),
		.cost_bytes = m->n + OVERHEAD_BYTES,
		.more = pulsar_reader_has_more(r),
		.ops = &mqp_ops,
	};
	*ret_m = &pm->msg;
	return ERR_OK;
}

enum err_code mq_pulsar_new(const struct pulsar_opts *o, struct mq **ret_q, struct err *e)
{
	struct pulsar *p;

	if (pulsar_new(o, &p, e))
		return e->code;
	struct pulsar_mq *q = xcalloc(1, sizeof(*q));
	q->mq.ops = &mqp_ops;
	q->p = p;
	*ret_q = &q->mq;
	return ERR_OK;
}
