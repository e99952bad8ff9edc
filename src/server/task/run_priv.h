/* The inside of a running task, shared by run*.c and coll*.c. */
#pragma once

#include "base/log.h"
#include "base/map.h"
#include "base/mutex.h"
#include "base/stop.h"
#include "base/thread.h"
#include "server/task/coll.h"
#include "server/task/run.h"
#include "server/target/target.h"
#include "server/task/users.h"

enum { NAME_BYTES = 1024, SKIPPED_KEPT = 50, OPLOG_ITEM_BYTES = 200 };

/* Stands for "any collection" in task_selects: no real name holds a control character. */
#define RUN_ANY_COLLECTION "\001"

/* A source database of the task, by source id. */
struct run_db {
	struct run *run;
	int64_t id;
	char *name, *target_name;
	bool whole;   /* the task covers the whole database */
	bool managed; /* and it is not the default one: its drop is ours too */
	bool created; /* exists on the target */
	bool recorded;
	bool gone;        /* dropped at the source */
	bool dropped;     /* dropped on the target, or never to be created */
	char *properties; /* raw bytes, of the source */
	size_t properties_n;
	struct kv_list done; /* what of them the target has; job only */
	bool done_known;
	int refused;
	struct job job;
	struct retry backoff;
	char reason[COLL_REASON_BYTES];
	int64_t dropped_mono_ms; /* over since; of the run's thread */
};

struct skipped_op {
	char text[200];
	int64_t wall_ms;
};

struct run {
	struct services sv;
	struct task *task;
	char log_fields[192];
	struct log_ctx log;
	struct stop stop;
	struct target *target;
	struct thread thread;
	struct oplog *oplog;   /* set once by the run's thread, under mtx; others: run_oplog */
	struct users *users;   /* NULL without enable_user_role */
	struct job watch;      /* run_watch.c */
	uint64_t replay_until; /* the last run ended uncleanly: what may have landed up to here */
	bool unbounded;        /* what ran before was not ours: no bound says less */
	struct store_positions *start; /* records at start */
	size_t n_start;
	int64_t saved_mono_ms;
	bool marked; /* the store says that we run */

	struct mutex mtx;
	struct umap colls; /* source id -> struct coll */
	bool synced;       /* all that the catalog held at the start are in colls */
	struct umap dbs;   /* source id -> struct run_db */
	struct skipped_op skipped[SKIPPED_KEPT];
	size_t n_skipped;          /* ever */
	int holders;               /* run_hold */
	int64_t rows_forgotten;    /* written for collections that run_prune has freed */
	struct smap by_target;     /* names on the target -> first struct coll, see same_target */
	struct position saved_ops; /* the record -10 as saved last; of the run's thread */
	int64_t saved_ops_end_ms;  /* its End; as above */
	size_t save_from;          /* where the next round of run_save begins; as above */
};

/* Between them no collection is freed: for who uses one without being its job. Short. @thread any */
void run_hold(struct run *r);
void run_release(struct run *r);
/* Gives the writer the positions that are worth storing, or all that moved. Of the run's thread. */
void run_save(struct run *r, bool all);
/* Into and out of by_target, under its present name. */
void run_named_locked(struct run *r, struct coll *c) REQUIRES(r->mtx);
void run_unnamed_locked(struct run *r, struct coll *c) REQUIRES(r->mtx);
/* The first of the task's collections with this name on the target; others: same_target. */
struct coll *run_on_target_locked(struct run *r, const char *db, const char *name) REQUIRES(r->mtx);
/* Forgets collections and databases that were dropped on both sides a while ago: their records,
 * positions and series too. Of the run's thread. */
void run_prune(struct run *r);

/* The collection of (db, name) that lived at source time ts; NULL if unknown. Valid until
 * run_release. */
struct coll *run_find_coll(struct run *r, const char *db, const char *name, uint64_t ts);
/* The one with this source id; NULL if the task has none. Valid as above. */
struct coll *run_coll(struct run *r, int64_t id);
/* Its names on the target now, NAME_BYTES each; false for NULL. */
bool run_target_name(struct run *r, const struct coll *c, char *ret_db, char *ret_name);
/* Gives c other names, copied; it is still found by the old ones for what happened before. */
void run_rename(struct run *r, struct coll *c, const char *db, const char *name,
	const char *target_db, const char *target_name);
/* Does another collection of the task have this name on the target, and does it keep it? */
enum run_name { RUN_NAME_FREE, RUN_NAME_TAKEN, RUN_NAME_LEAVING };
enum run_name run_name_holder(
	struct run *r, const struct coll *c, const char *target_db, const char *target_name);
/* Is the target name also that of an older collection of the source, of this task or another one to
 * the target? Then it says which. */
bool run_name_meets(struct run *r, const struct coll *c, char *ret_why, size_t cap);
/* True when no earlier generation of c's target name is left. */
bool run_turn_of(struct run *r, const struct coll *c, char *ret_why, size_t cap);
/* Wakes the collections that wait for their turn under c's target name, or for the database. */
void run_wake_turn(struct run *r, const struct coll *c);
void run_wake_db(struct run *r, int64_t db_id);
/* Is the database of this source id there on the target? Wakes its job if not. */
bool run_db_ready(struct run *r, int64_t db_id, char *ret_why, size_t cap);
/* The same by the source's name; a database that the task does not make counts as there. */
bool run_db_ready_name(struct run *r, const char *name, char *ret_why, size_t cap);
/* All collections of a source database are dropped. */
bool run_db_empty(struct run *r, int64_t db_id);
/* A source time that no row sent so far can exceed. */
uint64_t run_head_ts(const struct run *r);
/* Lists and counts an operation that could not be replicated. */
void run_skip_op(struct run *r, const char *type, const char *fmt, ...) PRINTF(3, 4);
/* Why the stored document of this collection can't be read, NULL if it can (or there is none). */
const char *run_start_damaged(const struct run *r, int64_t collection_id);
/* The start record of (collection, pchannel), NULL if none. */
const struct store_position *run_start_position(
	const struct run *r, int64_t collection_id, const char *pchannel);

/* run_channels.c: adds "channels", "late_streams" and "bytes_written" to the JSON object status. */
struct json_t;
void run_channels(struct run *r, struct json_t *status);

/* run_watch.c: asks from time to time whether the target still has what this task made there. Ended
 * by job_stop. */
void run_watch_start(struct run *r);

/* run_db.c */
void run_db_sync(struct run *r);
struct run_db *run_db_from_record(struct run *r, int64_t id, const char *json);
void run_db_free(struct run_db *d);

/* run_users.c: makes r->users if the task wants it; the target is known. */
void run_users_new(struct run *r);

/* run_ops.c: the replicate channel */
NODISCARD enum err_code oplog_start(struct run *r, struct oplog **ret_o, struct err *e);
/* NULL until it is started. For other threads than the run's. @thread any */
struct oplog *run_oplog(struct run *r);
void oplog_stop(struct oplog *o); /* its position stays readable until oplog_free */
void oplog_free(struct oplog *o);
/* The record -10 as of now; false while unknown. */
bool oplog_position(struct oplog *o, struct store_positions *ret);
void oplog_status(struct oplog *o, char *ret_text, size_t cap);
/* Were all operations read that the source wrote before we learned of something, at our time
 * mono_ms and source time ts? */
bool oplog_read_past(struct oplog *o, int64_t mono_ms, uint64_t ts);
/* Operations that wait for more than their turn, in order of the channel. */
struct oplog_item {
	char what[OPLOG_ITEM_BYTES], why[OPLOG_ITEM_BYTES];
	struct mq_id id;
	bool held;
};
size_t oplog_waiting(struct oplog *o, struct oplog_item *items, size_t cap);
/* Skips the one operation with this message id, held or not. NOT_FOUND if it does not wait. */
NODISCARD enum err_code oplog_skip(struct oplog *o, struct slice id, struct err *e);
