/* Clocks and deadlines. Monotonic milliseconds for waits, wall-clock milliseconds for records. */
#pragma once

#include <time.h>

#include "base/defs.h"

int64_t time_mono_ms(void);
int64_t time_mono_us(void);
int64_t time_wall_ms(void);

/* A moment on the monotonic clock; "never" is INT64_MAX. */
struct deadline {
	int64_t at_ms;
};

#define DEADLINE_NEVER ((struct deadline){INT64_MAX})

struct deadline deadline_in(int64_t ms);
/* Milliseconds left, 0 when passed. */
int64_t deadline_left_ms(struct deadline d);
bool deadline_passed(struct deadline d);
/* As an absolute CLOCK_MONOTONIC time for pthread_cond_timedwait. */
struct timespec deadline_timespec(struct deadline d);

enum { TIME_SPAN_BYTES = 32 };
/* For people: "40 ms", "12.3 s", "5 min", "36 h". Negative is 0. */
void time_span_text(int64_t ms, char out[TIME_SPAN_BYTES]);
