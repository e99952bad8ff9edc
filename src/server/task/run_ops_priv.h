/* The inside of a task's replicate channel:
 *   run_ops.c        the reading thread, positions, start and stop
 *   run_op_queue.c   which operation waits for which, hold and skip
 *   run_op_names.c   is its object ready, and what is it called on the target
 *   run_op.c         one try of one operation */
#pragma once

#include "base/arena.h"
#include "base/list.h"
#include "server/task/run_priv.h"
#include "sink/ops.h"
#include "source/mq.h"

enum { OP_TEXT_BYTES = 200 };

struct op_event {
	struct list link;
	struct oplog *log;
	struct job job;
	struct retry backoff;
	struct arena arena;
	struct op op;
	struct mq_msg *msg;
	struct mq_id id;
	char db[NAME_BYTES];
	int64_t read_mono_ms;
	int64_t *ids; /* of the source beside op.collections; 0 = not known yet, -1 = never */
	/* Hashes of what it is about. Operations that share one keep their order. */
	uint64_t *objects;
	size_t n_objects;
	struct arena scratch; /* of one try */
	int unanswered;       /* calls in a row whose answer was lost */
	bool unreadable;      /* why says what is wrong with the message */

	/* under log->mtx */
	size_t blockers; /* earlier operations on its objects that are not done */
	bool done, skip_asked;
	bool held; /* can't be replicated; the task's policy is to wait for a person */
	char why[OP_TEXT_BYTES]; /* what it waits for, or why it is held */
};

struct oplog {
	struct run *run;
	struct thread thread;
	struct stop stop;
	struct position start; /* where the next reader begins; with a ts, behind it */

	struct mutex mtx;
	struct cond room;
	struct list events; /* in channel order */
	size_t n;
	size_t n_held;
	struct position at; /* of the last operation done in order */
	/* Wall time at which the channel held nothing behind the last message read; 0 unknown. */
	int64_t end_ms;
	int64_t end_mono_ms; /* the topic was read to its end last then */
	uint64_t read_ts;    /* source time of the newest operation read */
	bool known;
	int64_t began_ms;         /* wall time */
	int64_t in_order_mono_ms; /* since when the catalog has been in order; 0 it was not. Atomic */
	int64_t current_ms; /* wall time; the catalog knew all of then. Of the reading thread */
	char status[COLL_REASON_BYTES];
};

/* ---- run_op_queue.c ---- */

/* Notes what the operation is about. Before op_enqueue. */
void op_set_objects(struct op_event *v);
/* Puts it behind all others; its job runs when it is its turn. */
void op_enqueue(struct op_event *v);
enum op_turn { OP_TURN, OP_BEHIND, OP_SKIPPED, OP_OVER };
/* May it run? OP_BEHIND: not before one that is not done, or held; it is woken. */
enum op_turn op_turn(struct op_event *v);
/* It is over: its position may be passed, those behind it may run. Returns JOB_IDLE. */
int64_t op_finish(struct op_event *v);
/* It can't be replicated: skipped (counted, listed, logged) or held, as the task wants it. Returns
 * JOB_IDLE. */
int64_t op_refuse(struct op_event *v, const char *why);
/* It waits; returns ms. */
int64_t op_wait(struct op_event *v, int64_t ms, const char *fmt, ...) PRINTF(3, 4);
/* "Flush", ...; "unknown". */
const char *op_type_name(const struct op_event *v);
/* "Flush of db.a, db.b" */
void op_describe(const struct op_event *v, char *out, size_t cap);

/* ---- run_op_names.c ---- */

enum op_readiness {
	OP_READY,
	OP_NOT_YET, /* what it needs is on its way; v->why is set */
	OP_NEVER,   /* its object was dropped later, or is not ours: nothing is left to do */
	OP_LOST,    /* its collection failed */
};

/* The requests to send: one per database of the target. */
struct op_target {
	const char *db;
	const char **collections;
	struct slice *kept; /* the source's names beside them */
	size_t n;
};

/* Copies s, cut to cap, with a 0 behind it. */
void op_text(struct slice s, char *out, size_t cap);
/* Finds out which collections it names, by name or by alias. What the catalog does not show makes it
 * ask etcd for what is newer: not OK if that can't be told now. Before op_wanted. */
NODISCARD enum err_code op_resolve(struct op_event *v, struct err *e);
/* Is it one of the task's? */
bool op_wanted(const struct op_event *v);
/* Fills the names and counts the requests; op_target_at gives each. */
enum op_readiness op_names(struct op_event *v, struct op_target *all);
/* The next request of `all` from *at on; false at the end. */
bool op_next_target(
	struct op_event *v, const struct op_target *all, size_t *at, struct op_target *ret);

/* ---- run_op.c ---- */

/* Adds the operation to the task's metrics of its channel; what is "read" or "write". */
void op_count(const struct op_event *v, const char *what);
/* The job: one try when it is the operation's turn. */
int64_t op_step(void *arg);
