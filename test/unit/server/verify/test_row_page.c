/* Rows of answers as keys and digests; the answers in test/fuzz/corpus/answer were made with Milvus' own
 * message classes, the one of every type by a real 2.3.5. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/wire.h"
#include "server/verify/row_page.h"

enum { MOST = 1 << 16 };
enum {
	BOOL = 1,
	INT8 = 2,
	INT64 = 5,
	FLOAT = 10,
	DOUBLE = 11,
	VARCHAR = 21,
	ARRAY = 22,
	JSON = 23
};
enum { BINARY_VECTOR = 100, SPARSE_VECTOR = 104 };

static struct slice load(const char *name, uint8_t *to)
{
	char path[200];

	snprintf(path, sizeof(path), "test/fuzz/corpus/answer/%s", name);
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	size_t n = fread(to, 1, MOST, f);
	fclose(f);
	return slice_of(to, n);
}

/* ---- answers by hand ---- */

/* A column of one of ScalarField's or VectorField's members, whose content is given. */
static void put_column(struct buf *answer, const char *name, int type, int id, uint32_t member,
	struct slice content)
{
	CLEANUP(buf_done) struct buf holder = BUF_INIT(MOST);
	CLEANUP(buf_done) struct buf column = BUF_INIT(MOST);

	wire_put_u64(&column, 1, (uint64_t)type);
	wire_put_str(&column, 2, name);
	wire_put_bytes(&holder, member, content);
	wire_put_bytes(&column, type >= BINARY_VECTOR ? 4 : 3, buf_slice(&holder));
	wire_put_i64(&column, 5, id);
	wire_put_bytes(answer, 2, buf_slice(&column));
}

static void put_ids(struct buf *answer, int id, const int64_t *keys, size_t n, bool packed)
{
	CLEANUP(buf_done) struct buf list = BUF_INIT(MOST);
	CLEANUP(buf_done) struct buf run = BUF_INIT(MOST);

	for (size_t i = 0; i < n; i++)
		if (packed)
			wire_put_varint(&run, (uint64_t)keys[i]);
		else
			wire_put_i64(&list, 1, keys[i]);
	if (packed)
		wire_put_bytes(&list, 1, buf_slice(&run));
	put_column(answer, "id", INT64, id, 3, buf_slice(&list));
}

/* One value of each kind of column, one row with key 7; which of them is given by `other`. */
struct value {
	const char *name;
	int type;
	uint32_t member;
	struct slice one, other; /* contents of the member */
};

#define BYTES(text)                                                                                \
	{                                                                                          \
		(const uint8_t *)(text), sizeof(text) - 1                                          \
	}

static const struct value values[] = {
	{"b", BOOL, 1, BYTES("\x08\x01"), BYTES("\x08\x00")},
	{"i8", INT8, 2, BYTES("\x08\x01"), BYTES("\x08\x02")},
	{"i64", INT64, 3, BYTES("\x08\x05"), BYTES("\x08\x06")},
	{"f", FLOAT, 4, BYTES("\x0d\x00\x00\x00\x00"), BYTES("\x0d\x00\x00\x00\x80")},
	{"d", DOUBLE, 5, BYTES("\x09\x00\x00\x00\x00\x00\x00\x00\x00"),
		BYTES("\x09\x01\x00\x00\x00\x00\x00\x00\x00")},
	{"s", VARCHAR, 6, BYTES("\x0a\x01x"), BYTES("\x0a\x01y")},
	{"j", JSON, 9, BYTES("\x0a\x02{}"), BYTES("\x0a\x03{ }")},
	/* arrays: an element more, another element, another kind of element */
	{"a", ARRAY, 8, BYTES("\x0a\x04\x12\x02\x08\x01"),
		BYTES("\x0a\x06\x12\x04\x08\x01\x08\x01")},
	{"as", ARRAY, 8, BYTES("\x0a\x05\x32\x03\x0a\x01p"), BYTES("\x0a\x05\x32\x03\x0a\x01q")},
	{"sv", SPARSE_VECTOR, 6, BYTES("\x0a\x08\x01\0\0\0\0\0\0\x3f"),
		BYTES("\x0a\x08\x02\0\0\0\0\0\0\x3f")},
};

static void put_value(struct buf *answer, size_t which, bool other)
{
	const struct value *v = &values[which];
	put_column(
		answer, v->name, v->type, 110 + (int)which, v->member, other ? v->other : v->one);
}

static void read_good(struct row_page *p, const struct buf *answer, bool detail)
{
	struct err e = ERR_INIT;

	enum err_code code = row_page_read(p, buf_slice(answer), "id", false, detail, &e);
	assert_string_equal(e.text, "");
	assert_int_equal(code, ERR_OK);
}

/* Each type alone: one changed value changes the digest, and the field's own, and no other's. */
static void test_every_value_counts(void **state)
{
	static const int64_t key = 7;
	struct row_page a = {.n = 0}, b = {.n = 0};

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(values); k++) {
		CLEANUP(buf_done) struct buf x = BUF_INIT(MOST);
		CLEANUP(buf_done) struct buf y = BUF_INIT(MOST);
		put_ids(&x, 100, &key, 1, true);
		for (size_t i = 0; i < ARRAY_LEN(values); i++)
			put_value(&x, i, false);
		/* the other way round, other ids, not packed */
		for (size_t i = ARRAY_LEN(values); i > 0; i--)
			put_value(&y, i - 1, i - 1 == k);
		put_ids(&y, 300, &key, 1, false);
		read_good(&a, &x, true);
		read_good(&b, &y, true);
		assert_int_equal(a.n, 1);
		assert_int_equal(b.n_names, ARRAY_LEN(values) + 1);
		assert_memory_not_equal(a.rows[0].digest, b.rows[0].digest, ROW_DIGEST_BYTES);
		for (size_t i = 0; i < a.n_names; i++) {
			assert_string_equal(a.names[i], b.names[i]);
			bool same = a.rows[0].fields[i] == b.rows[0].fields[i];
			assert_true(same == (strcmp(a.names[i], values[k].name) != 0));
		}
	}
	row_page_done(&a);
	row_page_done(&b);
}

static void test_form_does_not_count(void **state)
{
	static const int64_t keys[] = {-3, 4, 9};
	CLEANUP(buf_done) struct buf x = BUF_INIT(MOST);
	CLEANUP(buf_done) struct buf y = BUF_INIT(MOST);
	struct row_page a = {.n = 0}, b = {.n = 0};
	uint8_t bytes[MOST];
	struct err e = ERR_INIT;

	(void)state;
	put_ids(&x, 100, keys, 3, true);
	put_ids(&y, 200, keys, 3, false);
	read_good(&a, &x, false);
	read_good(&b, &y, false);
	assert_int_equal(a.n, 3);
	for (size_t i = 0; i < 3; i++)
		assert_memory_equal(a.rows[i].digest, b.rows[i].digest, ROW_DIGEST_BYTES);
	assert_memory_not_equal(a.rows[0].digest, a.rows[1].digest, ROW_DIGEST_BYTES);
	assert_int_equal(
		row_page_read(&a, load("varchar_key", bytes), "id", true, false, &e), ERR_OK);
	uint8_t more[MOST];
	assert_int_equal(
		row_page_read(&b, load("varchar_key_other_order", more), "id", true, false, &e),
		ERR_OK);
	for (size_t i = 0; i < 3; i++)
		assert_memory_equal(a.rows[i].digest, b.rows[i].digest, ROW_DIGEST_BYTES);
	row_page_done(&a);
	row_page_done(&b);
}

static void test_real_answer(void **state)
{
	struct row_page p = {.n = 0};
	uint8_t bytes[MOST];
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(
		row_page_read(&p, load("every_type_2_3_5", bytes), "id", false, true, &e), ERR_OK);
	assert_true(p.n >= 6);
	assert_int_equal(p.n_names, 17);
	assert_string_equal(p.names[0], "$meta");
	for (size_t i = 0; i < p.n; i++) {
		struct row_key k = {.number = (int64_t)i};
		assert_ptr_equal(row_page_find(&p, &k, false), &p.rows[i]);
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(
				p.rows[i].digest, p.rows[j].digest, ROW_DIGEST_BYTES);
	}
	assert_null(row_page_find(&p, &(struct row_key){.number = 1000}, false));
	row_page_done(&p);
}

static void test_order_and_keys(void **state)
{
	static const int64_t mixed[] = {5, -1, INT64_MAX};
	CLEANUP(buf_done) struct buf x = BUF_INIT(MOST);
	CLEANUP(buf_done) struct buf text = BUF_INIT(MOST);
	struct row_page p = {.n = 0};
	uint8_t bytes[MOST];
	struct err e = ERR_INIT;

	(void)state;
	put_ids(&x, 100, mixed, 3, true);
	read_good(&p, &x, false);
	assert_true(p.rows[0].key.number == -1 && p.rows[2].key.number == INT64_MAX);
	row_key_put(&text, &p.rows[2].key, false);
	buf_put_u8(&text, ' ');
	assert_int_equal(
		row_page_read(&p, load("varchar_key", bytes), "id", true, false, &e), ERR_OK);
	for (size_t i = 0; i < p.n; i++)
		row_key_put(&text, &p.rows[i].key, true);
	assert_string_equal(buf_cstr(&text), "9223372036854775807 \"a\"\"b'\\\"\\\\\"\"\xc3\xa4\"");
	row_page_done(&p);
}

static void refused(const char *name, bool varchar, const char *why)
{
	struct row_page p = {.n = 0};
	uint8_t bytes[MOST];
	struct err e = ERR_INIT;

	assert_int_equal(
		row_page_read(&p, load(name, bytes), "id", varchar, false, &e), ERR_MALFORMED);
	assert_non_null(strstr(e.text, why));
	row_page_done(&p);
}

static void test_bad_answers(void **state)
{
	struct row_page p = {.n = 0};
	struct err e = ERR_INIT;

	(void)state;
	refused("key_twice", false, "twice");
	refused("no_key", false, "no column id");
	refused("varchar_key", false, "another type");
	refused("int_key", true, "another type");
	assert_int_equal(row_page_read(&p, (struct slice){0}, "id", false, false, &e), ERR_OK);
	assert_int_equal(p.n, 0);
	row_page_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_value_counts),
		cmocka_unit_test(test_form_does_not_count),
		cmocka_unit_test(test_real_answer),
		cmocka_unit_test(test_order_and_keys),
		cmocka_unit_test(test_bad_answers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
