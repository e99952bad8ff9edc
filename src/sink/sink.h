/* A target as the server sees it: what varies between a Milvus cluster and a Kafka topic. One const
 * vtable a kind, one object a session.
 *
 * A function that is NULL says that such a target has no such thing: a topic has no clock, no
 * catalogue to describe and takes no ReplicateMessage. Errors are answered, never retried here;
 * retries are the caller's. @thread any; calls block until done, the stop token or their deadline.
 */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"
#include "base/iov.h"
#include "base/stop.h"
#include "model/position.h"

struct sink;

struct sink_info {
	char version[64]; /* "" if the target does not say */
};

struct sink_partition {
	int64_t id;
	char *name;
};

struct sink_shard {
	char *vchannel, *pchannel;
};

/* A collection of the target. Everything is owned; sink_collection_done. */
struct sink_collection {
	int64_t id;
	uint64_t created_ts; /* a TSO */
	int shards_num;
	struct sink_shard *shards; /* in shard order */
	struct sink_partition *partitions;
	size_t n_partitions;
	struct slice schema; /* raw schema.CollectionSchema */
	char **aliases;
	size_t n_aliases;
};

/* Frees what c holds and leaves it empty. */
void sink_collection_done(struct sink_collection *c);

struct sink_names {
	char **names;
	size_t n;
};

void sink_names_done(struct sink_names *l);

enum sink_change_kind {
	SINK_CREATE_DATABASE,
	SINK_DROP_DATABASE,
	SINK_CREATE_COLLECTION,
	SINK_DROP_COLLECTION,
	SINK_CREATE_PARTITION,
	SINK_DROP_PARTITION,
	SINK_DROP_ALIAS,
};

/* A create or a drop. Names are the target's; all is borrowed. */
struct sink_change {
	enum sink_change_kind kind;
	const char *db, *collection, *partition, *alias;
	int64_t source_id, source_partition_id; /* what it was at the source */
	uint64_t ts;                            /* when it happened at the source */
	/* SINK_CREATE_COLLECTION: a CollectionSchema whose name is replaced by collection */
	struct slice schema;
	/* raw KeyValuePair fields: tag 7 of a collection, tag 3 of a database */
	struct slice properties;
	int shards_num, consistency_level;
	int64_t num_partitions; /* 0 = not said */
};

/* An operation of the source's replicate channel with the target's names in it. */
struct sink_call {
	const char *method; /* of MilvusService */
	const char *db;     /* whose connection; "" = the default database */
	const struct iov *body;
	uint64_t ts;
	struct slice message;   /* with ts 0: what tells it from the same call at another time */
	struct buf *ret_answer; /* may be NULL; only a Milvus puts its answer there */
};

struct sink_ops {
	const char *name;
	/* Reaches the target once. */
	enum err_code (*connect)(
		struct sink *k, struct stop *s, struct sink_info *ret_info, struct err *e);
	/* The target's clock, a TSO. */
	enum err_code (*clock)(struct sink *k, struct stop *s, uint64_t *ret_ts, struct err *e);
	/* NOT_FOUND if the collection or its database is missing; EXISTS if name is an alias. */
	enum err_code (*describe)(struct sink *k, const char *db, const char *name, struct stop *s,
		struct sink_collection *ret_c, struct err *e);
	enum err_code (*databases)(
		struct sink *k, struct stop *s, struct sink_names *ret_l, struct err *e);
	enum err_code (*change)(
		struct sink *k, const struct sink_change *c, struct stop *s, struct err *e);
	enum err_code (*call)(
		struct sink *k, const struct sink_call *c, struct stop *s, struct err *e);
	/* One ReplicateMessageRequest; UNCERTAIN = some of it may have been appended. The
	 * position is the one the target gave to the last message. */
	enum err_code (*replicate)(struct sink *k, const struct iov *request, int64_t deadline_ms,
		struct stop *s, struct mq_id *ret_position, struct err *e);
	void (*close)(struct sink *k);
};

/* The head of every kind's own struct. */
struct sink {
	const struct sink_ops *ops;
};

/* NULL is fine. */
void sink_close(struct sink *k);
