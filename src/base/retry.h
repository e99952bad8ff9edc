/* Backoff with jitter, and the only loop that repeats a failed call. */
#pragma once

#include "base/defs.h"
#include "base/err.h"
#include "base/stop.h"

/* Delay k is min(first << k, most), less up to a quarter of it at random. */
struct retry {
	int64_t first_ms, most_ms;
	unsigned failed; /* attempts that failed so far */
};

#define RETRY_INIT(first, most)                                                                    \
	{                                                                                          \
		.first_ms = (first), .most_ms = (most)                                             \
	}

/* first_ms and most_ms where they are set (not 0), else the others; most is at least first. */
struct retry retry_policy(
	int64_t first_ms, int64_t most_ms, int64_t other_first_ms, int64_t other_most_ms);

/* The next delay; counts one failure. */
int64_t retry_next_ms(struct retry *r);
void retry_reset(struct retry *r);

/* Called after each failed attempt that will be repeated: says so once a line. */
typedef void retry_note_fn(void *arg, const struct err *e, int64_t delay_ms);

struct retry_call {
	struct retry policy;
	struct deadline until; /* give up then with the last error */
	bool idempotent;       /* UNCERTAIN may be repeated */
	retry_note_fn *note;   /* may be NULL */
};

/* Runs fn(arg, e) until it succeeds, its error is not repeatable, until has passed or s is set. */
NODISCARD enum err_code retry_run(struct retry_call *c, struct stop *s,
	enum err_code (*fn)(void *arg, struct err *e), void *arg, struct err *e);

/* Whether an error of this code may be repeated at all. */
bool retry_may(enum err_code code, bool idempotent);
