#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/wire.h"
#include "client/pulsar/auth.h"
#include "client/pulsar/codec.h"
#include "client/pulsar/url.h"
#include "support/hex.h"
#include "support/pulsar_make.h"

enum { BYTES = 4096 };

static void assert_hex(const struct buf *b, const char *hex)
{
	uint8_t want[BYTES];
	struct slice s = hex_bytes(hex, want, sizeof(want));
	char text[2 * BYTES + 3];

	if (!slice_eq(buf_slice(b), s))
		fail_msg("%s, not %s", hex_text(buf_slice(b), text, sizeof(text)), hex);
}

/* ---- ids ---- */

static struct pulsar_id id_of(const char *hex)
{
	uint8_t bytes[BYTES];
	struct pulsar_id id;
	struct err e = ERR_INIT;

	assert_int_equal(pulsar_id_read(&id, hex_bytes(hex, bytes, sizeof(bytes)), &e), ERR_OK);
	return id;
}

/* Made by the reference's own library. */
static void test_ids_have_the_references_bytes(void **state UNUSED)
{
	static const char *const vectors[] = {
		"08ffffffffffffffffff01 10ffffffffffffffffff01 18ffffffffffffffffff01 "
		"20ffffffffffffffffff01",
		"08ffffffffffffffff7f 10ffffffffffffffff7f 18ffffffffffffffffff01 "
		"20ffffffffffffffffff01",
		"080c 1022 1800 20ffffffffffffffffff01", "080c 1022 1800 2000"};

	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		CLEANUP(buf_done) struct buf b = BUF_INIT(BYTES);
		struct pulsar_id id = id_of(vectors[i]);
		pulsar_id_put(&b, &id);
		assert_hex(&b, vectors[i]);
	}
	assert_true(pulsar_id_is_earliest(&(struct pulsar_id){UINT64_MAX, UINT64_MAX, -1, -1}));
	struct pulsar_id bare = id_of("080c1022");
	assert_int_equal(bare.partition, -1);
	assert_int_equal(bare.batch, -1);
}

static void test_ids_compare(void **state UNUSED)
{
	const struct pulsar_id order[] = {PULSAR_EARLIEST, {5, UINT64_MAX, 0, 0}, {5, 0, 0, 0},
		{5, 0, 0, 1}, {5, 1, 0, 0}, {6, 0, 0, 0}, PULSAR_LATEST};
	const struct pulsar_id alone = {5, 1, -1, -1};

	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		for (size_t j = 0; j < ARRAY_LEN(order); j++) {
			int c = pulsar_id_cmp(&order[i], &order[j]);
			assert_int_equal((c > 0) - (c < 0), (i > j) - (i < j));
		}
	assert_int_equal(pulsar_id_cmp(&alone, &order[4]), 0);
}

static void test_id_text(void **state UNUSED)
{
	char text[PULSAR_ID_TEXT];

	pulsar_id_text(&(struct pulsar_id){12, 34, 0, 2}, text);
	assert_string_equal(text, "12:34:2");
	pulsar_id_text(&(struct pulsar_id){12, UINT64_MAX, -1, -1}, text);
	assert_string_equal(text, "12:-1");
	pulsar_id_text(&PULSAR_EARLIEST, text);
	assert_string_equal(text, "earliest");
}

static void test_bytes_that_are_no_id(void **state UNUSED)
{
	static const char *const bad[] = {"", "080c", "1022", "5d00000000000000", "080c10"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		uint8_t bytes[BYTES];
		struct pulsar_id id;
		struct err e = ERR_INIT;
		assert_int_equal(pulsar_id_read(&id, hex_bytes(bad[i], bytes, sizeof(bytes)), &e),
			ERR_MALFORMED);
	}
}

/* ---- frames ---- */

static void test_requests(void **state UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(BYTES);

	pulsar_put_ping(&b);
	assert_hex(&b, "00000009 00000005 0812 920100");
	buf_reset(&b);
	pulsar_put_flow(&b, 3, 300);
	assert_hex(&b, "0000000d 00000009 080b 5a05 0803 10ac02");
	buf_reset(&b);
	pulsar_put_lookup(&b, "t", 5, true);
	assert_hex(&b, "00000010 0000000c 0817 ba0107 0a0174 1005 1801");
	buf_reset(&b);
	pulsar_put_subscribe(&b, &(const struct pulsar_subscribe){.topic = "t",
					 .name = "n",
					 .consumer = 1,
					 .request = 2,
					 .start = {7, 8, -1, -1}});
	assert_hex(&b, "00000036 00000032 0804 222e 0a0174 12016e 1800 2001 2802 4000"
		       "4a1a 0807 1008 18ffffffffffffffffff01 20ffffffffffffffffff01 6801 7800");
}

static void test_connect(void **state UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(BYTES);
	struct pulsar_hello h = {
		.version = "v", .auth_method = "token", .auth_data = slice_str("abc")};

	pulsar_put_connect(&b, &h);
	assert_hex(&b, "0000001f 0000001b 0802 1217 0a0176 1a03616263 2014 2a05746f6b656e"
		       "5204 0801 1001");
	h.proxy_to = "b:1";
	h.auth_method = NULL;
	buf_reset(&b);
	pulsar_put_connect(&b, &h);
	assert_hex(&b, "00000018 00000014 0802 1210 0a0176 2014 3203623a31 5204 0801 1001");
}

static void read_made(int type, const char *hex, struct pulsar_cmd *c, enum err_code want)
{
	static uint8_t bytes[BYTES];
	CLEANUP(buf_done) struct buf b = BUF_INIT(BYTES);
	static struct buf keep = BUF_INIT(BYTES);
	struct slice command, rest;
	struct err e = ERR_INIT;
	size_t n;

	pulsar_make_frame(&b, type, hex_bytes(hex, bytes, sizeof(bytes)), slice_of(NULL, 0));
	buf_done(&keep);
	buf_put(&keep, b.p, b.n);
	assert_int_equal(pulsar_frame_size(keep.p, BYTES, &n, &e), ERR_OK);
	assert_int_equal(n, keep.n - PULSAR_HEAD_BYTES);
	assert_int_equal(
		pulsar_frame_split(slice_of(keep.p + PULSAR_HEAD_BYTES, n), &command, &rest, &e),
		ERR_OK);
	assert_int_equal(rest.n, 0);
	assert_int_equal(pulsar_cmd_read(c, command, &e), want);
	buf_done(&b);
	if (want)
		buf_done(&keep);
}

static void test_answers(void **state UNUSED)
{
	struct pulsar_cmd c;

	read_made(PULSAR_CONNECTED, "0a0176 1014 188080c002", &c, ERR_OK);
	assert_true(slice_eq_str(c.version, "v"));
	assert_int_equal(c.max_message_bytes, 5242880);
	read_made(PULSAR_LOOKUP_ANSWER, "0a0161 120162 1801 2007 2801 4001", &c, ERR_OK);
	assert_int_equal(c.lookup, PULSAR_GO);
	assert_true(slice_eq_str(c.url, "a") && slice_eq_str(c.url_tls, "b"));
	assert_true(c.authoritative && c.through_service_url && c.has_request);
	assert_int_equal(c.request, 7);
	read_made(PULSAR_LAST_ID_ANSWER, "0a06 0807 1008 2003 1009 1a04 0801 1002", &c, ERR_OK);
	assert_int_equal(c.id.entry, 8);
	assert_int_equal(c.id.batch, 3);
	assert_true(c.has_mark_delete && c.mark_delete.entry == 2);
	read_made(PULSAR_MESSAGE, "0805 1204 0801 1002 1801", &c, ERR_OK);
	assert_false(c.has_request);
	assert_int_equal(c.consumer, 5);
	assert_int_equal(c.redelivered, 1);
	read_made(PULSAR_CLOSE_CONSUMER, "0806 1001", &c, ERR_OK);
	assert_int_equal(c.consumer, 6);
	read_made(PULSAR_PARTITIONS_ANSWER, "0804 1002 1800", &c, ERR_OK);
	assert_int_equal(c.partitions, 4);
	assert_false(c.failed);
	read_made(77, "0804", &c, ERR_OK);
	assert_int_equal(c.type, 77);
}

static void test_refusals(void **state UNUSED)
{
	static const struct {
		const char *hex;
		enum err_code code;
	} cases[] = {{"0801 1003 1a016e", ERR_DENIED}, {"0801 100b 1a016e", ERR_NOT_FOUND},
		{"0801 1006 1a016e", ERR_UNAVAILABLE}, {"0801 100e 1a016e", ERR_BUSY},
		{"0801 10c801 1a016e", ERR_UNAVAILABLE}};
	struct pulsar_cmd c;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = ERR_INIT;
		read_made(PULSAR_ERROR, cases[i].hex, &c, ERR_OK);
		assert_int_equal(pulsar_cmd_error(&c, &e), cases[i].code);
		assert_non_null(strstr(e.text, ": n"));
	}
	read_made(PULSAR_LOOKUP_ANSWER, "1802 2007 3004 3a0178", &c, ERR_OK);
	assert_true(c.failed);
	assert_int_equal(pulsar_cmd_error(&c, NULL), ERR_DENIED);
}

static void test_commands_that_lack_a_field(void **state UNUSED)
{
	struct pulsar_cmd c;

	read_made(PULSAR_MESSAGE, "0805", &c, ERR_MALFORMED);
	read_made(PULSAR_MESSAGE, "0805 1202 0801", &c, ERR_MALFORMED);
	read_made(PULSAR_ERROR, "0801 1003", &c, ERR_MALFORMED);
	read_made(PULSAR_LOOKUP_ANSWER, "1803 2007", &c, ERR_MALFORMED);
	read_made(PULSAR_SUCCESS, "", &c, ERR_MALFORMED);
}

static void test_sizes_that_lie(void **state UNUSED)
{
	static const uint8_t tiny[] = {0, 0, 0, 3}, huge[] = {0xff, 0, 0, 0};
	static const uint8_t command[] = {0, 0, 0, 9, 8, 18};
	struct slice a, b;
	struct err e = ERR_INIT;
	size_t n;

	assert_int_equal(pulsar_frame_size(tiny, BYTES, &n, &e), ERR_MALFORMED);
	err_clear(&e);
	assert_int_equal(pulsar_frame_size(huge, BYTES, &n, &e), ERR_LIMIT);
	assert_non_null(strstr(e.text, "maxMessageSize"));
	err_clear(&e);
	assert_int_equal(
		pulsar_frame_split(slice_of(command, sizeof(command)), &a, &b, &e), ERR_MALFORMED);
}

/* ---- settings ---- */

static void test_urls(void **state UNUSED)
{
	static const char *const bad[] = {
		"", "pulsar://", "http://h:1", "pulsar://h:x", "pulsar://:1"};
	struct pulsar_url u;
	struct err e = ERR_INIT;

	assert_int_equal(pulsar_url_parse(&u, "pulsar://a:1,b,[::1]:3/", &e), ERR_OK);
	assert_int_equal(u.n, 3);
	assert_string_equal(u.addresses[0], "a:1");
	assert_string_equal(u.addresses[1], "b:6650");
	assert_string_equal(u.addresses[2], "[::1]:3");
	assert_false(u.tls);
	pulsar_url_done(&u);
	assert_int_equal(pulsar_url_parse(&u, "pulsar+ssl://a", &e), ERR_OK);
	assert_true(u.tls);
	assert_string_equal(u.addresses[0], "a:6651");
	pulsar_url_done(&u);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err_clear(&e);
		assert_int_equal(pulsar_url_parse(&u, bad[i], &e), ERR_INVALID);
	}
}

#define TOKEN_CLASS "org.apache.pulsar.client.impl.auth.AuthenticationToken"
#define TLS_CLASS "org.apache.pulsar.client.impl.auth.AuthenticationTls"

static void test_tokens(void **state UNUSED)
{
	static const char *const same[] = {
		"token:a.b:c", "{\"token\":\"a.b:c\"}", " {\"token\": \"a.b:c\"}"};
	static const char *const files[] = {"file:///no/such", "token:file:///no/such",
		"{\"file\":\"/no/such\"}", "{\"token\":\"file:///no/such\"}"};
	struct pulsar_auth a;

	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		CLEANUP(buf_done) struct buf b = BUF_INIT(BYTES);
		struct err e = ERR_INIT;
		assert_int_equal(pulsar_auth_parse(&a, TOKEN_CLASS, same[i], &e), ERR_OK);
		assert_string_equal(pulsar_auth_method(&a), "token");
		assert_int_equal(pulsar_auth_data(&a, &b, &e), ERR_OK);
		assert_true(slice_eq_str(buf_slice(&b), "a.b:c"));
		pulsar_auth_done(&a);
	}
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		CLEANUP(buf_done) struct buf b = BUF_INIT(BYTES);
		struct err e = ERR_INIT;
		assert_int_equal(pulsar_auth_parse(&a, TOKEN_CLASS, files[i], &e), ERR_OK);
		assert_int_equal(pulsar_auth_data(&a, &b, &e), ERR_SYSTEM);
		assert_non_null(strstr(e.text, "file /no/such:"));
		pulsar_auth_done(&a);
	}
}

static void test_other_plugins(void **state UNUSED)
{
	struct pulsar_auth a;
	struct err e = ERR_INIT;

	assert_int_equal(pulsar_auth_parse(&a, "", "whatever", &e), ERR_OK);
	assert_null(pulsar_auth_method(&a));
	assert_int_equal(
		pulsar_auth_parse(&a, TLS_CLASS, "tlsCertFile:/c,tlsKeyFile:file:///k", &e),
		ERR_OK);
	assert_string_equal(a.cert_path, "/c");
	assert_string_equal(a.key_path, "/k");
	pulsar_auth_done(&a);
	assert_int_equal(pulsar_auth_parse(&a, TLS_CLASS, "tlsCertFile:/c", &e), ERR_INVALID);
	err_clear(&e);
	assert_int_equal(pulsar_auth_parse(&a, "org.x.Athenz", "hush", &e), ERR_UNSUPPORTED);
	assert_null(strstr(e.text, "hush"));
	err_clear(&e);
	assert_int_equal(pulsar_auth_parse(&a, TOKEN_CLASS, "{\"hush", &e), ERR_INVALID);
	assert_null(strstr(e.text, "hush"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids_have_the_references_bytes),
		cmocka_unit_test(test_ids_compare),
		cmocka_unit_test(test_id_text),
		cmocka_unit_test(test_bytes_that_are_no_id),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_commands_that_lack_a_field),
		cmocka_unit_test(test_sizes_that_lie),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_other_plugins),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
