/* Rows of newer Milvus releases through the hot path: columns of every new type, validity and
 * unknown fields pass byte for byte, and a replay finds the keys among them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/iov.h"
#include "base/wire.h"
#include "model/dml_keys.h"
#include "pipeline/translate.h"
#include "support/vectors.h"

enum { ROWS = 4, BYTES = 64 << 10, KEY_FIELD = 100, FIRST_COLUMN = 11 };

#define FUTURE "\xd2\x0f\x03new" /* number 250, a text */

static const struct translate to_target = {.db = "db2",
	.collection = "c2",
	.shard = "t0_9v0",
	.collection_id = 9,
	.partition_id = 8,
	.stamps = {.change = true, .one = 470648418537308999ULL}};

struct rows {
	struct slice payload; /* with a field of a release to come */
	struct dml d;
	struct arena arena;
	struct iov out;
	struct slice flat;
};

static void rows_load(struct rows *r, const char *release, const char *name)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(BYTES);
	CLEANUP(vector_free) struct slice v = vector_load(release, name);
	struct err e = ERR_INIT;

	*r = (struct rows){.flat = {0}};
	assert_non_null(v.p);
	buf_put(&b, v.p, v.n);
	buf_put(&b, FUTURE, sizeof(FUTURE) - 1);
	r->payload = slice_of(xmemdup(b.p, b.n), b.n);
	assert_int_equal(dml_read(&r->d, r->payload, &e), ERR_OK);
	assert_int_equal(r->d.rows, ROWS);
}

static void flatten(struct rows *r)
{
	uint8_t *p = arena_alloc(&r->arena, r->out.bytes);
	size_t n = 0;

	for (size_t i = 0; i < r->out.n; i++) {
		memcpy(p + n, r->out.v[i].p, r->out.v[i].n);
		n += r->out.v[i].n;
	}
	r->flat = slice_of(p, n);
}

static void rows_done(struct rows *r)
{
	iov_done(&r->out);
	arena_done(&r->arena);
	vector_free(&r->payload);
}

/* All fields from `first` on, as they stand. */
static void tail(struct slice message, uint32_t first, struct buf *out)
{
	struct wire w = wire_open(message);
	struct wire_field f;

	while (wire_next(&w, &f))
		if (f.num >= first)
			buf_put(out, f.raw.p, f.raw.n);
	assert_false(w.bad);
}

static void check_columns(const char *release, const char *name)
{
	CLEANUP(buf_done) struct buf before = BUF_INIT(BYTES);
	CLEANUP(buf_done) struct buf after = BUF_INIT(BYTES);
	struct err e = ERR_INIT;
	struct rows r;
	struct dml d;

	rows_load(&r, release, name);
	assert_int_equal(translate_dml(&to_target, &r.d, &r.arena, &r.out, &e), ERR_OK);
	flatten(&r);
	tail(r.payload, FIRST_COLUMN, &before);
	tail(r.flat, FIRST_COLUMN, &after);
	assert_true(before.n > 100);
	assert_int_equal(before.n, after.n);
	assert_memory_equal(before.p, after.p, before.n);
	assert_int_equal(dml_read(&d, r.flat, &e), ERR_OK);
	assert_int_equal(d.collection_id, 9);
	assert_true(d.one_ts && d.min_ts == to_target.stamps.one && d.base.ts == d.min_ts);
	rows_done(&r);
}

/* The delete that a replay puts in front of an insert. */
static void check_replay(const char *release, const char *name, bool varchar)
{
	struct translate t = to_target;
	struct err e = ERR_INIT;
	struct dml_keys k;
	struct dml_key key;
	struct rows r;
	struct dml d;

	rows_load(&r, release, name);
	t.msg_id = 5;
	assert_int_equal(
		translate_replay_delete(&t, &r.d, KEY_FIELD, varchar, 600, &r.arena, &r.out, &e),
		ERR_OK);
	flatten(&r);
	assert_int_equal(dml_read(&d, r.flat, &e), ERR_OK);
	assert_int_equal(d.type, MSG_DELETE);
	assert_int_equal(dml_keys_of_delete(&k, &d, &e), ERR_OK);
	assert_int_equal(k.count, ROWS);
	struct dml_keys_iter it = dml_keys_begin(&k);
	assert_true(dml_keys_next(&it, &key));
	if (varchar)
		assert_true(slice_eq_str(key.text, "row "));
	else
		assert_int_equal(key.number, -1);
	rows_done(&r);
}

static void test_inserts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vector_releases); i++) {
		check_columns(vector_releases[i], "insert");
		check_columns(vector_releases[i], "insert-varchar");
	}
}

static void test_replays(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vector_releases); i++) {
		check_replay(vector_releases[i], "insert", false);
		check_replay(vector_releases[i], "insert-varchar", true);
	}
}

/* A delete without a partition stays one, and its newer fields pass. */
static void test_deletes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vector_releases); i++) {
		CLEANUP(buf_done) struct buf before = BUF_INIT(BYTES);
		CLEANUP(buf_done) struct buf after = BUF_INIT(BYTES);
		struct err e = ERR_INIT;
		struct rows r;
		struct dml d;

		rows_load(&r, vector_releases[i], "delete");
		assert_int_equal(translate_dml(&to_target, &r.d, &r.arena, &r.out, &e), ERR_OK);
		flatten(&r);
		tail(r.payload, FIRST_COLUMN, &before);
		tail(r.flat, FIRST_COLUMN, &after);
		assert_int_equal(before.n, after.n);
		assert_memory_equal(before.p, after.p, before.n);
		assert_int_equal(dml_read(&d, r.flat, &e), ERR_OK);
		assert_int_equal(d.partition_id, -1);
		rows_done(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inserts),
		cmocka_unit_test(test_replays),
		cmocka_unit_test(test_deletes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
