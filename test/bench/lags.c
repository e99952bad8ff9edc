#include "bench/lags.h"

#include <string.h>

enum { TS_SHIFT = 18 };

void lags_note(struct lags *l, uint64_t end_ts, int64_t now_ms)
{
	int64_t tick = (int64_t)(end_ts >> TS_SHIFT);

	/* a tick of now, as a drop message's, says nothing about the ones before it */
	for (int64_t at = tick; l->last_ms && at > l->last_ms + LAGS_TICK_MS / 2;
		at -= LAGS_TICK_MS) {
		int64_t lag = MAX(now_ms - at, 0);
		l->counts[MIN(lag, LAGS_MOST_MS)]++;
		if (lag > LAGS_MOST_MS)
			break;
	}
	l->last_ms = MAX(l->last_ms, tick);
}

void lags_reset(struct lags *l)
{
	memset(l->counts, 0, sizeof(l->counts));
}

void lags_put(const struct lags *l, struct buf *b)
{
	bool more = false;

	buf_put_str(b, "[");
	for (int ms = 0; ms <= LAGS_MOST_MS; ms++) {
		if (!l->counts[ms])
			continue;
		buf_putf(b, "%s[%d,%u]", more ? "," : "", ms, l->counts[ms]);
		more = true;
	}
	buf_put_str(b, "]");
}
