/* A call of unknown fate: some of its messages may be on the target, and the lost call may still be
 * producing there (no server cancels it). ReplicateMessage is not idempotent, so before anything is
 * sent again:
 *
 *  1 fence   calls with one tick equal to the last acknowledged one, which every consumer ignores,
 *            until two answers a grace apart show nothing foreign between them: the lost call has
 *            ended
 *  2 count   the fence's position less the last acknowledged position tells whether anything was
 *            appended
 *  3 decide  nothing: send the same bytes again. Something: replay, i.e. every insert with a delete
 *            of its keys, at stamps above all that the lost call carried */
#pragma once

#include "base/err.h"
#include "base/stop.h"
#include "model/position.h"
#include "pipeline/bundle.h"
#include "pipeline/worker.h"

enum settle { SETTLE_RESEND, SETTLE_REPLAY };

struct settle_opts {
	struct tchan *chan;
	const struct chan_sink *sink;
	int64_t grace_ms;
	uint64_t tick; /* of the fences: one that no consumer heeds any more */
	/* position of the last acknowledged message; n 0 unknown; moved to the fence's */
	struct mq_id *last;
};

/* Blocks until the target answers; CANCELLED when s is set. */
NODISCARD enum err_code settle_run(
	const struct settle_opts *o, struct stop *s, enum settle *ret, struct err *e);

/* Messages appended between two positions: to - from - 1, or -1 if the ids are not plain counters
 * (Kafka: 8-byte little-endian offset). */
int64_t settle_between(const struct mq_id *from, const struct mq_id *to);
