/* verify against two Milvus that answer by script: ranges of keys and what stands at their borders, rows on
 * their way, rows that change, what is not loaded, going on from a state. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "support/verify_bed.h"

enum { TEXT_BYTES = 1 << 16 };

static void test_equal_sides(void **state)
{
	struct verify_bed *b = *state;

	vb_fill(b, -3000, 10000);
	assert_int_equal(vb_good_scan(b)->rows, 13000);
	assert_int_equal(b->v.colls[0].n_different, 0);
	assert_in_range(b->source.queries, 3, 30);
	assert_int_equal(
		b->target.queries, b->source.queries - 1); /* it is not asked for a total */
}

static void test_empty_sides(void **state)
{
	assert_int_equal(vb_good_scan(*state)->rows, 0);
}

/* Around the ends of ranges (256 rows, then twice as many each time), and at both ends. */
static void test_differences_at_borders(void **state)
{
	static const int64_t missing[] = {0, 255, 256, 767, 768, 4999};
	struct verify_bed *b = *state;

	vb_fill(b, 0, 5000);
	for (size_t i = 0; i < ARRAY_LEN(missing); i++)
		vb_take_out(&b->target, missing[i]);
	vb_add_row(&b->target, -7, 1);
	vb_add_row(&b->target, 9999, 1);
	vb_row_of(&b->target, 257)->value = 1;
	struct verify_coll *c = vb_good_scan(b);
	assert_int_equal(c->n_different, 9);
	assert_int_equal(c->rows, 5000 - 6 - 1);
	for (size_t i = 0; i < c->n_diffs; i++) {
		const struct verify_diff *d = &c->diffs[i];
		int64_t key = 0;
		assert_true(str_to_i64(d->key, &key));
		assert_int_equal(d->kind, key == -7 || key == 9999 ? VERIFY_EXTRA
					  : key == 257             ? VERIFY_DIFFERS
								   : VERIFY_MISSING);
		if (key == 257)
			assert_string_equal(d->what, "value");
	}
}

/* More rows on the target than it is asked for: each of them is found. */
static void test_many_extra_rows(void **state)
{
	struct verify_bed *b = *state;

	vb_fill(b, 0, 100);
	for (int64_t k = 100; k < 12100; k++)
		b->target.rows[b->target.n++] = (struct fake_row){.key = k, .value = k};
	b->source.rows[b->source.n++] = (struct fake_row){.key = 20000, .value = 1};
	b->target.rows[b->target.n++] = (struct fake_row){.key = 20000, .value = 1};
	struct verify_coll *c = vb_good_scan(b);
	assert_int_equal(c->n_different, 12000);
	assert_int_equal(c->n_diffs, VERIFY_LISTED_MAX);
	assert_int_equal(c->rows, 101);
}

static void test_row_on_its_way(void **state)
{
	struct verify_bed *b = *state;

	vb_fill(b, 0, 600);
	vb_take_out(&b->target, 300);
	b->target.late_key = 300;
	b->target.late_after = 1; /* there when the target's time is asked after the wait */
	struct verify_coll *c = vb_good_scan(b);
	assert_int_equal(c->n_different, 0);
	assert_int_equal(c->rows, 600);
}

static void test_row_that_changes(void **state)
{
	struct verify_bed *b = *state;

	vb_fill(b, 0, 10);
	b->source.restless = 5;
	struct verify_coll *c = vb_good_scan(b);
	assert_int_equal(c->n_different, 0);
	assert_int_equal(c->n_changing, 1);
	assert_int_equal(c->rows, 9);
}

static void test_copies(void **state)
{
	struct verify_bed *b = *state;

	vb_fill(b, 0, 10);
	for (int i = 0; i < 3; i++)
		vb_add_row(&b->target, 7, 7);
	struct verify_coll *c = vb_good_scan(b);
	assert_int_equal(c->n_different, 1);
	assert_int_equal(c->diffs[0].kind, VERIFY_COPIES);
	assert_non_null(strstr(c->diffs[0].what, "10 rows at the source, 13 on the target"));
}

/* Both sides have so many copies of the first keys that a limited answer is short, or leaves out keys
 * of the segment that they are in: differences behind them are found all the same. */
static void test_copies_hide_rows(void **state)
{
	struct verify_bed *b = *state;

	for (int64_t k = 0; k < 4000; k++)
		for (int i = 0; i < (k < 200 ? 20 : k < 1500 ? 3 : 1); i++) {
			struct fake_row r = {.key = k, .value = k, .segment = k % 3 == 0};
			b->source.rows[b->source.n++] = b->target.rows[b->target.n++] = r;
		}
	for (int64_t k = 250; k < 4000; k += 250) {
		vb_row_of(&b->target, k)->value = -1; /* the copy that is seen */
		vb_row_of(&b->target, k + 1)->value = -1;
	}
	struct verify_coll *c = vb_good_scan(b);
	assert_int_equal(c->n_different, 30);
	assert_int_equal(c->rows, 4000 - 30);
}

/* More copies of one key than can be read at once. */
static void test_many_copies_of_a_key(void **state)
{
	struct verify_bed *b = *state;

	vb_fill(b, 0, 10);
	for (int i = 0; i < 9000; i++) {
		vb_add_row(&b->source, 5, 5);
		vb_add_row(&b->target, 5, 5);
	}
	vb_take_out(&b->target, 8);
	struct verify_coll *c = vb_good_scan(b);
	assert_int_equal(c->n_different, 1);
	assert_string_equal(c->diffs[0].key, "8");
	assert_int_equal(c->rows, 9);
}

static void test_not_loaded(void **state)
{
	struct verify_bed *b = *state;

	vb_fill(b, 0, 10);
	b->target.not_loaded = true;
	assert_int_not_equal(vb_scan(b), ERR_OK);
	assert_string_equal(b->e.text, "d is not loaded on the target: load it there");
}

static enum err_code mend(void *arg, int64_t id, const char *partition, const char *const *keys,
	size_t n, struct err *e)
{
	struct verify_bed *b = arg;

	(void)e;
	assert_int_equal(id, VB_COLLECTION);
	assert_null(partition);
	for (size_t i = 0; i < n; i++) {
		int64_t key = 0;
		assert_true(str_to_i64(keys[i], &key));
		if (key == 3)
			vb_add_row(&b->target, 3, 3);
		else if (key == 4)
			vb_row_of(&b->target, 4)->value = 4;
		else
			assert_int_equal(key, 5); /* can't be helped */
	}
	return ERR_OK;
}

static enum err_code mend_all(struct verify_bed *b, int64_t id, const char *partition,
	const char *const *keys, size_t n, struct err *e)
{
	(void)e;
	assert_int_equal(id, VB_COLLECTION);
	assert_null(partition);
	for (size_t i = 0; i < n; i++) {
		int64_t key = 0;
		assert_true(str_to_i64(keys[i], &key));
		vb_add_row(&b->target, key, key);
	}
	return ERR_OK;
}

static void test_repair(void **state)
{
	struct verify_bed *b = *state;

	vb_fill(b, 0, 10);
	vb_take_out(&b->target, 3);
	vb_row_of(&b->target, 4)->value = 40;
	vb_row_of(&b->target, 5)->value = 50;
	b->v.o.repair = mend;
	b->v.o.arg = b;
	struct verify_coll *c = vb_good_scan(b);
	assert_int_equal(c->n_repaired, 2);
	assert_int_equal(c->rows, 9);
	assert_int_equal(c->n_different, 1);
	assert_string_equal(c->diffs[0].key, "5");
}

static enum err_code count_keys(void *arg, int64_t id, const char *partition,
	const char *const *keys, size_t n, struct err *e)
{
	struct verify_bed *b = arg;

	assert_int_equal(n, b->repairs ? 8 : VERIFY_REPAIR_BATCH);
	b->repairs++;
	return mend_all(b, id, partition, keys, n, e);
}

/* The server takes long for each key there. */
static void test_repair_with_a_partition_key(void **state)
{
	struct verify_bed *b = *state;

	vb_fill(b, 0, 60);
	for (int64_t k = 0; k < VERIFY_REPAIR_BATCH + 8; k++)
		vb_take_out(&b->target, k);
	b->v.colls[0].has_partition_key = true;
	b->v.o.repair = count_keys;
	b->v.o.arg = b;
	assert_int_equal(vb_good_scan(b)->n_repaired, VERIFY_REPAIR_BATCH + 8);
	assert_int_equal(b->repairs, 2);
}

/* A pass that goes on takes over what is done, and reads what is behind. */
static void test_document(void **state)
{
	static const char text[] =
		"{\"task_id\":\"t1\",\"up_to_ts\":77,\"collections\":[{\"collection_id\":449,"
		"\"result\":\"open\",\"rows\":40,\"different\":1,\"changing\":0,\"repaired\":2,"
		"\"differences\":[{\"kind\":\"differs\",\"key\":7,\"what\":\"v\"}],"
		"\"partition_read\":\"\",\"after\":\"99\"}]}";
	struct verify_bed *b = *state;
	struct verify_coll *c = &b->v.colls[0];
	CLEANUP(json_in_freep) json_t *doc = json_loads(text, 0, NULL);

	vb_fill(b, 0, 150);
	assert_int_equal(verify_resume(&b->v, doc, &b->e), ERR_OK);
	assert_string_equal(c->after, "99");
	(void)vb_good_scan(b);
	assert_int_equal(c->rows, 40 + 50);
	assert_int_equal(b->v.since_ts, 77);
	CLEANUP(json_in_freep) json_t *out = verify_json(&b->v);
	const json_t *one = json_array_get(json_object_get(out, "collections"), 0);
	assert_int_equal(json_integer_value(json_object_get(one, "rows")), 90);
	assert_int_equal(json_integer_value(json_object_get(one, "repaired")), 2);
	assert_true(json_equal(json_object_get(one, "differences"),
		json_object_get(
			json_array_get(json_object_get(doc, "collections"), 0), "differences")));
	c->state = VERIFY_DIFFERENT;
	CLEANUP(buf_done) struct buf said = BUF_INIT(TEXT_BYTES);
	verify_text(&b->v, &said);
	assert_string_equal(buf_cstr(&said),
		"default.c -> default.d: different, 90 rows equal, 1 differences, 2 rows repaired\n"
		"  differs: 7 (v)\ndifferent: 1 differences, 90 rows equal\n");
}

/* Killed between two partitions, and after a result: what is done is not counted twice, and what was
 * different is found again by who wants to repair it. */
static void test_what_is_done(void **state)
{
	static const char text[] =
		"{\"task_id\":\"t1\",\"up_to_ts\":77,\"collections\":[{\"collection_id\":449,"
		"\"result\":\"%s\",\"rows\":40,\"different\":%d,\"partition_read\":\"\","
		"\"partition_done\":true}]}";
	struct verify_bed *b = *state;
	struct verify_coll *c = &b->v.colls[0];
	char doc[sizeof(text) + 16];

	vb_fill(b, 0, 150);
	snprintf(doc, sizeof(doc), text, "open", 1);
	CLEANUP(json_in_freep) json_t *open = json_loads(doc, 0, NULL);
	assert_int_equal(verify_resume(&b->v, open, &b->e), ERR_OK);
	assert_int_equal(verify_run(&b->v, &b->e), ERR_OK);
	assert_string_equal(c->reason ? c->reason : "", "");
	assert_int_equal(c->rows, 40);
	assert_int_equal(c->n_different, 1);
	assert_int_equal(c->state, VERIFY_DIFFERENT);
	assert_int_equal(b->source.queries, 0);

	c->state = VERIFY_OPEN;
	c->rows = c->n_different = 0;
	snprintf(doc, sizeof(doc), text, "different", 1);
	CLEANUP(json_in_freep) json_t *different = json_loads(doc, 0, NULL);
	b->v.o.repair = mend;
	assert_int_equal(verify_resume(&b->v, different, &b->e), ERR_OK);
	assert_int_equal(c->state, VERIFY_OPEN);
	assert_int_equal(c->n_different, 0);
	b->v.o.repair = NULL;
	assert_int_equal(verify_resume(&b->v, different, &b->e), ERR_OK);
	assert_int_equal(c->state, VERIFY_DIFFERENT);
}

static void remember(void *arg, struct verify *v)
{
	json_t **last = arg;

	json_decref(*last);
	*last = verify_json(v);
}

/* What is kept behind the last range is the end of the partition. */
static void test_the_end_is_kept(void **state)
{
	struct verify_bed *b = *state;
	json_t *last = NULL;

	vb_fill(b, 0, 100);
	vb_take_out(&b->target, 50);
	b->v.o.on_range = remember;
	b->v.o.arg = &last;
	(void)vb_good_scan(b);
	const json_t *one = json_array_get(json_object_get(last, "collections"), 0);
	assert_null(json_object_get(one, "after"));
	assert_true(json_is_true(json_object_get(one, "partition_done")));
	assert_int_equal(json_integer_value(json_object_get(one, "rows")), 99);
	assert_int_equal(json_integer_value(json_object_get(one, "different")), 1);
	json_decref(last);
}

static void test_bad_documents(void **state)
{
	static const char *const texts[] = {"{}", "{\"task_id\":\"t1\",\"collections\":[]}",
		"{\"task_id\":\"t2\",\"up_to_ts\":7,\"collections\":[]}"};
	struct verify_bed *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		CLEANUP(json_in_freep) json_t *doc = json_loads(texts[i], 0, NULL);
		struct err e = ERR_INIT;
		assert_int_equal(verify_resume(&b->v, doc, &e), ERR_INVALID);
	}
	/* what is no key does not get into an expression */
	CLEANUP(json_in_freep)
	json_t *doc = json_loads("{\"task_id\":\"t1\",\"up_to_ts\":7,\"collections\":[{"
				 "\"collection_id\":449,\"result\":\"open\",\"rows\":5,"
				 "\"after\":\"1 or id > 2\"}]}",
		0, NULL);
	assert_int_equal(verify_resume(&b->v, doc, &b->e), ERR_OK);
	assert_null(b->v.colls[0].after);
	assert_int_equal(b->v.colls[0].rows, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_equal_sides, vb_up, vb_down),
		cmocka_unit_test_setup_teardown(test_empty_sides, vb_up, vb_down),
		cmocka_unit_test_setup_teardown(test_differences_at_borders, vb_up, vb_down),
		cmocka_unit_test_setup_teardown(test_many_extra_rows, vb_up, vb_down),
		cmocka_unit_test_setup_teardown(test_row_on_its_way, vb_up, vb_down),
		cmocka_unit_test_setup_teardown(test_row_that_changes, vb_up, vb_down),
		cmocka_unit_test_setup_teardown(test_copies, vb_up, vb_down),
		cmocka_unit_test_setup_teardown(test_copies_hide_rows, vb_up, vb_down),
		cmocka_unit_test_setup_teardown(test_many_copies_of_a_key, vb_up, vb_down),
		cmocka_unit_test_setup_teardown(test_not_loaded, vb_up, vb_down),
		cmocka_unit_test_setup_teardown(test_repair, vb_up, vb_down),
		cmocka_unit_test_setup_teardown(test_repair_with_a_partition_key, vb_up, vb_down),
		cmocka_unit_test_setup_teardown(test_document, vb_up, vb_down),
		cmocka_unit_test_setup_teardown(test_what_is_done, vb_up, vb_down),
		cmocka_unit_test_setup_teardown(test_the_end_is_kept, vb_up, vb_down),
		cmocka_unit_test_setup_teardown(test_bad_documents, vb_up, vb_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
