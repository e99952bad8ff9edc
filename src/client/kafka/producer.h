/* Writing one Kafka topic: an idempotent producer over librdkafka, one a session.
 *
 *   kafka_producer   one librdkafka instance and a thread that serves its delivery reports
 *   kafka_ticket     what one caller waits for: any number of records, each with a report of its own
 *
 * A record is retried by librdkafka without end and lands once and in order in its partition; a
 * report says that it is there (acks=all) or that it will never be. What is queued is capped by
 * bytes; who sends more waits. After a fatal error of librdkafka the instance is replaced by
 * itself, and what was queued is reported as not delivered. */
#pragma once

#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"
#include "base/log.h"
#include "base/stop.h"
#include "base/time.h"

struct kafka_producer;
struct kafka_ticket;

struct kafka_producer_opts {
	const char *address, *topic;
	bool sasl;
	const char *sasl_username, *sasl_password, *sasl_mechanisms, *security_protocol;
	/* More librdkafka settings: key, value, ..., NULL; or NULL. Those that would break the
	 * delivery guarantee are INVALID. */
	const char *const *extra;
	const struct log_ctx *log;
};

/* INVALID for settings librdkafka refuses. No network. */
NODISCARD enum err_code kafka_producer_open(
	const struct kafka_producer_opts *o, struct kafka_producer **ret_p, struct err *e);
/* What is not delivered within patience_ms is dropped. All tickets must be dropped before. */
void kafka_producer_close(struct kafka_producer *p, int64_t patience_ms);

/* Asks the cluster for the topic, for patience_ms at most; a broker that may creates it. DENIED,
 * NOT_FOUND, UNAVAILABLE with the reason the broker gave. @thread any */
NODISCARD enum err_code kafka_producer_check(
	struct kafka_producer *p, int64_t patience_ms, struct stop *s, struct err *e);

struct kafka_header {
	const char *name;
	struct slice value;
};

/* Everything is copied. */
struct kafka_record {
	struct slice key;   /* n 0 = none */
	struct slice value; /* p NULL = a tombstone */
	/* Records of one lane go to one partition, in order; "" = partition 0. */
	struct slice lane;
	const struct kafka_header *headers;
	size_t n_headers;
};

/* Alone: each of its records leaves when nothing else is queued, and what others send waits for its
 * report. A broker judges the size of a batch and refuses all that is in it (Kafka 3.7:
 * MSG_SIZE_TOO_LARGE for each record); of a record alone LIMIT is the truth. */
struct kafka_ticket *kafka_ticket_new(bool alone);
/* Reports that are still to come find it no longer. NULL is fine. */
void kafka_ticket_drop(struct kafka_ticket *t);

/* Queues r; t waits for it, too. Waits while the queue is full. LIMIT: larger than the client can
 * send. @thread any */
NODISCARD enum err_code kafka_producer_send(struct kafka_producer *p, const struct kafka_record *r,
	struct kafka_ticket *t, struct stop *s, struct err *e);

/* Until all records of t are reported: OK, or the first failure: LIMIT = the broker refuses a record
 * of this size, or a batch that it was in; DENIED, NOT_FOUND, UNAVAILABLE. TIMEOUT when d passes
 * first, with what is known of the reason. @thread any */
NODISCARD enum err_code kafka_ticket_wait(struct kafka_producer *p, struct kafka_ticket *t,
	struct deadline d, struct stop *s, struct err *e);

/* The settings (producer_settings.c) as librdkafka's; the caller destroys them. */
struct rd_kafka_conf_s;
NODISCARD enum err_code kafka_producer_settings(
	const struct kafka_producer_opts *o, struct rd_kafka_conf_s **ret_conf, struct err *e);
