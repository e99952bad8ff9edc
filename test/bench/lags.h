/* How much later than at the source a target channel's rows can be seen: the time from a tick's own
 * time, when the source wrote it, until the call came that carries it or a later one. A source ticks
 * every TICK_MS; ticks that were left out because a later one went along are counted, too. */
#pragma once

#include "base/buf.h"

enum { LAGS_MOST_MS = 8191, LAGS_TICK_MS = 200 };

struct lags {
	int64_t last_ms;                   /* the latest tick */
	uint32_t counts[LAGS_MOST_MS + 1]; /* by ms; the last one holds all above, too */
};

/* A call with that EndTs came at now_ms (wall clock). */
void lags_note(struct lags *l, uint64_t end_ts, int64_t now_ms);
void lags_reset(struct lags *l);
/* [[ms, count], ...] */
void lags_put(const struct lags *l, struct buf *b);
