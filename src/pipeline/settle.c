#include "pipeline/settle.h"

#include "base/retry.h"

enum { CALL_MS = 60000, FIRST_MS = 200, MOST_MS = 5000, ROUNDS = 5, COUNTER_BYTES = 8 };

int64_t settle_between(const struct mq_id *from, const struct mq_id *to)
{
	uint64_t a = 0, b = 0;
	if (from->n != 8 || to->n != 8)
		return -1;
	for (int i = 7; i >= 0; i--) {
		a = a << 8 | from->b[i];
		b = b << 8 | to->b[i];
	}
	return b > a ? (int64_t)(b - a - 1) : -1;
}

/* One fence call, repeated until it is answered: a tick that was sent before changes nothing. */
static enum err_code fence(const struct settle_opts *o, struct bundle *k, struct stop *s,
	struct mq_id *ret, struct err *e)
{
	struct retry backoff =
		retry_policy(o->sink->retry_first_ms, o->sink->retry_most_ms, FIRST_MS, MOST_MS);

	for (;;) {
		struct err last = ERR_INIT;
		if (stop_is_set(s))
			return stop_err(e);
		if (!o->sink->send(o->sink->arg, &k->request, CALL_MS, s, ret, &last))
			return ERR_OK;
		int64_t delay = retry_next_ms(&backoff);
		o->sink->waiting(o->sink->arg, o->chan, &last, delay);
		stop_sleep(s, delay);
	}
}

enum err_code settle_run(
	const struct settle_opts *o, struct stop *s, enum settle *ret, struct err *e)
{
	struct mq_id first, next;
	struct bundle k;

	bundle_init(&k);
	bundle_build_tick(&k, o->chan, o->tick);
	enum err_code code = fence(o, &k, s, &first, e);
	int64_t between = code ? -1 : settle_between(o->last, &first);
	for (int i = 0; !code && i < ROUNDS; i++) {
		if (stop_sleep(s, o->grace_ms)) {
			code = stop_err(e);
			break;
		}
		code = fence(o, &k, s, &next, e);
		int64_t foreign = settle_between(&first, &next);
		first = next;
		if (foreign == 0 || next.n != COUNTER_BYTES)
			break; /* quiet, or ids that can't be counted: the grace has to do */
		between = -1;  /* the lost call was still producing */
	}
	bundle_done(&k);
	if (code)
		return code;
	*o->last = first;
	*ret = between == 0 ? SETTLE_RESEND : SETTLE_REPLAY;
	return ERR_OK;
}
