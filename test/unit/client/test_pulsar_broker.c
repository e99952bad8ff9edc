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
#include "support/pulsar_broker.h"

enum { WAIT_MS = 20000, SHORT_MS = 200, MANY = 64 };

#define TOKEN_CLASS "org.apache.pulsar.client.impl.auth.AuthenticationToken"

/* One broker, or two that tell of each other, and a client of the first. */
struct world {
	struct pulsar_broker *a, *b;
	struct pulsar *p;
	struct stop stop;
	/* for hooks, under the broker's mutex */
	char told[128];
	int left; /* how often the hook misbehaves */
	bool flag;
	const void *arg;
	size_t most; /* max_message_bytes of the client */
	const char *auth_params;
};

typedef bool hook_fn(void *arg, struct broker_conn *c, const struct broker_request *r);

static struct world *world_new(hook_fn *hook, const struct broker_script *script)
{
	struct world *w = xcalloc(1, sizeof(*w));
	struct broker_script s = script ? *script : (struct broker_script){.hook = NULL};

	s.hook = hook;
	s.arg = w;
	stop_init(&w->stop, NULL);
	w->a = pulsar_broker_start(&s);
	w->most = 5 << 20;
	return w;
}

static void world_connect(struct world *w)
{
	CLEANUP(freep) char *url = xasprintf("pulsar://%s", pulsar_broker_address(w->a));
	struct pulsar_opts o = {.url = url,
		.max_message_bytes = w->most,
		.auth_plugin = w->auth_params ? TOKEN_CLASS : NULL,
		.auth_params = w->auth_params};
	struct err e = ERR_INIT;

	assert_int_equal(pulsar_new(&o, &w->p, &e), ERR_OK);
}

static struct world *world_open(hook_fn *hook, const struct broker_script *script)
{
	struct world *w = world_new(hook, script);

	world_connect(w);
	return w;
}

static void world_free(struct world *w)
{
	pulsar_free(w->p);
	pulsar_broker_stop(w->a);
	if (w->b)
		pulsar_broker_stop(w->b);
	stop_done(&w->stop);
	free(w);
}

static void put(struct world *w, uint64_t ledger, uint64_t entry, const struct pulsar_make *m)
{
	char text[32];

	snprintf(text, sizeof(text), "m%d-%d", (int)ledger, (int)entry);
	pulsar_broker_put(w->a, (struct pulsar_id){ledger, entry, -1, -1},
		m ? m : &(const struct pulsar_make){.sequence = entry}, slice_str(text));
}

static struct pulsar_reader *open_at(struct world *w, const struct pulsar_id *from)
{
	const struct pulsar_start at = {.id = *from};
	struct pulsar_reader *r = NULL;
	struct err e = ERR_INIT;

	if (pulsar_reader_open(w->p, "t", &at, &w->stop, &r, &e))
		fail_msg("open: %s", e.text);
	return r;
}

static enum err_code refused(struct world *w, struct err *e)
{
	const struct pulsar_start at = {.id = PULSAR_EARLIEST};
	struct pulsar_reader *r = NULL;

	enum err_code code = pulsar_reader_open(w->p, "t", &at, &w->stop, &r, e);
	assert_null(r);
	return code;
}

/* The next message or a final error; what passes by itself is waited out. */
static enum err_code next(
	struct world *w, struct pulsar_reader *r, struct pulsar_msg **ret_m, struct err *e)
{
	struct deadline d = deadline_in(WAIT_MS);

	for (;;) {
		err_clear(e);
		*ret_m = NULL;
		enum err_code code = pulsar_reader_next(r, d, &w->stop, ret_m, e);
		if ((code != ERR_UNAVAILABLE && code != ERR_BUSY) || deadline_passed(d))
			return code;
	}
}

static void expect(struct world *w, struct pulsar_reader *r, const char *text)
{
	struct err e = ERR_INIT;
	struct pulsar_msg *m;

	if (next(w, r, &m, &e))
		fail_msg("%s, not %s", e.text, text);
	if (!slice_eq_str(m->payload, text))
		fail_msg("%.*s, not %s", (int)MIN(m->payload.n, 100U), (const char *)m->payload.p,
			text);
	pulsar_msg_free(m);
}

static void expect_entries(struct world *w, struct pulsar_reader *r, int ledger, int from, int to)
{
	char text[32];

	for (int i = from; i < to; i++) {
		snprintf(text, sizeof(text), "m%d-%d", ledger, i);
		expect(w, r, text);
	}
}

static void expect_end(struct world *w, struct pulsar_reader *r)
{
	struct err e = ERR_INIT;
	struct pulsar_msg *m = NULL;

	enum err_code code = pulsar_reader_next(r, deadline_in(SHORT_MS), &w->stop, &m, &e);
	if (code != ERR_TIMEOUT)
		fail_msg("%s", m ? "one more message" : e.text);
}

static void expect_failure(
	struct world *w, struct pulsar_reader *r, enum err_code code, const char *text)
{
	struct err e = ERR_INIT;
	struct pulsar_msg *m = NULL;

	assert_int_equal(next(w, r, &m, &e), code);
	if (!strstr(e.text, text))
		fail_msg("%s", e.text);
}

/* ---- lookup ---- */

static bool redirect(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct world *w = arg;

	if (r->type != PULSAR_LOOKUP)
		return false;
	CLEANUP(freep)
	char *url = xasprintf("pulsar://%s", pulsar_broker_address(w->b ? w->b : w->a));
	broker_lookup(c, r, PULSAR_REDIRECT, url, w->flag, false);
	return true;
}

static bool note_lookup(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct world *w = arg;

	(void)c;
	if (r->type == PULSAR_LOOKUP)
		snprintf(w->told, sizeof(w->told), "authoritative %d", r->authoritative);
	return false;
}

/* The broker sent on to is asked again, with what the first one said of itself. */
static void test_redirect(void **state UNUSED)
{
	for (int authoritative = 0; authoritative < 2; authoritative++) {
		struct world *w = world_new(redirect, NULL);
		w->flag = authoritative;
		w->b = pulsar_broker_start(
			&(const struct broker_script){.hook = note_lookup, .arg = w});
		pulsar_broker_put(w->b, (struct pulsar_id){1, 0, -1, -1},
			&(const struct pulsar_make){.sequence = 0}, slice_str("there"));
		world_connect(w);
		struct pulsar_reader *r = open_at(w, &PULSAR_EARLIEST);
		expect(w, r, "there");
		assert_string_equal(w->told, authoritative ? "authoritative 1" : "authoritative 0");
		assert_int_equal(pulsar_broker_received(w->a, PULSAR_SUBSCRIBE), 0);
		assert_int_equal(pulsar_broker_received(w->b, PULSAR_SUBSCRIBE), 1);
		pulsar_reader_close(r);
		world_free(w);
	}
}

static void test_redirects_without_end(void **state UNUSED)
{
	struct world *w = world_open(redirect, NULL);
	struct err e = ERR_INIT;

	assert_int_equal(refused(w, &e), ERR_UNAVAILABLE);
	assert_non_null(strstr(e.text, "sent on 20 times without an end"));
	assert_int_equal(pulsar_broker_received(w->a, PULSAR_LOOKUP), 20);
	assert_int_equal(pulsar_broker_accepted(w->a), 1);
	world_free(w);
}

static bool proxy(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct world *w = arg;

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
	struct world *w = world_open(proxy, NULL);

	put(w, 1, 0, NULL);
	struct pulsar_reader *r = open_at(w, &PULSAR_EARLIEST);
	expect_entries(w, r, 1, 0, 1);
	assert_string_equal(w->told, "inside.example:6650");
	assert_int_equal(pulsar_broker_accepted(w->a), 2);
	pulsar_reader_close(r);
	world_free(w);
}

/* ---- refusals ---- */

static bool refuse(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct world *w = arg;

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
	struct world *w = world_open(refuse, NULL);

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
	world_free(w);
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
	struct world *w = world_open(partitioned, NULL);
	struct err e = ERR_INIT;

	assert_int_equal(refused(w, &e), ERR_UNSUPPORTED);
	assert_non_null(strstr(e.text, "t has 3 partitions; Milvus makes topics without"));
	world_free(w);
}

/* ---- connections ---- */

static bool cut_mid_frame(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	static const uint8_t half[] = {0, 0, 0, 200, 0, 0, 0, 20, 8, 9};
	struct world *w = arg;

	if (r->type != PULSAR_FLOW || w->left == 0)
		return false;
	w->left--;
	broker_serve(c, r);
	broker_send(c, slice_of(half, sizeof(half)));
	broker_cut(c);
	return true;
}

static void test_cut_in_the_middle_of_a_frame(void **state UNUSED)
{
	struct world *w = world_open(cut_mid_frame, NULL);

	w->left = 3;
	for (uint64_t i = 0; i < MANY; i++)
		put(w, 1, i, NULL);
	struct pulsar_reader *r = open_at(w, &PULSAR_EARLIEST);
	expect_entries(w, r, 1, 0, MANY);
	expect_end(w, r);
	assert_int_equal(pulsar_broker_accepted(w->a), 4);
	pulsar_reader_close(r);
	world_free(w);
}

static bool mute(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct world *w = arg;

	(void)c;
	return r->type == PULSAR_PING && w->left-- > 0;
}

/* Nobody says that the connection is dead: a PING without an answer does. */
static void test_half_open(void **state UNUSED)
{
	struct world *w = world_open(mute, NULL);

	w->left = 1;
	w->p->quiet_ms = w->p->pong_ms = 200; /* nothing is connected yet */
	put(w, 1, 0, NULL);
	struct pulsar_reader *r = open_at(w, &PULSAR_EARLIEST);
	expect_entries(w, r, 1, 0, 1);
	struct deadline d = deadline_in(WAIT_MS);
	while (pulsar_broker_accepted(w->a) < 2 && !deadline_passed(d)) {
		struct err e = ERR_INIT;
		struct pulsar_msg *m;
		assert_int_not_equal(
			pulsar_reader_next(r, deadline_in(100), &w->stop, &m, &e), ERR_OK);
	}
	put(w, 1, 1, NULL);
	expect_entries(w, r, 1, 1, 2);
	pulsar_reader_close(r);
	world_free(w);
}

static bool challenge(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct world *w = arg;
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
	struct world *w = world_new(challenge, NULL);
	char file[] = "/tmp/cdc-token-XXXXXX";
	int fd = mkstemp(file);

	assert_true(fd >= 0 && write(fd, "old token", 9) == 9);
	close(fd);
	CLEANUP(freep) char *params = xasprintf("file://%s", file);
	w->arg = file;
	w->auth_params = params;
	world_connect(w);
	put(w, 1, 0, NULL);
	struct pulsar_reader *r = open_at(w, &PULSAR_EARLIEST);
	expect_entries(w, r, 1, 0, 1);
	struct deadline d = deadline_in(WAIT_MS);
	while (!pulsar_broker_received(w->a, PULSAR_CHALLENGE_ANSWER) && !deadline_passed(d))
		expect_end(w, r);
	put(w, 1, 1, NULL);
	expect_entries(w, r, 1, 1, 2);
	pulsar_reader_close(r);
	assert_int_equal(pulsar_broker_accepted(w->a), 1);
	assert_string_equal(w->told, "new token");
	unlink(file);
	world_free(w);
}

static bool take_away(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct world *w = arg;

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
	struct world *w = world_open(take_away, NULL);

	put(w, 1, 0, NULL);
	put(w, 1, 1, NULL);
	put(w, 2, 0, NULL);
	w->left = 5;
	struct pulsar_reader *r = open_at(w, &(const struct pulsar_id){1, 1, -1, -1});
	expect(w, r, "m1-1");
	expect(w, r, "m2-0");
	expect_end(w, r);
	assert_int_equal(pulsar_broker_accepted(w->a), 1);
	pulsar_reader_close(r);
	world_free(w);
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
	struct world *w = world_open(never_give, NULL);
	struct deadline d = deadline_in(700);
	struct err e = ERR_INIT;
	struct pulsar_msg *m;

	put(w, 1, 0, NULL);
	struct pulsar_reader *r = open_at(w, &PULSAR_EARLIEST);
	assert_int_equal(pulsar_reader_next(r, d, &w->stop, &m, &e), ERR_UNAVAILABLE);
	assert_non_null(strstr(e.text, "gives the topic away"));
	assert_in_range(pulsar_broker_received(w->a, PULSAR_SUBSCRIBE), 3, 8);
	pulsar_reader_close(r);
	world_free(w);
}

/* ---- entries ---- */

/* What comes without permits and beyond the queue is dropped with the subscription, and fetched
 * again. */
static void test_more_than_asked_for(void **state UNUSED)
{
	enum { BYTES = 1 << 20, N = 24 };
	struct world *w = world_open(NULL, &(const struct broker_script){.greedy = true});
	uint8_t *body = xcalloc(1, BYTES);

	for (int i = 0; i < N; i++) {
		body[0] = (uint8_t)i;
		pulsar_broker_put(w->a, (struct pulsar_id){1, (uint64_t)i, -1, -1},
			&(const struct pulsar_make){.sequence = 0}, slice_of(body, BYTES));
	}
	struct pulsar_reader *r = open_at(w, &PULSAR_EARLIEST);
	for (int i = 0; i < N; i++) {
		struct err e = ERR_INIT;
		struct pulsar_msg *m;
		if (next(w, r, &m, &e))
			fail_msg("message %d: %s", i, e.text);
		assert_int_equal(m->payload.n, BYTES);
		assert_int_equal(m->payload.p[0], i);
		pulsar_msg_free(m);
	}
	expect_end(w, r);
	mutex_lock(&w->p->loop.mtx);
	assert_int_equal(w->p->queued, 0);
	mutex_unlock(&w->p->loop.mtx);
	pulsar_reader_close(r);
	free(body);
	world_free(w);
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
	struct world *w = arg;

	if (r->type != PULSAR_FLOW || w->left == 0)
		return false;
	w->left--;
	send_damaged(c, r);
	return true;
}

static void test_wrong_checksum(void **state UNUSED)
{
	struct world *w = world_open(damage, NULL);

	for (uint64_t i = 0; i < 3; i++)
		put(w, 1, i, NULL);
	/* of the way: it is fetched again */
	w->left = 3;
	struct pulsar_reader *r = open_at(w, &(const struct pulsar_id){1, 1, -1, -1});
	expect_entries(w, r, 1, 1, 3);
	pulsar_reader_close(r);
	/* of the entry itself */
	w->left = 100;
	r = open_at(w, &PULSAR_EARLIEST);
	expect_failure(w, r, ERR_MALFORMED, "message 1:1: the checksum is");
	pulsar_reader_close(r);
	world_free(w);
}

static bool too_big(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct world *w = arg;
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
	struct world *w =
		world_new(too_big, &(const struct broker_script){.max_message_bytes = 64 << 10});
	CLEANUP(freep) uint8_t *zeros = xcalloc(1, 1 << 20);

	w->most = 64 << 10;
	w->arg = zeros;
	world_connect(w);
	put(w, 1, 0, NULL);
	struct pulsar_reader *other = open_at(w, &PULSAR_EARLIEST);
	expect_entries(w, other, 1, 0, 1);
	w->left = 1; /* both brokers and readers are idle */
	struct pulsar_reader *r = open_at(w, &PULSAR_EARLIEST);
	expect_failure(w, r, ERR_LIMIT, "message 1:0: a frame of 1048");
	put(w, 1, 1, NULL);
	expect_entries(w, other, 1, 1, 2);
	pulsar_reader_close(r);
	pulsar_reader_close(other);
	assert_int_equal(pulsar_broker_accepted(w->a), 1);
	world_free(w);
}

static void test_pieces_and_a_lost_piece(void **state UNUSED)
{
	struct world *w = world_open(NULL, NULL);
	struct pulsar_make piece = {.uuid = "u-1", .chunks = 3, .chunked = 12};

	put(w, 1, 0, &piece); /* m1-0 */
	piece.chunk = 2;
	put(w, 1, 1, &piece); /* the second one is lost */
	put(w, 1, 2, NULL);
	piece = (struct pulsar_make){.uuid = "u-2", .chunks = 2, .chunked = 8};
	put(w, 2, 0, &piece);
	put(w, 2, 1, NULL);
	piece.chunk = 1;
	put(w, 3, 0, &piece);
	struct pulsar_reader *r = open_at(w, &PULSAR_EARLIEST);
	expect(w, r, "m1-2");
	expect(w, r, "m2-0m3-0");
	expect(w, r, "m2-1");
	expect_end(w, r);
	pulsar_reader_close(r);
	world_free(w);
}

static void test_every_compression(void **state UNUSED)
{
	struct world *w = world_open(NULL, NULL);

	for (int c = 0; c < PULSAR_COMPRESSIONS; c++)
		put(w, 1, (uint64_t)c, &(const struct pulsar_make){.compression = c});
	struct pulsar_reader *r = open_at(w, &PULSAR_EARLIEST);
	expect_entries(w, r, 1, 0, PULSAR_COMPRESSIONS);
	pulsar_reader_close(r);
	world_free(w);
}

/* ---- retention ---- */

/* As slow as it would be with a far reader: only so many entries come for now. */
static bool few_permits(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct world *w = arg;

	if (r->type != PULSAR_FLOW || w->left == 0)
		return false;
	struct broker_request few = *r;
	few.permits = MIN(r->permits, (uint32_t)w->left);
	w->left -= (int)few.permits;
	broker_serve(c, &few);
	return true;
}

/* The broker moves a reader that is behind silently on when it trims below it. */
static void test_trimmed_below_a_reader_that_lags(void **state UNUSED)
{
	for (int trims = 0; trims < 2; trims++) {
		struct world *w = world_open(few_permits, NULL);
		w->left = 2;
		for (uint64_t ledger = 1; ledger <= 3; ledger++)
			for (uint64_t i = 0; i < 3; i++)
				put(w, ledger, i, NULL);
		struct pulsar_reader *r = open_at(w, &PULSAR_EARLIEST);
		expect_entries(w, r, 1, 0, 2);
		if (trims)
			pulsar_broker_trim(w->a, 3);
		pulsar_broker_permit(w->a, 100);
		if (trims) {
			expect_failure(w, r, ERR_GONE,
				"position behind 1:1 of topic persistent://public/default/t is "
				"older than the broker keeps: first available 3:0");
		} else {
			expect_entries(w, r, 1, 2, 3);
			expect_entries(w, r, 2, 0, 3);
			expect_entries(w, r, 3, 0, 3);
			expect_end(w, r);
		}
		pulsar_reader_close(r);
		world_free(w);
	}
}

static bool cut_when_told(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct world *w = arg;

	if (r->type != PULSAR_PING || !__atomic_exchange_n(&w->flag, false, __ATOMIC_SEQ_CST))
		return false;
	broker_cut(c);
	return true;
}

/* All is trimmed, and the reader waits behind it for longer than its start was believed: what it has
 * seen meanwhile counts. */
static void test_waiting_behind_a_trimmed_message(void **state UNUSED)
{
	const int64_t hour_ms = 3600 * 1000;
	struct world *w = world_open(cut_when_told, NULL);
	const struct pulsar_start at = {{1, 0, 0, 1}, time_wall_ms() - hour_ms};
	struct pulsar_reader *r;
	struct err e = ERR_INIT;

	w->p->quiet_ms = 100;
	put(w, 1, 0, NULL);
	pulsar_broker_trim(w->a, 2);
	assert_int_equal(pulsar_reader_open(w->p, "t", &at, &w->stop, &r, &e), ERR_GONE);
	assert_non_null(strstr(e.text, "position behind 1:0"));
	err_clear(&e);
	w->p->calm_ms = 2 * hour_ms;
	assert_int_equal(pulsar_reader_open(w->p, "t", &at, &w->stop, &r, &e), ERR_OK);
	expect_end(w, r);
	w->p->calm_ms = hour_ms / 2;
	__atomic_store_n(&w->flag, true, __ATOMIC_SEQ_CST); /* PINGs come meanwhile */
	struct deadline d = deadline_in(WAIT_MS);
	while (pulsar_broker_received(w->a, PULSAR_SUBSCRIBE) < 3 && !deadline_passed(d)) {
		struct pulsar_msg *m;
		err_clear(&e);
		assert_int_not_equal(
			pulsar_reader_next(r, deadline_in(50), &w->stop, &m, &e), ERR_OK);
	}
	put(w, 2, 0, NULL);
	expect(w, r, "m2-0");
	expect_end(w, r);
	pulsar_reader_close(r);
	world_free(w);
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
		cmocka_unit_test(test_trimmed_below_a_reader_that_lags),
		cmocka_unit_test(test_waiting_behind_a_trimmed_message),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
