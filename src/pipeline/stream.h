/* A stream is one task's replication of one source vchannel into one target vchannel: where its
 * rows go, how far they are acknowledged, and whom to ask about partitions and drops.
 *
 * The owner (server/) fills the first part, attaches it to its target channel and keeps it until
 * tchan_detach has returned. The second part belongs to the channel. */
#pragma once

#include "base/list.h"
#include "base/log.h"
#include "metrics/metrics.h"
#include "model/channel.h"
#include "model/dml.h"
#include "model/position.h"
#include "pipeline/stamp.h"

struct stream;
struct tchan;
struct lane;

enum stream_partition {
	STREAM_PARTITION_OK,   /* *ret_target is valid */
	STREAM_PARTITION_WAIT, /* being created: ask again after tchan_wake */
	STREAM_PARTITION_SKIP, /* dropped at the source: the rows are not wanted */
};

/* Called by the channel's worker; none may block. */
struct stream_ops {
	/* The target partition of a source partition id (name: what the message calls it). */
	enum stream_partition (*partition)(
		struct stream *st, int64_t source_id, struct slice name, int64_t *ret_target);
	/* A DropCollection or DropPartition message was reached; all before it is sent, not yet
	 * acked. */
	void (*drop)(struct stream *st, const struct dml *d);
	/* The stream can't go on. Its rows are skipped from now on, its position stands. */
	void (*failed)(struct stream *st, const struct err *e);
	/* The target refuses calls with its rows: is its collection still there? May be NULL. */
	void (*doubted)(struct stream *st);
};

struct stream_metrics {
	struct metric_series *rows_insert, *rows_delete, *bytes_insert, *bytes_delete, *late,
		*skipped;
	struct metric_series *tt_write, *replayed;
	struct metric_series *calls; /* of the stream's task: calls that carried its messages */
};

struct stream {
	const struct stream_ops *ops;
	void *owner;
	const struct log_ctx *log;
	const char *db, *collection; /* on the target; once attached see tchan_rename */
	char shard[CHANNEL_BYTES];   /* target vchannel */
	int64_t target_id;           /* collection id on the target */
	int64_t pk_field_id;
	bool pk_is_varchar;
	const char *pk_name;   /* "" = unknown */
	uint64_t min_stamp;    /* rows must be above it: the target collection's create time */
	uint64_t replay_until; /* rows at or below this source time may be there already */
	bool at_least_once;    /* they are sent again as they are: copies remain */
	const char *key;       /* its name in bound records (bound.h) */
	struct stream_metrics metrics;
	int64_t skipped_rows, skipped_bytes; /* read and never to be written; atomic */

	/* The channel's, under its lock */
	struct tchan *chan;
	struct lane *lane, *next_lane;
	struct list link;      /* in lane->streams or chan->unlaned */
	struct position acked; /* all at or below acked.ts is on the target */
	bool failed, stopped;
	uint64_t limit; /* stopped: acks beyond it no longer count */
	bool unclean;   /* a call of unknown fate was given up at detach */
	bool replaying; /* the first row of its window is taken, the last not acknowledged */
	uint64_t sent;  /* no row above it was ever handed to the worker, in this life or before */
	uint64_t own_bound; /* its durable bound; 0 = the channel's */
	/* The worker's */
	struct stamp stamp;
	uint64_t ended_ts; /* source time of the DropCollection reached, 0 = none */
};

/* These rows were read and are not to be written. @thread any */
static inline void stream_count_skipped(struct stream *st, const struct dml *d)
{
	__atomic_fetch_add(&st->skipped_rows, (int64_t)d->rows, __ATOMIC_RELAXED);
	__atomic_fetch_add(&st->skipped_bytes, (int64_t)d->payload.n, __ATOMIC_RELAXED);
}
