/* The channels of a target session: made on demand, each with its worker; their durable marks, from
 * which a later run knows how high the channel's clock has been. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "metrics/metrics.h"
#include "model/ts.h"
#include "server/replicate_id.h"
#include "server/target_kafka.h"
#include "server/target_priv.h"
#include "store/writer.h"

enum {
	FLOOR_AHEAD_MS = 60000,
	MARK_MS = 5000,
	KEY_BYTES = 1024,
};

struct chan {
	struct tchan *tchan;
	struct worker *worker;
};

static void chan_key(const struct session *s, const char *pchannel, char out[KEY_BYTES])
{
	snprintf(out, KEY_BYTES, "chan/%s/%s", s->address, pchannel);
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

static enum err_code chan_start(
	struct session *s, const char *pchannel, uint64_t floor, struct chan **ret, struct err *e)
{
	struct chan *ch = xcalloc(1, sizeof(*ch));
	struct tchan_opts o = {.name = pchannel,
		.log = &s->log,
		.floor_ts = floor,
		.late_bound_ms = s->set->opts.late_bound_ms,
		.keepalive_ms = s->set->opts.keepalive_ms,
		.call_bytes = s->set->opts.call_bytes,
		.replicate_id = s->set->opts.replicate_id,
		.untimed = s->untimed,
		.clock = session_clock,
		.clock_arg = s};
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
 * stop. */
static enum err_code mark_open(struct session *s, const char *pchannel, struct err *e)
{
	char key[KEY_BYTES];
	chan_key(s, pchannel, key);
	writer_put_ext(s->set->opts.writer, key, "{\"open\":true}");
	if (!writer_flush(s->set->opts.writer, deadline_in(MARK_MS), &s->stop, e))
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
	/* Durable before the first tick: after a crash the stored floor would be too low. */
	if (!s->untimed && mark_open(s, pchannel, e))
		return e->code;
	mutex_lock(&s->mtx);
	uint64_t *floor = smap_get(&s->floors, pchannel);
	uint64_t start = floor ? *floor : now;
	mutex_unlock(&s->mtx);
	if (chan_start(s, pchannel, start, ret_ch, e))
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

/* {"tick":"<decimal>"} of a clean stop; 0 otherwise. */
static uint64_t clean_tick(const char *json)
{
	const char *at = strstr(json, "\"tick\":\"");
	uint64_t v = 0;
	char text[24];

	if (!at || sscanf(at + 8, "%20[0-9]", text) != 1 || !str_to_u64(text, &v))
		return 0;
	return v;
}

void session_load_floors(struct session *s)
{
	char prefix[KEY_BYTES];
	struct store_ext_kv *kv = NULL;
	size_t n = 0;
	struct err e = ERR_INIT;
	struct store *st = s->set->opts.store;

	chan_key(s, "", prefix);
	if (store_read_exts(st, prefix, &s->stop, &kv, &n, &e)) {
		log_warn(&s->log,
			"earlier channels unknown: %s; rows get times from the target's clock on",
			e.text);
		return;
	}
	mutex_lock(&s->mtx);
	for (size_t i = 0; i < n; i++) {
		uint64_t *ts = xmalloc(sizeof(*ts));
		*ts = clean_tick(kv[i].value);
		free(smap_put(&s->floors, kv[i].key + strlen(prefix), ts));
	}
	mutex_unlock(&s->mtx);
	store_exts_free(kv, n);
}

/* Channels of earlier runs tick again at once, so that the target goes on answering queries. */
void session_reopen(struct session *s, uint64_t now)
{
	size_t pos = 0;
	const char *name;
	void *value;
	char **names = NULL;
	size_t n = 0, cap = 0;

	mutex_lock(&s->mtx);
	while (smap_next(&s->floors, &pos, &name, &value)) {
		uint64_t *floor = value;
		/* A clean tick may be a little above the clock as we know it; one far above is
		 * nonsense. */
		if (!*floor || *floor > now + ts_from_ms(FLOOR_AHEAD_MS))
			*floor = now;
		mem_grow(&names, &cap, n + 1, sizeof(*names));
		names[n++] = xstrdup(name);
	}
	mutex_unlock(&s->mtx);
	for (size_t i = 0; i < n; i++) {
		struct tchan *c;
		struct err e = ERR_INIT;
		if (session_chan(s, names[i], &c, &e))
			log_warn(&s->log, "channel %s is not opened: %s", names[i], e.text);
		free(names[i]);
	}
	free(names);
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
	char key[KEY_BYTES], value[64];

	if (worker_stop(ch->worker, patience_ms) && !s->untimed) {
		chan_key(s, name, key);
		snprintf(value, sizeof(value), "{\"tick\":\"%" PRIu64 "\"}", tchan_used(ch->tchan));
		writer_put_ext(s->set->opts.writer, key, value);
	}
	tchan_free(ch->tchan);
	free(ch);
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
	for (pos = 0; smap_next(&s->floors, &pos, &name, &value);)
		free(value);
	smap_done(&s->floors);
}
