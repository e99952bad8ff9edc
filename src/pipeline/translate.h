/* The hot path: a source message becomes a target message by splicing. Nothing is decoded and no
 * row is copied; the output is slices of the source payload plus a few patched bytes in an arena.
 *
 * Changed fields: base (replicateInfo stripped, or set in data migration; timestamp when re-stamped; msgID when given), shard
 * name, db and collection names, collection and partition ids, row timestamps when re-stamped. All
 * other bytes, unknown fields included, pass as they are. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/iov.h"
#include "model/dml.h"

/* How the rows' times change. */
struct stamps {
	bool change;          /* false: all times stay */
	uint64_t one;         /* the time of all rows and of base, when rows is NULL */
	const uint64_t *rows; /* one per row, in row order; base gets the smallest */
};

struct translate {
	const char *db, *collection; /* names on the target */
	const char *shard;           /* target vchannel; inserts and deletes */
	int64_t collection_id;       /* on the target */
	/* on the target; replaces the source's unless that is -1 (or absent) */
	int64_t partition_id;
	struct stamps stamps;
	int64_t msg_id; /* fresh base.msgID, 0 = keep the source's */
	/* Data migration: base.replicateInfo says so and carries this id. NULL or "": it is
	 * removed. */
	const char *replicate_id;
};

/* Appends the translated message of d (Insert, Delete, DropCollection, DropPartition, Import) to
 * out. out may point into d->payload and the arena. A repeated scalar field: the last one counts; a
 * repeated base is merged, as protobuf says. MALFORMED (out unchanged) when the payload can't be
 * spliced. */
NODISCARD enum err_code translate_dml(const struct translate *t, const struct dml *d,
	struct arena *a, struct iov *out, struct err *e);

/* The times of d's rows, in order: writes d->rows numbers to ret. */
NODISCARD enum err_code translate_row_times(const struct dml *d, uint64_t *ret, struct err *e);

/* A TimeTick message: base{1200, ts, sourceID -1}. With a replicate_id (not NULL or "") a Replicate
 * message, its stand-in in data migration: base{1212, ts, replicateInfo}. */
void translate_tick(uint64_t ts, const char *replicate_id, struct arena *a, struct iov *out);

/* A drop message made by us (a collection or partition that was dropped while its drop message was
 * lost): type MSG_DROP_COLLECTION or MSG_DROP_PARTITION with target names and ids, base.timestamp
 * ts. */
void translate_drop(int type, const struct translate *t, const char *partition, uint64_t ts,
	struct arena *a, struct iov *out);

/* For a replay: a Delete of the primary keys of insert d, all rows at time ts, in the insert's own
 * target partition (t->partition_id), with msgID t->msg_id. pk_field_id and pk_is_varchar from the
 * schema. Keys are sliced or copied from the column; UNSUPPORTED for row-based inserts (version 0)
 * or when the column is missing. */
NODISCARD enum err_code translate_replay_delete(const struct translate *t, const struct dml *d,
	int64_t pk_field_id, bool pk_is_varchar, uint64_t ts, struct arena *a, struct iov *out,
	struct err *e);

/* One ReplicateMessageRequest around messages: msgs[i] are complete messages. Positions
 * carry the channel, the source's message id and the time. out gets slices of everything. */
struct replicate_request {
	const char *channel; /* target pchannel */
	uint64_t begin_ts, end_ts;
	struct slice start_id, end_id; /* source message ids, informational */
	const struct iov *msgs;
	size_t n_msgs;
};
void translate_request(const struct replicate_request *r, struct arena *a, struct iov *out);
