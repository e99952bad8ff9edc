/* One ReplicateMessage call, built from what was taken: translated messages, stamped rows, our own
 * notes and the tick. Slices point into the packs and the call's arena; nothing is copied. */
#pragma once

#include "base/arena.h"
#include "base/iov.h"
#include "pipeline/tchan.h"

struct bundle {
	struct arena arena;
	struct iov *msgs; /* complete messages */
	size_t n_msgs, cap_msgs;
	struct pack_msg **from; /* what each was made of; NULL: a tick, a drop message of ours */
	size_t rows;
	uint64_t lowest, highest; /* stamps of rows and drop messages; lowest 0 = none */
	uint64_t tick;            /* sent at the end; 0 = none */
	struct slice end_id;      /* of the last pack's position */
	struct iov request;
};

struct bundle_opts {
	uint64_t floor;       /* every stamp and tick is above it */
	uint64_t replay_from; /* not 0: all rows are a replay, from this stamp on; see settle.h */
	const char *replicate_id; /* see translate.h */
	uint64_t window_from;     /* not 0: rows of a stream's window are stamped from here on */
	int64_t (*fresh_id)(void *arg);
	void *arg;
};

void bundle_init(struct bundle *k);
void bundle_done(struct bundle *k);
/* Builds k anew from t, and notes in t what it replays. A message that can't be translated fails its
 * stream and is left out; drop messages are told to their streams once. */
void bundle_build(struct bundle *k, struct tchan *c, struct taken *t, const struct bundle_opts *o);
/* Makes k->request of n messages from `first` on; after a build it is all of them. */
void bundle_select(struct bundle *k, const struct tchan *c, size_t first, size_t n);
/* A call of one tick. */
void bundle_build_tick(struct bundle *k, const struct tchan *c, uint64_t tick);
/* Adds what k carried to the metrics of its streams; after the ack. */
void bundle_count(const struct taken *t);
