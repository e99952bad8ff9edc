#include "server/task/catchup.h"

enum { KEEPS_UP_MS = 2000, SPAN_MS = 5000, MOST_S = 30 * 24 * 3600 };

void catchup_note(struct catchup *c, int64_t mono_ms, int64_t lag_ms)
{
	c->v[c->next] = (struct catchup_sample){.mono_ms = mono_ms, .lag_ms = lag_ms};
	c->next = (c->next + 1) % CATCHUP_SAMPLES;
	c->n = MIN(c->n + 1, (size_t)CATCHUP_SAMPLES);
}

int64_t catchup_seconds(const struct catchup *c)
{
	if (!c->n)
		return CATCHUP_UNKNOWN;
	const struct catchup_sample *last =
		&c->v[(c->next + CATCHUP_SAMPLES - 1) % CATCHUP_SAMPLES];
	const struct catchup_sample *first =
		&c->v[(c->next + CATCHUP_SAMPLES - c->n) % CATCHUP_SAMPLES];
	int64_t span_ms = last->mono_ms - first->mono_ms;
	int64_t gained_ms = first->lag_ms - last->lag_ms;

	if (last->lag_ms <= KEEPS_UP_MS)
		return 0;
	if (span_ms < SPAN_MS || gained_ms <= 0)
		return CATCHUP_UNKNOWN;
	/* lag / (lag won per ms), in seconds */
	double s = (double)last->lag_ms * (double)span_ms / (double)gained_ms / 1000;
	return s < MOST_S ? (int64_t)s + 1 : CATCHUP_UNKNOWN;
}
