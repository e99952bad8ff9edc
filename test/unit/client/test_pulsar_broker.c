/* Readers against a scripted broker: what a real one does not do on demand. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "client/pulsar/inflate.h"
#include "client/pulsar/pulsar_priv.h"
#include "support/pulsar_world.h"

enum { MANY = 64 };

static enum err_code refused(struct pworld *w, struct err *e)
{
	const struct pulsar_start at = {.id = PULSAR_EARLIEST};
	struct pulsar_reader *r = NULL;

	enum err_code code = pulsar_reader_open(w->p, "t", &at, &w->stop, &r, e);
	assert_null(r);
	return code;
}

/* ---- lookup ---- */

static bool redirect(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct pworld *w = arg;

	if (r->type != PULSAR_LOOKUP)
		return false;
	CLEANUP(freep)
	char *url = xasprintf("pulsar://%s", pulsar_broker_address(w->b ? w->b : w->a));
	broker_lookup(c, r, PULSAR_REDIRECT, url, w->flag, false);
	return true;
}

static bool note_lookup(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct pworld *w = arg;

	(void)c;
	if (r->type == PULSAR_LOOKUP)
		snprintf(w->told, sizeof(w->told), "authoritative %d", r->authoritative);
	return false;
}

/* The broker sent on to is asked again, with what the first one said of itself. */
static void test_redirect(void **state UNUSED)
{
	for (int authoritative = 0; authoritative < 2; authoritative++) {
		struct pworld *w = pworld_new(redirect, NULL);
		w->flag = authoritative;
		w->b = pulsar_broker_start(
			&(const struct broker_script){.hook = note_lookup, .arg = w});
		pulsar_broker_put(w->b, (struct pulsar_id){1, 0, -1, -1},
			&(const struct pulsar_make){.sequence = 0}, slice_str("there"));
		pworld_connect(w);
		struct pulsar_reader *r = pworld_read(w, &PULSAR_EARLIEST);
		pworld_expect(w, r, "there");
		assert_string_equal(w->told, authoritative ? "authoritative 1" : "authoritative 0");
		assert_int_equal(pulsar_broker_received(w->a, PULSAR_SUBSCRIBE), 0);
		assert_int_equal(pulsar_broker_received(w->b, PULSAR_SUBSCRIBE), 1);
		pulsar_reader_close(r);
		pworld_free(w);
	}
}

static void test_redirects_without_end(void **state UNUSED)
{
	struct pworld *w = pworld_open(redirect, NULL);
	struct err e = ERR_INIT;

	assert_int_equal(refused(w, &e), ERR_UNAVAILABLE);
	assert_non_null(strstr(e.text, "sent on 20 times without an end"));
	assert_int_equal(pulsar_broker_received(w->a, PULSAR_LOOKUP), 20);
	assert_int_equal(pulsar_broker_accepted(w->a), 1);
	pworld_free(w);
}

static bool proxy(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct pworld *w = arg;

	if (r->type == PULSAR_CONNECT && r->proxy_to.n)
		snprintf(w->told, sizeof(w->told), "%.*s", (int)r->proxy_to.n,
			(const char *)r->proxy_to.p);
	if (r->type != PULSAR_LOOKUP)
		return false;
	broker_lookup(c, r, PULSAR_GO, "pulsar://inside.example:6650", true, true);
	return true;
}

/* The broker can't be reached from here: a second connection to the proxy names it. */
static void test_proxy(void **state UNUSED)
{
	struct pworld *w = pworld_open(proxy, NULL);

	pworld_put(w, 1, 0, NULL);
	struct pulsar_reader *r = pworld_read(w, &PULSAR_EARLIEST);
	pworld_expect_entries(w, r, 1, 0, 1);
	assert_string_equal(w->told, "inside.example:6650");
	assert_int_equal(pulsar_broker_accepted(w->a), 2);
	pulsar_reader_close(r);
	pworld_free(w);
}

/* ---- refusals ---- */

static bool refuse(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct pworld *w = arg;

	if (r->type != PULSAR_SUBSCRIBE)
		return false;
	broker_error(c, r->request, w->left, "so it is");
	return true;
}

static void test_every_error_of_a_broker(void **state UNUSED)
{
	static const enum err_code codes[] = {ERR_UNAVAILABLE, ERR_UNAVAILABLE, ERR_UNAVAILABLE,
		ERR_DENIED, ERR_DENIED, ERR_BUSY, ERR_UNAVAILABLE, ERR_BUSY, ERR_BUSY,
		ERR_UNAVAILABLE, ERR_UNSUPPORTED, ERR_NOT_FOUND, ERR_UNAVAILABLE, ERR_UNAVAILABLE,
		ERR_BUSY, ERR_GONE, ERR_BUSY, ERR_INVALID, ERR_UNSUPPORTED, ERR_BUSY,
		ERR_UNAVAILABLE, ERR_UNAVAILABLE, ERR_DENIED, ERR_UNAVAILABLE, ERR_UNAVAILABLE};
	struct pworld *w = pworld_open(refuse, NULL);

	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		struct err e = ERR_INIT;
		w->left = (int)i; /* no call is under way */
		enum err_code code = refused(w, &e);
		if (code != codes[i])
			fail_msg("error %zu: %s (%s)", i, err_name(code), e.text);
		assert_int_equal(e.origin, i);
		assert_non_null(strstr(e.text, "topic persistent://public/default/t"));
		assert_non_null(strstr(e.text, "so it is"));
	}
	pworld_free(w);
}

static bool partitioned(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	(void)arg;
	if (r->type == PULSAR_SUBSCRIBE)
		broker_error(c, r->request, 11, "Topic does not exist");
	else if (r->type == PULSAR_PARTITIONS)
		broker_partitions(c, r->request, 3);
	else
		return false;
	return true;
}

static void test_partitioned_topic(void **state UNUSED)
{
	struct pworld *w = pworld_open(partitioned, NULL);
	struct err e = ERR_INIT;

	assert_int_equal(refused(w, &e), ERR_UNSUPPORTED);
	assert_non_null(strstr(e.text, "t has 3 partitions; Milvus makes topics without"));
	pworld_free(w);
}

/* ---- connections ---- */

static void test_cut_in_the_middle_of_a_frame(void **state UNUSED)
{
	struct pworld *w = pworld_open(pworld_cut_mid_frame, NULL);

	w->left = 3;
	for (uint64_t i = 0; i < MANY; i++)
		pworld_put(w, 1, i, NULL);
	struct pulsar_reader *r = pworld_read(w, &PULSAR_EARLIEST);
	pworld_expect_entries(w, r, 1, 0, MANY);
	pworld_expect_end(w, r);
	assert_int_equal(pulsar_broker_accepted(w->a), 4);
	pulsar_reader_close(r);
	pworld_free(w);
}

static bool mute(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct pworld *w = arg;

	(void)c;
	return r->type == PULSAR_PING && w->left-- > 0;
}

/* Nobody says that the connection is dead: a PING without an answer does. */
static void test_half_open(void **state UNUSED)
{
	struct pworld *w = pworld_open(mute, NULL);

	w->left = 1;
	w->p->quiet_ms = w->p->pong_ms = 200; /* nothing is connected yet */
	pworld_put(w, 1, 0, NULL);
	struct pulsar_reader *r = pworld_read(w, &PULSAR_EARLIEST);
	pworld_expect_entries(w, r, 1, 0, 1);
	struct deadline d = deadline_in(PWORLD_WAIT_MS);
	while (pulsar_broker_accepted(w->a) < 2 && !deadline_passed(d)) {
		struct err e = ERR_INIT;
		struct pulsar_msg *m;
		assert_int_not_equal(
			pulsar_reader_next(r, deadline_in(100), &w->stop, &m, &e), ERR_OK);
	}
	pworld_put(w, 1, 1, NULL);
	pworld_expect_entries(w, r, 1, 1, 2);
	pulsar_reader_close(r);
	pworld_free(w);
}

static bool challenge(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct pworld *w = arg;
	CLEANUP(buf_done) struct buf b = BUF_INIT(4096);

	if (r->type == PULSAR_CHALLENGE_ANSWER)
		snprintf(w->told, sizeof(w->told), "%.*s", (int)r->auth_data.n,
			(const char *)r->auth_data.p);
	if (r->type != PULSAR_FLOW || r->seen)
		return false;
	FILE *f = fopen(w->arg, "w");
	fprintf(f, "new token\n");
	fclose(f);
	pulsar_make_frame(&b, PULSAR_CHALLENGE, slice_of(NULL, 0), slice_of(NULL, 0));
	broker_send(c, buf_slice(&b));
	return false;
}

/* Before the credentials expire the broker asks for fresh ones; reading goes on meanwhile. */
static void test_challenge_in_the_middle(void **state UNUSED)
{
	struct pworld *w = pworld_new(challenge, NULL);
	char file[] = "/tmp/cdc-token-XXXXXX";
	int fd = mkstemp(file);

	assert_true(fd >= 0 && write(fd, "old token", 9) == 9);
	close(fd);
	CLEANUP(freep) char *params = xasprintf("file://%s", file);
	w->arg = file;
	w->auth_params = params;
	pworld_connect(w);
	pworld_put(w, 1, 0, NULL);
	struct pulsar_reader *r = pworld_read(w, &PULSAR_EARLIEST);
	pworld_expect_entries(w, r, 1, 0, 1);
	struct deadline d = deadline_in(PWORLD_WAIT_MS);
	while (!pulsar_broker_received(w->a, PULSAR_CHALLENGE_ANSWER) && !deadline_passed(d))
		pworld_expect_end(w, r);
	pworld_put(w, 1, 1, NULL);
	pworld_expect_entries(w, r, 1, 1, 2);
	pulsar_reader_close(r);
	assert_int_equal(pulsar_broker_accepted(w->a), 1);
	assert_string_equal(w->told, "new token");
	unlink(file);
	pworld_free(w);
}

static bool take_away(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct pworld *w = arg;

	if ((r->type != PULSAR_SUBSCRIBE && r->type != PULSAR_LAST_ID) || w->left == 0)
		return false;
	w->left--;
	if (r->type == PULSAR_LAST_ID)
		broker_serve(c, r);
	broker_close_consumer(c, r->consumer);
	if (r->type == PULSAR_SUBSCRIBE)
		broker_serve(c, r);
	return true;
}

/* As a broker does that moves the topic while it is being subscribed. */
static void test_consumer_is_closed_while_it_subscribes(void **state UNUSED)
{
	struct pworld *w = pworld_open(take_away, NULL);

	pworld_put(w, 1, 0, NULL);
	pworld_put(w, 1, 1, NULL);
	pworld_put(w, 2, 0, NULL);
	w->left = 5;
	struct pulsar_reader *r = pworld_read(w, &(const struct pulsar_id){1, 1, -1, -1});
	pworld_expect(w, r, "m1-1");
	pworld_expect(w, r, "m2-0");
	pworld_expect_end(w, r);
	assert_int_equal(pulsar_broker_accepted(w->a), 1);
	pulsar_reader_close(r);
	pworld_free(w);
}

static bool never_give(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	(void)arg;
	if (r->type != PULSAR_FLOW)
		return false;
	broker_close_consumer(c, r->consumer);
	return true;
}

/* A broker that takes every subscription away is not asked in a circle, and what it does is told. */
static void test_subscriptions_that_never_last(void **state UNUSED)
{
	struct pworld *w = pworld_open(never_give, NULL);
	struct deadline d = deadline_in(700);
	struct err e = ERR_INIT;
	struct pulsar_msg *m;

	pworld_put(w, 1, 0, NULL);
	struct pulsar_reader *r = pworld_read(w, &PULSAR_EARLIEST);
	assert_int_equal(pulsar_reader_next(r, d, &w->stop, &m, &e), ERR_UNAVAILABLE);
	assert_non_null(strstr(e.text, "gives the topic away"));
	assert_in_range(pulsar_broker_received(w->a, PULSAR_SUBSCRIBE), 3, 8);
	pulsar_reader_close(r);
	pworld_free(w);
}

/* ---- entries ---- */

/* What comes without permits and beyond the queue is dropped with the subscription, and fetched
 * again. */
static void test_more_than_asked_for(void **state UNUSED)
{
	enum { BYTES = 1 << 20, N = 24 };
	struct pworld *w = pworld_open(NULL, &(const struct broker_script){.greedy = true});
	uint8_t *body = xcalloc(1, BYTES);

	for (int i = 0; i < N; i++) {
		body[0] = (uint8_t)i;
		pulsar_broker_put(w->a, (struct pulsar_id){1, (uint64_t)i, -1, -1},
			&(const struct pulsar_make){.sequence = 0}, slice_of(body, BYTES));
	}
	struct pulsar_reader *r = pworld_read(w, &PULSAR_EARLIEST);
	for (int i = 0; i < N; i++) {
		struct err e = ERR_INIT;
		struct pulsar_msg *m;
		if (pworld_next(w, r, &m, &e))
			fail_msg("message %d: %s", i, e.text);
		assert_int_equal(m->payload.n, BYTES);
		assert_int_equal(m->payload.p[0], i);
		pulsar_msg_free(m);
	}
	pworld_expect_end(w, r);
	mutex_lock(&w->p->loop.mtx);
	assert_int_equal(w->p->queued, 0);
	mutex_unlock(&w->p->loop.mtx);
	pulsar_reader_close(r);
	free(body);
	pworld_free(w);
}

static void send_damaged(struct broker_conn *c, const struct broker_request *r)
{
	CLEANUP(buf_done) struct buf payload = BUF_INIT(4096);
	CLEANUP(buf_done) struct buf b = BUF_INIT(4096);

	pulsar_make_payload(&payload, &(const struct pulsar_make){.damaged = true}, slice_str("x"));
	pulsar_make_message(
		&b, r->consumer, &(const struct pulsar_id){1, 1, -1, -1}, buf_slice(&payload));
	broker_send(c, buf_slice(&b));
}

static bool damage(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct pworld *w = arg;

	if (r->type != PULSAR_FLOW || w->left == 0)
		return false;
	w->left--;
	send_damaged(c, r);
	return true;
}

static void test_wrong_checksum(void **state UNUSED)
{
	struct pworld *w = pworld_open(damage, NULL);

	for (uint64_t i = 0; i < 3; i++)
		pworld_put(w, 1, i, NULL);
	/* of the way: it is fetched again */
	w->left = 3;
	struct pulsar_reader *r = pworld_read(w, &(const struct pulsar_id){1, 1, -1, -1});
	pworld_expect_entries(w, r, 1, 1, 3);
	pulsar_reader_close(r);
	/* of the entry itself */
	w->left = 100;
	r = pworld_read(w, &PULSAR_EARLIEST);
	pworld_expect_failure(w, r, ERR_MALFORMED, "message 1:1: the checksum is");
	pulsar_reader_close(r);
	pworld_free(w);
}

static bool too_big(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct pworld *w = arg;
	CLEANUP(buf_done) struct buf b = BUF_INIT(2 << 20);

	if (r->type != PULSAR_FLOW || w->left == 0)
		return false;
	w->left--;
	pulsar_make_message(&b, r->consumer, &(const struct pulsar_id){1, 0, -1, -1},
		slice_of(w->arg, 1 << 20));
	broker_send(c, buf_slice(&b));
	return true;
}

/* The topic's reader is told which setting to mend; other topics on the connection do not notice. */
static void test_frame_above_the_maximum(void **state UNUSED)
{
	struct pworld *w =
		pworld_new(too_big, &(const struct broker_script){.max_message_bytes = 64 << 10});
	CLEANUP(freep) uint8_t *zeros = xcalloc(1, 1 << 20);

	w->most = 64 << 10;
	w->arg = zeros;
	pworld_connect(w);
	pworld_put(w, 1, 0, NULL);
	struct pulsar_reader *other = pworld_read(w, &PULSAR_EARLIEST);
	pworld_expect_entries(w, other, 1, 0, 1);
	w->left = 1; /* both brokers and readers are idle */
	struct pulsar_reader *r = pworld_read(w, &PULSAR_EARLIEST);
	pworld_expect_failure(w, r, ERR_LIMIT, "message 1:0: a frame of 1048");
	pworld_put(w, 1, 1, NULL);
	pworld_expect_entries(w, other, 1, 1, 2);
	pulsar_reader_close(r);
	pulsar_reader_close(other);
	assert_int_equal(pulsar_broker_accepted(w->a), 1);
	pworld_free(w);
}

static void test_pieces_and_a_lost_piece(void **state UNUSED)
{
	struct pworld *w = pworld_open(NULL, NULL);
	struct pulsar_make piece = {.uuid = "u-1", .chunks = 3, .chunked = 12};

	pworld_put(w, 1, 0, &piece); /* m1-0 */
	piece.chunk = 2;
	pworld_put(w, 1, 1, &piece); /* the second one is lost */
	pworld_put(w, 1, 2, NULL);
	piece = (struct pulsar_make){.uuid = "u-2", .chunks = 2, .chunked = 8};
	pworld_put(w, 2, 0, &piece);
	pworld_put(w, 2, 1, NULL);
	piece.chunk = 1;
	pworld_put(w, 3, 0, &piece);
	struct pulsar_reader *r = pworld_read(w, &PULSAR_EARLIEST);
	pworld_expect(w, r, "m1-2");
	pworld_expect(w, r, "m2-0m3-0");
	pworld_expect(w, r, "m2-1");
	pworld_expect_end(w, r);
	pulsar_reader_close(r);
	pworld_free(w);
}

static void test_every_compression(void **state UNUSED)
{
	struct pworld *w = pworld_open(NULL, NULL);

	for (int c = 0; c < PULSAR_COMPRESSIONS; c++)
		pworld_put(w, 1, (uint64_t)c, &(const struct pulsar_make){.compression = c});
	struct pulsar_reader *r = pworld_read(w, &PULSAR_EARLIEST);
	pworld_expect_entries(w, r, 1, 0, PULSAR_COMPRESSIONS);
	pulsar_reader_close(r);
	pworld_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_redirect),
		cmocka_unit_test(test_redirects_without_end),
		cmocka_unit_test(test_proxy),
		cmocka_unit_test(test_every_error_of_a_broker),
		cmocka_unit_test(test_partitioned_topic),
		cmocka_unit_test(test_cut_in_the_middle_of_a_frame),
		cmocka_unit_test(test_half_open),
		cmocka_unit_test(test_challenge_in_the_middle),
		cmocka_unit_test(test_consumer_is_closed_while_it_subscribes),
		cmocka_unit_test(test_subscriptions_that_never_last),
		cmocka_unit_test(test_more_than_asked_for),
		cmocka_unit_test(test_wrong_checksum),
		cmocka_unit_test(test_frame_above_the_maximum),
		cmocka_unit_test(test_pieces_and_a_lost_piece),
		cmocka_unit_test(test_every_compression),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
