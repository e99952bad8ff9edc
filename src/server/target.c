#include "server/target.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "metrics/metrics.h"
#include "model/ts.h"
#include "pipeline/worker.h"
#include "server/address.h"
#include "server/jobs.h"
#include "sink/sink_milvus.h"
#include "store/writer.h"

enum {
	CLOCK_REFRESH_MS = 10000,
	CLOCK_RETRY_MS = 1000,
	FLOOR_AHEAD_MS = 60000,
	MARK_MS = 5000,
	KEY_BYTES = 1024,
	STATUS_BYTES = 600,
};

struct chan {
	struct tchan *tchan;
	struct worker *worker;
};

struct target {
	struct targets *set;
	int refs; /* under set->mtx */
	char address[ADDRESS_TARGET_BYTES];
	char fields[ADDRESS_TARGET_BYTES + 16];
	struct log_ctx log;
	struct sink *remote;
	struct stop stop;
	struct job job; /* connects, reads the clock, opens the channels of earlier runs */
	struct chan_sink sink;

	struct mutex mtx;
	struct smap chans;  /* pchannel -> struct chan */
	struct smap floors; /* pchannel -> uint64 of a clean stop, heap */
	uint64_t clock_ts;  /* TSO read at clock_mono_ms; 0 = never */
	int64_t clock_mono_ms;
	char clock_error[STATUS_BYTES];
	char call_error[STATUS_BYTES];
	uint64_t next_id;
	bool reopened;
};

struct targets {
	struct targets_opts opts;
	struct stop stop;
	struct mutex mtx;
	struct smap by_address;
};

static void chan_key(const struct target *t, const char *pchannel, char out[KEY_BYTES])
{
	snprintf(out, KEY_BYTES, "chan/%s/%s", t->address, pchannel);
}

uint64_t target_clock(void *target)
{
	struct target *t = target;
	mutex_lock(&t->mtx);
	uint64_t ts = t->clock_ts;
	int64_t at = t->clock_mono_ms;
	mutex_unlock(&t->mtx);
	return ts ? ts + ts_from_ms(time_mono_ms() - at) : 0;
}

static int64_t fresh_id(void *arg)
{
	struct target *t = arg;
	return (int64_t)__atomic_fetch_add(&t->next_id, 1, __ATOMIC_RELAXED);
}

static enum err_code send_call(void *arg, const struct iov *request, int64_t deadline_ms,
	struct stop *s, struct mq_id *ret_position, struct err *e)
{
	struct target *t = arg;
	return t->remote->ops->replicate(t->remote, request, deadline_ms, s, ret_position, e);
}

static void waiting(void *arg, const struct tchan *c, const struct err *e, int64_t delay_ms)
{
	struct target *t = arg;
	char was[STATUS_BYTES];

	mutex_lock(&t->mtx);
	memcpy(was, t->call_error, sizeof(was));
	if (delay_ms < 0)
		t->call_error[0] = '\0';
	else
		snprintf(t->call_error, sizeof(t->call_error), "target %s: %.300s", t->address,
			e->text);
	mutex_unlock(&t->mtx);
	if (delay_ms < 0) {
		log_info(&t->log, "channel %s works again", tchan_name(c));
		return;
	}
	metrics_add(metrics_get(METRIC_retries, "", err_name(e->code), NULL), 1);
	if (!was[0])
		log_warn(&t->log,
			"channel %s: %s; retry in %" PRId64 " ms and so on until it works",
			tchan_name(c), e->text, delay_ms);
}

static enum err_code chan_start(
	struct target *t, const char *pchannel, uint64_t floor, struct chan **ret, struct err *e)
{
	struct chan *ch = xcalloc(1, sizeof(*ch));
	struct tchan_opts o = {.name = pchannel,
		.log = &t->log,
		.floor_ts = floor,
		.late_bound_ms = t->set->opts.late_bound_ms,
		.keepalive_ms = t->set->opts.keepalive_ms,
		.clock = target_clock,
		.clock_arg = t};
	struct worker_metrics m = {.center_tt = metrics_get(METRIC_center_tt, pchannel, NULL),
		.calls = metrics_get(METRIC_calls, pchannel, NULL),
		.bytes = metrics_get(METRIC_call_bytes, pchannel, NULL),
		.replayed = metrics_get(METRIC_replayed_msgs, pchannel, NULL),
		.keepalive = metrics_get(METRIC_keepalive_ticks, pchannel, NULL)};

	if (tchan_new(&o, &ch->tchan, e) ||
		worker_start(ch->tchan, &t->sink, &m, &t->stop, &ch->worker, e)) {
		tchan_free(ch->tchan);
		free(ch);
		return e->code;
	}
	*ret = ch;
	return ERR_OK;
}

/* Says durably that the channel is in use: its stored tick is no floor until the next clean
 * stop. */
static void mark_open(struct target *t, const char *pchannel)
{
	char key[KEY_BYTES];
	chan_key(t, pchannel, key);
	writer_put_ext(t->set->opts.writer, key, "{\"open\":true}");
}

enum err_code target_chan(
	struct target *t, const char *pchannel, struct tchan **ret_c, struct err *e)
{
	uint64_t now = target_clock(t);
	enum err_code code = ERR_OK;

	mutex_lock(&t->mtx);
	struct chan *ch = smap_get(&t->chans, pchannel);
	uint64_t *floor = smap_get(&t->floors, pchannel);
	uint64_t start = floor ? *floor : now;
	mutex_unlock(&t->mtx);
	if (!ch && !now)
		return err_set(
			e, ERR_UNAVAILABLE, "target %s: its clock was not read yet", t->address);
	if (!ch) {
		/* Durable before the first tick: after a crash the stored floor would be too
		 * low. */
		mark_open(t, pchannel);
		if (writer_flush(t->set->opts.writer, deadline_in(MARK_MS), &t->stop, e)) {
			err_ctx(e, "metastore");
			return e->code = e->code == ERR_CANCELLED ? ERR_CANCELLED : ERR_UNAVAILABLE;
		}
		code = chan_start(t, pchannel, start, &ch, e);
		if (code)
			return code;
		mutex_lock(&t->mtx);
		struct chan *other = smap_get(&t->chans, pchannel);
		if (!other)
			smap_put(&t->chans, pchannel, ch);
		mutex_unlock(&t->mtx);
		if (other) {
			worker_stop(ch->worker, 0);
			tchan_free(ch->tchan);
			free(ch);
			ch = other;
		}
	}
	*ret_c = ch->tchan;
	return ERR_OK;
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

static void load_floors(struct target *t)
{
	char prefix[KEY_BYTES];
	struct store_ext_kv *kv = NULL;
	size_t n = 0;
	struct err e = ERR_INIT;
	struct store *st = t->set->opts.store;

	chan_key(t, "", prefix);
	if (st->ops->exts(st, prefix, &t->stop, &kv, &n, &e)) {
		log_warn(&t->log,
			"earlier channels unknown: %s; rows get times from the target's clock on",
			e.text);
		return;
	}
	mutex_lock(&t->mtx);
	for (size_t i = 0; i < n; i++) {
		uint64_t *ts = xmalloc(sizeof(*ts));
		*ts = clean_tick(kv[i].value);
		free(smap_put(&t->floors, kv[i].key + strlen(prefix), ts));
	}
	mutex_unlock(&t->mtx);
	store_exts_free(kv, n);
}

/* Channels of earlier runs tick again at once, so that the target goes on answering queries. */
static void reopen_channels(struct target *t, uint64_t now)
{
	size_t pos = 0;
	const char *name;
	void *value;
	char **names = NULL;
	size_t n = 0, cap = 0;

	mutex_lock(&t->mtx);
	while (smap_next(&t->floors, &pos, &name, &value)) {
		uint64_t *floor = value;
		/* A clean tick may be a little above the clock as we know it; one far above is
		 * nonsense. */
		if (!*floor || *floor > now + ts_from_ms(FLOOR_AHEAD_MS))
			*floor = now;
		mem_grow(&names, &cap, n + 1, sizeof(*names));
		names[n++] = xstrdup(name);
	}
	mutex_unlock(&t->mtx);
	for (size_t i = 0; i < n; i++) {
		struct tchan *c;
		struct err e = ERR_INIT;
		if (target_chan(t, names[i], &c, &e))
			log_warn(&t->log, "channel %s is not opened: %s", names[i], e.text);
		free(names[i]);
	}
	free(names);
}

static int64_t clock_step(void *arg)
{
	struct target *t = arg;
	struct err e = ERR_INIT;
	struct sink_info info;
	uint64_t ts = 0;

	enum err_code code = t->remote->ops->connect(t->remote, &t->stop, &info, &e);
	if (!code)
		code = t->remote->ops->clock(t->remote, &t->stop, &ts, &e);
	mutex_lock(&t->mtx);
	bool was_good = t->clock_error[0] == '\0';
	if (code) {
		snprintf(t->clock_error, sizeof(t->clock_error), "target %s: %.300s", t->address,
			e.text);
	} else {
		t->clock_error[0] = '\0';
		t->clock_ts = ts;
		t->clock_mono_ms = time_mono_ms(); /* it was true earlier: never ahead */
	}
	bool reopen = !code && !t->reopened;
	t->reopened = t->reopened || reopen;
	mutex_unlock(&t->mtx);
	if (code && was_good && code != ERR_CANCELLED)
		log_warn(&t->log, "%s; asked again every %d ms", e.text, CLOCK_RETRY_MS);
	if (reopen) {
		log_info(&t->log, "connected, version %s",
			info.version[0] ? info.version : "unknown");
		reopen_channels(t, ts);
	}
	return code ? CLOCK_RETRY_MS : CLOCK_REFRESH_MS;
}

static enum err_code open_sink(
	struct targets *s, const struct task *t, struct sink **ret, struct err *e)
{
	CLEANUP(freep) char *uri = task_target(t);
	CLEANUP(freep) char *token = task_token(t);
	struct milvus_opts o = {.uri = uri,
		.token = token,
		.server_name = t->milvus.server_name,
		.server_pem_path = t->milvus.server_pem_path,
		.ca_pem_path = t->milvus.ca_pem_path,
		.client_pem_path = t->milvus.client_pem_path,
		.client_key_path = t->milvus.client_key_path,
		.connect_timeout_ms = t->milvus.connect_timeout * 1000};

	return sink_milvus_open(s->opts.grpc, &o, ret, e);
}

enum err_code target_check(struct targets *s, const struct task *t, struct err *e)
{
	struct sink *k = NULL;
	struct sink_info info;

	if (open_sink(s, t, &k, e) || k->ops->connect(k, &s->stop, &info, e))
		err_ctx(e, "fail to connect the milvus");
	sink_close(k);
	return e->code;
}

enum err_code targets_new(const struct targets_opts *o, struct targets **ret_s, struct err *e)
{
	struct targets *s = xcalloc(1, sizeof(*s));

	(void)e;
	s->opts = *o;
	stop_init(&s->stop, NULL);
	mutex_init(&s->mtx, "targets");
	*ret_s = s;
	return ERR_OK;
}

static enum err_code target_new(struct targets *s, const struct task *task, const char *address,
	struct target **ret, struct err *e)
{
	struct target *t = xcalloc(1, sizeof(*t));

	t->set = s;
	snprintf(t->address, sizeof(t->address), "%s", address);
	snprintf(t->fields, sizeof(t->fields), "target=%s", t->address);
	t->log = (struct log_ctx){.parent = s->opts.log, .comp = LOG_sink, .fields = t->fields};
	/* Above all ids that Milvus allocates (they look like TSOs), below int64's end, never
	 * twice. */
	t->next_id = 1ULL << 62 | (uint64_t)time_wall_ms() << 18;
	t->sink = (struct chan_sink){
		.arg = t, .send = send_call, .fresh_id = fresh_id, .waiting = waiting};
	mutex_init(&t->mtx, "target");
	stop_init(&t->stop, &s->stop);
	job_init(&t->job, s->opts.jobs, clock_step, t);
	if (open_sink(s, task, &t->remote, e)) {
		stop_done(&t->stop);
		mutex_done(&t->mtx);
		free(t);
		return e->code;
	}
	load_floors(t);
	job_wake(&t->job, 0);
	*ret = t;
	return ERR_OK;
}

static void target_free(struct target *t, int64_t patience_ms);

/* Somebody may have made the session meanwhile: then that one counts. */
static void put_session(struct targets *s, struct target **t)
{
	mutex_lock(&s->mtx);
	struct target *other = smap_get(&s->by_address, (*t)->address);
	if (other)
		other->refs++;
	else
		smap_put(&s->by_address, (*t)->address, *t);
	mutex_unlock(&s->mtx);
	if (other) {
		target_free(*t, 0);
		*t = other;
	}
}

enum err_code target_get(
	struct targets *s, const struct task *task, struct target **ret_t, struct err *e)
{
	char address[ADDRESS_TARGET_BYTES];
	CLEANUP(freep) char *uri = task_target(task);

	address_of_target(uri, address);
	mutex_lock(&s->mtx);
	struct target *t = smap_get(&s->by_address, address);
	if (t)
		t->refs++;
	mutex_unlock(&s->mtx);
	if (!t) {
		if (target_new(s, task, address, &t, e))
			return e->code;
		t->refs = 1;
		put_session(s, &t);
	}
	*ret_t = t;
	return ERR_OK;
}

static void close_chan(struct target *t, const char *name, struct chan *ch, int64_t patience_ms)
{
	char key[KEY_BYTES], value[64];

	if (worker_stop(ch->worker, patience_ms)) {
		chan_key(t, name, key);
		snprintf(value, sizeof(value), "{\"tick\":\"%" PRIu64 "\"}", tchan_used(ch->tchan));
		writer_put_ext(t->set->opts.writer, key, value);
	}
	tchan_free(ch->tchan);
	free(ch);
}

static void target_free(struct target *t, int64_t patience_ms)
{
	struct deadline d = deadline_in(patience_ms);
	size_t pos = 0;
	const char *name;
	void *value;

	stop_set(&t->stop);
	job_stop(&t->job);
	while (smap_next(&t->chans, &pos, &name, &value))
		worker_end(((struct chan *)value)->worker);
	for (pos = 0; smap_next(&t->chans, &pos, &name, &value);)
		close_chan(t, name, value, deadline_left_ms(d));
	smap_done(&t->chans);
	for (pos = 0; smap_next(&t->floors, &pos, &name, &value);)
		free(value);
	smap_done(&t->floors);
	sink_close(t->remote);
	stop_done(&t->stop);
	mutex_done(&t->mtx);
	free(t);
}

void target_put(struct target *t, int64_t patience_ms)
{
	if (!t)
		return;
	struct targets *s = t->set;
	mutex_lock(&s->mtx);
	bool last = --t->refs == 0;
	if (last)
		smap_del(&s->by_address, t->address);
	mutex_unlock(&s->mtx);
	if (last)
		target_free(t, patience_ms);
}

void targets_free(struct targets *s, int64_t patience_ms)
{
	size_t pos = 0;
	const char *name;
	void *value;

	if (!s)
		return;
	while (smap_next(&s->by_address, &pos, &name, &value))
		target_free(value, patience_ms);
	smap_done(&s->by_address);
	stop_set(&s->stop);
	stop_done(&s->stop);
	mutex_done(&s->mtx);
	free(s);
}

void target_silence(struct target *t)
{
	stop_set(&t->stop);
}

struct sink *target_sink(struct target *t)
{
	return t->remote;
}

void target_status(struct target *t, char *ret_text, size_t cap)
{
	mutex_lock(&t->mtx);
	snprintf(ret_text, cap, "%s", t->clock_error[0] ? t->clock_error : t->call_error);
	mutex_unlock(&t->mtx);
}
