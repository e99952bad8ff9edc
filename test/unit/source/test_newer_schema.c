/* Schemas of newer Milvus releases, as their own classes write them, through the catalog's parts and
 * into CreateCollection: byte for byte, unknown fields included. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/wire.h"
#include "source/catalog_decode.h"
#include "source/catalog_schema.h"
#include "support/vectors.h"

enum { FIRST_FIELD = 100, LAST_FIELD = 113, BYTES = 64 << 10 };

/* A field of a release to come, behind a stored message. */
#define FUTURE "\xd2\x0f\x03new" /* number 250, a text */

static struct slice with_future(struct slice value, struct buf *b)
{
	buf_reset(b);
	buf_put(b, value.p, value.n);
	buf_put(b, FUTURE, sizeof(FUTURE) - 1);
	return buf_slice(b);
}

/* How often the schema holds exactly this field. */
static int count(struct slice schema, uint32_t num, struct slice content)
{
	struct wire w = wire_open(schema);
	struct wire_field f;
	int n = 0;

	while (wire_next(&w, &f))
		n += f.num == num && slice_eq(f.data, content);
	return n;
}

struct parts {
	const char *release;
	struct catalog_schema *sc;
	struct collection c;
	int put;
};

static void put_part(struct parts *p, enum schema_part_kind kind, const char *what, int64_t id)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(BYTES);
	char name[64];

	snprintf(name, sizeof(name), "%s-%d", what, (int)id);
	CLEANUP(vector_free) struct slice v = vector_load(p->release, name);
	if (!v.p)
		return;
	assert_true(catalog_schema_set(p->sc, kind, id, with_future(v, &b)));
	p->put++;
}

static void expect_part(struct parts *p, enum schema_part_kind kind, const char *what, int64_t id)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(BYTES);
	char name[64];

	snprintf(name, sizeof(name), "%s-%d", what, (int)id);
	CLEANUP(vector_free) struct slice v = vector_load(p->release, name);
	bool meta = id == LAST_FIELD;
	if (v.p && count(p->c.schema, (uint32_t)kind, with_future(v, &b)) != (meta ? 0 : 1))
		fail_msg("%s: %s is not in the schema as it stood", p->release, name);
}

static void all_parts(
	struct parts *p, void (*each)(struct parts *, enum schema_part_kind, const char *, int64_t))
{
	each(p, SCHEMA_FUNCTION, "function", 100);
	each(p, SCHEMA_STRUCT, "struct", 110);
	for (int64_t id = LAST_FIELD; id >= FIRST_FIELD; id--)
		each(p, SCHEMA_FIELD, "field", id);
}

/* Every byte of the head as well, in its place: properties, the database's name. */
static void expect_head(const struct parts *p, struct slice head)
{
	assert_true(p->c.schema.n > head.n);
	assert_memory_equal(p->c.schema.p, head.p, head.n);
}

static void check_release(const char *release)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(BYTES);
	struct parts p = {.release = release, .sc = catalog_schema_new(), .c = {.id = 449}};
	CLEANUP(vector_free) struct slice head = vector_load(release, "head");
	CLEANUP(vector_free) struct slice row_id = vector_load(release, "field-0");

	all_parts(&p, put_part);
	assert_true(p.put >= 10);
	assert_true(catalog_schema_set(p.sc, SCHEMA_FIELD, 0, row_id));
	assert_true(catalog_schema_set_head(p.sc, with_future(head, &b)));
	catalog_schema_build(p.sc, &p.c);
	expect_head(&p, buf_slice(&b));
	all_parts(&p, expect_part);
	assert_int_equal(count(p.c.schema, 4, row_id), 0);
	assert_int_equal(p.c.pk_field_id, 100);
	assert_false(p.c.pk_is_varchar);

	/* Taken apart again and put together: the same. */
	struct catalog_schema *again = catalog_schema_new();
	struct collection c = {.id = 449};
	assert_true(catalog_schema_set_head(again, p.c.schema));
	catalog_schema_build(again, &c);
	assert_int_equal(c.schema.n, p.c.schema.n);
	assert_memory_equal(c.schema.p, p.c.schema.p, c.schema.n);
	catalog_schema_free(again);
	catalog_schema_free(p.sc);
	vector_free(&p.c.schema);
	vector_free(&c.schema);
}

static void test_schemas_of_newer_releases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vector_releases); i++)
		check_release(vector_releases[i]);
}

static void test_struct_key(void **state)
{
	(void)state;
	struct catalog_key k = catalog_key_parse("struct-array-fields/449/110");
	assert_int_equal(k.kind, CATALOG_KEY_STRUCT);
	assert_int_equal(k.parent, 449);
	assert_int_equal(k.id, 110);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schemas_of_newer_releases),
		cmocka_unit_test(test_struct_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
