#include "pipeline/worker.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/retry.h"
#include "base/thread.h"
#include "model/ts.h"
#include "pipeline/bundle.h"
#include "pipeline/feed.h"
#include "pipeline/isolate.h"
#include "pipeline/settle.h"

enum {
	CALL_MS = 60000,
	PER_MSG_FACTOR = 10,
	GRACE_MS = 2000,
	FIRST_MS = 100,
	MOST_MS = 5000,
	STOP_CHECK_MS = 20,
	OLDEST_TICK = 1,
	PATIENCE_DELAYS = 12, /* of the longest */
};

struct worker {
	struct tchan *chan;
	struct chan_sink sink;
	struct worker_metrics metrics;
	struct stop stop; /* end after the call in flight */
	struct stop hard; /* end now */
	struct thread thread;
	bool done; /* atomic */
	bool cut;  /* a call was given up */
	struct taken taken;
	struct bundle call;
	struct isolate isolate; /* how much of the call goes at once, and how far it is */
	struct feed *feed;      /* untimed channels only */
	struct mq_id last;      /* position of the last acknowledged message */
	int64_t longest_call_ms;
	bool waiting; /* the sink was told of trouble */
	bool pruned;  /* messages left the call after it was built */
	/* Of what is taken now; see settle(). */
	uint64_t floor, replay_from; /* how it is built */
	uint64_t spent;              /* highest time of attempts whose fate was unknown */
	bool landed;                 /* some of it may be on the target */
};

/* What is known of the present call's fate. */
enum fate { FATE_UNSENT, FATE_ACKED, FATE_UNKNOWN };

static int64_t deadline_ms(const struct worker *w)
{
	return CALL_MS + PER_MSG_FACTOR * (int64_t)w->call.n_msgs;
}

static int64_t grace_ms(const struct worker *w)
{
	return w->sink.grace_ms ? w->sink.grace_ms : GRACE_MS;
}

static void build(struct worker *w)
{
	struct bundle_opts o = {.floor = w->floor,
		.replay_from = w->replay_from,
		.replicate_id = tchan_replicate_id(w->chan),
		.window_from = w->taken.window_from,
		.fresh_id = w->sink.fresh_id,
		.arg = w->sink.arg};

	bundle_build(&w->call, w->chan, &w->taken, &o);
	tchan_note_used(w->chan, MAX(w->call.highest, w->call.tick));
	isolate_built(&w->isolate);
	w->pruned = false;
}

static void told_waiting(struct worker *w, const struct err *e, int64_t delay)
{
	w->waiting = true;
	w->sink.waiting(w->sink.arg, w->chan, e, delay);
}

static enum fate send_once(struct worker *w, struct stop *call, struct err *e)
{
	int64_t start = time_mono_ms();
	struct mq_id pos = {.n = 0};
	enum err_code code =
		w->sink.send(w->sink.arg, &w->call.request, deadline_ms(w), call, &pos, e);

	w->longest_call_ms = MAX(w->longest_call_ms, time_mono_ms() - start);
	if (code == ERR_OK) {
		w->last = pos;
		metrics_add(w->metrics.calls, 1);
		metrics_add(w->metrics.bytes, (int64_t)w->call.request.bytes);
		return FATE_ACKED;
	}
	if (code == ERR_LIMIT) /* a message is too large: those before it may be there */
		return w->isolate.n > 1 ? FATE_UNKNOWN : FATE_UNSENT;
	return code == ERR_UNCERTAIN || code == ERR_CANCELLED ? FATE_UNKNOWN : FATE_UNSENT;
}

/* After a call of unknown fate: settles it and builds what is to be sent next. */
static enum err_code settle(struct worker *w, struct stop *call, struct err *e)
{
	enum settle how = SETTLE_REPLAY;
	struct settle_opts o = {.chan = w->chan,
		.sink = &w->sink,
		.grace_ms = MAX(grace_ms(w), 2 * w->longest_call_ms),
		.tick = tchan_last_tick(w->chan),
		.last = &w->last};

	if (settle_run(&o, call, &how, e))
		return e->code;
	if (!w->call.rows && !w->pruned)
		return ERR_OK;
	if (how == SETTLE_RESEND && (!w->pruned || w->isolate.single))
		return ERR_OK;
	/* What the lost attempt carried may have been seen; sent again as it is it is not lost. */
	uint64_t used = MAX(w->call.highest, w->call.tick);
	w->spent = MAX(w->spent, used);
	w->floor = MAX(used, w->floor);
	if (how == SETTLE_REPLAY) {
		w->landed = true;
		metrics_add(w->metrics.replayed, (int64_t)w->call.n_msgs);
	}
	if (how == SETTLE_REPLAY || w->replay_from)
		w->replay_from = w->floor + 1;
	build(w);
	return ERR_OK;
}

static enum err_code wait_retry(
	struct worker *w, struct retry *backoff, struct stop *call, const struct err *why)
{
	int64_t delay = retry_next_ms(backoff);
	told_waiting(w, why, delay);
	return stop_sleep(call, delay) ? ERR_CANCELLED : ERR_OK;
}

/* Sends the built call until it is acknowledged; false when the worker must end first. */
static bool deliver_under(struct worker *w, struct stop *call, bool *unknown)
{
	struct retry backoff =
		retry_policy(w->sink.retry_first_ms, w->sink.retry_most_ms, FIRST_MS, MOST_MS);

	while (!stop_is_set(call)) {
		struct err e = ERR_INIT;
		if (*unknown) {
			if (settle(w, call, &e))
				return false;
			*unknown = false;
		}
		if (!isolate_next(&w->isolate, &w->call, w->chan))
			return true; /* all that it carried has left */
		enum fate fate = send_once(w, call, &e);
		if (fate == FATE_ACKED) {
			retry_reset(&backoff);
			if (isolate_sent(&w->isolate, &w->call))
				return true;
			continue;
		}
		*unknown = fate == FATE_UNKNOWN;
		if (isolate_refused(&w->isolate, &w->call, &w->taken, &e))
			continue;
		if (wait_retry(w, &backoff, call, &e))
			return false;
	}
	return false;
}

/* May rows of what is taken be on the target? */
static bool landed(const struct worker *w, bool unknown)
{
	return unknown || w->landed || isolate_begun(&w->isolate);
}

/* A detach may cut the call: then the streams that left are taken out, and the rest is settled like
 * any lost call. */
static bool deliver(struct worker *w)
{
	bool unknown = false;

	for (;;) {
		struct stop call;
		stop_init(&call, &w->hard);
		tchan_call_begin(w->chan, &call);
		bool sent = deliver_under(w, &call, &unknown);
		tchan_call_end(w->chan);
		stop_done(&call);
		if (sent)
			return true;
		if (stop_is_set(&w->hard)) {
			tchan_given_up(w->chan, &w->taken, landed(w, unknown));
			return false;
		}
		tchan_prune(w->chan, &w->taken, landed(w, unknown));
		w->pruned = true;
		if (!unknown && !w->isolate.single)
			build(w);
	}
}

static void acknowledge(struct worker *w)
{
	if (w->waiting) {
		struct err none = ERR_INIT;
		w->waiting = false;
		w->sink.waiting(w->sink.arg, w->chan, &none, -1);
	}
	if (w->call.tick) {
		metrics_set(w->metrics.center_tt, ts_ms(w->call.tick));
		metrics_add(w->metrics.keepalive, w->taken.keepalive);
	}
	bundle_count(&w->taken);
	/* A tick of a lost attempt may have been seen: nothing comes at or below it. */
	tchan_acked(w->chan, &w->taken, MAX(w->call.tick, w->spent));
}

static bool feed(struct worker *w)
{
	for (;;) {
		struct stop call;
		stop_init(&call, &w->hard);
		tchan_call_begin(w->chan, &call);
		bool sent = feed_deliver(w->feed, &w->taken, &call);
		tchan_call_end(w->chan);
		stop_done(&call);
		if (sent)
			break;
		if (stop_is_set(&w->hard)) {
			feed_forget(w->feed);
			tchan_given_up(w->chan, &w->taken, true);
			return false;
		}
		tchan_prune(w->chan, &w->taken, true);
	}
	feed_forget(w->feed);
	return true;
}

/* Sends what is taken; false when the worker must end first. */
static bool send_taken(struct worker *w)
{
	if (w->feed)
		return feed(w);
	w->floor = w->taken.floor;
	w->replay_from = w->spent = 0;
	w->landed = false;
	int64_t most_ms = w->sink.retry_most_ms ? w->sink.retry_most_ms : MOST_MS;
	isolate_begin(&w->isolate, PATIENCE_DELAYS * most_ms);
	build(w);
	return !w->call.n_msgs || deliver(w);
}

/* A killed server's last call may go on producing at the target, and its rows must not come after
 * ours. Which tick the channel saw last is not known, so the fences carry the oldest there is. */
static bool fence_earlier_run(struct worker *w)
{
	enum settle how;
	struct err e = ERR_INIT;
	struct settle_opts o = {.chan = w->chan,
		.sink = &w->sink,
		.grace_ms = grace_ms(w),
		.tick = OLDEST_TICK,
		.last = &w->last};

	if (!tchan_unclean(w->chan))
		return true;
	w->cut = settle_run(&o, &w->stop, &how, &e) != ERR_OK; /* the next run fences again */
	return !w->cut;
}

static void run(void *arg)
{
	struct worker *w = arg;
	struct err e = ERR_INIT;

	while (fence_earlier_run(w) && !tchan_take(w->chan, &w->taken, &w->stop, &e)) {
		tchan_prune(w->chan, &w->taken, false);
		w->cut = !send_taken(w);
		if (w->cut)
			break;
		acknowledge(w);
	}
	__atomic_store_n(&w->done, true, __ATOMIC_RELEASE);
}

enum err_code worker_start(struct tchan *c, const struct chan_sink *sink,
	const struct worker_metrics *metrics, struct stop *parent, struct worker **ret_w,
	struct err *e)
{
	struct worker *w = xcalloc(1, sizeof(*w));

	w->chan = c;
	w->sink = *sink;
	w->metrics = *metrics;
	stop_init(&w->stop, parent);
	stop_init(&w->hard, NULL);
	taken_init(&w->taken);
	bundle_init(&w->call);
	if (sink->feed)
		w->feed = feed_new(c, &w->sink, &w->metrics);
	if (thread_start(&w->thread, "sink", run, w, e)) {
		worker_stop(w, 0);
		return e->code;
	}
	*ret_w = w;
	return ERR_OK;
}

void worker_end(struct worker *w)
{
	stop_set(&w->stop);
}

bool worker_stop(struct worker *w, int64_t patience_ms)
{
	if (!w)
		return true;
	struct deadline d = deadline_in(patience_ms);
	worker_end(w);
	while (w->thread.started && !__atomic_load_n(&w->done, __ATOMIC_ACQUIRE) &&
		!deadline_passed(d))
		stop_sleep(&w->hard, STOP_CHECK_MS);
	stop_set(&w->hard);
	thread_join(&w->thread);
	bool clean = !w->cut;
	taken_done(&w->taken);
	bundle_done(&w->call);
	feed_free(w->feed);
	stop_done(&w->hard);
	stop_done(&w->stop);
	free(w);
	return clean;
}
