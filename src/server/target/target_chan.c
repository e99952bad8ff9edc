/* The channels of a target session: made on demand, each with its worker; their durable marks, from
 * which a later run knows how high the channel's clock has been. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "metrics/metrics.h"
#include "model/ts.h"
#include "server/target/replicate_id.h"
#include "server/target/target_kafka.h"
#include "server/target/target_priv.h"
#include "store/writer.h"

enum { FLOOR_AHEAD_MS = 60000, MARK_MS = 5000 };

void session_chan_key(const struct session *s, const char *pchannel, char out[CHAN_KEY_BYTES])
{
	snprintf(out, CHAN_KEY_BYTES, "chan/%s/%s", s->address, pchannel);
}

uint64_t session_clock(void *session)
{
	struct session *s = session;
	mutex_lock(&s->mtx);
	uint64_t ts = s->clock_ts;
	int64_t at = s->clock_mono_ms;
	mutex_unlock(&s->mtx);
	return ts ? ts + ts_from_ms(time_mono_ms() - at) : 0;
}

bool session_keep_alive(void *session)
{
	struct session *s = session;
	mutex_lock(&s->mtx);
	bool wanted = !s->no_keep_alive;
	mutex_unlock(&s->mtx);
	return wanted;
}

static int64_t fresh_id(void *arg)
{
	struct session *s = arg;
	return (int64_t)__atomic_fetch_add(&s->next_id, 1, __ATOMIC_RELAXED);
}

static enum err_code send_call(void *arg, const struct iov *request, int64_t deadline_ms,
	struct stop *stop, struct mq_id *ret_position, struct err *e)
{
	struct access *a = access_pick(arg);
	enum err_code code =
		a->remote->ops->replicate(a->remote, request, deadline_ms, stop, ret_position, e);

	access_done(a, code);
	return code;
}

static void waiting(void *arg, const struct tchan *c, const struct err *e, int64_t delay_ms)
{
	struct session *s = arg;
	const char *advice = replicate_id_advice(e, s->set->opts.replicate_id);
	char was[TARGET_STATUS_BYTES];

	mutex_lock(&s->mtx);
	memcpy(was, s->call_error, sizeof(was));
	if (delay_ms < 0)
		s->call_error[0] = '\0';
	else
		snprintf(s->call_error, sizeof(s->call_error), "target %s: %.300s%s", s->address,
			e->text, advice);
	mutex_unlock(&s->mtx);
	if (delay_ms < 0) {
		log_info(&s->log, "channel %s works again", tchan_name(c));
		return;
	}
	metrics_add(metrics_get(METRIC_retries, "", err_name(e->code), NULL), 1);
	if (!was[0])
		log_warn(&s->log,
			"channel %s: %s%s; retry in %" PRId64 " ms and so on until it works",
			tchan_name(c), e->text, advice, delay_ms);
}

static enum err_code chan_start(struct session *s, const char *pchannel, uint64_t floor,
	const struct chan_record *past, struct chan **ret, struct err *e)
{
	struct chan *ch = xcalloc(1, sizeof(*ch));
	struct tchan_opts o = {.name = pchannel,
		.log = &s->log,
		.floor_ts = floor,
		.late_bound_ms = s->set->opts.late_bound_ms,
		.keepalive_ms = s->set->opts.keepalive_ms,
		.keep_alive = session_keep_alive,
		.call_bytes = s->set->opts.call_bytes,
		.replicate_id = s->set->opts.replicate_id,
		.untimed = s->untimed,
		.clock = session_clock,
		.clock_arg = s,
		.bounded = !s->untimed,
		.bound = past ? &past->bound : NULL,
		.wants_bound = session_wants_bound,
		.unclean = past && !past->tick};
	struct worker_metrics m = {.center_tt = metrics_get(METRIC_center_tt, pchannel, NULL),
		.calls = metrics_get(METRIC_calls, pchannel, NULL),
		.bytes = metrics_get(METRIC_call_bytes, pchannel, NULL),
		.replayed = metrics_get(METRIC_replayed_msgs, pchannel, NULL),
		.keepalive = metrics_get(METRIC_keepalive_ticks, pchannel, NULL)};

	if (tchan_new(&o, &ch->tchan, e) ||
		worker_start(ch->tchan, &s->sink, &m, &s->stop, &ch->worker, e)) {
		tchan_free(ch->tchan);
		free(ch);
		return e->code;
	}
	*ret = ch;
	return ERR_OK;
}

/* Says durably that the channel is in use: its stored tick is no floor until the next clean
 * stop. What may have been sent stays known. */
static enum err_code mark_open(
	struct session *s, const char *pchannel, const struct chan_record *past, struct err *e)
{
	static const struct bound_record none = {.all = 0};
	char key[CHAN_KEY_BYTES];
	CLEANUP(freep) char *text = chan_record_text(0, past ? &past->bound : &none);

	session_chan_key(s, pchannel, key);
	writer_put_ext(s->set->opts.writer, key, text);
	if (!writer_flush_ext(s->set->opts.writer, key, deadline_in(MARK_MS), &s->stop, e))
		return ERR_OK;
	err_ctx(e, "metastore");
	return e->code = e->code == ERR_CANCELLED ? ERR_CANCELLED : ERR_UNAVAILABLE;
}

static struct chan *find(struct session *s, const char *pchannel)
{
	mutex_lock(&s->mtx);
	struct chan *ch = smap_get(&s->chans, pchannel);
	mutex_unlock(&s->mtx);
	return ch;
}

/* One channel is made at a time: two workers on one, even for a moment, would be two clocks. */
static void making_begin(struct session *s)
{
	mutex_lock(&s->mtx);
	while (s->making)
		cond_wait(&s->cond, &s->mtx, DEADLINE_NEVER);
	s->making = true;
	mutex_unlock(&s->mtx);
}

static void making_end(struct session *s)
{
	mutex_lock(&s->mtx);
	s->making = false;
	cond_broadcast(&s->cond);
	mutex_unlock(&s->mtx);
}

static enum err_code make(
	struct session *s, const char *pchannel, struct chan **ret_ch, struct err *e)
{
	uint64_t now = session_clock(s);

	if (!now && !s->untimed)
		return err_set(
			e, ERR_UNAVAILABLE, "target %s: its clock was not read yet", s->address);
	mutex_lock(&s->mtx);
	const struct chan_record *past = smap_get(&s->past, pchannel);
	mutex_unlock(&s->mtx);
	/* Durable before the first tick: after a crash the stored floor would be too low. */
	if (!s->untimed && (session_bounds_start(s, e) || mark_open(s, pchannel, past, e)))
		return e->code;
	/* A clean tick may be a little above the clock as we know it; one far above is nonsense. */
	bool good = past && past->tick && past->tick <= now + ts_from_ms(FLOOR_AHEAD_MS);
	if (chan_start(s, pchannel, good ? past->tick : now, past, ret_ch, e))
		return e->code;
	mutex_lock(&s->mtx);
	smap_put(&s->chans, pchannel, *ret_ch);
	mutex_unlock(&s->mtx);
	return ERR_OK;
}

enum err_code session_chan(
	struct session *s, const char *pchannel, struct tchan **ret_c, struct err *e)
{
	enum err_code code = ERR_OK;
	struct chan *ch = find(s, pchannel);

	if (!ch) {
		making_begin(s);
		ch = find(s, pchannel);
		if (!ch)
			code = make(s, pchannel, &ch, e);
		making_end(s);
	}
	if (!code)
		*ret_c = ch->tchan;
	return code;
}

enum err_code session_load_past(struct session *s, struct err *e)
{
	char prefix[CHAN_KEY_BYTES];
	struct store_ext_kv *kv = NULL;
	size_t n = 0;

	session_chan_key(s, "", prefix);
	if (store_read_exts(s->set->opts.store, prefix, &s->stop, &kv, &n, e))
		return err_ctx(e, "earlier channels in the metastore");
	mutex_lock(&s->mtx);
	for (size_t i = 0; i < n; i++) {
		struct chan_record *r = xmalloc(sizeof(*r));
		chan_record_read(kv[i].value, r);
		smap_put(&s->past, kv[i].key + strlen(prefix), r);
	}
	mutex_unlock(&s->mtx);
	store_exts_free(kv, n);
	return ERR_OK;
}

/* Channels of earlier runs tick again at once, so that the target goes on answering queries. */
void session_reopen(struct session *s)
{
	size_t pos = 0;
	const char *name;
	void *value;

	/* past is complete: nobody changes it any more */
	while (smap_next(&s->past, &pos, &name, &value)) {
		struct tchan *c;
		struct err e = ERR_INIT;
		if (session_chan(s, name, &c, &e))
			log_warn(&s->log, "channel %s is not opened: %s", name, e.text);
	}
}

void session_init_channels(struct session *s)
{
	/* Above all ids that Milvus allocates (they look like TSOs), below int64's end, never
	 * twice. */
	s->next_id = 1ULL << 62 | (uint64_t)time_wall_ms() << 18;
	s->sink = (struct chan_sink){.arg = s,
		.send = send_call,
		.fresh_id = fresh_id,
		.waiting = waiting,
		.retry_first_ms = s->set->opts.retry_first_ms,
		.retry_most_ms = s->set->opts.retry_most_ms};
	if (s->untimed)
		s->sink.feed = &target_kafka_feed;
}

static void close_chan(struct session *s, const char *name, struct chan *ch, int64_t patience_ms)
{
	char key[CHAN_KEY_BYTES];
	struct bound_record bound;

	if (worker_stop(ch->worker, patience_ms) && !s->untimed) {
		tchan_bound(ch->tchan, &bound);
		CLEANUP(freep) char *text = chan_record_text(tchan_used(ch->tchan), &bound);
		session_chan_key(s, name, key);
		writer_put_ext(s->set->opts.writer, key, text);
		bound_record_done(&bound);
	}
	tchan_free(ch->tchan);
	free(ch);
}

static void forget_past(struct session *s)
{
	size_t pos = 0;
	const char *name;
	void *value;

	while (smap_next(&s->past, &pos, &name, &value)) {
		chan_record_done(value);
		free(value);
	}
	smap_done(&s->past);
	smap_done(&s->begun);
}

void session_close_channels(struct session *s, int64_t patience_ms)
{
	struct deadline d = deadline_in(patience_ms);
	size_t pos = 0;
	const char *name;
	void *value;

	while (smap_next(&s->chans, &pos, &name, &value))
		worker_end(((struct chan *)value)->worker);
	for (pos = 0; smap_next(&s->chans, &pos, &name, &value);)
		close_chan(s, name, value, deadline_left_ms(d));
	smap_done(&s->chans);
	forget_past(s);
}
