/* A broker that has just started does not know its topics for a while, and says that there are no such
 * topics. A real one does so when it likes; librdkafka's own stand-in for a broker does it on demand. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/kafka/kafka.h"

#include <librdkafka/rdkafka_mock.h> /* wants rdkafka.h before it */

enum { WAIT_MS = 60000, POLL_MS = 100, API_FETCH = 1 };

#define TOPIC "rootcoord-dml_0"

struct bed {
	rd_kafka_t *producer; /* owns the broker */
	rd_kafka_mock_cluster_t *broker;
	struct kafka *k;
	struct kafka_part *part;
	struct stop stop;
};

static void produce(struct bed *b, const char *text)
{
	assert_int_equal(
		rd_kafka_producev(b->producer, RD_KAFKA_V_TOPIC(TOPIC), RD_KAFKA_V_PARTITION(0),
			RD_KAFKA_V_VALUE((void *)(uintptr_t)text, strlen(text)),
			RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
		RD_KAFKA_RESP_ERR_NO_ERROR);
	assert_int_equal(rd_kafka_flush(b->producer, WAIT_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
}

static int up(void **state)
{
	struct bed *b = *state = xcalloc(1, sizeof(*b));
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	struct err e = ERR_INIT;
	char why[256];

	log_set_level(LOG_OFF);
	stop_init(&b->stop, NULL);
	assert_int_equal(rd_kafka_conf_set(conf, "test.mock.num.brokers", "1", why, sizeof(why)),
		RD_KAFKA_CONF_OK);
	rd_kafka_conf_set(conf, "log_level", "0", why, sizeof(why));
	b->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	assert_non_null(b->producer);
	b->broker = rd_kafka_handle_mock_cluster(b->producer);
	rd_kafka_mock_topic_create(b->broker, TOPIC, 1, 1);
	produce(b, "one");
	struct kafka_opts o = {.address = rd_kafka_mock_cluster_bootstraps(b->broker)};
	assert_int_equal(kafka_new(&o, &b->k, &e), ERR_OK);
	if (kafka_part_open(b->k, TOPIC, 0, &b->stop, &b->part, &e))
		fail_msg("%s", e.text);
	return 0;
}

static int down(void **state)
{
	struct bed *b = *state;

	kafka_part_close(b->part);
	kafka_free(b->k);
	rd_kafka_destroy(b->producer);
	stop_done(&b->stop);
	free(b);
	return 0;
}

/* Reads until a message comes, or an error other than TIMEOUT (then *e says which). */
static void next(struct bed *b, const char *want, struct err *e)
{
	struct deadline d = deadline_in(WAIT_MS);
	struct kafka_lease *owner;
	rd_kafka_message_t *m;

	while (!deadline_passed(d)) {
		err_clear(e);
		enum err_code code =
			kafka_part_next(b->part, deadline_in(POLL_MS), &b->stop, &m, &owner, e);
		if (code && code != ERR_TIMEOUT)
			return;
		if (code)
			continue;
		assert_true(slice_eq_str(slice_of(m->payload, m->len), want));
		kafka_msg_free(owner, m);
		return;
	}
	fail_msg("neither a message nor an error");
}

static void test_a_missing_topic_is_not_believed_at_once(void **state)
{
	struct bed *b = *state;
	struct err e = ERR_INIT;

	next(b, "one", &e);
	assert_int_equal(e.code, ERR_OK);
	/* What makes the reader ask for the topic at once, not when it has been quiet for long. */
	rd_kafka_mock_topic_set_error(b->broker, TOPIC, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
	rd_kafka_mock_push_request_errors(
		b->broker, API_FETCH, 1, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE);
	next(b, "", &e);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(e.text, TOPIC));
	rd_kafka_mock_topic_set_error(b->broker, TOPIC, RD_KAFKA_RESP_ERR_NO_ERROR);
	produce(b, "two");
	do {
		next(b, "two", &e);
	} while (e.code == ERR_UNAVAILABLE);
	assert_int_equal(e.code, ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_a_missing_topic_is_not_believed_at_once, up, down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
