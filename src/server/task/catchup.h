/* How long until a task has caught up: from its lag of the last minute. @thread none of its own */
#pragma once

#include "base/defs.h"

enum { CATCHUP_SAMPLES = 60, CATCHUP_UNKNOWN = -1 };

/* A sample each call of catchup_note, the oldest is replaced. All 0 is empty. */
struct catchup {
	struct catchup_sample {
		int64_t mono_ms, lag_ms;
	} v[CATCHUP_SAMPLES];
	size_t n, next;
};

void catchup_note(struct catchup *c, int64_t mono_ms, int64_t lag_ms);
/* Seconds; 0: it keeps up; CATCHUP_UNKNOWN: too few samples, or the lag does not shrink. */
int64_t catchup_seconds(const struct catchup *c);
