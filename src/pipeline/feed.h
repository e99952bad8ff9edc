/* Delivery of an untimed channel: what was taken goes message by message to a log that confirms
 * each of them (feed_ops), and is acknowledged when all are confirmed.
 *
 *   put, put, put ...──▶ wait for each ──all confirmed──▶ done
 *        ▲                     └─one failed: it and all later ones of its stream again, after a pause
 *        └───────────────────────────────┘
 *
 * So inside a stream a message that failed is never overtaken for good: what follows it follows it
 * again. The log's own retries (an idempotent producer) keep a message that is merely slow single.
 * @thread the channel's worker */
#pragma once

#include "base/defs.h"
#include "base/err.h"
#include "base/stop.h"
#include "base/time.h"
#include "model/pack.h"
#include "pipeline/tchan.h"
#include "pipeline/worker.h"

/* Exactly one of msg and note is set. */
struct feed_item {
	const struct stream *stream; /* NULL for a note */
	const struct dml *dml;
	const struct tchan_note *note;
	uint64_t begin_ts, end_ts; /* of its pack */
	const struct mq_id *end_id;
	bool last;  /* of its stream in this pack: all up to end_ts is out then */
	bool again; /* it may be in the log already, from an earlier run or attempt */
	bool alone; /* a batch was refused: this is to be in one of its own */
};

struct feed_ops {
	/* Hands it over; *ret_ticket stays the caller's until drop, and NULL if the log is told
	 * nothing of it. Waits while the log takes no more. MALFORMED, UNSUPPORTED, LIMIT: this message can never go. */
	enum err_code (*put)(void *arg, const struct feed_item *it, struct stop *s,
		void **ret_ticket, struct err *e);
	/* ERR_OK: it is in the log. TIMEOUT: not yet known at d, wait again; the text says what it
	 * waits for. LIMIT: it can never go. CANCELLED. Others: it is not in the log, put it again.
	 */
	enum err_code (*wait)(
		void *arg, void *ticket, struct deadline d, struct stop *s, struct err *e);
	void (*drop)(void *arg, void *ticket);
};

struct feed;

struct feed *feed_new(
	struct tchan *c, const struct chan_sink *sink, const struct worker_metrics *metrics);
void feed_free(struct feed *f);

/* Delivers what t carries; false when s was set first: then, after tchan_prune, called again it
 * goes on with what is left. */
bool feed_deliver(struct feed *f, struct taken *t, struct stop *s);
/* What was taken is done or given up: the next feed_deliver starts anew. */
void feed_forget(struct feed *f);
