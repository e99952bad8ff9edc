/* Reading from a real Kafka broker, address in CDC_TEST_KAFKA; passes at once without one.
 * CDC_TEST_KAFKA_RESTART names a file: the test creates it in the middle of a topic, and whoever
 * runs it restarts the broker then (test/e2e/test_mq_kafka.py does). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "source/mq_kafka.h"

enum { CALL_MS = 20000, BIG_BYTES = 9 << 20, ROW_BYTES = 270000 };

struct peer {
	rd_kafka_t *producer;
	struct mq *mq;
	struct stop stop;
	char topic[64];
};

static const char *address(void)
{
	const char *a = getenv("CDC_TEST_KAFKA");
	return a && *a ? a : NULL;
}

static rd_kafka_t *producer_new(void)
{
	static const char *const settings[][2] = {{"compression.codec", "zstd"}, {"linger.ms", "2"},
		{"message.max.bytes", "10485760"}, {"acks", "all"}, {"enable.idempotence", "true"}};
	char why[256];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	assert_int_equal(
		rd_kafka_conf_set(conf, "bootstrap.servers", address(), why, sizeof(why)), 0);
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		assert_int_equal(
			rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof(why)),
			0);
	rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	assert_non_null(rk);
	return rk;
}

static void admin_wait(rd_kafka_queue_t *q)
{
	rd_kafka_event_t *ev = rd_kafka_queue_poll(q, CALL_MS);
	assert_non_null(ev);
	assert_int_equal(rd_kafka_event_error(ev), 0);
	rd_kafka_event_destroy(ev);
	rd_kafka_queue_destroy(q);
}

static void make_topic(struct peer *p)
{
	char why[128];
	rd_kafka_queue_t *q = rd_kafka_queue_new(p->producer);
	rd_kafka_NewTopic_t *t = rd_kafka_NewTopic_new(p->topic, 1, 1, why, sizeof(why));

	rd_kafka_CreateTopics(p->producer, &t, 1, NULL, q);
	admin_wait(q);
	rd_kafka_NewTopic_destroy(t);
}

/* Everything before offset is deleted. */
static void truncate_topic(struct peer *p, int64_t offset)
{
	rd_kafka_queue_t *q = rd_kafka_queue_new(p->producer);
	rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(1);

	rd_kafka_topic_partition_list_add(l, p->topic, 0)->offset = offset;
	rd_kafka_DeleteRecords_t *d = rd_kafka_DeleteRecords_new(l);
	rd_kafka_DeleteRecords(p->producer, &d, 1, NULL, q);
	admin_wait(q);
	rd_kafka_DeleteRecords_destroy(d);
	rd_kafka_topic_partition_list_destroy(l);
}

static int setup(void **state)
{
	struct peer *p = xcalloc(1, sizeof(*p));
	struct mq_kafka_opts o = {.address = address()};
	struct err e = ERR_INIT;
	char id[33];

	str_random_id(id);
	snprintf(p->topic, sizeof(p->topic), "t-%s", id);
	stop_init(&p->stop, NULL);
	p->producer = producer_new();
	assert_int_equal(mq_kafka_new(&o, &p->mq, &e), ERR_OK);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct peer *p = *state;

	p->mq->ops->free(p->mq);
	rd_kafka_destroy(p->producer);
	stop_done(&p->stop);
	free(p);
	return 0;
}

static void put(struct peer *p, int64_t number, size_t bytes, bool header)
{
	uint8_t *v = xmalloc(bytes);
	unsigned seed = (unsigned)number + 1;
	rd_kafka_headers_t *h = rd_kafka_headers_new(1);

	for (size_t i = sizeof(number); i < bytes; i++)
		v[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
	memcpy(v, &number, MIN(bytes, sizeof(number)));
	rd_kafka_header_add(h, header ? "msg_type" : "other", -1, "Insert", -1);
	for (rd_kafka_resp_err_t code;;) {
		code = rd_kafka_producev(p->producer, RD_KAFKA_V_TOPIC(p->topic),
			RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_VALUE(v, bytes),
			RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_HEADERS(h),
			RD_KAFKA_V_END);
		if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
			assert_int_equal(code, 0);
			break;
		}
		rd_kafka_poll(p->producer, 100);
	}
	free(v);
}

static void put_many(struct peer *p, int64_t n, size_t bytes)
{
	for (int64_t i = 0; i < n; i++)
		put(p, i, bytes, i % 2 == 0);
	assert_int_equal(rd_kafka_flush(p->producer, CALL_MS), 0);
}

static struct mq_id id_of(int64_t offset)
{
	struct mq_id id = {.n = 8};
	for (int i = 0; i < 8; i++)
		id.b[i] = (uint8_t)((uint64_t)offset >> (8 * i));
	return id;
}

static enum err_code open_at(
	struct peer *p, int64_t offset, struct mq_reader **ret_r, struct err *e)
{
	const struct mq_start from = {.id = id_of(offset)};
	*ret_r = NULL;
	return p->mq->ops->open(p->mq, p->topic, &from, &p->stop, ret_r, e);
}

static struct mq_reader *opened_at(struct peer *p, int64_t offset)
{
	struct err e = ERR_INIT;
	struct mq_reader *r;

	if (open_at(p, offset, &r, &e))
		fail_msg("open at %lld: %s", (long long)offset, e.text);
	return r;
}

/* The next message, waiting out what passes by itself. */
static struct mq_msg *next(struct peer *p, struct mq_reader *r)
{
	struct deadline d = deadline_in(60000);
	struct mq_msg *m = NULL;

	for (;;) {
		struct err e = ERR_INIT;
		enum err_code code = p->mq->ops->next(r, deadline_in(1000), &p->stop, &m, &e);
		if (!code)
			return m;
		if ((code != ERR_TIMEOUT && code != ERR_UNAVAILABLE) || deadline_passed(d))
			fail_msg("next: %s", e.text);
	}
}

static void expect(struct peer *p, struct mq_reader *r, int64_t number, size_t bytes)
{
	struct mq_msg *m = next(p, r);
	struct mq_id id = id_of(number);
	int64_t got;

	memcpy(&got, m->payload.p, sizeof(got));
	assert_int_equal(got, number);
	assert_int_equal(m->payload.n, bytes);
	assert_int_equal(p->mq->ops->compare(&m->id, &id), 0);
	struct slice type = p->mq->ops->property(m, "msg_type");
	assert_true(number % 2 ? !type.n : slice_eq_str(type, "Insert"));
	mq_msg_free(m);
}

static void test_reads_from_the_exact_offset(void **state)
{
	struct peer *p = *state;
	struct mq_id latest;
	struct err e = ERR_INIT;

	make_topic(p);
	assert_int_equal(p->mq->ops->latest(p->mq, p->topic, &p->stop, &latest, &e), ERR_OK);
	assert_memory_equal(latest.b, id_of(0).b, 8);
	put_many(p, 100, 1000);
	assert_int_equal(p->mq->ops->latest(p->mq, p->topic, &p->stop, &latest, &e), ERR_OK);
	assert_memory_equal(latest.b, id_of(100).b, 8);
	static const int64_t starts[] = {0, 1, 57, 99};
	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		struct mq_reader *r = opened_at(p, starts[i]);
		for (int64_t k = starts[i]; k < 100; k++)
			expect(p, r, k, 1000);
		p->mq->ops->close(r);
	}
}

static void test_two_readers_of_a_topic_do_not_meet(void **state)
{
	struct peer *p = *state;

	make_topic(p);
	put_many(p, 60, 1000);
	struct mq_reader *a = opened_at(p, 0), *b = opened_at(p, 30);
	struct mq_msg *held = next(p, b);
	for (int64_t k = 0; k < 60; k++)
		expect(p, a, k, 1000);
	p->mq->ops->close(a);
	for (int64_t k = 31; k < 60; k++)
		expect(p, b, k, 1000);
	p->mq->ops->close(b);
	assert_int_equal(held->payload.n, 1000); /* outlives its reader */
	mq_msg_free(held);
}

static void test_end_waits_and_then_delivers_quickly(void **state)
{
	struct peer *p = *state;
	struct err e = ERR_INIT;
	struct mq_msg *m;
	int64_t worst = 0;

	make_topic(p);
	put_many(p, 1, 100);
	struct mq_reader *r = opened_at(p, 1);
	assert_int_equal(p->mq->ops->next(r, deadline_in(50), &p->stop, &m, &e), ERR_TIMEOUT);
	for (int64_t i = 1; i < 100; i++) {
		int64_t before = time_mono_us();
		put(p, i, 100, false);
		rd_kafka_flush(p->producer, CALL_MS);
		int64_t sent = time_mono_us();
		m = next(p, r);
		assert_false(m->more);
		mq_msg_free(m);
		worst = MAX(worst, time_mono_us() - sent);
		(void)before;
	}
	print_message("worst delay behind the producer's ack: %lld us\n", (long long)worst);
	p->mq->ops->close(r);
}

static void test_big_messages(void **state)
{
	struct peer *p = *state;

	make_topic(p);
	for (int64_t i = 0; i < 6; i++)
		put(p, i, i % 3 ? 100 : BIG_BYTES, i % 2 == 0);
	rd_kafka_flush(p->producer, CALL_MS);
	struct mq_reader *r = opened_at(p, 0);
	for (int64_t i = 0; i < 6; i++)
		expect(p, r, i, i % 3 ? 100 : BIG_BYTES);
	p->mq->ops->close(r);
}

static void expect_gone(struct peer *p, int64_t offset, const char *text)
{
	struct err e = ERR_INIT;
	struct mq_reader *r;

	assert_int_equal(open_at(p, offset, &r, &e), ERR_GONE);
	print_message("%s\n", e.text);
	assert_non_null(strstr(e.text, text));
}

static void test_positions_out_of_range_are_gone(void **state)
{
	struct peer *p = *state;

	make_topic(p);
	put_many(p, 120, 500);
	truncate_topic(p, 93);
	expect_gone(p, 5, "first available 93, 88 messages are missing");
	expect_gone(p, 121, "newer than its end 120");
	struct mq_reader *r = opened_at(p, 93);
	expect(p, r, 93, 500);
	p->mq->ops->close(r);
	p->mq->ops->close(opened_at(p, 120));
}

/* The message of a position may go once the position stands behind it; the next one may not. */
static void test_a_position_behind_a_message_needs_the_next_one_only(void **state)
{
	struct peer *p = *state;
	struct mq_start from = {.id = id_of(92), .after = true};
	struct mq_reader *r = NULL;
	struct err e = ERR_INIT;

	make_topic(p);
	put_many(p, 120, 500);
	truncate_topic(p, 93);
	expect_gone(p, 92, "first available 93, 1 messages are missing");
	assert_int_equal(p->mq->ops->open(p->mq, p->topic, &from, &p->stop, &r, &e), ERR_OK);
	expect(p, r, 93, 500);
	p->mq->ops->close(r);
	from.id = id_of(91);
	from.end_ms = time_wall_ms(); /* offsets tell more than that */
	assert_int_equal(p->mq->ops->open(p->mq, p->topic, &from, &p->stop, &r, &e), ERR_GONE);
	assert_non_null(strstr(e.text, "position 92"));
	assert_non_null(strstr(e.text, "first available 93, 1 messages are missing"));
	/* All of it is gone, and it was the last. */
	truncate_topic(p, 120);
	from.id = id_of(119);
	err_clear(&e);
	assert_int_equal(p->mq->ops->open(p->mq, p->topic, &from, &p->stop, &r, &e), ERR_OK);
	put(p, 120, 500, true);
	expect(p, r, 120, 500);
	p->mq->ops->close(r);
}

/* The rows fetched ahead are delivered, then the hole is found. */
static void test_truncation_while_reading_is_gone(void **state)
{
	struct peer *p = *state;
	struct mq_msg *m;
	enum err_code code;
	struct err e = ERR_INIT;
	int64_t n = 0;

	make_topic(p);
	put_many(p, 100, ROW_BYTES);
	struct mq_reader *r = opened_at(p, 0);
	expect(p, r, n++, ROW_BYTES);
	truncate_topic(p, 90);
	for (;;) {
		err_clear(&e);
		code = p->mq->ops->next(r, deadline_in(1000), &p->stop, &m, &e);
		if (code == ERR_GONE)
			break;
		if (code) {
			assert_true(code == ERR_UNAVAILABLE || code == ERR_TIMEOUT);
			continue;
		}
		assert_memory_equal(m->id.b, id_of(n).b, 8);
		n++;
		mq_msg_free(m);
	}
	print_message("after %lld messages: %s\n", (long long)n, e.text);
	assert_true(n < 90);
	p->mq->ops->close(r);
}

static void test_unknown_topic_is_not_created(void **state)
{
	struct peer *p = *state;
	struct mq_reader *r;
	struct mq_id id;

	for (int i = 0; i < 2; i++) {
		struct err e = ERR_INIT;
		assert_int_equal(open_at(p, 0, &r, &e), ERR_NOT_FOUND);
		err_clear(&e);
		assert_int_equal(
			p->mq->ops->latest(p->mq, p->topic, &p->stop, &id, &e), ERR_NOT_FOUND);
	}
}

static void test_absent_broker_is_unavailable(void **state)
{
	struct mq_kafka_opts o = {.address = "127.0.0.1:1"};
	struct peer *p = *state;
	struct err e = ERR_INIT;
	struct mq *mq;

	assert_int_equal(mq_kafka_new(&o, &mq, &e), ERR_OK);
	assert_int_equal(mq->ops->check(mq, &p->stop, &e), ERR_UNAVAILABLE);
	print_message("%s\n", e.text);
	assert_non_null(strstr(e.text, "refused"));
	mq->ops->free(mq);
}

static void test_settings_are_checked(void **state)
{
	static const char *const good[] = {"client.id", "x", "auto.offset.reset", "latest", NULL};
	static const char *const bad[] = {"no.such.setting", "x", NULL};
	struct mq_kafka_opts o = {.address = address(), .extra = good};
	struct err e = ERR_INIT;
	struct mq *mq;

	(void)state;
	assert_int_equal(mq_kafka_new(&o, &mq, &e), ERR_OK);
	mq->ops->free(mq);
	o.extra = bad;
	assert_int_equal(mq_kafka_new(&o, &mq, &e), ERR_INVALID);
	assert_non_null(strstr(e.text, "no.such.setting"));
}

/* librdkafka 2.0.2 sleeps up to a second when its queue was full: a reader that is slower than the
 * broker would get 2 MiB a second. */
static void test_slow_reader_is_not_starved(void **state)
{
	struct peer *p = *state;
	int64_t slept_us = 0, before = time_mono_us();
	enum { ROWS = 400, PAUSE_MS = 3, IDLE = 4 };

	char busy[sizeof(p->topic)];
	memcpy(busy, p->topic, sizeof(busy));
	struct mq_reader *idle[IDLE];
	for (int i = 0; i < IDLE; i++) { /* on the same connection, where fetches wait for them */
		snprintf(p->topic, sizeof(p->topic), "%.40s-%d", busy, i);
		make_topic(p);
		idle[i] = opened_at(p, 0);
	}
	memcpy(p->topic, busy, sizeof(busy));
	make_topic(p);
	struct mq_reader *r = opened_at(p, 0); /* before there is a backlog: as calm */
	put_many(p, ROWS, ROW_BYTES);
	before = time_mono_us();
	for (int64_t i = 0; i < ROWS; i++) {
		mq_msg_free(next(p, r));
		int64_t at = time_mono_us();
		stop_sleep(&p->stop, PAUSE_MS);
		slept_us += time_mono_us() - at;
	}
	int64_t waited = time_mono_us() - before - slept_us;
	print_message("%d MB at %d ms a message: waited %lld ms\n", ROWS * ROW_BYTES / 1000000,
		PAUSE_MS, (long long)waited / 1000);
	assert_true(waited < 3000000);
	p->mq->ops->close(r);
	for (int i = 0; i < IDLE; i++)
		p->mq->ops->close(idle[i]);
}

static void test_restart_in_the_middle_loses_nothing(void **state)
{
	const char *file = getenv("CDC_TEST_KAFKA_RESTART");
	struct peer *p = *state;
	enum { ROWS = 300 };

	if (!file)
		return;
	make_topic(p);
	put_many(p, ROWS, ROW_BYTES);
	struct mq_reader *r = opened_at(p, 0);
	for (int64_t i = 0; i < ROWS; i++) {
		if (i == 20)
			close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
		/* Slow enough that the broker is away before all is read. */
		if (i > 20 && i < 120)
			stop_sleep(&p->stop, 20);
		expect(p, r, i, ROW_BYTES);
	}
	put(p, ROWS, 100, true);
	expect(p, r, ROWS, 100);
	p->mq->ops->close(r);
}

#define WITH_BROKER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_BROKER(test_reads_from_the_exact_offset),
		WITH_BROKER(test_two_readers_of_a_topic_do_not_meet),
		WITH_BROKER(test_end_waits_and_then_delivers_quickly),
		WITH_BROKER(test_big_messages),
		WITH_BROKER(test_positions_out_of_range_are_gone),
		WITH_BROKER(test_a_position_behind_a_message_needs_the_next_one_only),
		WITH_BROKER(test_truncation_while_reading_is_gone),
		WITH_BROKER(test_unknown_topic_is_not_created),
		WITH_BROKER(test_absent_broker_is_unavailable),
		WITH_BROKER(test_settings_are_checked),
		WITH_BROKER(test_slow_reader_is_not_starved),
		WITH_BROKER(test_restart_in_the_middle_loses_nothing),
	};

	if (!address())
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
