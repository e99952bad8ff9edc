/* librdkafka's settings of a producer: ours, the user's, and which of the user's are refused. */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "client/kafka/producer.h"

enum { VALUE_BYTES = 32 };

/* They would lose, double or reorder records, or reach into the process. */
static const char *const refused[] = {"acks", "request.required.acks", "enable.idempotence",
	"max.in.flight", "max.in.flight.requests.per.connection", "retries",
	"message.send.max.retries", "message.timeout.ms", "delivery.timeout.ms", "transactional.id",
	"partitioner", "bootstrap.servers", "metadata.broker.list", "message.max.bytes",
	"log.queue", "plugin.library.paths", "builtin.features", "queue.buffering.max.messages",
	"queue.buffering.max.kbytes", "queuing.strategy", "produce.offset.report",
	"delivery.report.only.error", "enable.gapless.guarantee", "test.mock.num.brokers"};

static bool is_refused(const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (strcmp(key, refused[i]) == 0)
			return true;
	return false;
}

static enum err_code set(rd_kafka_conf_t *conf, const char *key, const char *value, struct err *e)
{
	char why[ERR_TEXT_BYTES / 2];

	if (rd_kafka_conf_set(conf, key, value, why, sizeof(why)) == RD_KAFKA_CONF_OK)
		return ERR_OK;
	return err_set(e, ERR_INVALID, "Kafka setting %s: %s", key, why);
}

/* message.timeout.ms 0: librdkafka repeats without end, with the sequence numbers that keep a
 * record single; our own deadlines only say how long somebody waits for it. */
static enum err_code set_ours(rd_kafka_conf_t *conf, struct err *e)
{
	static const char *const ours[][2] = {{"client.id", "milvus-cdc"},
		{"enable.idempotence", "true"}, {"acks", "all"}, {"message.timeout.ms", "0"},
		{"linger.ms", "5"}, {"compression.type", "none"}, {"reconnect.backoff.ms", "100"},
		{"reconnect.backoff.max.ms", "1000"}, {"socket.keepalive.enable", "true"},
		{"socket.nagle.disable", "true"}, {"topic.metadata.refresh.interval.ms", "60000"},
		{"topic.metadata.propagation.max.ms", "5000"}, {"log.connection.close", "false"}};
	char value[VALUE_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (set(conf, ours[i][0], ours[i][1], e))
			return e->code;
	/* The broker's limit is what counts, not the client's. */
	snprintf(value, sizeof(value), "%d", LIMIT_KAFKA_RECORD);
	return set(conf, "message.max.bytes", value, e);
}

static bool given(const char *s)
{
	return s && *s;
}

static enum err_code set_security(
	rd_kafka_conf_t *conf, const struct kafka_producer_opts *o, struct err *e)
{
	/* A password never leaves in clear unless that was asked for. */
	const char *protocol = given(o->security_protocol) ? o->security_protocol
			       : o->sasl                   ? "SASL_SSL"
							   : NULL;

	if (protocol && set(conf, "security.protocol", protocol, e))
		return e->code;
	if (!o->sasl)
		return ERR_OK;
	if (!given(o->sasl_username) || !given(o->sasl_password))
		return err_set(e, ERR_INVALID,
			"enable_sasl is set, but sasl.username or sasl.password is empty");
	const char *mechanisms = given(o->sasl_mechanisms) ? o->sasl_mechanisms : "PLAIN";
	if (set(conf, "sasl.mechanisms", mechanisms, e) ||
		set(conf, "sasl.username", o->sasl_username, e) ||
		set(conf, "sasl.password", o->sasl_password, e))
		return e->code;
	return ERR_OK;
}

static enum err_code set_extra(rd_kafka_conf_t *conf, const char *const *extra, struct err *e)
{
	for (; extra && extra[0]; extra += 2) {
		if (is_refused(extra[0]))
			return err_set(e, ERR_INVALID,
				"Kafka setting %s can't be changed: delivery would no longer be "
				"exact",
				extra[0]);
		if (set(conf, extra[0], extra[1], e))
			return e->code;
	}
	return ERR_OK;
}

enum err_code kafka_producer_settings(
	const struct kafka_producer_opts *o, rd_kafka_conf_t **ret_conf, struct err *e)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	if (!given(o->address)) {
		err_set(e, ERR_INVALID, "the Kafka address is empty");
	} else if (!set(conf, "bootstrap.servers", o->address, e) && !set_ours(conf, e) &&
		   !set_security(conf, o, e) && !set_extra(conf, o->extra, e)) {
		*ret_conf = conf;
		return ERR_OK;
	}
	rd_kafka_conf_destroy(conf);
	return e->code;
}
