#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/str.h"
#include "model/dml_keys.h"
#include "support/dml_make.h"

enum { BYTES = 1 << 16 };

static void open_message(struct buf *b, int type)
{
	CLEANUP(buf_done) struct buf base = BUF_INIT(BYTES);

	wire_put_u64(&base, 1, (uint64_t)type);
	wire_put_u64(&base, 3, 1000);
	wire_put_bytes(b, 1, buf_slice(&base));
}

static void put_ts(struct buf *b, size_t rows)
{
	CLEANUP(buf_done) struct buf ts = BUF_INIT(BYTES);

	for (size_t i = 0; i < rows; i++)
		wire_put_varint(&ts, 1000);
	wire_put_bytes(b, 10, buf_slice(&ts));
}

static struct dml read_dml(const struct buf *b)
{
	struct err e = ERR_INIT;
	struct dml d;

	assert_int_equal(dml_read(&d, buf_slice(b), &e), ERR_OK);
	return d;
}

static void expect_numbers(const struct dml_keys *k, const int64_t *want, size_t n)
{
	struct dml_keys_iter it = dml_keys_begin(k);
	struct dml_key key;

	assert_int_equal(k->count, n);
	for (size_t i = 0; i < n; i++) {
		assert_true(dml_keys_next(&it, &key));
		assert_int_equal(key.number, want[i]);
	}
	assert_false(dml_keys_next(&it, &key));
}

static void test_insert_numbers(void **state)
{
	struct buf b = BUF_INIT(BYTES);
	uint64_t ts[] = {5, 5, 6};
	struct err e = ERR_INIT;
	struct dml_keys k;

	(void)state;
	dml_make_rows(&b, MSG_INSERT, 7, "ch_1v0", 1, 2, ts, 3, -1);
	struct dml d = read_dml(&b);
	assert_int_equal(dml_keys_of_insert(&k, &d, DML_MAKE_KEY_FIELD, false, &e), ERR_OK);
	expect_numbers(&k, (int64_t[]){-1, 0, 1}, 3);
	assert_int_equal(dml_keys_of_insert(&k, &d, 99, false, &e), ERR_UNSUPPORTED);
	err_clear(&e);
	assert_int_equal(dml_keys_of_insert(&k, &d, DML_MAKE_KEY_FIELD, true, &e), ERR_MALFORMED);
	buf_done(&b);
}

static void delete_with(struct buf *b, uint32_t num, struct slice content, size_t rows)
{
	open_message(b, MSG_DELETE);
	put_ts(b, rows);
	wire_put_bytes(b, num, content);
}

/* Before primary_keys there was a list of numbers; both forms are read. */
static void test_old_delete(void **state)
{
	struct buf b = BUF_INIT(BYTES), packed = BUF_INIT(BYTES);
	struct err e = ERR_INIT;
	struct dml_keys k;

	(void)state;
	wire_put_varint(&packed, 8);
	wire_put_varint(&packed, UINT64_MAX);
	delete_with(&b, 9, buf_slice(&packed), 2);
	wire_put_u64(&b, 9, 10); /* unpacked ones count as well */
	struct dml d = read_dml(&b);
	assert_int_equal(dml_keys_of_delete(&k, &d, &e), ERR_OK);
	expect_numbers(&k, (int64_t[]){8, -1, 10}, 3);
	buf_done(&b);
	buf_done(&packed);
}

static void test_delete_texts(void **state)
{
	struct buf b = BUF_INIT(BYTES), texts = BUF_INIT(BYTES), ids = BUF_INIT(BYTES);
	struct err e = ERR_INIT;
	struct dml_keys k;
	struct dml_key key;

	(void)state;
	wire_put_str(&texts, 1, "a");
	wire_put_str(&texts, 1, "");
	wire_put_bytes(&ids, 2, buf_slice(&texts));
	delete_with(&b, 12, buf_slice(&ids), 2);
	struct dml d = read_dml(&b);
	assert_int_equal(dml_keys_of_delete(&k, &d, &e), ERR_OK);
	assert_true(k.varchar);
	assert_int_equal(k.count, 2);
	struct dml_keys_iter it = dml_keys_begin(&k);
	assert_true(dml_keys_next(&it, &key) && slice_eq_str(key.text, "a"));
	assert_true(dml_keys_next(&it, &key) && key.text.n == 0);
	assert_false(dml_keys_next(&it, &key));
	buf_done(&b);
	buf_done(&texts);
	buf_done(&ids);
}

static void test_unreadable_keys(void **state)
{
	struct buf b = BUF_INIT(BYTES);
	struct err e = ERR_INIT;
	struct dml_keys k;

	(void)state;
	delete_with(&b, 12, slice_of("\x0a\x03\x0a\x01\xff", 5), 1);
	struct dml d = read_dml(&b);
	assert_int_equal(dml_keys_of_delete(&k, &d, &e), ERR_MALFORMED);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_insert_numbers),
		cmocka_unit_test(test_old_delete),
		cmocka_unit_test(test_delete_texts),
		cmocka_unit_test(test_unreadable_keys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
