/* Keys and values of the source's etcd; the hex vectors are of a live Milvus 2.3.5. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/wire.h"
#include "source/catalog_decode.h"
#include "source/catalog_schema.h"
#include "support/catalog_values.h"
#include "support/hex.h"

static const char live_collection[] =
	"08 c182c0c49f8785c406"
	"12 0f 0a0b 63313739353338313232 38 28 01"
	"18 8780b095dd8785c406"
	/* src-rootcoord-dml_{0,1}_470648400276095297v{0,1} */
	"3a 28 7372632d726f6f74636f6f72642d646d6c5f305f343730363438343030323736303935323937 7630"
	"3a 28 7372632d726f6f74636f6f72642d646d6c5f315f343730363438343030323736303935323937 7631"
	"42 13 7372632d726f6f74636f6f72642d646d6c5f30 42 13 7372632d726f6f74636f6f72642d646d6c5f31"
	"50 02"
	"5a 1f 0a13 7372632d726f6f74636f6f72642d646d6c5f30 1208 00 00 00 00 00 00 00 00"
	"5a 1f 0a13 7372632d726f6f74636f6f72642d646d6c5f31 1208 01 00 00 00 00 00 00 00"
	"60 02 68 02 78 01";
static const int64_t live_id = 470648400276095297;
static const char live_field_v[] = "0865 120176 2865 320a 0a0364696d 1203313238";

static void test_keys(void **state UNUSED)
{
	static const struct {
		const char *tail;
		enum catalog_key_kind kind;
		int64_t parent, id;
	} cases[] = {
		{"database/db-info/1", CATALOG_KEY_DATABASE, 0, 1},
		{"database/collection-info/1/470648400276095297", CATALOG_KEY_COLLECTION, 1,
			470648400276095297},
		{"fields/449/0", CATALOG_KEY_FIELD, 449, 0},
		{"fields/449/100", CATALOG_KEY_FIELD, 449, 100},
		{"functions/449/100", CATALOG_KEY_FUNCTION, 449, 100},
		{"partitions/449/450", CATALOG_KEY_PARTITION, 449, 450},
		{"database/aliases/1/a", CATALOG_KEY_ALIAS, 1, 0},
		{"database/aliases/1/", CATALOG_KEY_BAD, 1, 0},
		{"database/aliases/x/a", CATALOG_KEY_BAD, 0, 0},
		{"collection/449", CATALOG_KEY_OTHER, 0, 0},
		{"credential/users/root", CATALOG_KEY_OTHER, 0, 0},
		{"", CATALOG_KEY_OTHER, 0, 0},
		{"database/db-info/", CATALOG_KEY_BAD, 0, 0},
		{"database/db-info/x", CATALOG_KEY_BAD, 0, 0},
		{"database/db-info/-1", CATALOG_KEY_BAD, 0, 0},
		{"database/collection-info/449", CATALOG_KEY_BAD, 0, 0},
		{"fields/449/", CATALOG_KEY_BAD, 0, 0},
		{"fields/449/1/2", CATALOG_KEY_BAD, 0, 0},
		{"partitions/449/99999999999999999999", CATALOG_KEY_BAD, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct catalog_key k = catalog_key_parse(cases[i].tail);
		if (k.kind != cases[i].kind)
			fail_msg("%s: kind %d", cases[i].tail, (int)k.kind);
		if (k.kind == CATALOG_KEY_BAD)
			continue;
		assert_int_equal(k.parent, cases[i].parent);
		assert_int_equal(k.id, cases[i].id);
	}
}

static void test_tombstone(void **state UNUSED)
{
	assert_true(catalog_is_tombstone(slice_of("\xe2\x9b\xbc", 3)));
	assert_false(catalog_is_tombstone(slice_of("\xe2\x9b\xbc ", 4)));
	assert_false(catalog_is_tombstone(slice_of("\xe2\x9b", 2)));
	assert_false(catalog_is_tombstone((struct slice){0}));
}

static void test_live_collection(void **state UNUSED)
{
	uint8_t bytes[512];
	struct slice value = hex_bytes(live_collection, bytes, sizeof(bytes));
	struct collection *c = NULL;
	struct slice schema;
	struct err e = ERR_INIT;

	if (catalog_decode_collection(value, 1, live_id, &c, &schema, &e))
		fail_msg("%s", e.text);
	assert_int_equal(c->id, live_id);
	assert_int_equal(c->db_id, 1);
	assert_string_equal(c->name, "c1795381228");
	assert_int_equal(c->create_ts, 470648416820264967);
	assert_int_equal(c->state, OBJECT_DROPPING);
	assert_int_equal(c->consistency_level, 2);
	assert_int_equal(c->shards_num, 2);
	assert_string_equal(c->shards[1].vchannel, "src-rootcoord-dml_1_470648400276095297v1");
	assert_string_equal(c->shards[1].pchannel, "src-rootcoord-dml_1");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(c->shards[i].start.n, 8);
		assert_int_equal(c->shards[i].start.b[0], i);
	}
	assert_int_equal(c->properties.n, 0);
	assert_int_equal(schema.n, 15);
	collection_unref(c);
	assert_int_equal(
		catalog_decode_collection(value, 1, live_id + 1, &c, &schema, NULL), ERR_MALFORMED);
	/* Cut short anywhere it is refused or still a whole message; never read beyond. */
	for (size_t n = 0; n < value.n; n++) {
		struct slice cut = slice_of(xmemdup(value.p, n), n);
		if (!catalog_decode_collection(cut, 1, live_id, &c, &schema, NULL))
			collection_unref(c);
		free((void *)(uintptr_t)cut.p);
	}
}

static void decode_as(struct buf *b, enum err_code want, struct collection **ret_c)
{
	struct slice schema;
	assert_int_equal(catalog_decode_collection(buf_slice(b), 1, 7, ret_c, &schema, NULL), want);
}

static void test_collection_details(void **state UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(1 << 16);
	struct collection *c = NULL;
	uint8_t pair[32];
	char text[64];

	/* properties keep their bytes under the tag of CreateCollectionRequest */
	cv_collection(&b, &(struct cv_collection){.id = 7, .name = "c", .shards = 2});
	wire_put_bytes(&b, 14, hex_bytes("0a0161 120162 1803", pair, sizeof(pair)));
	wire_put_bytes(&b, 14, hex_bytes("0a0163", pair, sizeof(pair)));
	decode_as(&b, ERR_OK, &c);
	assert_string_equal(
		hex_text(c->properties, text, sizeof(text)), "3a080a016112016218033a030a0163");
	assert_int_equal(c->state, OBJECT_CREATED); /* 0 is not on the wire */
	assert_int_equal(c->shards[0].start.n, 0);
	collection_unref(c);

	wire_put_u64(&b, 13, 4); /* a state of the future */
	decode_as(&b, ERR_MALFORMED, &c);
	buf_reset(&b);
	cv_collection(&b, &(struct cv_collection){.id = 7, .name = ""});
	decode_as(&b, ERR_MALFORMED, &c);
	buf_reset(&b);
	cv_collection(&b, &(struct cv_collection){.id = 7, .name = "c", .shards = 257});
	decode_as(&b, ERR_MALFORMED, &c);
	buf_reset(&b);
	cv_collection(&b, &(struct cv_collection){.id = 7, .name = "c"});
	wire_put_str(&b, 8, "one-pchannel-too-many");
	decode_as(&b, ERR_MALFORMED, &c);
	buf_reset(&b);
	decode_as(&b, ERR_MALFORMED, &c);
}

static void test_live_partition_and_database(void **state UNUSED)
{
	uint8_t bytes[128];
	struct partition p;
	struct database db;
	struct err e = ERR_INIT;

	struct slice value =
		hex_bytes("08f79dccc49f8785c406 12027031 188280808bef8785c406 20c182c0c49f8785c406",
			bytes, sizeof(bytes));
	struct wire w = wire_open(value);
	struct wire_field f;
	assert_true(wire_next(&w, &f));
	int64_t id = (int64_t)f.value;
	assert_int_equal(catalog_decode_partition(value, live_id, id, &p, &e), ERR_OK);
	assert_string_equal(p.name, "p1");
	assert_int_equal(p.state, OBJECT_CREATED);
	assert_int_equal(p.collection_id, live_id);
	free(p.name);
	assert_int_equal(catalog_decode_partition(value, live_id, id + 1, &p, NULL), ERR_MALFORMED);
	assert_int_equal(catalog_decode_partition(value, 1, id, &p, NULL), ERR_MALFORMED);

	value = hex_bytes(
		"1207 64656661756c74 1801 2001 28f2c0b4ac86b59ef518", bytes, sizeof(bytes));
	assert_int_equal(catalog_decode_database(value, 1, &db, &e), ERR_OK);
	assert_string_equal(db.name, "default");
	assert_int_equal(db.state, OBJECT_CREATED);
	assert_true(db.create_ts > 0);
	free(db.name);
	assert_int_equal(catalog_decode_database(value, 2, &db, NULL), ERR_MALFORMED);
	value = hex_bytes("120164 1802 2003 3206 0a0161 120162", bytes, sizeof(bytes));
	assert_int_equal(catalog_decode_database(value, 2, &db, &e), ERR_OK);
	assert_int_equal(db.state, OBJECT_DROPPING);
	assert_int_equal(db.properties.n, 8);
	free(db.name);
	free((void *)(uintptr_t)db.properties.p);
}

static void test_live_field(void **state UNUSED)
{
	uint8_t bytes[64];
	struct catalog_field f;

	struct slice value = hex_bytes(live_field_v, bytes, sizeof(bytes));
	assert_int_equal(catalog_decode_field(value, &f, NULL), ERR_OK);
	assert_int_equal(f.id, 101);
	assert_true(slice_eq_str(f.name, "v"));
	assert_int_equal(f.data_type, 101);
	assert_false(f.is_pk || f.is_partition_key || f.is_dynamic);
}

/* Schema */

static void set_hex(
	struct catalog_schema *sc, enum schema_part_kind kind, int64_t id, const char *hex)
{
	uint8_t bytes[128];
	assert_true(catalog_schema_set(sc, kind, id, hex_bytes(hex, bytes, sizeof(bytes))));
}

static void head_hex(struct catalog_schema *sc, const char *hex)
{
	uint8_t bytes[128];
	assert_true(catalog_schema_set_head(sc, hex_bytes(hex, bytes, sizeof(bytes))));
}

static void assert_schema(struct catalog_schema *sc, struct collection *c, const char *hex)
{
	uint8_t want[512];
	char text[1100];
	struct slice s = hex_bytes(hex, want, sizeof(want));

	catalog_schema_build(sc, c);
	if (!slice_eq(c->schema, s))
		fail_msg("%s, not %s", hex_text(c->schema, text, sizeof(text)), hex);
	free((void *)(uintptr_t)c->schema.p);
	c->schema = (struct slice){0};
}

#define PK_100 "0864 12026964 1801 2805"
#define VARCHAR_PK_100 "0864 12026964 1801 2815"
#define KEY_1000 "08e807 12016b 2815 6801"
#define ROW_ID "1205526f774944 2805"
#define META_102 "0866 1205246d657461 2817"

/* Fields in numeric order (1000 after 102), system fields out, functions behind, unknown ones
 * in. */
static void test_schema_is_put_together(void **state UNUSED)
{
	struct catalog_schema *sc = catalog_schema_new();
	struct collection c = {.id = 1};

	set_hex(sc, SCHEMA_FUNCTION, 100, "0a0166 1064");
	set_hex(sc, SCHEMA_FIELD, 0, ROW_ID);
	set_hex(sc, SCHEMA_FIELD, 1000, KEY_1000);
	set_hex(sc, SCHEMA_FIELD, 100, VARCHAR_PK_100);
	set_hex(sc, SCHEMA_FIELD, 101, live_field_v);
	head_hex(sc, "0a0163 9a3f03787878"); /* name "c", unknown field 1011 */
	assert_int_equal(catalog_schema_fields(sc), 3);
	assert_schema(sc, &c,
		"0a0163 9a3f03787878 220a " VARCHAR_PK_100 "2213"
		"0865 120176 2865 320a 0a0364696d 1203313238"
		"220a" KEY_1000 "3a05 0a0166 1064");
	assert_int_equal(c.pk_field_id, 100);
	assert_true(c.pk_is_varchar);
	assert_true(c.has_partition_key);

	catalog_schema_del(sc, SCHEMA_FIELD, 1000);
	catalog_schema_del(sc, SCHEMA_FIELD, 999);
	catalog_schema_del(sc, SCHEMA_FUNCTION, 100);
	set_hex(sc, SCHEMA_FIELD, 100, PK_100);
	catalog_schema_del(sc, SCHEMA_FIELD, 101);
	assert_schema(sc, &c, "0a0163 9a3f03787878 220a" PK_100);
	assert_false(c.pk_is_varchar || c.has_partition_key);
	catalog_schema_free(sc);
}

static void test_meta_field_means_dynamic(void **state UNUSED)
{
	struct catalog_schema *sc = catalog_schema_new();
	struct collection c = {.id = 1};

	set_hex(sc, SCHEMA_FIELD, 100, PK_100);
	set_hex(sc, SCHEMA_FIELD, 102, META_102);
	head_hex(sc, "0a0163");
	assert_schema(sc, &c, "0a0163 2801 220a" PK_100);
	head_hex(sc, "0a0163 2801"); /* said already: not twice */
	assert_schema(sc, &c, "0a0163 2801 220a" PK_100);
	catalog_schema_free(sc);
}

/* Taking a finished schema apart and putting it together again changes nothing. */
static void test_schema_round_trip(void **state UNUSED)
{
	struct catalog_schema *sc = catalog_schema_new(), *again = catalog_schema_new();
	struct collection a = {.id = 1}, b = {.id = 1};

	head_hex(sc, "0a0163 120164 2801 9a3f03787878");
	set_hex(sc, SCHEMA_FUNCTION, 100, "0a0166 1064");
	set_hex(sc, SCHEMA_FIELD, 100, PK_100);
	set_hex(sc, SCHEMA_FIELD, 101, live_field_v);
	catalog_schema_build(sc, &a);
	assert_true(catalog_schema_set_head(again, a.schema));
	assert_int_equal(catalog_schema_fields(again), 2);
	catalog_schema_build(again, &b);
	assert_true(slice_eq(a.schema, b.schema));
	assert_int_equal(b.pk_field_id, 100);
	free((void *)(uintptr_t)a.schema.p);
	free((void *)(uintptr_t)b.schema.p);
	catalog_schema_free(sc);
	catalog_schema_free(again);
}

static void test_bad_parts_change_nothing(void **state UNUSED)
{
	struct catalog_schema *sc = catalog_schema_new();

	assert_false(catalog_schema_set(sc, SCHEMA_FIELD, 100, slice_str("\x08")));
	assert_false(catalog_schema_set(sc, SCHEMA_FIELD, 100, slice_str("\x08\x65"))); /* is 101 */
	assert_false(catalog_schema_set(sc, SCHEMA_FUNCTION, 100, slice_str("\x10")));
	assert_false(catalog_schema_set_head(sc, slice_str("\x0a\x05")));
	assert_int_equal(sc->n, 0);
	assert_int_equal(sc->head.n, 0);
	catalog_schema_free(sc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_tombstone),
		cmocka_unit_test(test_live_collection),
		cmocka_unit_test(test_collection_details),
		cmocka_unit_test(test_live_partition_and_database),
		cmocka_unit_test(test_live_field),
		cmocka_unit_test(test_schema_is_put_together),
		cmocka_unit_test(test_meta_field_means_dynamic),
		cmocka_unit_test(test_schema_round_trip),
		cmocka_unit_test(test_bad_parts_change_nothing),
	};
	return cmocka_run_group_tests_name("source.catalog_decode", tests, NULL, NULL);
}
