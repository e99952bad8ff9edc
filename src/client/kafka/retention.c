/* How long topics keep messages: the admin call DescribeConfigs. */
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "client/kafka/kafka_priv.h"

struct asking {
	rd_kafka_queue_t *queue;
	rd_kafka_AdminOptions_t *options;
	rd_kafka_ConfigResource_t **resources;
	size_t n;
	rd_kafka_event_t *answer;
};

static void asking_done(struct asking *a)
{
	if (a->answer)
		rd_kafka_event_destroy(a->answer);
	if (a->resources)
		rd_kafka_ConfigResource_destroy_array(a->resources, a->n);
	freep(&a->resources);
	if (a->options)
		rd_kafka_AdminOptions_destroy(a->options);
	if (a->queue)
		rd_kafka_queue_destroy(a->queue);
}

static void ask(struct kafka_conn *c, struct asking *a, const char *const *topics, size_t n)
{
	char why[ERR_TEXT_BYTES / 2];

	a->queue = rd_kafka_queue_new(c->rk);
	a->options = rd_kafka_AdminOptions_new(c->rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
	rd_kafka_AdminOptions_set_request_timeout(a->options, KAFKA_PATIENCE_MS, why, sizeof(why));
	a->resources = xcalloc(n, sizeof(*a->resources));
	for (a->n = 0; a->n < n; a->n++)
		a->resources[a->n] =
			rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topics[a->n]);
	rd_kafka_DescribeConfigs(c->rk, a->resources, n, a->options, a->queue);
}

static enum err_code await(struct asking *a, struct stop *s, struct err *e)
{
	struct deadline d = deadline_in(KAFKA_PATIENCE_MS + KAFKA_CALL_MS);

	while (!a->answer && !deadline_passed(d)) {
		if (stop_is_set(s))
			return stop_err(e);
		a->answer = rd_kafka_queue_poll(a->queue, KAFKA_CALL_MS / 4);
	}
	if (!a->answer)
		return err_set(e, ERR_UNAVAILABLE, "Kafka does not answer DescribeConfigs");
	rd_kafka_resp_err_t code = rd_kafka_event_error(a->answer);
	return code ? kafka_err(e, code, "DescribeConfigs") : ERR_OK;
}

/* -1 also when the topic does not say. */
static int64_t read_one(const rd_kafka_ConfigResource_t *r)
{
	size_t n;
	const rd_kafka_ConfigEntry_t **l = rd_kafka_ConfigResource_configs(r, &n);
	int64_t ms = -1;

	for (size_t i = 0; i < n; i++) {
		const char *value = rd_kafka_ConfigEntry_value(l[i]);
		if (strcmp(rd_kafka_ConfigEntry_name(l[i]), "retention.ms") == 0 && value &&
			!str_to_i64(value, &ms))
			ms = -1;
	}
	return ms;
}

/* Answers come in an order of their own. */
static enum err_code take(
	struct asking *a, const char *const *topics, int64_t *ret_ms, struct err *e)
{
	const rd_kafka_DescribeConfigs_result_t *result =
		rd_kafka_event_DescribeConfigs_result(a->answer);
	size_t n = 0;
	const rd_kafka_ConfigResource_t **l = rd_kafka_DescribeConfigs_result_resources(result, &n);

	for (size_t i = 0; i < n; i++) {
		const char *name = rd_kafka_ConfigResource_name(l[i]);
		rd_kafka_resp_err_t code = rd_kafka_ConfigResource_error(l[i]);
		if (code)
			return kafka_err(e, code, "DescribeConfigs of topic %s", name);
		for (size_t k = 0; k < a->n; k++)
			if (strcmp(topics[k], name) == 0)
				ret_ms[k] = read_one(l[i]);
	}
	return ERR_OK;
}

enum err_code kafka_retention(struct kafka *k, const char *const *topics, size_t n, struct stop *s,
	int64_t *ret_ms, struct err *e)
{
	CLEANUP(asking_done) struct asking a = {.n = 0};
	struct kafka_conn *c;

	if (kafka_conn_get(k, NULL, KAFKA_CALM, &c, e))
		return e->code;
	for (size_t i = 0; i < n; i++)
		ret_ms[i] = -1;
	ask(c, &a, topics, n);
	if (!await(&a, s, e))
		(void)take(&a, topics, ret_ms, e);
	asking_done(&a);
	a = (struct asking){.n = 0};
	kafka_conn_put(c, NULL, false);
	return e->code;
}
