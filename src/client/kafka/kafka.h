/* Reading Kafka topics (partition 0) from exact offsets, over librdkafka 2.0 without consumer
 * groups.
 *
 *   kafka        settings, and a pool of connections
 *   kafka_conn   one librdkafka instance: a thread and a TCP connection a broker. It reads any
 * number of topics, each once, so a second reader of a topic gets a second connection from the
 * pool. kafka_part   one topic being read, with its own queue of fetched messages
 *
 * Messages are not copied: a message holds librdkafka's buffer, and its connection, until
 * kafka_msg_free. */
#pragma once

#include <librdkafka/rdkafka.h>

#include "base/defs.h"
#include "base/err.h"
#include "base/stop.h"
#include "base/time.h"

struct kafka;
struct kafka_lease;
struct kafka_part;

struct kafka_opts {
	const char *address; /* bootstrap servers */
	/* NULL or "" = not set. SASL is used when user and password are set. */
	const char *sasl_username, *sasl_password, *sasl_mechanisms, *security_protocol;
	/* More librdkafka settings: key, value, ..., NULL; or NULL. Those that would break exact
	 * reading are left out with a warning. */
	const char *const *extra;
};

/* INVALID for settings librdkafka refuses and files it can't read. Connecting begins in the
 * background. */
NODISCARD enum err_code kafka_new(const struct kafka_opts *o, struct kafka **ret_k, struct err *e);
/* All parts must be closed and all messages freed. */
void kafka_free(struct kafka *k);

/* Does the cluster answer? UNAVAILABLE, DENIED. Some seconds at most. @thread any */
NODISCARD enum err_code kafka_check(struct kafka *k, struct stop *s, struct err *e);
/* The first offset the broker keeps and the one its next message will get. NOT_FOUND: no such topic
 * (it is not created). @thread any */
NODISCARD enum err_code kafka_ends(struct kafka *k, const char *topic, struct stop *s,
	int64_t *ret_first, int64_t *ret_next, struct err *e);

/* The retention.ms of n topics; -1 = for ever. NOT_FOUND: one of them is not there. DENIED: our user
 * may not ask. @thread any */
NODISCARD enum err_code kafka_retention(struct kafka *k, const char *const *topics, size_t n,
	struct stop *s, int64_t *ret_ms, struct err *e);

/* Starts reading at offset. GONE when it is not within what the broker keeps, with the gap in the
 * text. */
NODISCARD enum err_code kafka_part_open(struct kafka *k, const char *topic, int64_t offset,
	struct stop *s, struct kafka_part **ret_p, struct err *e);
/* The next message; TIMEOUT when d passes. UNAVAILABLE: the broker is away or refuses the login,
 * reading goes on by itself. GONE, NOT_FOUND, MALFORMED: nothing will come any more. @thread one a
 * part */
NODISCARD enum err_code kafka_part_next(struct kafka_part *p, struct deadline d, struct stop *s,
	rd_kafka_message_t **ret_m, struct kafka_lease **ret_owner, struct err *e);
/* The topic is known to hold messages beyond the last one returned. */
bool kafka_part_has_more(struct kafka_part *p);
void kafka_part_close(struct kafka_part *p);
/* @thread any */
void kafka_msg_free(struct kafka_lease *owner, rd_kafka_message_t *m);
