/* Times of one stream's rows on its target channel. One rule for streams in time and late: equal
 * source times of the stream stay equal, else stamp = max(source, previous + 1, floor + 1), where
 * floor is the last tick of the channel (no row may be at or below a tick already sent). A stream
 * that keeps up is always above the floor, so its source times pass bit for bit. */
#pragma once

#include "base/arena.h"
#include "base/defs.h"
#include "base/err.h"
#include "model/dml.h"

struct stamp {
	uint64_t prev_source, prev_stamp; /* 0 = no row yet */
};

/* The new time of a row with source time ts. */
uint64_t stamp_next(struct stamp *s, uint64_t ts, uint64_t floor);

/* The outcome for one message; rows is NULL when all rows share `one`. Matches translate's struct
 * stamps. */
struct stamped {
	bool change;
	uint64_t one;
	uint64_t *rows; /* in the arena */
	uint64_t lowest, highest;
};

/* Stamps all rows of d (or its base time when it has no rows). MALFORMED if its times can't be
 * read. */
NODISCARD enum err_code stamp_message(struct stamp *s, const struct dml *d, uint64_t floor,
	struct arena *a, struct stamped *ret, struct err *e);
