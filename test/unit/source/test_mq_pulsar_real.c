/* The Pulsar source on a real broker: CDC_TEST_PULSAR (host:port) and CDC_TEST_PULSAR_WEB; without
 * them nothing is tested. CDC_TEST_PULSAR_RESTART names a file whose making restarts the broker; it
 * goes when the broker is back.
 * test/e2e/test_mq_pulsar.py starts it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "client/pulsar/inflate.h"
#include "source/mq_pulsar.h"
#include "support/pulsar_peer.h"

enum { WAIT_MS = 60000, QUIET_MS = 300, TOPIC_BYTES = 128, BIG = 4 << 20 };

struct world {
	struct mq *mq;
	struct stop stop;
	char topic[TOPIC_BYTES / 2], full[TOPIC_BYTES];
};

static int setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));
	CLEANUP(freep) char *url = xasprintf("pulsar://%s", getenv("CDC_TEST_PULSAR"));
	struct pulsar_opts o = {.url = url, .max_message_bytes = 5 << 20};
	char id[33];

	str_random_id(id);
	snprintf(w->topic, sizeof(w->topic), "t-%s", id);
	snprintf(w->full, sizeof(w->full), "persistent://public/default/%s", w->topic);
	stop_init(&w->stop, NULL);
	struct err e = ERR_INIT;
	assert_int_equal(mq_pulsar_new(&o, &w->mq, &e), ERR_OK);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	w->mq->ops->free(w->mq);
	stop_done(&w->stop);
	free(w);
	return 0;
}

static struct mq_reader *open_from(struct world *w, const char *topic, const struct mq_start *from)
{
	struct mq_reader *r = NULL;
	struct err e = ERR_INIT;

	if (w->mq->ops->open(w->mq, topic, from, &w->stop, &r, &e))
		fail_msg("open: %s", e.text);
	return r;
}

static struct mq_reader *open_at(struct world *w, const char *topic, const struct mq_id *id)
{
	return open_from(w, topic, &(const struct mq_start){.id = *id});
}

static struct mq_msg *next_within(struct world *w, struct mq_reader *r, int64_t ms)
{
	struct deadline d = deadline_in(ms);

	for (;;) {
		struct mq_msg *m = NULL;
		struct err e = ERR_INIT;
		enum err_code code = w->mq->ops->next(r, d, &w->stop, &m, &e);
		if (!code)
			return m;
		if (code != ERR_UNAVAILABLE && code != ERR_BUSY && code != ERR_TIMEOUT)
			fail_msg("next: %s", e.text);
		if (deadline_passed(d))
			return NULL;
		stop_sleep(&w->stop, 50);
	}
}

static void expect_text(struct world *w, struct mq_reader *r, const char *text)
{
	struct mq_msg *m = next_within(w, r, WAIT_MS);

	assert_non_null(m);
	if (!slice_eq_str(m->payload, text))
		fail_msg("%.*s, not %s", (int)MIN(m->payload.n, 100U), (const char *)m->payload.p,
			text);
	mq_msg_free(m);
}

static void expect_nothing(struct world *w, struct mq_reader *r)
{
	struct mq_msg *m = next_within(w, r, QUIET_MS);

	if (m)
		fail_msg("%.*s, not nothing", (int)MIN(m->payload.n, 100U),
			(const char *)m->payload.p);
}

static struct pulsar_id send_text(struct pulsar_peer *p, const char *text)
{
	return pulsar_peer_send(
		p, &(const struct pulsar_make){.compression = PULSAR_ZSTD}, slice_str(text));
}

static const struct mq_id no_id = {.n = 0};

static struct mq_id bytes_of(const struct pulsar_id *id)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(MQ_ID_BYTES);
	struct mq_id to;

	pulsar_id_put(&b, id);
	assert_int_equal(mq_id_set(&to, buf_slice(&b), &(struct err)ERR_INIT), ERR_OK);
	return to;
}

static enum err_code latest_of(struct world *w, const char *topic, struct mq_id *ret_id)
{
	struct err e = ERR_INIT;

	return w->mq->ops->latest(w->mq, topic, &w->stop, ret_id, &e);
}

/* ---- what a topic holds ---- */

static void test_every_compression_and_size(void **state)
{
	static const char *const properties[] = {"msg_type", "Insert", NULL};
	struct world *w = *state;
	struct pulsar_peer *p = pulsar_peer_open(NULL, w->full);
	CLEANUP(freep) uint8_t *big = xmalloc(BIG);
	struct pulsar_id sent[3 * PULSAR_COMPRESSIONS];
	const size_t sizes[] = {17, 70000, BIG};
	size_t n = 0;

	for (size_t i = 0; i < BIG; i++)
		big[i] = (uint8_t)(i * 2654435761U >> 24);
	for (int c = 0; c < PULSAR_COMPRESSIONS; c++)
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
			sent[n++] = pulsar_peer_send(p,
				&(const struct pulsar_make){
					.compression = c, .properties = properties},
				slice_of(big, sizes[i]));
	struct mq_reader *r = open_at(w, w->topic, &no_id);
	for (size_t i = 0; i < n; i++) {
		struct mq_msg *m = next_within(w, r, WAIT_MS);
		assert_non_null(m);
		sent[i].partition = sent[i].batch = 0;
		struct mq_id id = bytes_of(&sent[i]);
		assert_true(slice_eq(mq_id_slice(&m->id), mq_id_slice(&id)));
		assert_true(slice_eq(m->payload, slice_of(big, sizes[i % ARRAY_LEN(sizes)])));
		assert_true(slice_eq_str(w->mq->ops->property(m, "msg_type"), "Insert"));
		assert_int_equal(m->more, i + 1 < n);
		mq_msg_free(m);
	}
	expect_nothing(w, r);
	w->mq->ops->close(r);
	pulsar_peer_close(p);
}

static void test_batches_and_pieces(void **state)
{
	struct world *w = *state;
	struct pulsar_peer *p = pulsar_peer_open(NULL, w->full);
	CLEANUP(buf_done) struct buf batch = BUF_INIT(4096);
	struct pulsar_make piece = {.uuid = "u-1", .chunks = 2, .chunked = 6};

	pulsar_make_single(&batch, slice_str("a0"), NULL);
	pulsar_make_single(&batch, slice_str("a1"), NULL);
	struct pulsar_id id = pulsar_peer_send(p,
		&(const struct pulsar_make){.batch = 2, .compression = PULSAR_LZ4},
		buf_slice(&batch));
	struct mq_id behind;
	assert_int_equal(latest_of(w, w->topic, &behind), ERR_OK);
	struct pulsar_id begin = pulsar_peer_send(p, &piece, slice_str("abc"));
	struct mq_id first_piece = bytes_of(&begin);
	send_text(p, "between");
	piece.chunk = 1;
	pulsar_peer_send(p, &piece, slice_str("def"));
	struct mq_reader *r = open_at(w, w->topic, &no_id);
	expect_text(w, r, "a0");
	expect_text(w, r, "a1");
	expect_text(w, r, "abcdef");
	expect_text(w, r, "between");
	w->mq->ops->close(r);
	/* Behind the message in pieces, which has its first piece's id, is behind them all. */
	r = open_from(w, w->topic, &(const struct mq_start){.id = first_piece, .after = true});
	expect_text(w, r, "between");
	expect_nothing(w, r);
	w->mq->ops->close(r);
	id.batch = 1;
	struct mq_id second = bytes_of(&id);
	r = open_at(w, w->topic, &second);
	expect_text(w, r, "a1");
	w->mq->ops->close(r);
	r = open_at(w, w->topic, &behind);
	expect_text(w, r, "abcdef");
	w->mq->ops->close(r);
	pulsar_peer_close(p);
}

/* A broker counts a batch by its messages; many more than it may send ahead. */
static void test_big_batches(void **state)
{
	enum { BATCHES = 40, N = 600 };
	struct world *w = *state;
	struct pulsar_peer *p = pulsar_peer_open(NULL, w->full);
	CLEANUP(buf_done) struct buf batch = BUF_INIT(64 << 10);
	char text[16];

	for (int i = 0; i < N; i++) {
		snprintf(text, sizeof(text), "b%d", i);
		pulsar_make_single(&batch, slice_str(text), NULL);
	}
	for (int i = 0; i < BATCHES; i++)
		pulsar_peer_send(p, &(const struct pulsar_make){.batch = N}, buf_slice(&batch));
	struct mq_reader *r = open_at(w, w->topic, &no_id);
	for (int i = 0; i < BATCHES * N; i++) {
		snprintf(text, sizeof(text), "b%d", i % N);
		expect_text(w, r, text);
	}
	expect_nothing(w, r);
	w->mq->ops->close(r);
	pulsar_peer_close(p);
}

static void read_numbers(struct world *w, struct mq_reader *r, int from, int to)
{
	char text[32];

	for (int i = from; i < to; i++) {
		snprintf(text, sizeof(text), "n%d", i);
		expect_text(w, r, text);
	}
}

static void send_numbers(struct world *w, int from, int to)
{
	struct pulsar_peer *p = pulsar_peer_open(NULL, w->full);
	char text[32];

	for (int i = from; i < to; i++) {
		snprintf(text, sizeof(text), "n%d", i);
		send_text(p, text);
	}
	pulsar_peer_close(p);
}

/* ---- positions ---- */

static void test_starts_are_inclusive(void **state)
{
	struct world *w = *state;
	struct pulsar_peer *p = pulsar_peer_open(NULL, w->full);
	struct pulsar_id ids[3];
	struct mq_id latest;

	/* of an empty topic: from its first message on */
	assert_int_equal(latest_of(w, w->topic, &latest), ERR_OK);
	for (int i = 0; i < 3; i++)
		ids[i] = send_text(p, (const char *[]){"m0", "m1", "m2"}[i]);
	struct mq_reader *r = open_at(w, w->topic, &latest);
	expect_text(w, r, "m0");
	w->mq->ops->close(r);
	ids[1].partition = 0; /* the reference's bytes; bare ones mean the same */
	for (int batch = -1; batch <= 0; batch++) {
		ids[1].batch = batch;
		struct mq_id from = bytes_of(&ids[1]);
		r = open_at(w, w->topic, &from);
		expect_text(w, r, "m1");
		expect_text(w, r, "m2");
		w->mq->ops->close(r);
	}
	assert_int_equal(latest_of(w, w->topic, &latest), ERR_OK);
	r = open_at(w, w->topic, &latest);
	expect_nothing(w, r);
	send_text(p, "m3");
	expect_text(w, r, "m3");
	w->mq->ops->close(r);
	/* the same after the ledger was changed */
	pulsar_peer_close(p);
	CLEANUP(freep) char *unload = xasprintf("persistent/public/default/%s/unload", w->topic);
	assert_int_equal(pulsar_admin("PUT", unload, NULL), 204);
	r = open_at(w, w->topic, &latest);
	expect_text(w, r, "m3");
	p = pulsar_peer_open(NULL, w->full);
	send_text(p, "m4");
	expect_text(w, r, "m4");
	w->mq->ops->close(r);
	pulsar_peer_close(p);
}

static void expect_start_refused(struct world *w, const char *topic, const struct mq_start *from,
	enum err_code code, const char *text)
{
	struct mq_reader *r = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(w->mq->ops->open(w->mq, topic, from, &w->stop, &r, &e), code);
	print_message("%s\n", e.text);
	assert_non_null(strstr(e.text, text));
}

static void expect_refused(struct world *w, const char *topic, const struct mq_id *from,
	enum err_code code, const char *text)
{
	expect_start_refused(w, topic, &(const struct mq_start){.id = *from}, code, text);
}

static void test_topics_that_can_not_be_read(void **state)
{
	struct world *w = *state;
	struct mq_id id, kafka = {.n = 8, .b = {0x5d}};
	CLEANUP(freep)
	char *path = xasprintf("persistent/public/default/%s/partitions", w->topic);

	expect_refused(w, w->topic, &no_id, ERR_NOT_FOUND, w->topic);
	assert_int_equal(latest_of(w, w->topic, &id), ERR_NOT_FOUND);
	expect_refused(w, w->topic, &kafka, ERR_INVALID, "Kafka");
	assert_int_equal(pulsar_admin("PUT", path, "3"), 204);
	expect_refused(w, w->topic, &no_id, ERR_UNSUPPORTED, "3 partitions");
}

/* A topic of a namespace that keeps nothing nobody has a subscription for. */
struct trimmed {
	char full[TOPIC_BYTES], path[TOPIC_BYTES];
};

static void trimmed_init(struct world *w, struct trimmed *t)
{
	snprintf(t->full, sizeof(t->full), "persistent://public/trim/%s", w->topic);
	snprintf(t->path, sizeof(t->path), "persistent/public/trim/%s", w->topic);
	pulsar_admin("PUT", "namespaces/public/trim",
		"{\"retention_policies\":{\"retentionTimeInMinutes\":0,\"retentionSizeInMB\":0}}");
}

static struct pulsar_id trimmed_send(struct trimmed *t, const char *text)
{
	struct pulsar_peer *p = pulsar_peer_open(NULL, t->full);
	struct pulsar_id id = send_text(p, text);

	pulsar_peer_close(p);
	return id;
}

/* Ends the ledger; the next message goes to a new one. */
static void trimmed_unload(struct trimmed *t)
{
	CLEANUP(freep) char *unload = xasprintf("%s/unload", t->path);

	assert_int_equal(pulsar_admin("PUT", unload, NULL), 204);
}

/* Until the message with this id is gone: trimming goes on behind the answer. */
static void trimmed_trim(struct world *w, struct trimmed *t, const struct pulsar_id *id)
{
	CLEANUP(freep) char *trim = xasprintf("%s/trim", t->path);
	const struct mq_start from = {.id = bytes_of(id)};
	struct deadline d = deadline_in(WAIT_MS);

	print_message("trim: %d\n", pulsar_admin("POST", trim, NULL));
	for (enum err_code code = ERR_OK; code != ERR_GONE && !deadline_passed(d);) {
		struct mq_reader *r = NULL;
		struct err e = ERR_INIT;
		code = w->mq->ops->open(w->mq, t->full, &from, &w->stop, &r, &e);
		w->mq->ops->close(r);
		if (code != ERR_GONE)
			stop_sleep(&w->stop, 100);
	}
}

static void test_a_trimmed_position_is_gone(void **state)
{
	struct world *w = *state;
	struct trimmed t;

	trimmed_init(w, &t);
	struct pulsar_id first = trimmed_send(&t, "t0");
	trimmed_unload(&t);
	trimmed_send(&t, "t1");
	trimmed_trim(w, &t, &first);
	struct mq_id from = bytes_of(&first);
	expect_refused(w, t.full, &from, ERR_GONE, "older than the broker keeps: first available");
	first.ledger += 1000000;
	from = bytes_of(&first);
	expect_refused(w, t.full, &from, ERR_GONE, "newer than its end");
}

/* Ids do not tell whether something stood between a trimmed message and the first one kept. What is
 * known of the time before does, for a while. */
static void test_a_position_behind_a_trimmed_message(void **state)
{
	struct world *w = *state;
	struct trimmed t;
	struct mq_start from = {.after = true};

	trimmed_init(w, &t);
	struct pulsar_id first = trimmed_send(&t, "t0");
	int64_t end_ms = time_wall_ms();
	trimmed_unload(&t);
	struct pulsar_id second = trimmed_send(&t, "t1");
	trimmed_trim(w, &t, &first);
	from.id = bytes_of(&first);
	from.end_ms = end_ms;
	struct mq_reader *r = open_from(w, t.full, &from);
	expect_text(w, r, "t1");
	w->mq->ops->close(r);
	/* Nothing is known, or it was known long ago: there may have been more. */
	for (int i = 0; i < 2; i++) {
		from.end_ms = i ? end_ms - 3600 * 1000 : 0;
		expect_start_refused(w, t.full, &from, ERR_GONE, "position behind");
	}
	/* The message of a position that is still kept needs no belief. */
	from.id = bytes_of(&second);
	r = open_from(w, t.full, &from);
	expect_nothing(w, r);
	trimmed_send(&t, "t2");
	expect_text(w, r, "t2");
	w->mq->ops->close(r);
}

/* "The end" of a topic without messages is its beginning: whatever is written then is read. */
static void test_the_end_of_an_empty_topic(void **state)
{
	struct world *w = *state;
	struct mq_id latest, trimmed;
	struct trimmed t;

	pulsar_peer_close(pulsar_peer_open(NULL, w->full));
	assert_int_equal(latest_of(w, w->topic, &latest), ERR_OK);
	struct mq_id earliest = bytes_of(&PULSAR_EARLIEST);
	assert_true(slice_eq(mq_id_slice(&latest), mq_id_slice(&earliest)));
	send_numbers(w, 0, 3);
	struct mq_reader *r = open_at(w, w->topic, &latest);
	read_numbers(w, r, 0, 3);
	w->mq->ops->close(r);
	/* the same where all were trimmed */
	trimmed_init(w, &t);
	struct pulsar_id id = trimmed_send(&t, "t0");
	trimmed_unload(&t);
	pulsar_peer_close(pulsar_peer_open(NULL, t.full));
	trimmed_trim(w, &t, &id);
	assert_int_equal(latest_of(w, t.full, &trimmed), ERR_OK);
	trimmed_send(&t, "t1");
	r = open_at(w, t.full, &trimmed);
	expect_text(w, r, "t1");
	expect_nothing(w, r);
	w->mq->ops->close(r);
}

/* ---- faults ---- */

static void test_unloads_lose_and_double_nothing(void **state)
{
	struct world *w = *state;
	CLEANUP(freep) char *unload = xasprintf("persistent/public/default/%s/unload", w->topic);

	send_numbers(w, 0, 300);
	struct mq_reader *r = open_at(w, w->topic, &no_id);
	read_numbers(w, r, 0, 10);
	assert_int_equal(pulsar_admin("PUT", unload, NULL), 204);
	read_numbers(w, r, 10, 300);
	assert_int_equal(pulsar_admin("PUT", unload, NULL), 204);
	send_numbers(w, 300, 400);
	read_numbers(w, r, 300, 400);
	expect_nothing(w, r);
	w->mq->ops->close(r);
}

static void test_restart_loses_and_doubles_nothing(void **state)
{
	struct world *w = *state;
	const char *flag = getenv("CDC_TEST_PULSAR_RESTART");

	if (!flag)
		skip();
	send_numbers(w, 0, 200);
	struct mq_reader *r = open_at(w, w->topic, &no_id);
	read_numbers(w, r, 0, 100);
	FILE *f = fopen(flag, "w");
	assert_non_null(f);
	fclose(f);
	/* until it is gone */
	struct deadline d = deadline_in(2 * WAIT_MS);
	enum err_code code = ERR_OK;
	int i = 100;
	while (code != ERR_UNAVAILABLE && !deadline_passed(d)) {
		struct mq_msg *m = NULL;
		struct err e = ERR_INIT;
		code = w->mq->ops->next(r, deadline_in(1000), &w->stop, &m, &e);
		if (!code) {
			char text[32];
			snprintf(text, sizeof(text), "n%d", i++);
			assert_true(slice_eq_str(m->payload, text));
			mq_msg_free(m);
		}
	}
	assert_int_equal(code, ERR_UNAVAILABLE);
	while (access(flag, F_OK) == 0 && !deadline_passed(d))
		stop_sleep(&w->stop, 50);
	send_numbers(w, 200, 300);
	read_numbers(w, r, i, 300);
	expect_nothing(w, r);
	w->mq->ops->close(r);
}

static void expect_body(struct world *w, struct mq_reader *r, int first, size_t n)
{
	struct mq_msg *m = next_within(w, r, WAIT_MS);

	assert_non_null(m);
	assert_int_equal(m->payload.n, n);
	assert_int_equal(m->payload.p[0], first);
	mq_msg_free(m);
}

/* Messages of 100 KiB, far more than are sent ahead, expire behind the reader's back: the broker goes on
 * with the first that did not, and still has them all. */
static void test_expired_below_a_reader_that_lags(void **state)
{
	enum { BYTES = 100 << 10, N = 120 };
	struct world *w = *state;
	struct pulsar_peer *p = pulsar_peer_open(NULL, w->full);
	CLEANUP(freep)
	char *path = xasprintf(
		"persistent/public/default/%s/all_subscription/expireMessages/1", w->topic);
	CLEANUP(freep) uint8_t *body = xcalloc(1, BYTES);

	struct mq_reader *r = NULL;
	for (int i = 0; i < N; i++) {
		if (i == N - 1) {
			r = open_at(w, w->topic, &no_id);
			expect_body(w, r, 0, BYTES);
			stop_sleep(&w->stop, 2000); /* the others are older than a second then */
			assert_int_equal(pulsar_admin("POST", path, NULL), 204);
			stop_sleep(&w->stop, 500);
		}
		body[0] = (uint8_t)i;
		pulsar_peer_send(
			p, &(const struct pulsar_make){.sequence = 0}, slice_of(body, BYTES));
	}
	for (int i = 1; i < N; i++)
		expect_body(w, r, i, BYTES);
	expect_nothing(w, r);
	w->mq->ops->close(r);
	pulsar_peer_close(p);
}

/* Only the broker's word makes an end. */
static void test_the_end_is_asked_for(void **state)
{
	struct world *w = *state;
	struct deadline d = deadline_in(WAIT_MS);
	int64_t age_ms = -1;

	send_numbers(w, 0, 3);
	struct mq_reader *r = open_at(w, w->topic, &no_id);
	read_numbers(w, r, 0, 2);
	assert_int_equal(w->mq->ops->end_age_ms(r), -1);
	read_numbers(w, r, 2, 3);
	while (age_ms < 0 && !deadline_passed(d)) {
		expect_nothing(w, r);
		age_ms = w->mq->ops->end_age_ms(r);
	}
	assert_in_range(age_ms, 0, WAIT_MS);
	w->mq->ops->close(r);
}

/* ---- many topics ---- */

static int entries_of(const char *folder)
{
	DIR *d = opendir(folder);
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* All topics of a broker share one connection and one thread. */
static void test_many_topics(void **state)
{
	enum { TOPICS = 256 };
	struct world *w = *state;
	int threads = entries_of("/proc/self/task"), fds = entries_of("/proc/self/fd");
	struct mq_reader *readers[TOPICS];
	char name[TOPIC_BYTES], path[2 * TOPIC_BYTES];

	for (int i = 0; i < TOPICS; i++) {
		snprintf(name, sizeof(name), "%s-%d", w->topic, i);
		snprintf(path, sizeof(path), "persistent/public/default/%s", name);
		assert_int_equal(pulsar_admin("PUT", path, NULL), 204);
		readers[i] = open_at(w, name, &no_id);
	}
	for (int i = 0; i < TOPICS; i += TOPICS - 1) {
		snprintf(
			w->full, sizeof(w->full), "persistent://public/default/%s-%d", w->topic, i);
		send_numbers(w, i, i + 3);
		read_numbers(w, readers[i], i, i + 3);
	}
	assert_true(entries_of("/proc/self/task") <= threads);
	assert_true(entries_of("/proc/self/fd") <= fds + 2);
	for (int i = 0; i < TOPICS; i++)
		w->mq->ops->close(readers[i]);
}

static void test_unreachable(void **state)
{
	struct world *w = *state;
	struct pulsar_opts o = {.url = "pulsar://127.0.0.1:1", .max_message_bytes = 1 << 20};
	struct err e = ERR_INIT;
	struct mq *mq;

	assert_int_equal(w->mq->ops->check(w->mq, &w->stop, &e), ERR_OK);
	assert_int_equal(mq_pulsar_new(&o, &mq, &e), ERR_OK);
	assert_int_equal(mq->ops->check(mq, &w->stop, &e), ERR_UNAVAILABLE);
	assert_non_null(strstr(e.text, "refused"));
	mq->ops->free(mq);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_every_compression_and_size),
		T(test_batches_and_pieces),
		T(test_big_batches),
		T(test_starts_are_inclusive),
		T(test_topics_that_can_not_be_read),
		T(test_a_trimmed_position_is_gone),
		T(test_a_position_behind_a_trimmed_message),
		T(test_the_end_of_an_empty_topic),
		T(test_unloads_lose_and_double_nothing),
		T(test_restart_loses_and_doubles_nothing),
		T(test_expired_below_a_reader_that_lags),
		T(test_the_end_is_asked_for),
		T(test_many_topics),
		T(test_unreachable),
	};

	if (!getenv("CDC_TEST_PULSAR")) {
		print_message("CDC_TEST_PULSAR is not set: nothing to test\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
