/* A message between broker and ack: the queue library's own buffer, what the peek found in it, and
 * what it costs. Reference-counted: the reader that cuts holds one, each pack_msg made of it
 * another. */
#pragma once

#include "base/list.h"
#include "model/dml.h"
#include "source/budget.h"
#include "source/mq.h"

struct hub_raw {
	struct list link; /* the cutter's buffer, then the cut */
	struct mq_msg *m;
	struct account *acct; /* NULL: not charged (yet) */
	unsigned refs;        /* under the budget's lock once charged */
	uint64_t ts;          /* the time the source's own consumers give it */
	bool at_next_tick;    /* has a replicate id: released by the next tick whatever its time */
	struct dml dml;
};

/* What a reader does with a message. */
enum raw_kind {
	RAW_TICK,
	RAW_DATA,    /* insert, delete, drop of a collection or partition, import */
	RAW_SILENT,  /* create messages: the catalog knows them from etcd */
	RAW_UNKNOWN, /* a type without a meaning here */
	RAW_EMPTY,   /* no payload: the source's own consumers skip it, too */
};

/* Takes m. */
struct hub_raw *raw_new(struct mq_msg *m);
/* Reads type, time, ids and shard from payload and properties; three generations of properties are
 * known. MALFORMED; UNSUPPORTED for a message of Milvus 2.6's streaming service. */
NODISCARD enum err_code raw_peek(struct hub_raw *raw, enum raw_kind *ret_kind, struct err *e);
/* The vchannel that a message is for of which raw_peek could not make sense: its property, or the
 * shard's name if the payload can be read up to there; empty if neither tells. */
struct slice raw_shard(const struct hub_raw *raw);
/* Waits for room in a; from then on raw is charged to it. */
NODISCARD enum err_code raw_charge(
	struct hub_raw *raw, struct account *a, struct stop *s, struct err *e);
void raw_ref(struct hub_raw *raw);
/* Drops one reference; the last one frees message and charge. */
void raw_unref(struct hub_raw *raw);

static inline bool raw_is_dml(const struct hub_raw *raw)
{
	return raw->dml.type == MSG_INSERT || raw->dml.type == MSG_DELETE;
}
