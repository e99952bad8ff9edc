/* librdkafka's settings: ours, the user's, and which of the user's are left out. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "client/kafka/kafka_priv.h"

enum { VALUE_BYTES = 32 };

/* Reading must be exact, and nobody else's offsets may be touched. */
static const char *const refused[] = {"auto.offset.reset", "enable.auto.commit",
	"auto.commit.enable", "enable.auto.offset.store", "auto.commit.interval.ms",
	"offset.store.method", "offset.store.path", "offset.store.sync.interval.ms", "group.id",
	"group.instance.id", "allow.auto.create.topics", "enable.partition.eof", "isolation.level",
	"consume.callback.max.messages", "log.queue", "plugin.library.paths", "builtin.features",
	"test.mock.num.brokers", "bootstrap.servers", "metadata.broker.list"};

static bool is_refused(const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (strcmp(key, refused[i]) == 0)
			return true;
	return false;
}

static const char *const files[] = {"ssl.ca.location", "ssl.certificate.location",
	"ssl.key.location", "ssl.keystore.location", "ssl.crl.location", "sasl.kerberos.keytab"};

/* librdkafka says only "system lib". */
static enum err_code check_file(const char *key, const char *value, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (strcmp(key, files[i]) == 0 && strcmp(value, "probe") && access(value, R_OK))
			return err_set_origin(e, ERR_INVALID, errno, "Kafka setting %s: %s: %s",
				key, value, strerrordesc_np(errno));
	return ERR_OK;
}

static enum err_code set(rd_kafka_conf_t *conf, const char *key, const char *value, struct err *e)
{
	char why[ERR_TEXT_BYTES / 2];

	if (rd_kafka_conf_set(conf, key, value, why, sizeof(why)) == RD_KAFKA_CONF_OK)
		return ERR_OK;
	return err_set(e, ERR_INVALID, "Kafka setting %s: %s", key, why);
}

static enum err_code set_limits(rd_kafka_conf_t *conf, struct err *e)
{
	static const struct {
		const char *key;
		long value;
	} limits[] = {{"queued.max.messages.kbytes", LIMIT_TOPIC_PREFETCH / 1024},
		{"fetch.message.max.bytes", LIMIT_TOPIC_FETCH},
		{"fetch.max.bytes", LIMIT_CONN_FETCH},
		{"receive.message.max.bytes", LIMIT_MESSAGE + LIMIT_CONN_FETCH}};
	char value[VALUE_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		snprintf(value, sizeof(value), "%ld", limits[i].value);
		if (set(conf, limits[i].key, value, e))
			return e->code;
	}
	return ERR_OK;
}

/* fetch.wait.max.ms is short because a connection has one fetch in flight for all its topics: one
 * that was left out (its queue was full) waits for that to return. */
static enum err_code set_ours(rd_kafka_conf_t *conf, struct err *e)
{
	static const char *const ours[][2] = {{"client.id", "milvus-cdc"},
		{"enable.auto.commit", "false"}, {"enable.auto.offset.store", "false"},
		{"auto.offset.reset", "error"}, {"allow.auto.create.topics", "false"},
		{"enable.partition.eof", "false"}, {"isolation.level", "read_uncommitted"},
		{"check.crcs", "true"}, {"fetch.min.bytes", "1"}, {"fetch.wait.max.ms", "100"},
		{"fetch.error.backoff.ms", "100"}, {"reconnect.backoff.ms", "100"},
		{"reconnect.backoff.max.ms", "1000"}, {"socket.keepalive.enable", "true"},
		{"socket.nagle.disable", "true"}, {"topic.metadata.refresh.interval.ms", "60000"},
		{"log.connection.close", "false"}};

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (set(conf, ours[i][0], ours[i][1], e))
			return e->code;
	return set_limits(conf, e);
}

static bool given(const char *s)
{
	return s && *s;
}

static enum err_code set_security(rd_kafka_conf_t *conf, const struct kafka_opts *o, struct err *e)
{
	bool sasl = given(o->sasl_username) && given(o->sasl_password);
	/* A password never leaves in clear unless that was asked for. */
	const char *protocol = given(o->security_protocol) ? o->security_protocol
			       : sasl                      ? "SASL_SSL"
							   : NULL;

	if (protocol && set(conf, "security.protocol", protocol, e))
		return e->code;
	if (!sasl)
		return ERR_OK;
	const char *mechanisms = given(o->sasl_mechanisms) ? o->sasl_mechanisms : "PLAIN";
	if (set(conf, "sasl.mechanisms", mechanisms, e) ||
		set(conf, "sasl.username", o->sasl_username, e) ||
		set(conf, "sasl.password", o->sasl_password, e))
		return e->code;
	return ERR_OK;
}

static enum err_code set_extra(
	rd_kafka_conf_t *conf, const char *const *extra, const struct log_ctx *log, struct err *e)
{
	for (; extra && extra[0]; extra += 2) {
		if (is_refused(extra[0]))
			log_warn(log, "the consumer setting %s is left out: reading must be exact",
				extra[0]);
		else if (check_file(extra[0], extra[1], e) || set(conf, extra[0], extra[1], e))
			return e->code;
	}
	return ERR_OK;
}

enum err_code kafka_settings(const struct kafka_opts *o, const struct log_ctx *log,
	rd_kafka_conf_t **ret_conf, struct err *e)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	if (!given(o->address)) {
		err_set(e, ERR_INVALID, "the Kafka address is empty");
	} else if (!set(conf, "bootstrap.servers", o->address, e) && !set_ours(conf, e) &&
		   !set_security(conf, o, e) && !set_extra(conf, o->extra, log, e)) {
		*ret_conf = conf;
		return ERR_OK;
	}
	rd_kafka_conf_destroy(conf);
	return e->code;
}
