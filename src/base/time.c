#include "base/time.h"

#include <stdio.h>

static int64_t clock_us(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t time_mono_ms(void)
{
	return clock_us(CLOCK_MONOTONIC) / 1000;
}

int64_t time_mono_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

int64_t time_wall_ms(void)
{
	return clock_us(CLOCK_REALTIME) / 1000;
}

struct deadline deadline_in(int64_t ms)
{
	return (struct deadline){time_mono_ms() + ms};
}

int64_t deadline_left_ms(struct deadline d)
{
	int64_t left = d.at_ms == INT64_MAX ? INT64_MAX : d.at_ms - time_mono_ms();
	return left > 0 ? left : 0;
}

bool deadline_passed(struct deadline d)
{
	return deadline_left_ms(d) == 0;
}

struct timespec deadline_timespec(struct deadline d)
{
	/* Conditions can't wait for ever: a day is as good and avoids overflow. */
	int64_t day = time_mono_ms() + 86400000;
	int64_t at = d.at_ms < day ? d.at_ms : day;
	return (struct timespec){.tv_sec = at / 1000, .tv_nsec = (at % 1000) * 1000000};
}

void time_span_text(int64_t ms, char out[TIME_SPAN_BYTES])
{
	enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, HOUR_MS = 60 * MINUTE_MS };
	long long left = MAX(ms, 0);

	if (left < SECOND_MS)
		snprintf(out, TIME_SPAN_BYTES, "%lld ms", left);
	else if (left < 2 * MINUTE_MS && left / 100 % 10)
		snprintf(out, TIME_SPAN_BYTES, "%lld.%lld s", left / SECOND_MS, left / 100 % 10);
	else if (left < 2 * MINUTE_MS)
		snprintf(out, TIME_SPAN_BYTES, "%lld s", left / SECOND_MS);
	else if (left < 2 * HOUR_MS)
		snprintf(out, TIME_SPAN_BYTES, "%lld min", left / MINUTE_MS);
	else
		snprintf(out, TIME_SPAN_BYTES, "%lld h", left / HOUR_MS);
}
