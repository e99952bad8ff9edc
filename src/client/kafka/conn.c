/* The pool of connections, and what is known of their health. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "client/kafka/kafka_priv.h"

#define BUSY_WAIT_MS "10"

static enum err_code code_of(rd_kafka_resp_err_t code)
{
	switch ((int)code) {
	case RD_KAFKA_RESP_ERR_NO_ERROR:
		return ERR_OK;
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
		return ERR_NOT_FOUND;
	case RD_KAFKA_RESP_ERR__AUTHENTICATION:
	case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
		return ERR_DENIED;
	case RD_KAFKA_RESP_ERR__BAD_MSG:
	case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
	case RD_KAFKA_RESP_ERR_INVALID_MSG:
	case RD_KAFKA_RESP_ERR__UNDERFLOW:
		return ERR_MALFORMED;
	case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
	case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
		return ERR_GONE;
	default:
		return ERR_UNAVAILABLE;
	}
}

enum err_code kafka_err(struct err *e, rd_kafka_resp_err_t code, const char *fmt, ...)
{
	char text[ERR_TEXT_BYTES / 2];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set_origin(e, code_of(code), (int)code, "%s: %s", text, rd_kafka_err2str(code));
}

/* Called by rd_kafka_poll for the instance as a whole. @thread a part's or a caller's */
static void on_error(rd_kafka_t *rk, int code, const char *why, void *opaque)
{
	struct kafka_conn *c = opaque;

	(void)rk;
	mutex_lock(&c->mtx);
	c->doubt = true;
	/* "All brokers are down" follows the line that says why. */
	if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || !c->why[0])
		kafka_why(why, c->why, sizeof(c->why));
	/* A failed handshake is as final as a refused login. */
	c->denied = c->denied || code == RD_KAFKA_RESP_ERR__SSL ||
		    code_of((rd_kafka_resp_err_t)code) == ERR_DENIED;
	mutex_unlock(&c->mtx);
}

static void note_success(struct kafka_conn *c)
{
	mutex_lock(&c->mtx);
	c->doubt = c->down = c->denied = false;
	c->why[0] = '\0';
	mutex_unlock(&c->mtx);
}

/* Puts what librdkafka last said about its connections into e. */
static enum err_code with_reason(struct kafka_conn *c, struct err *e)
{
	rd_kafka_poll(c->rk, 0);
	mutex_lock(&c->mtx);
	if (c->why[0] && (e->code == ERR_UNAVAILABLE || e->code == ERR_NOT_FOUND)) {
		enum err_code code = c->denied ? ERR_DENIED : e->code;
		int origin = e->origin;
		err_clear(e);
		err_set_origin(e, code, origin, "Kafka: %s", c->why);
	}
	mutex_unlock(&c->mtx);
	return e->code;
}

static void conn_free(struct kafka_conn *c)
{
	assert(!c->users);
	if (c->rk)
		rd_kafka_destroy(c->rk);
	smap_done(&c->topics);
	mutex_done(&c->mtx);
	free(c);
}

void kafka_free(struct kafka *k)
{
	if (!k)
		return;
	list_foreach (it, &k->conns)
		conn_free(LIST_ITEM(it, struct kafka_conn, link));
	rd_kafka_conf_destroy(k->conf);
	mutex_done(&k->mtx);
	free(k->username);
	free(k->password);
	free(k);
}

static struct kafka_conn *conn_new(struct kafka *k, enum kafka_pace pace, struct err *e)
{
	struct kafka_conn *c = xcalloc(1, sizeof(*c));
	char why[ERR_TEXT_BYTES / 2];

	c->k = k;
	c->pace = pace;
	mutex_init(&c->mtx, "kafka conn");
	list_init(&c->link);
	rd_kafka_conf_t *conf = rd_kafka_conf_dup(k->conf);
	rd_kafka_conf_set_opaque(conf, c);
	if (pace == KAFKA_BUSY)
		rd_kafka_conf_set(conf, "fetch.wait.max.ms", BUSY_WAIT_MS, why, sizeof(why));
	c->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (c->rk)
		return c;
	rd_kafka_conf_destroy(conf);
	conn_free(c);
	err_set(e, ERR_INVALID, "Kafka settings: %s", why);
	return NULL;
}

enum err_code kafka_new(const struct kafka_opts *o, struct kafka **ret_k, struct err *e)
{
	struct kafka *k = xcalloc(1, sizeof(*k));

	k->log = (struct log_ctx){.comp = LOG_kafka};
	if (kafka_settings(o, &k->log, &k->conf, e)) {
		free(k);
		return e->code;
	}
	rd_kafka_conf_set_log_cb(k->conf, kafka_log_line);
	rd_kafka_conf_set_error_cb(k->conf, on_error);
	k->username = xstrdup(o->sasl_username ? o->sasl_username : "");
	k->password = xstrdup(o->sasl_password ? o->sasl_password : "");
	mutex_init(&k->mtx, "kafka");
	list_init(&k->conns);
	/* librdkafka judges some settings only here. */
	struct kafka_conn *first = conn_new(k, KAFKA_CALM, e);
	if (!first) {
		kafka_free(k);
		return e->code;
	}
	list_push(&k->conns, &first->link);
	*ret_k = k;
	return ERR_OK;
}

static void reserve_locked(struct kafka_conn *c, const char *topic)
{
	c->users++;
	if (topic)
		smap_put(&c->topics, topic, c);
}

static bool full(const struct kafka_conn *c)
{
	return smap_count(&c->topics) >= LIMIT_CONN_TOPICS;
}

static struct kafka_conn *find_locked(struct kafka *k, const char *topic, enum kafka_pace pace)
	REQUIRES(k->mtx)
{
	list_foreach (it, &k->conns) {
		struct kafka_conn *c = LIST_ITEM(it, struct kafka_conn, link);
		if (c->retired)
			continue;
		if (topic && (c->pace != pace || smap_get(&c->topics, topic) || full(c)))
			continue;
		reserve_locked(c, topic);
		return c;
	}
	return NULL;
}

enum err_code kafka_conn_get(struct kafka *k, const char *topic, enum kafka_pace pace,
	struct kafka_conn **ret_c, struct err *e)
{
	mutex_lock(&k->mtx);
	*ret_c = find_locked(k, topic, pace);
	mutex_unlock(&k->mtx);
	if (*ret_c)
		return ERR_OK;
	struct kafka_conn *c = conn_new(k, pace, e);
	if (!c)
		return e->code;
	mutex_lock(&k->mtx);
	*ret_c = find_locked(k, topic, pace); /* another thread may have been as fast */
	if (!*ret_c) {
		reserve_locked(c, topic);
		list_push(&k->conns, &c->link);
		*ret_c = TAKE(c);
	}
	mutex_unlock(&k->mtx);
	if (c)
		conn_free(c);
	return ERR_OK;
}

/* An idle connection beyond the first, taken off the list; NULL if there is none. */
static struct kafka_conn *take_idle(struct kafka *k)
{
	struct kafka_conn *idle = NULL;
	bool keep = true;

	mutex_lock(&k->mtx);
	list_foreach (it, &k->conns) {
		struct kafka_conn *c = LIST_ITEM(it, struct kafka_conn, link);
		if (c->users)
			continue;
		if (c->retired || !keep)
			idle = c;
		else
			keep = false;
	}
	if (idle)
		list_del(&idle->link);
	mutex_unlock(&k->mtx);
	return idle;
}

void kafka_conn_put(struct kafka_conn *c, const char *topic, bool retire)
{
	struct kafka *k = c->k;

	mutex_lock(&k->mtx);
	c->users--;
	c->retired = c->retired || retire;
	if (topic)
		smap_del(&c->topics, topic);
	mutex_unlock(&k->mtx);
	while ((c = take_idle(k)))
		conn_free(c);
}

struct kafka_lease {
	struct mutex mtx;
	unsigned refs; /* under mtx */
	struct kafka_conn *c;
};

struct kafka_lease *kafka_lease_new(struct kafka_conn *c)
{
	struct kafka_lease *l = xcalloc(1, sizeof(*l));

	l->c = c;
	l->refs = 1;
	mutex_init(&l->mtx, "kafka lease");
	mutex_lock(&c->k->mtx);
	c->users++;
	mutex_unlock(&c->k->mtx);
	return l;
}

void kafka_lease_ref(struct kafka_lease *l)
{
	mutex_lock(&l->mtx);
	l->refs++;
	mutex_unlock(&l->mtx);
}

/* Closing the connection takes time, so that is left to the next kafka_conn_put. */
void kafka_lease_unref(struct kafka_lease *l)
{
	mutex_lock(&l->mtx);
	bool last = --l->refs == 0;
	mutex_unlock(&l->mtx);
	if (!last)
		return;
	mutex_lock(&l->c->k->mtx);
	l->c->users--;
	mutex_unlock(&l->c->k->mtx);
	mutex_done(&l->mtx);
	free(l);
}

void kafka_msg_free(struct kafka_lease *owner, rd_kafka_message_t *m)
{
	rd_kafka_message_destroy(m);
	kafka_lease_unref(owner);
}

/* Asked of the cluster, not of librdkafka's cache, and never creating the topic. */
static enum err_code topic_exists(struct kafka_conn *c, const char *topic, struct err *e)
{
	const struct rd_kafka_metadata *md = NULL;
	rd_kafka_topic_t *t = topic ? rd_kafka_topic_new(c->rk, topic, NULL) : NULL;

	if (topic && !t)
		return kafka_err(e, rd_kafka_last_error(), "topic %s", topic);
	rd_kafka_resp_err_t code = rd_kafka_metadata(c->rk, 0, t, &md, KAFKA_CALL_MS);
	if (!code && topic && md->topic_cnt == 1)
		code = md->topics[0].err                  ? md->topics[0].err
		       : md->topics[0].partition_cnt == 0 ? RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE
							  : RD_KAFKA_RESP_ERR_NO_ERROR;
	if (md)
		rd_kafka_metadata_destroy(md);
	if (t)
		rd_kafka_topic_destroy(t);
	return code ? kafka_err(e, code, "topic %s", topic ? topic : "list") : ERR_OK;
}

enum err_code kafka_conn_ends(struct kafka_conn *c, const char *topic, int64_t *ret_first,
	int64_t *ret_next, struct err *e)
{
	if (topic_exists(c, topic, e))
		return with_reason(c, e);
	rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
		c->rk, topic, 0, ret_first, ret_next, KAFKA_CALL_MS);
	if (code) {
		kafka_err(e, code, "ends of topic %s", topic);
		return with_reason(c, e);
	}
	note_success(c);
	return ERR_OK;
}

/* The librdkafka of Debian 12 (2.0.2) sleeps up to a second when all its queues are full and does
 * not notice when they are emptied. Setting credentials (the same ones) wakes all its broker
 * threads: measured 12 us, no traffic. */
void kafka_conn_wake(struct kafka_conn *c)
{
	rd_kafka_error_t *why =
		rd_kafka_sasl_set_credentials(c->rk, c->k->username, c->k->password);
	if (why)
		rd_kafka_error_destroy(why);
}

static bool begin_probe(struct kafka_conn *c)
{
	int64_t now = time_mono_ms();

	mutex_lock(&c->mtx);
	bool may = c->doubt && !c->probing && now - c->probed_ms >= KAFKA_PROBE_MS;
	if (may)
		c->probing = true;
	mutex_unlock(&c->mtx);
	return may;
}

static void probe(struct kafka_conn *c, const char *topic)
{
	struct err e = ERR_INIT;
	int64_t first, next;

	bool bad = kafka_conn_ends(c, topic, &first, &next, &e) != ERR_OK;
	mutex_lock(&c->mtx);
	c->probing = false;
	c->probed_ms = time_mono_ms();
	c->down = bad;
	if (bad && !c->why[0])
		snprintf(c->why, sizeof(c->why), "%.*s", (int)sizeof(c->why) - 1, e.text);
	mutex_unlock(&c->mtx);
}

enum err_code kafka_conn_health(struct kafka_conn *c, const char *topic, struct err *e)
{
	enum err_code code = ERR_OK;

	rd_kafka_poll(c->rk, 0);
	if (begin_probe(c))
		probe(c, topic);
	mutex_lock(&c->mtx);
	if (c->down)
		code = err_set(e, ERR_UNAVAILABLE, "Kafka: %s", c->why);
	mutex_unlock(&c->mtx);
	return code;
}

/* One call may be in vain while the connection is being made. */
static enum err_code ask_patiently(struct kafka_conn *c, const char *topic, struct stop *s,
	int64_t *ret_first, int64_t *ret_next, struct err *e)
{
	struct deadline d = deadline_in(KAFKA_PATIENCE_MS);

	for (;;) {
		int64_t before = time_mono_ms();
		err_clear(e);
		enum err_code code = ERR_OK;
		if (topic)
			code = kafka_conn_ends(c, topic, ret_first, ret_next, e);
		else if (topic_exists(c, NULL, e))
			code = with_reason(c, e);
		if (code != ERR_UNAVAILABLE)
			return code;
		if (deadline_passed(d))
			return err_ctx(e, "no answer in %d s", KAFKA_PATIENCE_MS / 1000);
		int64_t rest = KAFKA_CALL_MS / 4 - (time_mono_ms() - before);
		if (stop_sleep(s, MAX(rest, 0))) {
			err_clear(e);
			return stop_err(e);
		}
	}
}

enum err_code kafka_check(struct kafka *k, struct stop *s, struct err *e)
{
	struct kafka_conn *c;

	if (kafka_conn_get(k, NULL, KAFKA_CALM, &c, e))
		return e->code;
	enum err_code code = ask_patiently(c, NULL, s, NULL, NULL, e);
	kafka_conn_put(c, NULL, false);
	return code;
}

enum err_code kafka_ends(struct kafka *k, const char *topic, struct stop *s, int64_t *ret_first,
	int64_t *ret_next, struct err *e)
{
	struct kafka_conn *c;

	if (kafka_conn_get(k, NULL, KAFKA_CALM, &c, e))
		return e->code;
	enum err_code code = ask_patiently(c, topic, s, ret_first, ret_next, e);
	kafka_conn_put(c, NULL, false);
	return code;
}
