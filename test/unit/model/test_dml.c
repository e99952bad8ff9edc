/* Peeking at messages: the vectors of a real source, and what must not be believed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/wire.h"
#include "model/dml.h"
#include "support/dml_make.h"
#include "support/hex.h"

#define TS 470648418537308162ULL
#define TICK "0a0f 08b009 188580b095dd8785c406 2001"
#define INSERT                                                                                     \
	"0a0f 089003 104d 18828090c8e38785c406 2a085f64656661756c74 38c103 5209828090c8e38785c406"
#define DROP_COLLECTION "0a0e 0865 188480d08ef28785c406 2001 1a0163 28c103"
#define DROP_PARTITION "0a0f 08c901 188480d08ef28785c406 2001 22027031 30c103 38c203"
#define REPLICATE "0a16 08bc09 188480d08ef28785c406 3a07 0801 1a03726964"

static uint8_t bytes[1 << 12];

static struct dml read_hex(const char *hex)
{
	struct err e = ERR_INIT;
	struct dml d;

	if (dml_read(&d, hex_bytes(hex, bytes, sizeof(bytes)), &e))
		fail_msg("%s: %s", hex, e.text);
	return d;
}

static void test_vectors(void **state)
{
	(void)state;
	struct dml d = read_hex(TICK);
	assert_int_equal(d.type, MSG_TIME_TICK);
	assert_int_equal(d.min_ts, 470648416820264965ULL);
	assert_int_equal(d.base.source_id, 1);

	d = read_hex(INSERT);
	assert_int_equal(d.type, MSG_INSERT);
	assert_int_equal(d.base.msg_id, 77);
	assert_true(slice_eq_str(d.partition_name, "_default"));
	assert_int_equal(d.collection_id, 449);
	assert_int_equal(d.min_ts, TS);
	assert_int_equal(d.rows, 1);
	assert_true(d.one_ts);

	d = read_hex(DROP_COLLECTION);
	assert_int_equal(d.type, MSG_DROP_COLLECTION);
	assert_true(slice_eq_str(d.collection_name, "c"));
	assert_int_equal(d.collection_id, 449);
	assert_int_equal(d.rows, 0);
	assert_int_equal(d.max_ts, d.base.ts);

	d = read_hex(DROP_PARTITION);
	assert_true(slice_eq_str(d.partition_name, "p1"));
	assert_int_equal(d.partition_id, 450);

	d = read_hex(REPLICATE);
	assert_int_equal(d.type, MSG_REPLICATE);
	assert_true(d.base.is_replicate && d.base.replicate_id.n);
}

static void test_row_times(void **state)
{
	(void)state;
	const uint64_t same[] = {7, 7, 7, 7}, mixed[] = {9, 300, 5, 300};
	struct buf b = BUF_INIT(1 << 16);
	struct err e = ERR_INIT;
	struct dml d;

	dml_make_rows(&b, MSG_INSERT, 1, "s", 1, 2, same, 4, 1);
	assert_int_equal(dml_read(&d, buf_slice(&b), &e), ERR_OK);
	assert_true(d.one_ts && d.min_ts == 7 && d.rows == 4);
	buf_done(&b);
	dml_make_rows(&b, MSG_DELETE, 1, "s", 1, -1, mixed, 4, 1);
	assert_int_equal(dml_read(&d, buf_slice(&b), &e), ERR_OK);
	assert_true(!d.one_ts && d.min_ts == 5 && d.max_ts == 300 && d.rows == 4);
	assert_int_equal(d.partition_id, -1);
	buf_done(&b);
}

/* proto3 readers take both forms, even mixed. */
static void test_unpacked_row_times(void **state)
{
	(void)state;
	struct dml d = read_hex("0a03 089003 5005 5202 0907 5003");
	assert_int_equal(d.rows, 4);
	assert_int_equal(d.min_ts, 3);
	assert_int_equal(d.max_ts, 9);
}

static void test_insert_without_rows_has_the_time_of_its_base(void **state)
{
	(void)state;
	struct dml d = read_hex("0a05 089003 1809");
	assert_int_equal(d.min_ts, 9);
	assert_int_equal(d.rows, 0);
	assert_true(d.one_ts);
}

static void test_type_of_the_header_decides_the_layout(void **state)
{
	struct err e = ERR_INIT;
	struct dml d;

	(void)state;
	/* base.msg_type is missing; field 2 is a shard only in rows. */
	struct slice in = hex_bytes("0a02 1809 1201 73 5201 04", bytes, sizeof(bytes));
	assert_int_equal(dml_read_as(&d, in, MSG_DELETE, &e), ERR_OK);
	assert_int_equal(d.type, MSG_DELETE);
	assert_true(slice_eq_str(d.shard, "s"));
	assert_int_equal(d.min_ts, 4);
}

static void test_broken_messages(void **state)
{
	static const char *const broken[] = {"", "00", "0a", "0a05 08", "1201 73", "0a02 0890",
		"0a03 089003 52", "0a03 089003 5202 80", "0a03 089003 5203 808080",
		"0a03 089003 0b", "0a05 089003 3a01 08", "0a03 089003 ffffffffffffffffffff7f"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		struct err e = ERR_INIT;
		struct dml d;
		struct slice in = hex_bytes(broken[i], bytes, sizeof(bytes));
		if (dml_read(&d, in, &e) != ERR_MALFORMED)
			fail_msg("read: %s", broken[i]);
		assert_true(e.text[0]);
	}
}

/* A field of another wire type than ours is not ours. */
static void test_wrong_wire_types_are_not_taken(void **state)
{
	struct err e = ERR_INIT;
	struct dml d;

	(void)state;
	struct slice in =
		hex_bytes("0a03 089003 1005 3a03 616263 5d 01020304", bytes, sizeof(bytes));
	assert_int_equal(dml_read(&d, in, &e), ERR_OK);
	assert_int_equal(d.shard.n, 0);
	assert_int_equal(d.collection_id, 0);
}

static void test_type_names(void **state)
{
	(void)state;
	assert_string_equal(msg_type_name(MSG_INSERT), "Insert");
	assert_null(msg_type_name(12345));
	assert_int_equal(msg_type_parse(slice_str("TimeTick")), MSG_TIME_TICK);
	assert_int_equal(msg_type_parse(slice_str("timetick")), MSG_UNDEFINED);
	assert_int_equal(msg_type_parse(slice_str("")), MSG_UNDEFINED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_row_times),
		cmocka_unit_test(test_unpacked_row_times),
		cmocka_unit_test(test_insert_without_rows_has_the_time_of_its_base),
		cmocka_unit_test(test_type_of_the_header_decides_the_layout),
		cmocka_unit_test(test_broken_messages),
		cmocka_unit_test(test_wrong_wire_types_are_not_taken),
		cmocka_unit_test(test_type_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
