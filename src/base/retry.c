#include "base/retry.h"

#include <stdlib.h>
#include <sys/random.h>

static uint32_t random_u32(void)
{
	uint32_t v = 0;
	if (getrandom(&v, sizeof(v), GRND_NONBLOCK) != (ssize_t)sizeof(v))
		v = (uint32_t)time_mono_us();
	return v;
}

struct retry retry_policy(
	int64_t first_ms, int64_t most_ms, int64_t other_first_ms, int64_t other_most_ms)
{
	int64_t first = first_ms ? first_ms : other_first_ms;
	int64_t most = most_ms ? most_ms : other_most_ms;

	return (struct retry)RETRY_INIT(first, MAX(most, first));
}

int64_t retry_next_ms(struct retry *r)
{
	int64_t ms = r->first_ms;
	for (unsigned i = 0; i < r->failed && ms < r->most_ms; i++)
		ms *= 2;
	ms = MIN(ms, r->most_ms);
	r->failed++;
	int64_t jitter = ms / 4;
	return jitter > 0 ? ms - (int64_t)(random_u32() % (uint64_t)jitter) : ms;
}

void retry_reset(struct retry *r)
{
	r->failed = 0;
}

bool retry_may(enum err_code code, bool idempotent)
{
	switch (err_retry_class(code)) {
	case ERR_RETRY_YES:
		return true;
	case ERR_RETRY_IDEM:
		return idempotent;
	case ERR_RETRY_NO:
		return false;
	}
	return false;
}

enum err_code retry_run(struct retry_call *c, struct stop *s,
	enum err_code (*fn)(void *arg, struct err *e), void *arg, struct err *e)
{
	for (;;) {
		struct err last = ERR_INIT;
		enum err_code code = stop_is_set(s) ? stop_err(&last) : fn(arg, &last);
		int64_t delay = retry_next_ms(&c->policy);
		bool again = code != ERR_OK && retry_may(code, c->idempotent) &&
			     deadline_left_ms(c->until) > delay;
		if (!again) {
			if (code != ERR_OK)
				err_set_origin(e, code, last.origin, "%s", last.text);
			return code;
		}
		if (c->note)
			c->note(arg, &last, delay);
		if (stop_sleep(s, delay))
			return stop_err(e);
	}
}
