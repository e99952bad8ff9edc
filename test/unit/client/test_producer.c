/* The producer against librdkafka's own mock cluster, which can be told to fail. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/thread.h"
#include "client/kafka/producer.h"

enum { WAIT_MS = 20000, PARTITIONS = 4, PRODUCE = 0 };

struct fixture {
	rd_kafka_t *rk;
	rd_kafka_mock_cluster_t *cluster;
	struct kafka_producer *p;
	struct stop stop;
	struct log_ctx log;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct err e = ERR_INIT;
	char why[200];

	log_set_level(LOG_OFF);
	f->log = (struct log_ctx){.comp = LOG_kafka, .fields = ""};
	stop_init(&f->stop, NULL);
	f->rk = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), why, sizeof(why));
	f->cluster = rd_kafka_mock_cluster_new(f->rk, 1);
	rd_kafka_mock_topic_create(f->cluster, "t", PARTITIONS, 1);
	struct kafka_producer_opts o = {.address = rd_kafka_mock_cluster_bootstraps(f->cluster),
		.topic = "t",
		.log = &f->log};
	assert_int_equal(kafka_producer_open(&o, &f->p, &e), ERR_OK);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	kafka_producer_close(f->p, 1000);
	rd_kafka_mock_cluster_destroy(f->cluster);
	rd_kafka_destroy(f->rk);
	stop_done(&f->stop);
	free(f);
	return 0;
}

static void send_one(struct fixture *f, const char *lane, const char *value, struct kafka_ticket *t)
{
	struct err e = ERR_INIT;
	const struct kafka_header headers[] = {{"cdc_id", slice_str(value)}};
	struct kafka_record r = {.key = slice_str("k"),
		.value = slice_str(value),
		.lane = slice_str(lane),
		.headers = headers,
		.n_headers = 1};
	assert_int_equal(kafka_producer_send(f->p, &r, t, &f->stop, &e), ERR_OK);
}

static enum err_code wait_for(struct fixture *f, struct kafka_ticket *t, int64_t ms, struct err *e)
{
	err_clear(e);
	return kafka_ticket_wait(f->p, t, deadline_in(ms), &f->stop, e);
}

static void test_confirmed(void **state)
{
	struct fixture *f = *state;
	struct kafka_ticket *t = kafka_ticket_new(false), *other = kafka_ticket_new(false);
	struct err e = ERR_INIT;
	char value[20];

	assert_int_equal(kafka_producer_check(f->p, WAIT_MS, &f->stop, &e), ERR_OK);
	for (int i = 0; i < 500; i++) {
		snprintf(value, sizeof(value), "v%d", i);
		send_one(f, i % 2 ? "a" : "b", value, t);
	}
	send_one(f, "", "alone", other);
	assert_int_equal(wait_for(f, t, WAIT_MS, &e), ERR_OK);
	assert_int_equal(wait_for(f, other, WAIT_MS, &e), ERR_OK);
	kafka_ticket_drop(t);
	kafka_ticket_drop(other);
}

/* Counts what a plain consumer finds, and that each lane keeps to one partition and its order. */
static int consume(struct fixture *f, int want, int32_t ret_partition[2])
{
	char why[200];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(PARTITIONS);
	int n = 0, last[2] = {-1, -1};

	rd_kafka_conf_set(conf, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(f->cluster),
		why, sizeof(why));
	rd_kafka_conf_set(conf, "group.id", "g", why, sizeof(why));
	rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	for (int i = 0; i < PARTITIONS; i++)
		rd_kafka_topic_partition_list_add(l, "t", i)->offset = 0;
	rd_kafka_assign(rk, l);
	rd_kafka_topic_partition_list_destroy(l);
	ret_partition[0] = ret_partition[1] = -1;
	for (struct deadline d = deadline_in(WAIT_MS); n < want && !deadline_passed(d);) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 100);
		if (m && !m->err) {
			int lane = ((const char *)m->payload)[0] == 'a';
			int number = (int)strtol((const char *)m->payload + 1, NULL, 10);
			assert_true(ret_partition[lane] < 0 || ret_partition[lane] == m->partition);
			assert_true(number > last[lane]);
			ret_partition[lane] = m->partition;
			last[lane] = number;
			n++;
		}
		if (m)
			rd_kafka_message_destroy(m);
	}
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
	return n;
}

/* The broker fails in ways that librdkafka repeats: nothing is lost, doubled or reordered. */
static void test_trouble_is_repeated(void **state)
{
	struct fixture *f = *state;
	struct kafka_ticket *t = kafka_ticket_new(false);
	struct err e = ERR_INIT;
	char value[20];
	int32_t partition[2];

	rd_kafka_mock_push_request_errors(f->cluster, PRODUCE, 3, RD_KAFKA_RESP_ERR__TRANSPORT,
		RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR__TRANSPORT);
	for (int i = 0; i < 300; i++) {
		snprintf(value, sizeof(value), "%c%d |", i % 2 ? 'a' : 'b', i);
		send_one(f, i % 2 ? "lane a" : "lane b", value, t);
	}
	assert_int_equal(wait_for(f, t, WAIT_MS, &e), ERR_OK);
	assert_int_equal(consume(f, 300, partition), 300);
	kafka_ticket_drop(t);
}

/* A broker that is away: the wait ends with the reason, the record stays and lands later, once. */
static void test_away(void **state)
{
	struct fixture *f = *state;
	struct kafka_ticket *t = kafka_ticket_new(false);
	struct err e = ERR_INIT;
	int32_t partition[2];

	rd_kafka_mock_broker_set_down(f->cluster, 1);
	send_one(f, "", "a1 |", t);
	assert_int_equal(wait_for(f, t, 300, &e), ERR_TIMEOUT);
	assert_non_null(strstr(e.text, "topic t at"));
	rd_kafka_mock_broker_set_up(f->cluster, 1);
	assert_int_equal(wait_for(f, t, WAIT_MS, &e), ERR_OK);
	assert_int_equal(consume(f, 1, partition), 1);
	assert_int_equal(partition[1], 0); /* no lane: partition 0 */
	kafka_ticket_drop(t);
}

static void test_refused_size(void **state)
{
	struct fixture *f = *state;
	struct kafka_ticket *t = kafka_ticket_new(false);
	struct err e = ERR_INIT;

	rd_kafka_mock_push_request_errors(
		f->cluster, PRODUCE, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	send_one(f, "a", "v", t);
	assert_int_equal(wait_for(f, t, WAIT_MS, &e), ERR_LIMIT);
	assert_non_null(strstr(e.text, "max.message.bytes"));
	kafka_ticket_drop(t);
}

struct sender {
	struct fixture *f;
	struct kafka_ticket *t;
	bool sent;
};

static void send_other(void *arg)
{
	struct sender *s = arg;

	send_one(s->f, "a", "a2 |", s->t);
	__atomic_store_n(&s->sent, true, __ATOMIC_RELEASE);
}

/* A record alone waits for all before it, and all behind it wait for its report. */
static void test_alone(void **state)
{
	struct fixture *f = *state;
	struct sender other = {.f = f, .t = kafka_ticket_new(false)};
	struct kafka_ticket *alone = kafka_ticket_new(true);
	struct err e = ERR_INIT;
	struct thread t;
	int32_t partition[2];

	rd_kafka_mock_broker_set_down(f->cluster, 1);
	send_one(f, "a", "a1 |", alone);
	assert_int_equal(thread_start(&t, "other", send_other, &other, &e), ERR_OK);
	stop_sleep(&f->stop, 300);
	assert_false(__atomic_load_n(&other.sent, __ATOMIC_ACQUIRE));
	rd_kafka_mock_broker_set_up(f->cluster, 1);
	thread_join(&t);
	assert_int_equal(wait_for(f, alone, WAIT_MS, &e), ERR_OK);
	assert_int_equal(wait_for(f, other.t, WAIT_MS, &e), ERR_OK);
	assert_int_equal(consume(f, 2, partition), 2);
	kafka_ticket_drop(alone);
	kafka_ticket_drop(other.t);
}

static void test_stop(void **state)
{
	struct fixture *f = *state;
	struct kafka_ticket *t = kafka_ticket_new(false);
	struct err e = ERR_INIT;

	rd_kafka_mock_broker_set_down(f->cluster, 1);
	send_one(f, "a", "v", t);
	stop_set(&f->stop);
	assert_int_equal(wait_for(f, t, WAIT_MS, &e), ERR_CANCELLED);
	kafka_ticket_drop(t); /* its report comes later */
}

static void test_settings(void **state)
{
	struct fixture *f = *state;
	static const char *const acks[] = {"acks", "1", NULL}, *const unknown[] = {
								       "no.such", "1", NULL};
	struct kafka_producer_opts o = {
		.address = "h:1", .topic = "t", .extra = acks, .log = &f->log};
	struct kafka_producer *p = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(kafka_producer_open(&o, &p, &e), ERR_INVALID);
	assert_non_null(strstr(e.text, "acks"));
	err_clear(&e);
	o.extra = unknown;
	assert_int_equal(kafka_producer_open(&o, &p, &e), ERR_INVALID);
	err_clear(&e);
	o.extra = NULL;
	o.sasl = true;
	assert_int_equal(kafka_producer_open(&o, &p, &e), ERR_INVALID);
	assert_non_null(strstr(e.text, "sasl.username"));
	err_clear(&e);
	o.address = "";
	assert_int_equal(kafka_producer_open(&o, &p, &e), ERR_INVALID);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(test_confirmed), TEST(test_trouble_is_repeated),
		TEST(test_away), TEST(test_refused_size), TEST(test_alone), TEST(test_stop),
		TEST(test_settings)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
