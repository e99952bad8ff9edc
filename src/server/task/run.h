/* A running task: finds its collections in the catalog, starts and ends them, keeps databases
 * equal, forwards operations, saves positions. One thread ("task") a run reconciles; everything
 * that blocks on the target is done by jobs. A run has its own stop token: no other task is touched
 * by its end. */
#pragma once

#include "base/err.h"
#include "model/task.h"
#include "server/services.h"
#include "store/store.h"

struct run;

enum { RUN_STATES = 8 };
/* Checkpoint intervals after which positions are stored although nothing but time moved. */
enum { RUN_IDLE_INTERVALS = 20 };

/* The positions that a run of the task starts from. What an earlier run has left with the store writer
 * is stored before they are read: the records that the run reads later must not be newer than its
 * positions. What of it the store refuses is forgotten. Freed with store_positions_free. Blocks. */
NODISCARD enum err_code run_stored(const struct services *sv, const char *task_id, struct stop *s,
	struct store_positions **ret_list, size_t *ret_n, struct err *e);
/* Starts a run of a copy of t. positions: what the store holds for the task (borrowed during the
 * call). */
NODISCARD enum err_code run_start(const struct services *sv, const struct task *t,
	const struct store_positions *pos, size_t n_pos, struct run **ret_r, struct err *e);
/* Stops everything, flushes positions, frees. After it nothing of the task is written any more. */
void run_stop(struct run *r, int64_t patience_ms);

/* A task to be, and those to the same target. */
struct run_new {
	const struct task *task;
	struct task *const *others;
	size_t n_others;
};

/* Resolves where a new task starts: "latest" of every channel of the collections that exist already
 * (unless use_start_position or a position is given) and of the replicate channel. Appends records
 * to *list. INVALID if two collections of the source would be one on the target; SYSTEM when a peer
 * does not answer, or stop is set. */
NODISCARD enum err_code run_resolve_start(const struct services *sv, const struct run_new *new,
	struct stop *stop, struct store_positions **list, size_t *n, struct buf *warnings,
	struct err *e);

/* Is this source id one of the task's living collections? */
bool run_has_coll(struct run *r, int64_t id);
/* Positions as of now, heap list (store_positions_free). */
void run_positions(struct run *r, struct store_positions **ret_list, size_t *ret_n);
enum { RUN_LAG_UNKNOWN = -1 };

/* How far a run is behind. */
struct run_measure {
	/* 0: the source is still and everything is there. RUN_LAG_UNKNOWN until the collections are
	 * known and while one of them has not started. */
	int64_t lag_ms;
	int64_t acked_ms; /* source time up to which all is there, ms since the epoch; 0 = unknown */
	int64_t rows, bytes;       /* read and not written */
	bool waits;                /* for something */
	size_t states[RUN_STATES]; /* collections by enum coll_state */
};

void run_measure(struct run *r, struct run_measure *ret);
/* A JSON object text with what the task waits for, its lag, its collections and skipped operations.
 * Heap. */
char *run_status(struct run *r);
/* Skips one operation of the replicate channel that is held or waits. message: its id in base64, as
 * run_status shows it. INVALID, NOT_FOUND. @thread any */
NODISCARD enum err_code run_skip_waiting(struct run *r, const char *message, struct err *e);
