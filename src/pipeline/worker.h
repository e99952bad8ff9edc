/* The worker thread of a target channel: take, build, send, settle, acknowledge. It never ends on a
 * remote condition; it repeats with backoff and says what it waits for.
 *
 *   take ──▶ build ──▶ send ──ok──────────────────────────────▶ ack
 *              ▲         ├──refused before production──wait──▶ send the same bytes
 *              ├──fence──┴──fate unknown: see settle.h
 *              └──one of its messages is refused each time: see isolate.h */
#pragma once

#include "base/err.h"
#include "base/iov.h"
#include "base/stop.h"
#include "model/position.h"
#include "pipeline/tchan.h"

struct feed_ops;

/* Where calls go. */
struct chan_sink {
	void *arg;
	/* An untimed channel: messages go one by one through feed (with this arg), and send and
	 * fresh_id are not used. Else NULL. */
	const struct feed_ops *feed;
	/* One ReplicateMessageRequest; the position the target gave to the last message. Errors as
	 * milvus_replicate's: UNCERTAIN = some of it may have been appended; its origin is the
	 * number of the target's answer, 0 if that was lost. LIMIT = a message is too large for the
	 * target's queue; those before it may have been appended. */
	enum err_code (*send)(void *arg, const struct iov *request, int64_t deadline_ms,
		struct stop *s, struct mq_id *ret_position, struct err *e);
	/* A fresh message id, unique on every channel, never one of Milvus' own. */
	int64_t (*fresh_id)(void *arg);
	/* An attempt failed with e; the next one follows in delay_ms. delay_ms < 0: working again.
	 * For state, metrics, log. */
	void (*waiting)(void *arg, const struct tchan *c, const struct err *e, int64_t delay_ms);
	/* Backoff between attempts; 0 = 200 ms, doubling to 5 s. */
	int64_t retry_first_ms, retry_most_ms;
	int64_t grace_ms; /* that a lost call may rest between two messages; 0 = 2000 */
};

struct worker_metrics {
	struct metric_series *center_tt, *calls, *bytes, *replayed, *keepalive;
};

struct worker;

NODISCARD enum err_code worker_start(struct tchan *c, const struct chan_sink *sink,
	const struct worker_metrics *metrics, struct stop *parent, struct worker **ret_w,
	struct err *e);
/* Asks the worker to end after the call in flight; returns at once. For many workers: first all,
 * then worker_stop of each with what is left of one deadline. */
void worker_end(struct worker *w);
/* Finishes the call in flight (up to patience_ms), joins, frees. False: a call was cut, its fate is
 * unknown. NULL is fine. */
bool worker_stop(struct worker *w, int64_t patience_ms);
