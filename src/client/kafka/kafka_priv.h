/* What settings.c, log.c, conn.c and part.c share. Locks: kafka->mtx (the pool), conn->mtx (its
 * health), part->mtx (the wake-up); never two at once. */
#pragma once

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mutex.h"
#include "client/kafka/kafka.h"

enum {
	KAFKA_CALL_MS =
		1000, /* one call; repeated until KAFKA_PATIENCE_MS so that a stop is seen */
	KAFKA_PATIENCE_MS =
		10000, /* a first connection with TLS and SCRAM takes long on a busy machine */
	KAFKA_PROBE_MS = 1000, /* between two probes of a connection that is in doubt */
	KAFKA_STALL_MS = 10000,
	KAFKA_CONFIRM_MS = 2000,
	KAFKA_MISSING_MS = 30000, /* a topic that is not there is believed then */
	KAFKA_STALL_MOST_MS = 300000,
	KAFKA_BACKLOG = 64,   /* messages behind the end: begin as busy */
	KAFKA_CALM_MS = 5000, /* at the end for so long: calm */
	KAFKA_PACE_MS = 2000,
	KAFKA_LOG_MS = 60000, /* a line of one kind at most this often */
	KAFKA_LOG_KINDS = 16,
};

/* A connection has one fetch in flight for all its topics. At the head of a topic a fetch that
 * waits long at the broker costs least; it is answered at once when any of them gets a message.
 * With a backlog it may not wait: a topic whose queue was full is not part of it and would have to
 * wait, too. */
enum kafka_pace { KAFKA_CALM, KAFKA_BUSY };

struct kafka_log_kind {
	char fac[16];
	int64_t last_ms;
	unsigned suppressed;
};

struct kafka {
	rd_kafka_conf_t *conf; /* the template of all connections */
	char *username, *password;
	struct log_ctx log;
	struct mutex mtx;
	struct list conns;                            /* under mtx */
	struct kafka_log_kind kinds[KAFKA_LOG_KINDS]; /* under mtx */
};

struct kafka_conn {
	struct list link; /* in k->conns */
	struct kafka *k;
	rd_kafka_t *rk;
	enum kafka_pace pace;
	struct smap topics; /* being read, under k->mtx */
	unsigned users;     /* calls in progress and parts, under k->mtx */
	size_t msgs;        /* given out and not freed, under k->mtx */
	bool retired;       /* stalled once: gets no new topics, under k->mtx */
	struct mutex mtx;
	bool doubt; /* librdkafka reported an error since the last success; below under mtx */
	bool down;  /* and a probe failed, too */
	bool probing;
	bool denied;
	int64_t probed_ms;
	char why[400];
};

/* why.c: what librdkafka says of a connection, in words for the operator. */
void kafka_why(const char *text, char *out, size_t cap);

/* settings.c */
NODISCARD enum err_code kafka_settings(const struct kafka_opts *o, const struct log_ctx *log,
	rd_kafka_conf_t **ret_conf, struct err *e);

/* log.c: librdkafka's lines to our log, each kind rarely. @thread librdkafka's */
void kafka_log_line(const rd_kafka_t *rk, int level, const char *fac, const char *buf);

/* conn.c */
/* A connection of this pace that does not read topic (NULL: any connection), reserved for the
 * caller. */
NODISCARD enum err_code kafka_conn_get(struct kafka *k, const char *topic, enum kafka_pace pace,
	struct kafka_conn **ret_c, struct err *e);
/* Gives it back. Connections nobody uses are closed, except one. */
void kafka_conn_put(struct kafka_conn *c, const char *topic, bool retire);
/* The right to hold messages of c; one a part, with a lock of its own, so that readers do not meet
 * here. */
struct kafka_lease *kafka_lease_new(struct kafka_conn *c);
void kafka_lease_ref(struct kafka_lease *l);
void kafka_lease_unref(struct kafka_lease *l);
NODISCARD enum err_code kafka_conn_ends(struct kafka_conn *c, const char *topic, int64_t *ret_first,
	int64_t *ret_next, struct err *e);
/* Makes the threads of the connection look again at what they may fetch. */
void kafka_conn_wake(struct kafka_conn *c);
/* ERR_OK, or why nothing comes; asks the cluster when in doubt. */
NODISCARD enum err_code kafka_conn_health(struct kafka_conn *c, const char *topic, struct err *e);
/* librdkafka's code as ours. */
enum err_code kafka_err(struct err *e, rd_kafka_resp_err_t code, const char *fmt, ...) PRINTF(3, 4);
