/* One source collection of a running task: its life cycle on the target.
 *
 *                    ┌───────────────────────────────────────────────┐ never created: dropped meanwhile
 *   Waiting ──▶ Creating ──▶ Running ──▶ Dropping ──▶ DropReady ──▶ Dropped
 *      │            │           │   all shards saw       │ durable, then RPC, then
 *      └────────────┴───────────┴──▶ Failed              │ the drop message on every channel
 *
 * Waiting: for an earlier generation of the name, or for the database. Failed carries a reason and
 * stays until the task is resumed or the source drops it. One job (jobs.h) does all steps, one at a time; readers and
 * channel workers only set flags under coll->mtx and wake it. */
#pragma once

#include "base/defs.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mutex.h"
#include "base/retry.h"
#include "model/collection.h"
#include "model/kv.h"
#include "pipeline/tchan.h"
#include "server/jobs.h"
#include "sink/sink.h"
#include "source/reader.h"
#include "store/store.h"

struct run;

/* clang-format off */
#define COLL_STATES(X)                                                                             \
	X(WAITING, "Waiting") X(CREATING, "Creating") X(RUNNING, "Running") X(DROPPING, "Dropping")     \
	X(DROP_READY, "DropReady") X(DROPPED, "Dropped") X(FAILED, "Failed")

enum coll_state {
#define COLL_ENUM(id, text) COLL_##id,
	COLL_STATES(COLL_ENUM)
#undef COLL_ENUM
	COLL_STATE_COUNT
};
/* clang-format on */

enum part_state { PART_WANTED, PART_OK, PART_DROPPING, PART_DROPPED };

/* A partition by source id. A name may come back with a new id: both are here. */
struct part {
	int64_t source_id, target_id;
	char *name;
	enum part_state state;
	uint64_t drop_ts; /* source time of its drop, once seen */
	/* By shard; made when the first of them is asked for. */
	struct part_shard {
		bool wanted;    /* rows wait for it at the head of their lane */
		bool drop_seen; /* its drop was reached */
		bool overtaken; /* so was a later partition of its name, before its drop */
	} * shards;
	int n_shards;
	int64_t dropped_mono_ms; /* known to be Dropped since; job only */
	int64_t wanted_ms;       /* since when rows wait for it */
	int64_t refused_ms;      /* the target refused the drop that was asked for then */
};

struct coll_shard {
	struct coll *coll;
	int index;
	struct stream stream;
	struct sub sub;
	struct tchan *chan;
	bool attached;
	struct metric_series *read_rows_insert, *read_rows_delete;
	struct metric_series *skipped_own;
	struct metric_series *read_bytes_insert, *read_bytes_delete, *read_tt;
	char *key;             /* stream.key */
	uint64_t sent;         /* where it last stopped: no row beyond was sent; 0 unknown */
	uint64_t replay_until; /* end of the window that an earlier run left, once known */
	bool window_known;
	uint64_t drop_ts;  /* DropCollection reached at this source time */
	uint64_t saved_ts; /* of the position given to the writer last; of the run's thread */
	char *target_vchannel, *target_pchannel;
	char *vchannel, *pchannel; /* at the source */
	struct tchan_note note;
	bool note_out;
};

enum { COLL_REASON_BYTES = 400, COLL_FORMER_MAX = 16, NOTES_OF_NONE = 0, NOTES_OF_COLLECTION = -1 };

/* A name it had before a rename. Target names stay for those who still hold them. */
struct coll_former {
	char *db, *name, *target_db, *target_name;
	char *log_fields;  /* somebody may be writing a line with them */
	uint64_t until_ts; /* we learned of the rename then */
};

/* What of the source's etcd is done on the target (coll_follow.c). Job only. */
struct coll_follow {
	bool known;                         /* properties is what the target was given */
	struct kv_list properties, aliases; /* an alias is a key */
	struct kv_list fields;     /* names of the target's fields, as keys; empty: not yet noted */
	char *next_db, *next_name; /* target names that a rename is going to; or NULL */
	int refused;
};

struct coll {
	struct run *run;
	int64_t id, db_id;
	uint64_t create_ts;
	char *db, *name; /* at the source */
	char *target_db, *target_name;
	char *log_fields; /* of its present name */
	struct log_ctx log;
	struct job job;
	struct retry backoff;
	int64_t trouble_mono_ms; /* since when steps fail */
	struct collection *src;  /* newest snapshot, job only */
	int64_t target_id;       /* 0 = not yet */
	int64_t pk_field_id;     /* of the source's schema */
	bool pk_is_varchar;
	char *pk_name; /* set once; NULL = unknown */
	struct coll_shard *shards;
	int n_shards;
	int64_t notes_of; /* whose notes are out: a partition's source id, NOTES_OF_COLLECTION; job only */
	bool recorded; /* created or adopted by us: a record exists */
	bool unclean;  /* earlier calls may have landed beyond the position */
	bool rpc_done; /* the drop was executed by this run */
	bool started;  /* streams are attached; others than the job: coll_started */
	struct coll_follow follow;
	struct coll_former *former; /* with names above: under run->mtx for others than the job */
	size_t n_former;
	uint64_t named_ts;           /* it has its present name since; 0 = always */
	bool announced;              /* this run created it; job only */
	int64_t dropped_mono_ms;     /* Dropped since; of the run's thread */
	int64_t saved_mono_ms;       /* its positions were given to the writer; as above */
	bool saved_dropped;          /* as dropped; as above */
	struct coll *same_target;    /* the next of the run with its target name; run->mtx */
	int64_t announced_partition; /* the last one this run created; job only */

	struct mutex mtx; /* a leaf: callbacks of readers and workers take it */
	enum coll_state state;
	char *reason;                  /* why Failed, or what it waits for; NULL = nothing */
	struct umap parts;             /* source id -> struct part */
	int64_t base_rows, base_bytes; /* read but for ever unwritten; see run_status.c */
	int64_t load_waits_ms;         /* since when a load waits for a drop; 0 = none does */
	bool drop_pending;             /* a drop was seen and is not done: positions stand still */
	char *failure;                 /* set by a stream that can't go on; NULL = none */
	bool doubted;                  /* the target refuses its rows: is it still there? */
	bool alias_lost; /* an alias was dropped that it may have had: it puts them again */
};

const char *coll_state_name(enum coll_state s);

/* A collection known by the catalog, or (src NULL) only by its record. Takes nothing. */
struct coll *coll_new(struct run *r, const struct collection *src, const char *db);
struct coll *coll_from_record(struct run *r, int64_t id, const char *json);
/* Stops its job and streams (calls in flight get patience_ms) and keeps its last positions. */
void coll_stop(struct coll *c, int64_t patience_ms);
void coll_free(struct coll *c);

enum coll_state coll_get_state(struct coll *c);
/* Are its streams attached, and its shards known? @thread any */
static inline bool coll_started(const struct coll *c)
{
	return __atomic_load_n(&c->started, __ATOMIC_ACQUIRE);
}
/* Something says that the target no longer has it: its next step asks. @thread any */
void coll_doubt(struct coll *c);
/* True when every live stream has acknowledged source time ts, or has ended. */
bool coll_reached(struct coll *c, uint64_t ts);
/* Its drop at the source, before ts, has been read. */
bool coll_dropped_before(struct coll *c, uint64_t ts);
/* Smallest acknowledged source time of its live streams; UINT64_MAX if it has none. */
uint64_t coll_acked_ts(struct coll *c);
/* Rows written since the task was started here. */
int64_t coll_rows(const struct coll *c);
/* The position document as it may be stored now; false if there is none or it must stand still.
 * Strings are owned by the document (store_positions_done). */
bool coll_positions(struct coll *c, struct store_positions *ret);
/* Whether its positions are worth storing now: rows moved them, or ticks alone did and the last time
 * is idle_ms ago. Moves the gauges of its channels, too. @thread the run's */
bool coll_save_due(struct coll *c, int64_t now_ms, int64_t idle_ms);
/* d, which coll_positions gave, goes to the store. @thread the run's */
void coll_saved(struct coll *c, const struct store_positions *d, int64_t now_ms);

/* Counts a message read for the subscription of one of a collection's shards. @thread reader */
void coll_count_read(const struct sub *sub, const struct dml *d, size_t bytes);

/* ---- inside: coll.c, coll_step.c, coll_parts.c, coll_drop.c, coll_record.c ---- */

/* Log lines and metrics bear its present name. */
void coll_name_changed(struct coll *c);
void coll_set_state(struct coll *c, enum coll_state s, const char *why);
/* Stops its streams too; job only. */
void coll_fail(struct coll *c, const char *fmt, ...) PRINTF(2, 3);
void coll_waits(struct coll *c, const char *fmt, ...) PRINTF(2, 3);
/* Handles the error of a step: transient = delay for the next try; permanent = Failed. */
int64_t coll_error(struct coll *c, const char *what, const struct err *e);
int64_t coll_step(void *arg);

/* Starts the streams; the target's shards are known. */
NODISCARD enum err_code coll_start_streams(struct coll *c, struct err *e);
void coll_stop_streams(struct coll *c, int64_t patience_ms);
/* Its streams never started here, and the run before was killed: that run's window is the next one's. */
void coll_leave_window(struct coll *c);
/* The first half of coll_stop_streams, which does not wait: nothing more of its rows is sent. */
void coll_leave(struct coll *c);

/* Maps and creates partitions the catalog holds and rows ask for; job only. */
NODISCARD enum err_code coll_parts_sync(
	struct coll *c, const struct sink_collection *known, struct err *e);
/* Drops partitions whose drop was reached on all shards; job only. *ret_pending: some still
 * wait. */
NODISCARD enum err_code coll_parts_drop(struct coll *c, bool *ret_pending, struct err *e);
/* Forgets partitions that were dropped a while ago on both sides and of which no row can come any
 * more; job only. When to ask again, or JOB_IDLE. */
int64_t coll_parts_prune(struct coll *c);
/* Must a load of time ts wait for the drop of a partition? Milvus drops no loaded partition, so a drop
 * that was before the load would wait for ever behind it. @thread any */
bool coll_drop_first(struct coll *c, uint64_t ts);
/* Rows wait for a partition; ret_why (CAP bytes): for what it waits, "" if not for long. */
bool coll_parts_wanted(struct coll *c, char *ret_why, size_t cap);
enum stream_partition coll_part_find(
	struct stream *st, int64_t source_id, struct slice name, int64_t *ret_target);
void coll_part_drop_seen(struct coll *c, int shard, int64_t partition_id, uint64_t ts);
void coll_parts_free(struct coll *c);

/* Describes the target's collection of its name; m is emptied first. Job only. */
NODISCARD enum err_code coll_describe(struct coll *c, struct sink_collection *m, struct err *e);
/* Makes a change to the collection on the target; the collection's own names and id are filled in.
 * Job only. */
NODISCARD enum err_code coll_change(struct coll *c, struct sink_change *ch, struct err *e);

/* The DropReady step: RPC, then the drop message on every channel. Returns the next delay. */
int64_t coll_drop_step(struct coll *c);
/* Sends a drop message on all channels of the collection: false while not all are acknowledged.
 * part may be NULL. Those of another drop that are out are waited for first. */
bool coll_notes(struct coll *c, int type, const struct part *p);
/* Notes that are out: false while not all are acknowledged. */
bool coll_notes_settled(struct coll *c);
void coll_notes_cancel(struct coll *c);

/* Makes name, properties and aliases equal to what the source's etcd says; a step of Running. */
NODISCARD enum err_code coll_follow(struct coll *c, struct err *e);
/* It was created on the target with these properties, and with all fields it has now. */
void coll_follow_created(struct coll *c, struct slice properties);
/* A rename that was on its way when the last run ended is done: the target has our collection under
 * its next name. */
bool coll_follow_finish(struct coll *c, int64_t found_id);
/* An alias was dropped on the target because it was c's. If the source has given it to another
 * collection of the task, and that one was quicker, it has lost it and is told. Job only. */
void coll_alias_dropped(struct coll *c, const char *alias);
void coll_follow_done(struct coll *c);

/* Puts the record into the write-behind store. */
void coll_record_put(struct coll *c);
/* The same, and waits until it is durable. */
NODISCARD enum err_code coll_record_flush(struct coll *c, struct err *e);
/* The record's JSON, heap. */
char *coll_record_json(struct coll *c);
/* Fills c from a record; false if it can't be read. */
bool coll_record_read(struct coll *c, const char *json);
