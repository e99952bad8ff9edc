/* The store writer: takes the newest value of each record and writes all that changed, in batches,
 * every interval. A failed write is repeated with backoff; meanwhile newer values replace older
 * ones, so an outage of the metastore costs memory by records, not by time. Per key nothing goes
 * backwards: one thread writes, a value in flight is put back after a failure only if no newer one
 * came. A record that the store does not take though it takes others is set aside, said, and tried
 * again by itself; it holds up nobody.
 * @thread any function any thread, but free; none may hold a lock that a store call needs */
#pragma once

#include "base/defs.h"
#include "base/err.h"
#include "base/stop.h"
#include "base/time.h"
#include "store/store.h"

struct writer;

struct writer_status {
	bool healthy;       /* the last write succeeded, or there was none */
	enum err_code code; /* of the last failure, when not healthy */
	unsigned failures;  /* in a row */
	size_t waiting;     /* records not yet durable, with those refused */
	size_t refused; /* records that the store does not take; it may be healthy all the same */
	int64_t last_ok_ms; /* monotonic time of the last success; 0 = none yet */
	/* "" or e.g. "metastore unavailable: connection refused; retry in 2000 ms, 12 records
	 * waiting"; "metastore refuses 1 records, one is ..." */
	char text[ERR_TEXT_BYTES + 256];
};

/* Starts the thread. st is borrowed and must outlive the writer. */
NODISCARD enum err_code writer_new(
	struct store *st, int64_t interval_ms, struct writer **ret_w, struct err *e);
/* Stops: a call under way is cancelled, what is not written yet is lost and said in the log (flush
 * first). NULL is fine. */
void writer_free(struct writer *w);

/* Before the first put: nothing is ever written, every flush succeeds (a dry run). */
void writer_discard(struct writer *w);

/* The newest document of (p->task_id, p->collection_id); copied. Never blocks on the store. */
void writer_put_position(struct writer *w, const struct store_positions *p);
/* The document is no longer wanted: deletes it, in place of a value that waits. */
void writer_delete_position(struct writer *w, const char *task_id, int64_t collection_id);
/* The newest value of one of our records, NULL = delete; copied. key as in store_ext. */
void writer_put_ext(struct writer *w, const char *key, const char *value);

/* Writes at once and waits until everything put before the call is durable. TIMEOUT carries the
 * last failure's text; the values stay and are tried further. CANCELLED when s is set. The store's
 * own code, e.g. LIMIT, when all is durable but a record that it refuses; the text names it. */
NODISCARD enum err_code writer_flush(
	struct writer *w, struct deadline d, struct stop *s, struct err *e);

/* The same for the records of one task: positions, and ours below "object/<task>/" and
 * "bound/<task>/". Those of others do not matter. */
NODISCARD enum err_code writer_flush_task(
	struct writer *w, const char *task_id, struct deadline d, struct stop *s, struct err *e);

/* The same for the newest value of one of our records; another one that can't be stored does not
 * matter. */
NODISCARD enum err_code writer_flush_ext(
	struct writer *w, const char *key, struct deadline d, struct stop *s, struct err *e);

/* Drops all that waits for the task, positions and records below "object/<task>/" and
 * "bound/<task>/", and waits for a write under way (at most one call of the store). After it no
 * record of the task is written, unless somebody puts one: the caller has stopped all who do. */
void writer_forget_task(struct writer *w, const char *task_id);

void writer_status(struct writer *w, struct writer_status *ret);
