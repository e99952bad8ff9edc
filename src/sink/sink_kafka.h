/* A Kafka topic as a target. It has no clock and no catalogue: its vtable only connects, changes and
 * calls; rows go through sink_kafka_put, each with a ticket that is confirmed by the broker. */
#pragma once

#include "base/err.h"
#include "base/time.h"
#include "client/kafka/producer.h"
#include "sink/event.h"
#include "sink/sink.h"

enum sink_kafka_format { SINK_KAFKA_MILVUS, SINK_KAFKA_DEBEZIUM };

/* "", "milvus" or "debezium"; false for anything else. */
bool sink_kafka_format_parse(const char *text, enum sink_kafka_format *ret_f);

/* Checks the options; no network. sink_close ends it: all tickets must be dropped before. */
NODISCARD enum err_code sink_kafka_open(const struct kafka_producer_opts *o,
	enum sink_kafka_format format, struct sink **ret_k, struct err *e);

/* Rows need r->body in this format. */
bool sink_kafka_wants_body(struct sink *k);
/* Sends a message of rows (or, with a body, a drop message) as one record or one a row. *ret_t NULL:
 * there was nothing to send. Errors as feed_ops' put. @thread any */
NODISCARD enum err_code sink_kafka_put(struct sink *k, const struct event_rows *r, struct stop *s,
	struct kafka_ticket **ret_t, struct err *e);
/* As kafka_ticket_wait. */
NODISCARD enum err_code sink_kafka_wait(
	struct sink *k, struct kafka_ticket *t, struct deadline d, struct stop *s, struct err *e);
