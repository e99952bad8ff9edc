#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "client/pulsar/crc32c.h"
#include "client/pulsar/entry.h"
#include "client/pulsar/inflate.h"
#include "client/pulsar/payload.h"
#include "support/pulsar_make.h"

enum { MOST = 16 << 20 };

static const struct pulsar_end unknown = {.seen_ms = 0};
static const char *const properties[] = {"msg_type", "Insert", "vchannel", "", NULL};

static struct pulsar_msg *entry_of(uint64_t entry, const struct pulsar_make *m, struct slice body)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(MOST);

	pulsar_make_payload(&b, m, body);
	struct pulsar_msg *msg = xcalloc(1, sizeof(*msg) + b.n);
	msg->id = (struct pulsar_id){5, entry, -1, -1};
	msg->n = b.n;
	memcpy(msg->bytes, b.p, b.n);
	msg->payload = slice_of(msg->bytes, b.n);
	list_init(&msg->link);
	return msg;
}

static enum err_code add(struct pulsar_entries *es, uint64_t entry, const struct pulsar_make *m,
	struct slice body, struct err *e)
{
	uint32_t n;

	return pulsar_entries_add(es, entry_of(entry, m, body), &PULSAR_EARLIEST, &n, e);
}

static void expect(struct pulsar_entries *es, uint64_t entry, int32_t batch, const char *text)
{
	struct pulsar_msg *m = pulsar_entries_pop(es);

	assert_non_null(m);
	assert_int_equal(m->id.entry, entry);
	assert_int_equal(m->id.batch, batch);
	assert_int_equal(m->id.partition, 0);
	assert_true(slice_eq_str(m->payload, text));
	pulsar_msg_free(m);
}

static void test_crc(void **state UNUSED)
{
	static uint8_t zeros[32];

	assert_int_equal(pulsar_crc32c(slice_str("123456789")), 0xe3069283);
	assert_int_equal(pulsar_crc32c(slice_of(zeros, sizeof(zeros))), 0x8a9136aa);
	assert_int_equal(pulsar_crc32c(slice_of(NULL, 0)), 0);
}

static void test_each_compression(void **state UNUSED)
{
	struct pulsar_entries es;
	struct err e = ERR_INIT;

	pulsar_entries_init(&es);
	for (int i = 0; i < PULSAR_COMPRESSIONS; i++) {
		struct pulsar_make m = {.compression = i, .properties = properties};
		assert_int_equal(add(&es, (uint64_t)i, &m, slice_str("hello hello hello"), &e), 0);
		struct pulsar_msg *msg = pulsar_entries_pop(&es);
		assert_true(slice_eq_str(msg->payload, "hello hello hello"));
		assert_true(slice_eq_str(
			pulsar_property(msg->meta, msg->properties, "msg_type"), "Insert"));
		struct slice empty = pulsar_property(msg->meta, msg->properties, "vchannel");
		assert_true(empty.p && !empty.n);
		assert_null(pulsar_property(msg->meta, msg->properties, "other").p);
		pulsar_msg_free(msg);
	}
	pulsar_entries_done(&es);
}

static void test_forms(void **state UNUSED)
{
	const struct pulsar_make forms[] = {
		{.broker_metadata = true}, {.no_checksum = true}, {.null_value = true}};
	struct pulsar_entries es;
	struct err e = ERR_INIT;

	pulsar_entries_init(&es);
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		assert_int_equal(add(&es, i, &forms[i], slice_str("x"), &e), ERR_OK);
		expect(&es, i, 0, forms[i].null_value ? "" : "x");
	}
	pulsar_entries_done(&es);
}

static void test_refused(void **state UNUSED)
{
	const struct {
		struct pulsar_make m;
		enum err_code code;
		const char *text;
	} cases[] = {{{.damaged = true}, ERR_MALFORMED, "checksum"},
		{{.encrypted = true}, ERR_UNSUPPORTED, "encrypted"},
		{{.compression = 9}, ERR_UNSUPPORTED, "compression 9"},
		{{.compression = PULSAR_ZSTD, .inflated = 1U << 30}, ERR_LIMIT, "at most"},
		{{.compression = PULSAR_ZSTD, .inflated = 7}, ERR_MALFORMED, "ZSTD"},
		{{.compression = PULSAR_LZ4, .inflated = 3}, ERR_MALFORMED, "LZ4"},
		{{.compression = PULSAR_ZLIB, .inflated = 7}, ERR_MALFORMED, "ZLIB"},
		{{.compression = PULSAR_SNAPPY, .inflated = 7}, ERR_MALFORMED, "SNAPPY"},
		{{.batch = 2}, ERR_MALFORMED, "cut short"},
		{{.batch = 100}, ERR_MALFORMED, "a batch of 100"}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct pulsar_entries es;
		struct err e = ERR_INIT;
		pulsar_entries_init(&es);
		assert_int_equal(add(&es, 1, &cases[i].m, slice_str("hello"), &e), cases[i].code);
		if (!strstr(e.text, cases[i].text))
			fail_msg("case %zu: %s", i, e.text);
		assert_null(pulsar_entries_pop(&es));
		pulsar_entries_done(&es);
	}
}

static void test_batches(void **state UNUSED)
{
	CLEANUP(buf_done) struct buf body = BUF_INIT(MOST);
	struct pulsar_entries es;
	struct err e = ERR_INIT;
	uint32_t n = 0;

	pulsar_make_single(&body, slice_str("a"), properties);
	pulsar_make_single(&body, slice_str(""), NULL);
	pulsar_make_single(&body, slice_str("ccc"), NULL);
	pulsar_entries_init(&es);
	for (int i = 0; i < PULSAR_COMPRESSIONS; i++) {
		struct pulsar_make m = {.batch = 3, .compression = i};
		const struct pulsar_id from = {5, 1, 0, 2};
		assert_int_equal(add(&es, 1, &m, buf_slice(&body), &e), ERR_OK);
		struct pulsar_msg *msg = pulsar_entries_pop(&es);
		assert_true(slice_eq_str(
			pulsar_property(msg->meta, msg->properties, "msg_type"), "Insert"));
		pulsar_msg_free(msg);
		expect(&es, 1, 1, "");
		expect(&es, 1, 2, "ccc");
		/* from the third on */
		assert_int_equal(
			pulsar_entries_add(&es, entry_of(1, &m, buf_slice(&body)), &from, &n, &e),
			ERR_OK);
		assert_int_equal(n, 3);
		expect(&es, 1, 2, "ccc");
		assert_true(pulsar_entries_empty(&es));
	}
	pulsar_entries_done(&es);
}

/* All of a batch or nothing: what is damaged in the middle comes again. */
static void test_half_a_batch(void **state UNUSED)
{
	for (int i = 0; i < PULSAR_COMPRESSIONS; i++) {
		CLEANUP(buf_done) struct buf body = BUF_INIT(MOST);
		const struct pulsar_make m = {.batch = 3, .compression = i};
		struct pulsar_entries es;
		struct err e = ERR_INIT;
		pulsar_make_single(&body, slice_str("a"), NULL);
		pulsar_make_single(&body, slice_str("b"), NULL);
		pulsar_entries_init(&es);
		assert_int_equal(add(&es, 1, &m, buf_slice(&body), &e), ERR_MALFORMED);
		assert_true(pulsar_entries_empty(&es) && es.held == 0);
		pulsar_make_single(&body, slice_str("c"), NULL);
		assert_int_equal(add(&es, 1, &m, buf_slice(&body), &e), ERR_OK);
		expect(&es, 1, 0, "a");
		expect(&es, 1, 1, "b");
		expect(&es, 1, 2, "c");
		assert_true(pulsar_entries_empty(&es) && es.held == 0);
		pulsar_entries_done(&es);
	}
}

/* Milvus writes these. */
static void test_batches_of_one(void **state UNUSED)
{
	CLEANUP(buf_done) struct buf body = BUF_INIT(MOST);
	const struct pulsar_id behind = {5, 1, 0, 1};
	struct pulsar_entries es;
	uint32_t n = 0;

	pulsar_make_single(&body, slice_str("alone"), properties);
	pulsar_entries_init(&es);
	for (int i = 0; i < PULSAR_COMPRESSIONS; i++) {
		struct pulsar_make m = {.batch = 1, .compression = i};
		struct err e = ERR_INIT;
		assert_int_equal(add(&es, 1, &m, buf_slice(&body), &e), ERR_OK);
		struct pulsar_msg *msg = pulsar_entries_pop(&es);
		assert_true(slice_eq_str(msg->payload, "alone") && msg->id.batch == 0);
		assert_true(slice_eq_str(
			pulsar_property(msg->meta, msg->properties, "msg_type"), "Insert"));
		pulsar_msg_free(msg);
		/* behind it there is nothing */
		assert_int_equal(
			pulsar_entries_add(&es, entry_of(1, &m, buf_slice(&body)), &behind, &n, &e),
			ERR_OK);
		assert_true(pulsar_entries_empty(&es) && n == 1);
		/* and one that lies of its size */
		assert_int_equal(add(&es, 1, &m, slice_of(body.p, body.n - 1), &e), ERR_MALFORMED);
		assert_true(pulsar_entries_empty(&es));
	}
	pulsar_entries_done(&es);
}

/* The message stands where its first piece stands; what comes between waits. */
static void test_pieces(void **state UNUSED)
{
	for (int i = 0; i < PULSAR_COMPRESSIONS; i++) {
		CLEANUP(buf_done) struct buf whole = BUF_INIT(MOST);
		struct pulsar_entries es;
		struct err e = ERR_INIT;
		struct pulsar_make m = {.compression = i, .uuid = "u", .chunks = 2, .inflated = 12};
		pulsar_make_compressed(&whole, i, slice_str("hello, world"));
		m.chunked = whole.n;
		pulsar_entries_init(&es);
		assert_int_equal(add(&es, 1, &m, slice_of(whole.p, 4), &e), ERR_OK);
		assert_int_equal(
			add(&es, 2, &(struct pulsar_make){.sequence = 1}, slice_str("b"), &e), 0);
		assert_null(pulsar_entries_pop(&es));
		assert_int_equal(add(&es, 3, &m, slice_of(whole.p, 4), &e), ERR_OK); /* again */
		m.chunk = 1;
		assert_int_equal(add(&es, 4, &m, slice_of(whole.p + 4, whole.n - 4), &e), ERR_OK);
		expect(&es, 1, 0, "hello, world");
		expect(&es, 2, 0, "b");
		assert_int_equal(es.held, 0);
		pulsar_entries_done(&es);
	}
}

/* What came of it is left out, what waited behind it goes on. */
static void test_a_lost_piece(void **state UNUSED)
{
	struct pulsar_entries es;
	struct pulsar_id id;
	struct err e = ERR_INIT;
	struct pulsar_make m = {.uuid = "u", .chunks = 3, .chunked = 9};

	pulsar_entries_init(&es);
	assert_int_equal(add(&es, 1, &m, slice_str("abc"), &e), ERR_OK);
	assert_int_equal(add(&es, 2, &(struct pulsar_make){.sequence = 1}, slice_str("b"), &e), 0);
	assert_false(pulsar_entries_give_up(&es, &unknown, &id));
	m.chunk = 2;
	assert_int_equal(add(&es, 3, &m, slice_str("ghi"), &e), ERR_OK);
	assert_true(pulsar_entries_give_up(&es, &unknown, &id));
	assert_int_equal(id.entry, 1);
	expect(&es, 2, 0, "b");
	/* one whose beginning is not read at all */
	m.uuid = "v";
	assert_int_equal(add(&es, 4, &m, slice_str("ghi"), &e), ERR_OK);
	assert_true(pulsar_entries_give_up(&es, &unknown, &id));
	assert_int_equal(id.entry, 4);
	assert_false(pulsar_entries_give_up(&es, &unknown, &id));
	assert_int_equal(es.held, 0);
	assert_true(pulsar_entries_empty(&es));
	pulsar_entries_done(&es);
}

/* Time without a piece counts only while all there is was read. */
static void test_pieces_that_never_come(void **state UNUSED)
{
	const struct pulsar_make m = {.uuid = "u", .chunks = 2, .chunked = 6};
	struct pulsar_entries es;
	struct pulsar_id id;
	struct err e = ERR_INIT;

	pulsar_entries_init(&es);
	assert_int_equal(add(&es, 1, &m, slice_str("abc"), &e), ERR_OK);
	int64_t late_ms = time_mono_ms() + PULSAR_PIECES_MS;
	struct pulsar_end end = {.begun_ms = 0, .seen_ms = late_ms - PULSAR_PIECES_MS / 2};
	assert_false(pulsar_entries_give_up(&es, &end, &id));
	end = (struct pulsar_end){.begun_ms = late_ms - 1, .seen_ms = late_ms};
	assert_false(pulsar_entries_give_up(&es, &end, &id));
	end.begun_ms = 0;
	assert_true(pulsar_entries_give_up(&es, &end, &id));
	assert_int_equal(id.entry, 1);
	assert_true(pulsar_entries_empty(&es) && es.held == 0);
	pulsar_entries_done(&es);
}

/* What they make up is no message, or not of the size they say. */
static void test_pieces_that_make_up_nothing(void **state UNUSED)
{
	for (int i = 0; i < PULSAR_COMPRESSIONS; i++) {
		struct pulsar_make m = {.compression = i,
			.uuid = "u",
			.chunks = 2,
			.chunked = i ? 6 : 7,
			.inflated = 12};
		struct pulsar_entries es;
		struct err e = ERR_INIT;
		pulsar_entries_init(&es);
		assert_int_equal(add(&es, 1, &m, slice_str("abc"), &e), ERR_OK);
		assert_int_equal(
			add(&es, 2, &(struct pulsar_make){.sequence = 1}, slice_str("b"), &e), 0);
		m.chunk = 1;
		assert_int_equal(add(&es, 3, &m, slice_str("def"), &e), ERR_MALFORMED);
		assert_non_null(strstr(e.text, "begins at 5:1"));
		assert_true(es.ruined);
		expect(&es, 2, 0, "b");
		assert_true(pulsar_entries_empty(&es) && es.held == 0);
		pulsar_entries_done(&es);
	}
}

static enum err_code add_from(struct pulsar_entries *es, uint64_t entry,
	const struct pulsar_make *m, const struct pulsar_id *from)
{
	struct err e = ERR_INIT;
	uint32_t n;

	return pulsar_entries_add(es, entry_of(entry, m, slice_str("abc")), from, &n, &e);
}

/* A message stands where its first piece stands: before the start, with all that follow. */
static void test_pieces_before_the_start(void **state UNUSED)
{
	const struct pulsar_id behind = {5, 1, 0, 1};
	struct pulsar_make m = {.uuid = "u", .chunks = 3, .chunked = 9};
	struct pulsar_make other = {.uuid = "v", .chunks = 2, .chunked = 6};
	struct pulsar_entries es;
	struct pulsar_id id;

	pulsar_entries_init(&es);
	assert_int_equal(add_from(&es, 1, &m, &behind), ERR_OK);
	assert_int_equal(add_from(&es, 2, &other, &behind), ERR_OK);
	m.chunk = 1;
	assert_int_equal(add_from(&es, 3, &m, &behind), ERR_OK);
	assert_int_equal(add_from(&es, 4, &m, &behind), ERR_OK);
	other.chunk = 1;
	assert_int_equal(add_from(&es, 5, &other, &behind), ERR_OK);
	m.chunk = 2;
	assert_int_equal(add_from(&es, 6, &m, &behind), ERR_OK);
	assert_false(pulsar_entries_give_up(&es, &unknown, &id));
	expect(&es, 2, 0, "abcabc");
	/* the producer sends all of it again */
	for (m.chunk = 0; m.chunk < 3; m.chunk++)
		assert_int_equal(add_from(&es, 7 + m.chunk, &m, &behind), ERR_OK);
	expect(&es, 7, 0, "abcabcabc");
	assert_true(pulsar_entries_empty(&es) && es.held == 0);
	pulsar_entries_done(&es);
}

static void test_pieces_that_hold_up_too_much_are_given_up(void **state UNUSED)
{
	struct pulsar_entries es;
	struct pulsar_id id;
	struct err e = ERR_INIT;
	struct pulsar_make m = {.uuid = "u", .chunks = 2, .chunked = LIMIT_MESSAGE};
	static uint8_t big[LIMIT_PULSAR_HELD / 8];

	pulsar_entries_init(&es);
	assert_int_equal(add(&es, 1, &m, slice_str("a"), &e), ERR_OK);
	for (uint64_t i = 0; i < 8; i++) {
		assert_false(pulsar_entries_give_up(&es, &unknown, &id));
		assert_int_equal(add(&es, 2 + i, &(struct pulsar_make){.sequence = 1},
					 slice_of(big, sizeof(big)), &e),
			ERR_OK);
	}
	assert_true(pulsar_entries_give_up(&es, &unknown, &id));
	assert_int_equal(id.entry, 1);
	struct pulsar_msg *next = pulsar_entries_pop(&es);
	assert_int_equal(next->id.entry, 2);
	pulsar_msg_free(next);
	pulsar_entries_done(&es);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc),
		cmocka_unit_test(test_each_compression),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_half_a_batch),
		cmocka_unit_test(test_batches_of_one),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_a_lost_piece),
		cmocka_unit_test(test_pieces_that_never_come),
		cmocka_unit_test(test_pieces_that_make_up_nothing),
		cmocka_unit_test(test_pieces_before_the_start),
		cmocka_unit_test(test_pieces_that_hold_up_too_much_are_given_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
