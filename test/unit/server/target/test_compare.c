#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/wire.h"
#include "server/target/compare.h"

enum { BYTES = 64 << 10, WHY_BYTES = 200, INT64 = 5, VARCHAR = 21, ARRAY = 22, FLOAT_VECTOR = 101 };

/* One schema.FieldSchema; 0 leaves a number out. */
struct field {
	uint64_t id;
	const char *name;
	uint64_t pk, type, auto_id, element, dynamic, partition_key, nullable;
	const char *param, *value;
	const char *description;
};

static void put_opt(struct buf *b, uint32_t num, uint64_t v)
{
	if (v)
		wire_put_u64(b, num, v);
}

static void put_field(struct buf *schema, const struct field *f)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(BYTES);
	CLEANUP(buf_done) struct buf kv = BUF_INIT(BYTES);

	put_opt(&b, 1, f->id);
	wire_put_str(&b, 2, f->name);
	put_opt(&b, 3, f->pk);
	if (f->description)
		wire_put_str(&b, 4, f->description);
	put_opt(&b, 5, f->type);
	if (f->param) {
		wire_put_str(&kv, 1, f->param);
		wire_put_str(&kv, 2, f->value);
		wire_put_bytes(&b, 6, buf_slice(&kv));
	}
	put_opt(&b, 8, f->auto_id);
	put_opt(&b, 10, f->element);
	put_opt(&b, 12, f->dynamic);
	put_opt(&b, 13, f->partition_key);
	put_opt(&b, 15, f->nullable);
	wire_put_bytes(schema, 4, buf_slice(&b));
}

static void put_schema(struct buf *b, const struct field *f, size_t n, bool dynamic)
{
	wire_put_str(b, 1, "c");
	for (size_t i = 0; i < n; i++)
		put_field(b, &f[i]);
	put_opt(b, 5, dynamic);
}

static const struct field usual[] = {{.id = 0, .name = "RowID", .type = INT64},
	{.id = 1, .name = "Timestamp", .type = INT64},
	{.id = 100, .name = "id", .pk = 1, .type = INT64},
	{.id = 101, .name = "title", .type = VARCHAR, .param = "max_length", .value = "100"},
	{.id = 102,
		.name = "tags",
		.type = ARRAY,
		.element = INT64,
		.param = "max_capacity",
		.value = "8"},
	{.id = 103, .name = "v", .type = FLOAT_VECTOR, .param = "dim", .value = "8"}};

/* The answer for the usual schema against f. */
static bool same_as_usual(const struct field *f, size_t n, bool dynamic, char *why)
{
	CLEANUP(buf_done) struct buf a = BUF_INIT(BYTES);
	CLEANUP(buf_done) struct buf b = BUF_INIT(BYTES);

	put_schema(&a, usual, ARRAY_LEN(usual), false);
	put_schema(&b, f, n, dynamic);
	why[0] = '\0';
	return compare_schema(buf_slice(&a), buf_slice(&b), why, WHY_BYTES);
}

/* As same_as_usual, with one field of the target's changed. */
static void expect(int i, struct field f, const char *difference)
{
	struct field target[ARRAY_LEN(usual)];
	char why[WHY_BYTES];

	memcpy(target, usual, sizeof(usual));
	target[i] = f;
	assert_false(same_as_usual(target, ARRAY_LEN(target), false, why));
	if (!strstr(why, difference))
		fail_msg("'%s' does not tell of: %s", why, difference);
}

static void test_equal(void **state)
{
	char why[WHY_BYTES];

	(void)state;
	assert_true(same_as_usual(usual, ARRAY_LEN(usual), false, why));
	assert_string_equal(why, "");
}

static void test_what_does_not_matter(void **state)
{
	struct field f[ARRAY_LEN(usual)];
	char why[WHY_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(usual); i++)
		f[i] = usual[ARRAY_LEN(usual) - 1 - i]; /* the order */
	f[0].description = "a vector";                  /* a description */
	assert_true(same_as_usual(f, ARRAY_LEN(f), false, why));
	assert_true(same_as_usual(usual + 2, ARRAY_LEN(usual) - 2, false, why)); /* system fields */
}

static void test_each_difference_is_named(void **state)
{
	struct field f;

	(void)state;
	f = usual[3], f.name = "titel";
	expect(3, f, "field title (id 101) differs in its name");
	f = usual[3], f.value = "99";
	expect(3, f, "type parameters");
	f = usual[3], f.param = NULL;
	expect(3, f, "type parameters");
	f = usual[3], f.type = INT64;
	expect(3, f, "data type");
	f = usual[4], f.element = VARCHAR;
	expect(4, f, "data type");
	f = usual[2], f.pk = 0;
	expect(2, f, "primary key");
	f = usual[2], f.auto_id = 1;
	expect(2, f, "auto id");
	f = usual[3], f.partition_key = 1;
	expect(3, f, "partition key");
	f = usual[3], f.nullable = 1;
	expect(3, f, "nullable");
	f = usual[3], f.id = 104;
	expect(3, f, "field id");
}

static void test_number_of_fields(void **state)
{
	char why[WHY_BYTES];

	(void)state;
	assert_false(same_as_usual(usual, ARRAY_LEN(usual) - 1, false, why));
	assert_non_null(strstr(why, "4 fields at the source, 3 on the target"));
}

static void test_dynamic_field(void **state)
{
	struct field f[ARRAY_LEN(usual) + 1];
	char why[WHY_BYTES];

	(void)state;
	assert_false(same_as_usual(usual, ARRAY_LEN(usual), true, why));
	assert_non_null(strstr(why, "dynamic field"));
	/* The $meta field itself is the servers' business: one lists it, another does not. */
	memcpy(f, usual, sizeof(usual));
	f[ARRAY_LEN(usual)] = (struct field){.id = 104, .name = "$meta", .type = 23, .dynamic = 1};
	assert_true(same_as_usual(f, ARRAY_LEN(f), false, why));
}

static void put_function(struct buf *schema, const char *name, uint64_t own_id, const char *text)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(BYTES);

	wire_put_str(&b, 1, name);
	wire_put_u64(&b, 2, own_id);
	wire_put_str(&b, 3, text);
	wire_put_u64(&b, 4, 1);
	wire_put_str(&b, 5, "title");
	wire_put_u64(&b, 6, own_id + 1);
	wire_put_bytes(schema, 7, buf_slice(&b));
}

/* Functions count, what each cluster numbers and describes for itself does not. */
static void test_functions(void **state)
{
	CLEANUP(buf_done) struct buf a = BUF_INIT(BYTES);
	CLEANUP(buf_done) struct buf b = BUF_INIT(BYTES);
	CLEANUP(buf_done) struct buf other = BUF_INIT(BYTES);
	char why[WHY_BYTES];

	(void)state;
	put_schema(&a, usual, ARRAY_LEN(usual), false);
	buf_put(&b, a.p, a.n);
	buf_put(&other, a.p, a.n);
	put_function(&a, "bm25", 100, "words");
	assert_false(compare_schema(buf_slice(&a), buf_slice(&b), why, sizeof(why)));
	assert_string_equal(why, "the functions differ");
	assert_false(compare_schema(buf_slice(&b), buf_slice(&a), why, sizeof(why)));
	put_function(&b, "bm25", 7, "");
	assert_true(compare_schema(buf_slice(&a), buf_slice(&b), why, sizeof(why)));
	put_function(&other, "rerank", 100, "words");
	assert_false(compare_schema(buf_slice(&a), buf_slice(&other), why, sizeof(why)));
}

/* A field of newer releases beside the same without `num`. */
static void expect_field_difference(uint32_t num, bool text, const char *what)
{
	CLEANUP(buf_done) struct buf plain = BUF_INIT(BYTES);
	CLEANUP(buf_done) struct buf field = BUF_INIT(BYTES);
	CLEANUP(buf_done) struct buf a = BUF_INIT(BYTES);
	CLEANUP(buf_done) struct buf b = BUF_INIT(BYTES);
	char why[WHY_BYTES];

	wire_put_u64(&plain, 1, 100);
	wire_put_str(&plain, 2, "id");
	buf_put(&field, plain.p, plain.n);
	if (text)
		wire_put_str(&field, num, "\x18\x07");
	else
		wire_put_u64(&field, num, 1);
	wire_put_bytes(&a, 4, buf_slice(&plain));
	wire_put_bytes(&b, 4, buf_slice(&field));
	assert_false(compare_schema(buf_slice(&a), buf_slice(&b), why, sizeof(why)));
	if (!strstr(why, what))
		fail_msg("%s is not named: %s", what, why);
}

static void test_attributes_of_newer_releases(void **state)
{
	(void)state;
	expect_field_difference(11, true, "default value");
	expect_field_difference(14, false, "clustering key");
	expect_field_difference(15, false, "nullable");
	expect_field_difference(16, false, "function output");
}

static void test_why_is_cut_to_its_room(void **state)
{
	CLEANUP(buf_done) struct buf a = BUF_INIT(BYTES);
	CLEANUP(buf_done) struct buf b = BUF_INIT(BYTES);
	char why[16];

	(void)state;
	put_schema(&a, usual, ARRAY_LEN(usual), false);
	put_schema(&b, usual, ARRAY_LEN(usual) - 1, false);
	assert_false(compare_schema(buf_slice(&a), buf_slice(&b), why, sizeof(why)));
	assert_int_equal(strlen(why), sizeof(why) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_what_does_not_matter),
		cmocka_unit_test(test_each_difference_is_named),
		cmocka_unit_test(test_number_of_fields),
		cmocka_unit_test(test_dynamic_field),
		cmocka_unit_test(test_functions),
		cmocka_unit_test(test_attributes_of_newer_releases),
		cmocka_unit_test(test_why_is_cut_to_its_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
