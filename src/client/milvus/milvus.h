/* Client of a target Milvus: typed verbs over gRPC. Answers' Status is turned into our errors;
 * origin is Milvus' code. Retries are the caller's. @thread any; calls block. */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/stop.h"
#include "base/time.h"
#include "net/grpc.h"

struct milvus;

struct milvus_opts {
	const char *uri;   /* http://, https:// or host:port */
	const char *token; /* "user:password" or an API key; "" = none */
	const char *server_name, *server_pem_path, *ca_pem_path, *client_pem_path, *client_key_path;
	bool late_files;            /* those that can't be used fail calls, not milvus_open */
	int64_t connect_timeout_ms; /* 0 = 5000 */
};

/* Checks the options; no network. Strings are copied. */
NODISCARD enum err_code milvus_open(
	struct grpc *g, const struct milvus_opts *o, struct milvus **ret_m, struct err *e);
void milvus_close(struct milvus *m);

struct milvus_info {
	char version[64];   /* server_info.build_tags, "" if it does not say */
	int64_t identifier; /* of this connection; Milvus 2.3.x: a TSO of the target's clock */
};

/* The Connect call; its identifier goes with all later calls. UNSUPPORTED servers count as OK. */
NODISCARD enum err_code milvus_connect(
	struct milvus *m, struct stop *s, struct milvus_info *ret_info, struct err *e);

/* The target's clock: AllocTimestamp where the server has it, else Connect's identifier. A TSO. */
NODISCARD enum err_code milvus_clock(
	struct milvus *m, struct stop *s, uint64_t *ret_ts, struct err *e);

struct milvus_partition {
	int64_t id;
	char *name;
};

struct milvus_shard {
	char *vchannel, *pchannel; /* in shard order */
};

struct milvus_collection {
	int64_t id;
	uint64_t created_ts; /* a TSO */
	int shards_num;
	struct milvus_shard *shards;
	struct milvus_partition *partitions;
	size_t n_partitions;
	struct slice schema; /* raw schema.CollectionSchema, owned */
	int consistency_level;
	int64_t num_partitions;
	char **aliases;
	size_t n_aliases;
};

void milvus_collection_done(struct milvus_collection *c);

/* DescribeCollection and ShowPartitions. NOT_FOUND if the collection or the database is missing
 * (origin 100 or 800). EXISTS if name is an alias: Milvus would answer with the collection behind
 * it. */
NODISCARD enum err_code milvus_describe(struct milvus *m, const char *db, const char *name,
	struct stop *s, struct milvus_collection *ret_c, struct err *e);

struct milvus_names {
	char **names;
	size_t n;
};

void milvus_names_done(struct milvus_names *l);
NODISCARD enum err_code milvus_list_databases(
	struct milvus *m, struct stop *s, struct milvus_names *ret_l, struct err *e);

/* Rows of a collection that is loaded. */
struct milvus_query {
	const char *db, *collection;
	const char *partition;    /* NULL = all */
	const char *expr, *field; /* "*" = all fields, those of vectors too */
	int64_t limit;            /* 0 = none; else that many rows, those of the smallest keys */
	uint64_t at_least_ts;     /* a TSO: answers when all up to it can be seen; 0 = up to now */
};

/* Origins of errors that say the collection, or the partition, is not loaded. */
enum { MILVUS_NOT_LOADED = 101, MILVUS_PARTITION_NOT_LOADED = 201 };

/* ret_answer is replaced by the answer, a QueryResults whose Status is good. */
NODISCARD enum err_code milvus_query(struct milvus *m, const struct milvus_query *q, struct stop *s,
	struct buf *ret_answer, struct err *e);

/* Calls a method of MilvusService whose answer is a Status or begins with one (field 1), on the
 * connection of database db (NULL or "" = default). body in pieces. ret_body may be NULL.
 * deadline_ms 0 = 60000. Not idempotent: lost answers are UNCERTAIN. */
NODISCARD enum err_code milvus_call(struct milvus *m, const char *method, const char *db,
	const struct slice *body, size_t n_body, int64_t deadline_ms, struct stop *s,
	struct buf *ret_body, struct err *e);

/* Create and drop, all with base.replicateInfo{isReplicate, msgTimestamp = ts}. */
struct milvus_create {
	const char *db, *name;
	struct slice schema;     /* CollectionSchema whose name is replaced by name */
	struct slice properties; /* raw repeated fields with tag 7 */
	int shards_num, consistency_level;
	int64_t num_partitions; /* 0 = not sent */
	uint64_t ts;
};
NODISCARD enum err_code milvus_create_collection(
	struct milvus *m, const struct milvus_create *c, struct stop *s, struct err *e);
NODISCARD enum err_code milvus_drop_collection(struct milvus *m, const char *db, const char *name,
	uint64_t ts, struct stop *s, struct err *e);
NODISCARD enum err_code milvus_create_partition(struct milvus *m, const char *db,
	const char *collection, const char *partition, uint64_t ts, struct stop *s, struct err *e);
NODISCARD enum err_code milvus_drop_partition(struct milvus *m, const char *db,
	const char *collection, const char *partition, uint64_t ts, struct stop *s, struct err *e);
NODISCARD enum err_code milvus_create_database(struct milvus *m, const char *db,
	struct slice properties /* raw fields with tag 3 */, uint64_t ts, struct stop *s,
	struct err *e);
NODISCARD enum err_code milvus_drop_database(
	struct milvus *m, const char *db, uint64_t ts, struct stop *s, struct err *e);
NODISCARD enum err_code milvus_drop_alias(
	struct milvus *m, const char *db, const char *alias, struct stop *s, struct err *e);

/* ReplicateMessage: body is the whole encoded request in pieces. ret_position is the raw message id
 * the target gave to the last message (base64 undone; newer servers wrap it in a MsgPosition, that
 * is undone too), cut to cap bytes. Definite refusals before anything was produced (1900 DENIED,
 * 1901 MALFORMED, 1902/1903 and "getSegmentID failed" BUSY, not ready UNAVAILABLE, rate and quota
 * BUSY, 108 DENIED, 1100 INVALID) come as such. LIMIT: a message is too large for the target's
 * queue, or the call for the target; messages before it may have been produced. Every other failure
 * after the request left is UNCERTAIN (its origin is the number of an answer that will stay so, else
 * 0), but CANCELLED, which says nothing of its fate. OK with ret_n 0 if the position can't
 * be read. */
NODISCARD enum err_code milvus_replicate(struct milvus *m, const struct slice *body, size_t n_body,
	int64_t deadline_ms, struct stop *s, uint8_t *ret_position, size_t cap, size_t *ret_n,
	struct err *e);
