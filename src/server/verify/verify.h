/* Are source and target equal? One pass over the collections of a task, while it replicates:
 *
 *   plan ──▶ collection ──▶ partition ──▶ range of keys ──▶ rows that differ ──▶ looked at again
 *
 * A range is read on both sides and compared by digests of its rows (row_page.h). Rows that differ may
 * only be on their way: they are read again, first on the target, after it has all that the source had
 * before, then on the source. A row that the source did not change meanwhile and that differs still, is
 * different. docs/verify.md says what is proved. Memory: two ranges and the list of differences.
 * @thread one at a time; calls block */
#pragma once

#include "base/err.h"
#include "base/json.h"
#include "base/stop.h"
#include "model/task.h"

struct catalog;
struct milvus;
struct store;
struct store_positions;
struct verify;

enum { VERIFY_WAIT_MS = 60000 };

enum verify_state { VERIFY_OPEN, VERIFY_IDENTICAL, VERIFY_DIFFERENT, VERIFY_UNKNOWN };

struct verify_progress {
	const char *db, *name;         /* of the collection that is read; borrowed */
	size_t collections, done;      /* how many there are, how many are finished */
	int64_t rows;                  /* equal rows so far, all collections */
	int64_t coll_rows, coll_total; /* compared of this collection, and what it counts */
	int64_t different;             /* differences so far */
	size_t unknown;                /* finished collections whose result is not known */
	uint64_t since_ts;             /* the pass' time */
};

/* All borrowed until verify_free. */
struct verify_opts {
	struct milvus *source, *target;
	struct store *store; /* where the task stores its positions */
	/* The task's positions now, where they are at hand; NULL = what the store holds. Heap
	 * (store_positions_free). */
	enum err_code (*positions)(
		void *arg, struct store_positions **ret_list, size_t *ret_n, struct err *e);
	struct catalog *catalog;
	const struct task *task;
	const char *replicate_id; /* of the configuration; NULL or "" = none */
	const char *db, *name;    /* only this collection of the source; NULL = all of the task */
	int64_t rows_per_second;  /* 0 = no limit */
	int64_t wait_ms;          /* for the task to reach a time of the source */
	struct stop *stop;
	/* After each range, may be NULL. */
	void (*on_range)(void *arg, struct verify *v);
	void *arg;
	/* Makes rows of a collection of the source equal on the target; returns when they are
	 * there. keys: as an expression writes them. NULL = nothing is repaired. */
	enum err_code (*repair)(void *arg, int64_t collection_id, const char *partition,
		const char *const *keys, size_t n, struct err *e);
};

/* Plans the pass. NOT_FOUND if the task selects none, or not that one. */
NODISCARD enum err_code verify_new(
	const struct verify_opts *o, struct verify **ret_v, struct err *e);
void verify_free(struct verify *v);
/* Goes through all that is open. What goes wrong with a collection is its result; CANCELLED, or the
 * source's or target's own failure before the first one, end the pass. */
NODISCARD enum err_code verify_run(struct verify *v, struct err *e);
void verify_progress(const struct verify *v, struct verify_progress *ret);
/* IDENTICAL, DIFFERENT (any is), or UNKNOWN (else, any is not known). */
enum verify_state verify_result(const struct verify *v);
/* The name of a state in documents. */
const char *verify_state_name(enum verify_state s);

/* verify_report.c: the document of a pass, finished or not: also what a later one goes on from. */
json_t *verify_json(const struct verify *v);
/* Takes over what doc says of collections that are still there; finished ones stay finished, but
 * those not known, and those with differences if they are to be repaired. INVALID: it is no such document, or of another task. */
NODISCARD enum err_code verify_resume(struct verify *v, const json_t *doc, struct err *e);
/* For people. */
void verify_text(const struct verify *v, struct buf *b);
