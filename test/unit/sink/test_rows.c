/* The vectors in test/fuzz/corpus/rows were made with Milvus' own message classes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/wire.h"
#include "sink/event.h"
#include "sink/rows.h"

enum { MOST = 1 << 16 };

struct vector {
	uint8_t bytes[MOST];
	size_t n;
	struct dml d;
};

static struct vector *load(const char *name)
{
	struct vector *v = xcalloc(1, sizeof(*v));
	struct err e = ERR_INIT;
	char path[200];

	snprintf(path, sizeof(path), "test/fuzz/corpus/rows/%s", name);
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	v->n = fread(v->bytes, 1, sizeof(v->bytes), f);
	fclose(f);
	assert_int_equal(dml_read(&v->d, slice_of(v->bytes, v->n), &e), ERR_OK);
	return v;
}

/* All rows' objects, one a line. */
static void rows_are(const char *name, const char *want)
{
	struct vector *v = load(name);
	struct buf out = BUF_INIT(MOST);
	struct err e = ERR_INIT;
	struct rows r;
	bool more;

	assert_int_equal(rows_open(&r, &v->d, 100, "id", &e), ERR_OK);
	while (!rows_next(&r, &more, &e) && more) {
		struct gojson o = {.b = &out};
		assert_int_equal(rows_json(&r, &o, NULL, &e), ERR_OK);
		buf_put_u8(&out, '\n');
	}
	assert_int_equal(e.code, ERR_OK);
	assert_string_equal(buf_cstr(&out), want);
	rows_done(&r);
	buf_done(&out);
	free(v);
}

static void test_every_type(void **state)
{
	(void)state;
	rows_are("insert_all",
		"{\"id\":1,\"b\":true,\"i8\":-128,\"f\":0.1,\"d\":0.1,\"s\":\"\",\"j\":\"{}\","
		"\"a\":[],\"as\":[\"p\"],\"v\":[1,0.5],\"bv\":\"AQI=\",\"$meta\":\"{}\"}\n"
		"{\"id\":-2,\"b\":false,\"i8\":0,\"f\":-1.5,\"d\":4.94065645841247e-324,"
		"\"s\":\"\xc3\xa4\\u003c\",\"j\":\"{\\\"a\\\":[1]}\",\"a\":[1,-1],\"as\":[],"
		"\"v\":[0.1,-2],\"bv\":\"AwQ=\",\"$meta\":\"{\\\"t\\\":1}\"}\n"
		"{\"id\":9223372036854775807,\"b\":true,\"i8\":127,\"f\":3.4e+38,\"d\":-2.5,"
		"\"s\":\"x\\\"y\",\"j\":\"null\",\"a\":[5],\"as\":[\"q\",\"r\"],\"v\":[3,4],"
		"\"bv\":\"/wA=\",\"$meta\":\"{}\"}\n");
}

static void test_newer_types_and_nulls(void **state)
{
	(void)state;
	rows_are("insert_new",
		"{\"id\":10,\"h\":[1.5,-0.25],\"bf\":[1.5,-0.25],"
		"\"sp\":{\"1\":0.5,\"4294967294\":2},\"i8\":[-1,1],\"nf\":null,\"nc\":null,"
		"\"nn\":null}\n"
		"{\"id\":11,\"h\":[65504,5.96046448e-08],\"bf\":[3,100],\"sp\":{},\"i8\":[-128,127]"
		","
		"\"nf\":9,\"nc\":\"only\",\"nn\":null}\n");
}

static void test_deletes(void **state)
{
	(void)state;
	rows_are("delete_text", "{\"id\":\"k\xc3\xa4y\"}\n{\"id\":\"\"}\n");
	rows_are("delete_int", "{\"id\":5}\n{\"id\":-6}\n");
}

/* The whole event of a row: key, value, and what stands in source. */
static void test_event(void **state)
{
	(void)state;
	struct vector *v = load("delete_int");
	struct buf out = BUF_INIT(MOST), key = BUF_INIT(MOST);
	struct err e = ERR_INIT;
	struct rows rows;
	bool more;
	struct event_rows r = {.dml = &v->d,
		.db = "d",
		.collection = "x",
		.collection_id = 1,
		.vchannel = "c_1v0",
		.pk_field_id = 100,
		.pk_name = "id",
		.again = true};

	assert_int_equal(rows_open(&rows, &v->d, 100, "id", &e), ERR_OK);
	assert_int_equal(rows_next(&rows, &more, &e), ERR_OK);
	assert_int_equal(event_row(&out, &key, &r, &rows, 9, &e), ERR_OK);
	assert_string_equal(buf_cstr(&key), "{\"db\":\"d\",\"collection\":\"x\",\"key\":5}");
	assert_string_equal(buf_cstr(&out),
		"{\"before\":{\"id\":5},\"after\":null,\"source\":{\"connector\":\"milvus\","
		"\"version\":1,\"db\":\"d\",\"collection\":\"x\",\"collection_id\":1,"
		"\"partition\":\"\",\"partition_id\":2,\"vchannel\":\"c_1v0\",\"ts\":700,"
		"\"ts_ms\":0,\"msg_id\":80,\"row\":0,\"repeat\":true},\"op\":\"d\",\"ts_ms\":9}");
	rows_done(&rows);
	buf_done(&out);
	buf_done(&key);
	free(v);
}

static enum err_code opened(const struct buf *payload, struct err *e)
{
	struct dml d;
	struct rows r;
	bool more;

	err_clear(e);
	assert_int_equal(dml_read(&d, buf_slice(payload), e), ERR_OK);
	if (!rows_open(&r, &d, 100, "id", e))
		assert_int_equal(rows_next(&r, &more, e), ERR_OK);
	rows_done(&r);
	return e->code;
}

/* An insert of two rows with one column of this type and these scalars (ScalarField). */
static void make(struct buf *out, int type, const void *scalars, size_t n, uint64_t version)
{
	struct buf base = BUF_INIT(MOST), field = BUF_INIT(MOST);

	buf_reset(out);
	wire_put_u64(&base, 1, MSG_INSERT);
	wire_put_u64(&base, 3, 5);
	wire_put_bytes(out, 1, buf_slice(&base));
	wire_put_bytes(out, 10, slice_of("\x05\x05", 2));
	wire_put_u64(&field, 1, (uint64_t)type);
	wire_put_str(&field, 2, "id");
	wire_put_bytes(&field, 3, slice_of(scalars, n));
	wire_put_u64(&field, 5, 100);
	wire_put_bytes(out, 13, buf_slice(&field));
	wire_put_u64(out, 15, version);
	buf_done(&base);
	buf_done(&field);
}

static void test_refused(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(MOST);
	struct err e = ERR_INIT;

	make(&b, 5, "\x1a\x04\x0a\x02\x01\x02", 6, 1);
	assert_int_equal(opened(&b, &e), ERR_OK);
	make(&b, 5, "\x1a\x03\x0a\x01\x01", 5, 1); /* one value for two rows */
	assert_int_equal(opened(&b, &e), ERR_MALFORMED);
	make(&b, 5, "\x1a\x04\x08\x01\x08\x02", 6, 1); /* unpacked */
	assert_int_equal(opened(&b, &e), ERR_OK);
	make(&b, 5, "\x1a\x04\x0a\x02\x01\x02", 6, 0); /* row-based */
	assert_int_equal(opened(&b, &e), ERR_UNSUPPORTED);
	make(&b, 999, "\x1a\x04\x0a\x02\x01\x02", 6, 1);
	assert_int_equal(opened(&b, &e), ERR_UNSUPPORTED);
	assert_non_null(strstr(e.text, "data type 999"));
	make(&b, 101, "", 0, 1); /* a vector without vectors */
	assert_int_equal(opened(&b, &e), ERR_MALFORMED);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_type),
		cmocka_unit_test(test_newer_types_and_nulls), cmocka_unit_test(test_deletes),
		cmocka_unit_test(test_event), cmocka_unit_test(test_refused)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
