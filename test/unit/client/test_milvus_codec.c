#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/wire.h"
#include "client/milvus/milvus_codec.h"
#include "support/hex.h"

enum { VECTOR_BYTES = 1024 };

static void test_addresses(void **state)
{
	static const struct {
		const char *uri, *host_port;
		bool tls;
	} good[] = {{"http://h:1", "h:1", false}, {"https://h:2/", "h:2", true},
		{"10.0.0.1:19530", "10.0.0.1:19530", false}, {"h", "h:19530", false},
		{"HTTPS://a.b.c", "a.b.c:443", true}, {"http://[::1]:5//", "[::1]:5", false},
		{"[fe80::1]", "[fe80::1]:19530", false}};
	static const char *const bad[] = {"", "http://", "h:", "h:0", "h:70000", "h:1x",
		"ftp://h:1", "http://h:1/db", "::1", "http:// h:1", "[::1", "https:///"};
	struct milvus_address a;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		err_clear(&e);
		assert_int_equal(milvus_address_parse(&a, good[i].uri, &e), ERR_OK);
		assert_string_equal(a.host_port, good[i].host_port);
		assert_int_equal(a.tls, good[i].tls);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err_clear(&e);
		assert_int_equal(milvus_address_parse(&a, bad[i], &e), ERR_INVALID);
		assert_non_null(strstr(e.text, bad[i]));
	}
	err_clear(&e);
	assert_int_equal(milvus_address_parse(&a, "https://user:p@ss@h:1", &e), ERR_INVALID);
	assert_non_null(strstr(e.text, "\"***@h:1\" is no address"));
	assert_null(strstr(e.text, "user"));
}

static void put_status(struct buf *b, int legacy, const char *reason, int code, bool retriable)
{
	if (legacy)
		wire_put_i64(b, 1, legacy);
	wire_put_str_opt(b, 2, reason);
	if (code)
		wire_put_i64(b, 3, code);
	if (retriable)
		wire_put_u64(b, 4, 1);
}

static void test_status_table(void **state)
{
	static const struct {
		int legacy, code;
		bool retriable;
		const char *reason;
		enum err_code want;
	} rows[] = {{0, 0, false, "", ERR_OK}, {1, 100, false, "x", ERR_NOT_FOUND},
		{1, 800, false, "x", ERR_NOT_FOUND}, {0, 200, false, "x", ERR_NOT_FOUND},
		{1, 700, false, "x", ERR_NOT_FOUND}, {1, 1, true, "x", ERR_UNAVAILABLE},
		{1, 2, true, "x", ERR_UNAVAILABLE}, {49, 8, true, "x", ERR_BUSY},
		{1, 4, true, "x", ERR_BUSY}, {1, 103, true, "x", ERR_BUSY},
		{1, 106, true, "x", ERR_UNAVAILABLE}, {5, 1100, false, "x", ERR_INVALID},
		{1, 1400, false, "x", ERR_DENIED}, {1, 1401, false, "x", ERR_DENIED},
		{1, 1900, false, "x", ERR_DENIED}, {1, 1901, false, "x", ERR_MALFORMED},
		{1, 4711, true, "x", ERR_UNAVAILABLE}, {1, 4711, false, "x", ERR_INVALID},
		{4, 0, false, "x", ERR_NOT_FOUND}, {49, 0, false, "x", ERR_BUSY},
		{1, 65535, false, "database already exist: d1", ERR_EXISTS},
		{35, 65535, false, "role [name:\"r1\"] already exists", ERR_EXISTS},
		{1, 65535, false, "getSegmentID failed: x", ERR_BUSY},
		{1, 65535, false, "who knows", ERR_INVALID}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(buf_done)
		struct buf bare = BUF_INIT(VECTOR_BYTES), in = BUF_INIT(VECTOR_BYTES);
		struct err e = ERR_INIT;
		put_status(&bare, rows[i].legacy, rows[i].reason, rows[i].code, rows[i].retriable);
		assert_int_equal(milvus_status_read(buf_slice(&bare), &e), rows[i].want);
		if (rows[i].want) {
			assert_int_equal(e.origin, rows[i].code ? rows[i].code : rows[i].legacy);
			assert_non_null(strstr(e.text, rows[i].reason));
		}
		err_clear(&e);
		wire_put_bytes(&in, 1, buf_slice(&bare));
		wire_put_str(&in, 2, "a db name, as in FlushResponse");
		assert_int_equal(milvus_status_read(buf_slice(&in), &e), rows[i].want);
	}
}

static void test_status_that_is_none(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(milvus_status_read(slice_str("\x0a\x05x"), &e), ERR_MALFORMED);
	err_clear(&e);
	assert_int_equal(milvus_status_read(slice_str("\x0a\x01\xff"), &e), ERR_MALFORMED);
	err_clear(&e);
	assert_int_equal(milvus_status_read(slice_str("\x12\x02ok"), &e), ERR_OK);
}

/* DropCollectionRequest{base.replicateInfo{true, ts}, collection_name "foo"} */
static void test_drop_vector(void **state)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(VECTOR_BYTES);
	char text[VECTOR_BYTES];

	(void)state;
	milvus_put_names(&b, 445644800000262144ULL, "", "foo", NULL);
	assert_string_equal(hex_text(buf_slice(&b), text, sizeof(text)),
		"0a0e3a0c08011080809080daf2cf97061a03666f6f");
}

static void test_create_keeps_the_schema(void **state)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(VECTOR_BYTES);
	uint8_t schema[64], properties[64];
	char text[VECTOR_BYTES];
	/* schema{name "old", fields[..], unknown 1000 = 5}; properties with tag 7 */
	struct milvus_create c = {.db = "d",
		.name = "new",
		.shards_num = 2,
		.num_partitions = 16,
		.schema = hex_bytes("0a036f6c64 22020864 c03e05", schema, sizeof(schema)),
		.properties = hex_bytes("3a060a016b120176", properties, sizeof(properties)),
		.ts = 1};

	(void)state;
	milvus_put_create(&b, &c);
	assert_string_equal(hex_text(buf_slice(&b), text, sizeof(text)),
		"0a063a0408011001"
		"120164"
		"1a036e6577"
		"220c0a036e657722020864c03e05"
		"2802"
		"3000"
		"3a060a016b120176"
		"4010");
	c.schema.n--;
	buf_reset(&b);
	milvus_put_create(&b, &c);
	assert_true(buf_failed(&b));
}

static void check_position(const char *raw_hex, const char *want_hex)
{
	CLEANUP(buf_done)
	struct buf answer = BUF_INIT(VECTOR_BYTES);
	uint8_t raw[256], id[64];
	char text[256];
	size_t n;
	struct err e = ERR_INIT;
	char *b64 = b64_text(hex_bytes(raw_hex, raw, sizeof(raw)));

	wire_put_str_opt(&answer, 2, b64);
	freep(&b64);
	assert_int_equal(milvus_position_read(id, sizeof(id), &n, buf_slice(&answer), &e), ERR_OK);
	assert_string_equal(hex_text(slice_of(id, n), text, sizeof(text)), want_hex);
}

static void test_positions(void **state)
{
	(void)state;
	check_position("", "");
	check_position("5d00000000000000", "5d00000000000000");
	/* an offset that could be read as fields 1 and 2 */
	check_position("0a01611203616161", "0a01611203616161");
	check_position("080c102218002000", "080c102218002000");
	check_position("080c1022180020ffffffffffffffffff01", "080c1022180020ffffffffffffffffff01");
	check_position("0a1662792d6465762d726f6f74636f6f72642d646d6c5f30120408011002", "08011002");
}

static void test_bad_position(void **state)
{
	CLEANUP(buf_done)
	struct buf answer = BUF_INIT(VECTOR_BYTES);
	uint8_t id[8];
	size_t n;
	struct err e = ERR_INIT;

	(void)state;
	wire_put_str(&answer, 2, "no base64!");
	assert_int_equal(
		milvus_position_read(id, sizeof(id), &n, buf_slice(&answer), &e), ERR_MALFORMED);
}

static void put_describe(struct buf *b, const char *v0, const char *v1)
{
	wire_put_str(b, 2, "\x0a\x01n");
	wire_put_i64(b, 3, 449);
	wire_put_str(b, 4, v0);
	wire_put_str(b, 4, v1);
	wire_put_str(b, 5, "ch_7");
	wire_put_str(b, 5, "ch_3");
	wire_put_u64(b, 6, 1234);
	wire_put_str(b, 9, "other");
	wire_put_i64(b, 11, 2);
	wire_put_i64(b, 15, 16);
}

static void test_collection(void **state)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(VECTOR_BYTES), parts = BUF_INIT(VECTOR_BYTES);
	CLEANUP(milvus_collection_done)
	struct milvus_collection c = {0};
	struct err e = ERR_INIT;

	(void)state;
	put_describe(&b, "ch_7_449v1", "ch_3_449v0"); /* shards are paired by their own index */
	assert_int_equal(milvus_collection_read(&c, "n", buf_slice(&b), &e), ERR_OK);
	assert_int_equal(c.id, 449);
	assert_int_equal(c.created_ts, 1234);
	assert_int_equal(c.shards_num, 2);
	assert_string_equal(c.shards[0].vchannel, "ch_3_449v0");
	assert_string_equal(c.shards[0].pchannel, "ch_3");
	assert_string_equal(c.shards[1].vchannel, "ch_7_449v1");
	assert_int_equal(c.consistency_level, 2);
	assert_int_equal(c.num_partitions, 16);
	assert_string_equal(c.aliases[0], "other");
	assert_memory_equal(c.schema.p, "\x0a\x01n", 3);
	wire_put_str(&parts, 2, "_default");
	wire_put_str(&parts, 2, "p1");
	wire_put_bytes(&parts, 3, slice_of("\x05\x06", 2));
	assert_int_equal(milvus_partitions_read(&c, buf_slice(&parts), &e), ERR_OK);
	assert_int_equal(c.n_partitions, 2);
	assert_int_equal(c.partitions[1].id, 6);
	assert_string_equal(c.partitions[1].name, "p1");
}

static void test_collection_refused(void **state)
{
	static const struct {
		const char *v0, *v1, *name;
		enum err_code want;
	} rows[] = {{"ch_7_449v0", "ch_3_449v0", "n", ERR_MALFORMED},
		{"ch_7_449v0", "ch_3_449v2", "n", ERR_MALFORMED},
		{"ch_7_449v0", "nonsense", "n", ERR_MALFORMED},
		{"ch_7_449v0", "ch_3_449v1", "other", ERR_EXISTS}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(buf_done)
		struct buf b = BUF_INIT(VECTOR_BYTES);
		CLEANUP(milvus_collection_done)
		struct milvus_collection c = {0};
		struct err e = ERR_INIT;
		put_describe(&b, rows[i].v0, rows[i].v1);
		assert_int_equal(
			milvus_collection_read(&c, rows[i].name, buf_slice(&b), &e), rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_status_table),
		cmocka_unit_test(test_status_that_is_none),
		cmocka_unit_test(test_drop_vector),
		cmocka_unit_test(test_create_keeps_the_schema),
		cmocka_unit_test(test_positions),
		cmocka_unit_test(test_bad_position),
		cmocka_unit_test(test_collection),
		cmocka_unit_test(test_collection_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
