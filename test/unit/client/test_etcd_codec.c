#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "client/etcd/etcd_codec.h"
#include "support/hex.h"

static void assert_hex(const struct buf *b, const char *hex)
{
	uint8_t want[512];
	struct slice s = hex_bytes(hex, want, sizeof(want));
	char text[1100];

	if (!slice_eq(buf_slice(b), s))
		fail_msg("%s, not %s", hex_text(buf_slice(b), text, sizeof(text)), hex);
}

static struct etcd_chunk *chunk_of(const char *hex)
{
	uint8_t bytes[512];
	struct slice s = hex_bytes(hex, bytes, sizeof(bytes));
	struct etcd_chunk *ch = etcd_chunk_new();

	buf_put(&ch->body, s.p, s.n);
	return ch;
}

static void test_prefix_end(void **state UNUSED)
{
	static const struct {
		const char *prefix, *end_hex;
	} cases[] = {{"a", "62"}, {"a/", "6130"}, {"a\xff", "62"}, {"a\xfe", "61ff"},
		{"\xff\xff", "00"}, {"", "00"}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(buf_done) struct buf b = BUF_INIT(64);
		etcd_prefix_end(&b, slice_str(cases[i].prefix));
		assert_hex(&b, cases[i].end_hex);
	}
}

static void test_range_request(void **state UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(64);
	struct etcd_range_req q = {
		.key = slice_str("k"), .end = slice_str("l"), .limit = 1000, .revision = 7};

	etcd_encode_range(&b, &q);
	assert_hex(&b, "0a016b 12016c 18e807 2007");
	buf_reset(&b);
	etcd_encode_range(&b, &(struct etcd_range_req){.key = slice_str("k"), .limit = 1});
	assert_hex(&b, "0a016b 1801");
}

/* compare{EQUAL, MOD, key, mod_revision}, success{put{key, value, lease}}, success{delete} */
static void test_txn_request(void **state UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(256);
	struct etcd_cmp cmp = {.key = "k", .mod_revision = 0};
	struct etcd_op ops[] = {
		{.kind = ETCD_PUT, .key = "k", .value = slice_str("vv"), .lease = 5},
		{.kind = ETCD_DELETE, .key = "d"},
		{.kind = ETCD_DELETE_PREFIX, .key = "p/"},
	};

	etcd_encode_txn(&b, &cmp, 1, ops, 3);
	assert_hex(&b, "0a09 0800 1002 1a016b 3000"
		       "120b 1209 0a016b 12027676 1805"
		       "1205 1a03 0a0164"
		       "120a 1a08 0a02702f 12027030");
	assert_false(buf_failed(&b));
}

static void test_txn_beyond_the_cap_is_seen(void **state UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(16);
	struct etcd_op op = {.kind = ETCD_PUT, .key = "k", .value = slice_str("0123456789abcdef")};

	etcd_encode_txn(&b, NULL, 0, &op, 1);
	assert_true(buf_failed(&b));
}

static void test_watch_request(void **state UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(64);

	etcd_encode_watch(&b, slice_str("a/"), 300);
	assert_hex(&b, "0a0f 0a02612f 12026130 18ac02 2001 4001");
}

static void test_range_answer(void **state UNUSED)
{
	/* header{cluster 1, revision 9}, kv{"ka", revisions 3 4, version 2, "v1"}, kv{"kb"},
	 * more */
	struct etcd_chunk *ch = chunk_of("0a04 0801 1809"
					 "120e 0a026b61 1003 1804 2002 2a027631"
					 "1204 0a026b62 1801 2002");
	struct err e = ERR_INIT;
	struct etcd_range r;
	bool more = false;

	etcd_range_init(&r);
	assert_int_equal(etcd_decode_range(ch, &r, &more, &e), ERR_OK);
	assert_true(more);
	assert_int_equal(r.revision, 9);
	assert_int_equal(r.n, 2);
	assert_string_equal(r.kvs[0].key, "ka"); /* 0-terminated in place */
	assert_true(slice_eq_str(r.kvs[0].value, "v1"));
	assert_int_equal(r.kvs[0].create_revision, 3);
	assert_int_equal(r.kvs[0].mod_revision, 4);
	assert_int_equal(r.kvs[0].version, 2);
	assert_string_equal(r.kvs[1].key, "kb");
	assert_int_equal(r.kvs[1].value.n, 0);
	etcd_range_done(&r);
}

/* The 0 behind a key falls on the next field's tag: values around it must not change. */
static void test_keys_at_the_end_of_the_message(void **state UNUSED)
{
	struct etcd_chunk *ch = chunk_of("1207 2a0176 0a026b61" /* value before key */
					 "1207 2a0177 0a026b62");
	struct err e = ERR_INIT;
	struct etcd_range r;
	bool more;

	etcd_range_init(&r);
	assert_int_equal(etcd_decode_range(ch, &r, &more, &e), ERR_OK);
	assert_false(more);
	assert_string_equal(r.kvs[0].key, "ka");
	assert_true(slice_eq_str(r.kvs[0].value, "v"));
	assert_string_equal(r.kvs[1].key, "kb");
	assert_true(slice_eq_str(r.kvs[1].value, "w"));
	etcd_range_done(&r);
}

static void test_malformed_answers(void **state UNUSED)
{
	static const char *const bad[] = {
		"12", "1205 0a02", "0a02 1880", "ff", "1203 0a056b", "03"};
	struct err e = ERR_INIT;
	struct etcd_range r;
	struct etcd_events ev;
	struct etcd_watch_answer a;
	bool more;

	etcd_range_init(&r);
	etcd_events_init(&ev);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct etcd_chunk *ch = chunk_of(bad[i]);
		assert_int_equal(etcd_decode_range(ch, &r, &more, &e), ERR_MALFORMED);
		assert_int_equal(r.n, 0);
		assert_true(list_empty(&r.chunks));
		etcd_chunk_free(ch);
	}
	struct etcd_chunk *ch = chunk_of("5a02 0802"); /* an event type that does not exist */
	assert_int_equal(etcd_decode_watch(ch, &a, &ev, &e), ERR_MALFORMED);
	assert_int_equal(ev.n, 0);
	etcd_chunk_free(ch);
	etcd_range_done(&r);
	etcd_events_done(&ev);
}

static void test_watch_answers(void **state UNUSED)
{
	struct etcd_watch_answer a;
	struct err e = ERR_INIT;
	struct etcd_events ev;

	etcd_events_init(&ev);
	struct etcd_chunk *ch = chunk_of("0a02 1809 1801"); /* created */
	assert_int_equal(etcd_decode_watch(ch, &a, &ev, &e), ERR_OK);
	assert_true(a.created && !a.canceled && !a.fragment);
	assert_int_equal(a.header.revision, 9);
	assert_int_equal(a.n_events, 0);
	etcd_chunk_free(ch);

	ch = chunk_of("2001 2807 3203 626164"); /* canceled, compact revision 7, reason "bad" */
	assert_int_equal(etcd_decode_watch(ch, &a, &ev, &e), ERR_OK);
	assert_true(a.canceled);
	assert_int_equal(a.compact_revision, 7);
	assert_string_equal(a.reason, "bad");
	etcd_chunk_free(ch);

	ch = chunk_of("3801 5a09 1207 0a016b 1804 2a00" /* fragment: PUT k "" at 4 */
		      "5a09 0801 1205 0a016c 1805" /* DELETE l at 5 */);
	assert_int_equal(etcd_decode_watch(ch, &a, &ev, &e), ERR_OK);
	assert_true(a.fragment);
	assert_int_equal(a.n_events, 2);
	assert_int_equal(ev.events[0].kind, ETCD_EVENT_PUT);
	assert_string_equal(ev.events[0].kv.key, "k");
	assert_int_equal(ev.events[1].kind, ETCD_EVENT_DELETE);
	assert_string_equal(ev.events[1].kv.key, "l");
	assert_int_equal(ev.events[1].kv.mod_revision, 5);
	etcd_events_done(&ev);
}

static void test_small_answers(void **state UNUSED)
{
	uint8_t bytes[64];
	struct err e = ERR_INIT;
	int64_t revision, id, ttl;
	char *token = NULL;
	bool ok;

	struct slice s = hex_bytes("0a021805 1001", bytes, sizeof(bytes));
	assert_int_equal(etcd_decode_txn(s, &ok, &revision, &e), ERR_OK);
	assert_true(ok);
	assert_int_equal(revision, 5);
	s = hex_bytes("0a021805", bytes, sizeof(bytes));
	assert_int_equal(etcd_decode_txn(s, &ok, &revision, &e), ERR_OK);
	assert_false(ok);
	s = hex_bytes("12036162 63", bytes, sizeof(bytes));
	assert_int_equal(etcd_decode_auth(s, &token, &e), ERR_OK);
	assert_string_equal(token, "abc");
	free(token);
	s = hex_bytes("0a00", bytes, sizeof(bytes));
	assert_int_equal(etcd_decode_auth(s, &token, &e), ERR_MALFORMED);
	s = hex_bytes("1007 183c", bytes, sizeof(bytes));
	assert_int_equal(etcd_decode_lease(s, &id, &ttl, &e), ERR_OK);
	assert_int_equal(id, 7);
	assert_int_equal(ttl, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefix_end),
		cmocka_unit_test(test_range_request),
		cmocka_unit_test(test_txn_request),
		cmocka_unit_test(test_txn_beyond_the_cap_is_seen),
		cmocka_unit_test(test_watch_request),
		cmocka_unit_test(test_range_answer),
		cmocka_unit_test(test_keys_at_the_end_of_the_message),
		cmocka_unit_test(test_malformed_answers),
		cmocka_unit_test(test_watch_answers),
		cmocka_unit_test(test_small_answers),
	};
	return cmocka_run_group_tests_name("client.etcd_codec", tests, NULL, NULL);
}
