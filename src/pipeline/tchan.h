/* A target channel: the one place where rows for a target pchannel get their order and their time.
 *
 *   lane A (reader 1) ──pack──pack──┐
 *   lane B (reader 2) ──pack────────┼─▶ take: all packs up to the common watermark ─▶ one call in flight
 *   lane C (chaser)   ──pack──pack──┘         (clock.h)                                (worker.h)
 *
 * Readers push packs into lanes and block while a lane is full. The worker takes everything up to
 * the watermark, sends it as one ReplicateMessage and acknowledges it. Invariants: ticks strictly
 * increase; no row at or below a sent tick; inside a stream the source order; a position moves only
 * by an ack.
 *
 * @thread lane_* functions: readers; tchan_take, tchan_acked, tchan_given_up: the worker; the rest
 * any */
#pragma once

#include "base/err.h"
#include "base/list.h"
#include "base/mutex.h"
#include "base/stop.h"
#include "model/pack.h"
#include "pipeline/bound.h"
#include "pipeline/stream.h"

struct tchan_opts {
	const char *name; /* target pchannel */
	const struct log_ctx *log;
	uint64_t floor_ts; /* no row or tick at or below it */
	int64_t late_bound_ms;
	int64_t keepalive_ms; /* a tick after so much silence; 0 = never */
	/* With clock_arg: is that wanted now? NULL = yes. Must not block. */
	bool (*keep_alive)(void *arg);
	size_t call_bytes; /* most bytes of one call (one message may be more); 0: LIMIT_CALL_BYTES */
	const char *replicate_id; /* data migration: see translate.h; NULL = no */
	/* The target has no clock (a log): every pack leaves as soon as it is there, ordered by
	 * time inside, without ticks and with its rows' own times. The worker needs a feed. */
	bool untimed;
	/* The target's clock now as a TSO; 0 while unknown. Must not block. */
	uint64_t (*clock)(void *arg);
	void *clock_arg;
	/* Rows leave only up to durable bounds: `bound` is the stored one (copied), wants_bound
	 * (called by the worker without a lock, with clock_arg) asks for tchan_bound_next. */
	bool bounded;
	const struct bound_record *bound;
	void (*wants_bound)(void *arg);
	/* The last run did not end cleanly: a call of it may still be under way on the target. */
	bool unclean;
};

NODISCARD enum err_code tchan_new(const struct tchan_opts *o, struct tchan **ret_c, struct err *e);
/* All lanes closed or not: queued packs are released. No thread may use it any more. */
void tchan_free(struct tchan *c);
const char *tchan_name(const struct tchan *c);
/* NULL or "" unless in data migration. */
const char *tchan_replicate_id(const struct tchan *c);

/* Readers: see source/reader.h's group_ops. */
struct lane *lane_open(struct tchan *c, const char *pchannel, uint64_t start_ts, bool chaser);
NODISCARD enum err_code lane_push(struct lane *l, struct pack *pk, struct stop *s, struct err *e);
void lane_move(struct lane *from, struct lane *to);
void lane_close(struct lane *l);
size_t lane_held(struct lane *l); /* bytes not acknowledged */
/* The stream's packs come through l from now on (at once, or behind what its present lane
 * holds). */
void lane_set(struct stream *st, struct lane *l);

/* A stream with its start position joins; its packs may follow. */
void tchan_attach(struct tchan *c, struct stream *st);
/* st's rows no longer leave, and acks of what is not taken yet no longer move its position. To be
 * called before its packs stop coming: otherwise packs without its rows would. Repeating it is
 * fine. */
void tchan_leave(struct stream *st);
/* When it returns, no row of st is sent any more. Waits for the call in flight if that carries rows
 * of st, up to patience_ms; then that call is cancelled and st->unclean says that its rows may have
 * landed. */
void tchan_detach(struct stream *st, int64_t patience_ms);
/* Rows of an attached stream bear these names from now on. They and the old ones must stay until st
 * is detached. */
void tchan_rename(struct stream *st, const char *db, const char *collection);
/* How far st is behind what its channel has let through, in ms, when it is late: its rows get new
 * times; 0 while it is in time, and where nothing is. @locks none */
int64_t tchan_late_ms(const struct stream *st);
/* The acknowledged position of st. @locks none */
struct position tchan_position(const struct stream *st);
/* Is all acknowledged that its lane has sent? */
bool tchan_still(const struct stream *st);
/* No row of st above this source time was ever handed to the worker. @locks none */
uint64_t tchan_sent(const struct stream *st);

/* A message of our own (a drop message, or rows) to be sent with a time of its own and followed by a
 * tick. */
struct tchan_note {
	struct list link;
	const char *shard; /* target vchannel */
	int type;          /* MSG_DROP_COLLECTION, MSG_DROP_PARTITION */
	const char *db, *collection, *partition;
	int64_t collection_id, partition_id;
	uint64_t source_ts; /* when it was dropped there */
	/* Instead of a drop: a Delete and, behind it, an Insert or NULL, of the target's own ids. Sent
	 * again they are sent together, so that no copy is left. Not for an untimed channel. */
	const struct dml *gone, *rows;
	bool sent; /* under the channel's lock */
	bool acked;
	bool cancelled;
};
/* Takes nothing: n must stay until acked or tchan_note_cancel. Callers learn of the ack by
 * tchan_note_done. */
void tchan_note(struct tchan *c, struct tchan_note *n);
bool tchan_note_done(struct tchan *c, struct tchan_note *n);
void tchan_note_cancel(struct tchan *c, struct tchan_note *n);

/* Something a blocked lane waited for has changed. */
void tchan_wake(struct tchan *c);

/* ---- the worker's side ---- */

/* What one call carries. Owned by the worker; emptied by tchan_acked or tchan_given_up. */
struct taken {
	struct list packs; /* in sending order; a long pack may come in several parts */
	struct list notes;
	uint64_t tick;        /* to be sent at the end; 0 = none */
	uint64_t floor;       /* last tick before this call: rows must be above */
	bool raise_tick;      /* the tick may be raised to the highest stamp of the call */
	bool keepalive;       /* only a tick from the target's clock */
	uint64_t window_from; /* the one time of all deletes of a replayed window; 0 = none */
	/* The deletes of a replay are below its inserts, and a tick between them would show neither old
	 * nor new rows: it is at or above `untold`, of earlier calls, and `replayed`, of this one. */
	uint64_t untold, replayed;
	bool parted; /* of some pack only a part has left: no tick at or above its rows */
	size_t n_msgs, bytes;
	struct taken_lane {
		struct lane *lane;
		struct position end; /* of the last whole pack taken */
		bool whole;          /* end is valid */
		bool part;           /* the last thing taken was a part of a pack */
	} * lanes;
	size_t n_lanes, cap_lanes;
};

void taken_init(struct taken *t);
/* Must be empty of packs and notes. */
void taken_done(struct taken *t);

/* Waits for something to send; CANCELLED when s is set. A result without messages and tick only
 * moves positions: acknowledge it at once. */
NODISCARD enum err_code tchan_take(struct tchan *c, struct taken *t, struct stop *s, struct err *e);
/* Everything of t is on the target, up to and including tick `sent_tick` (0 = none was sent). */
void tchan_acked(struct tchan *c, struct taken *t, uint64_t sent_tick);
/* The worker ends without an answer. may_have_landed: streams with rows in t become unclean. */
void tchan_given_up(struct tchan *c, struct taken *t, bool may_have_landed);
/* The messages of stopped and failed streams leave t, before a call is built (again). */
void tchan_prune(struct tchan *c, struct taken *t, bool may_have_landed);
/* A message was handed to its stream and won't be sent: detach no longer waits for it. */
void tchan_forget(struct tchan *c, struct pack_msg *m);
/* The names that rows of st bear. */
void tchan_names(const struct stream *st, const char **ret_db, const char **ret_collection);
/* Between begin and end an impatient detach may set *call. */
void tchan_call_begin(struct tchan *c, struct stop *call);
void tchan_call_end(struct tchan *c);

/* A call with times up to ts was built. */
void tchan_note_used(struct tchan *c, uint64_t ts);
/* The highest time that a consumer of the channel may have seen: the floor of what comes after. */
uint64_t tchan_used(struct tchan *c);
uint64_t tchan_last_tick(struct tchan *c);
/* Is a call of an earlier run to be waited for? True once. */
bool tchan_unclean(struct tchan *c);
/* Numbers for status and metrics. */
struct tchan_stats {
	size_t queued_bytes, lanes, late_lanes, streams;
	uint64_t last_tick;
	/* how far the source's clock runs ahead of the target's; rows wait so long */
	int64_t held_ms;
	bool waits_bound; /* rows wait for a higher bound */
};
void tchan_stats(struct tchan *c, struct tchan_stats *ret);
