/* Positions in the source's message queue: a message id plus the exact source time up to which
 * everything was taken. The id bytes are the queue's own (Kafka: 8-byte little-endian offset;
 * Pulsar: serialized MessageIdData), so that they stay exchangeable with the reference and backup
 * tools. */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"

enum { MQ_ID_BYTES = 96, POSITION_CHANNEL_BYTES = 256 };

/* n == 0: no id. Reading starts at the message with this id, inclusive. */
struct mq_id {
	uint8_t n;
	uint8_t b[MQ_ID_BYTES];
};

/* Everything with source time <= ts was taken; ts 0 = nothing known, take all from id on. */
struct position {
	struct mq_id id;
	uint64_t ts;
};

static inline struct slice mq_id_slice(const struct mq_id *id)
{
	return (struct slice){.p = id->b, .n = id->n};
}

/* INVALID when longer than MQ_ID_BYTES. */
NODISCARD enum err_code mq_id_set(struct mq_id *id, struct slice s, struct err *e);

/* MsgPosition{1 channel_name, 2 msgID, 3 msgGroup, 4 timestamp} as the API carries it, base64
 * around it. Decoding ignores channel and group. */
NODISCARD enum err_code position_from_b64(struct position *p, const char *text, struct err *e);
/* Heap text with channel and id, and timestamp when with_ts; the caller frees. */
char *position_to_b64(const char *channel, const struct position *p, bool with_ts);
