/* verify and partitions that come and go while the sides are looked at, against two Milvus that answer by
 * script; and which collections a pass is of. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/wire.h"
#include "source/catalog_priv.h"
#include "support/catalog_values.h"
#include "support/verify_bed.h"

enum { SECOND = 7, OTHER = 8, FEW_LOOKS = 3, SHORT_MS = 600 };

/* Five rows in the first partition of both, five more in the second one. */
static struct verify_coll *fill(struct verify_bed *b, bool source, bool target)
{
	vb_fill(b, 0, 5);
	for (int64_t k = 100; k < 105; k++) {
		struct fake_row r = {.key = k, .value = k, .elsewhere = true};
		if (source)
			b->source.rows[b->source.n++] = r;
		if (target)
			b->target.rows[b->target.n++] = r;
	}
	return &b->v.colls[0];
}

static void expect(struct verify_bed *b, enum verify_state s, int64_t rows, int64_t different)
{
	const struct verify_coll *c = &b->v.colls[0];
	enum err_code code = verify_run(&b->v, &b->e);

	assert_int_equal(code, ERR_OK);
	if (s != VERIFY_UNKNOWN)
		assert_string_equal(c->reason ? c->reason : "", "");
	assert_string_equal(verify_state_name(c->state), verify_state_name(s));
	assert_int_equal(c->rows, rows);
	assert_int_equal(c->n_different, different);
}

static void test_both_have_it(void **state)
{
	struct verify_bed *b = *state;

	fill(b, true, true);
	b->source.second = b->target.second = SECOND;
	expect(b, VERIFY_IDENTICAL, 10, 0);
}

static void test_made_a_moment_later(void **state)
{
	struct verify_bed *b = *state;

	fill(b, true, true);
	b->source.second = SECOND;
	b->target.second_next = OTHER;
	b->target.listed_after = FEW_LOOKS;
	expect(b, VERIFY_IDENTICAL, 10, 0);
}

static void test_dropped_a_moment_later(void **state)
{
	struct verify_bed *b = *state;

	fill(b, false, true);
	b->target.second = OTHER;
	b->target.listed_after = FEW_LOOKS; /* then there is none */
	expect(b, VERIFY_IDENTICAL, 5, 0);
}

/* It stands so: then its rows are only there. */
static void test_only_one_has_it(void **state)
{
	struct verify_bed *b = *state;
	struct verify_coll *c = fill(b, false, true);

	b->v.o.wait_ms = SHORT_MS;
	b->target.second = OTHER;
	expect(b, VERIFY_DIFFERENT, 5, 5);
	assert_int_equal(c->diffs[0].kind, VERIFY_EXTRA);
	assert_string_equal(c->diffs[0].partition, "second");
}

static void test_another_each_time(void **state)
{
	struct verify_bed *b = *state;
	struct verify_coll *c = fill(b, true, false);

	b->v.o.wait_ms = SHORT_MS;
	b->source.second = SECOND;
	b->source.listed_after = VB_EVERY_TIME;
	expect(b, VERIFY_UNKNOWN, 0, 0);
	assert_non_null(strstr(c->reason, "partitions come and go all the time"));
}

static void test_gone_while_it_is_read(void **state)
{
	struct verify_bed *b = *state;

	vb_fill(b, 0, 5);
	b->source.second = b->target.second = SECOND;
	b->source.ends_when_asked = b->target.ends_when_asked = true;
	expect(b, VERIFY_IDENTICAL, 5, 0);
}

/* ignore_partition: the target has no second partition, and the rows all the same. */
static void test_read_as_one(void **state)
{
	struct verify_bed *b = *state;
	struct verify_coll *c = fill(b, true, true);

	for (size_t i = 0; i < b->target.n; i++)
		b->target.rows[i].elsewhere = false;
	b->source.second = SECOND;
	c->undivided = true;
	expect(b, VERIFY_IDENTICAL, 10, 0);
}

/* ---- the plan ---- */

static void put(struct catalog *cat, const char *tail, struct slice value) NO_TSA
{
	CLEANUP(freep) char *key = xasprintf("by-dev/meta/root-coord/%s", tail);
	struct etcd_kv kv = {.key = key, .key_n = strlen(key), .value = value, .mod_revision = 100};

	mutex_lock(&cat->mtx);
	catalog_apply_put(cat, &kv, false);
	catalog_publish(cat, false);
	mutex_unlock(&cat->mtx);
}

static void put_collection(struct catalog *cat, int64_t id, const char *name, const char *fed_by)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(LIMIT_RECORD);
	CLEANUP(buf_done) struct buf pair = BUF_INIT(LIMIT_RECORD);
	CLEANUP(freep)
	char *tail = xasprintf("database/collection-info/1/%lld", (long long)id);

	cv_collection(&b, &(struct cv_collection){.id = id, .name = name, .create_ts = 1});
	wire_put_str(&pair, 1, "replicate.id");
	wire_put_str(&pair, 2, fed_by);
	wire_put_bytes(&b, 14, buf_slice(&pair));
	put(cat, tail, buf_slice(&b));
	buf_reset(&b);
	cv_field(&b, 100, "id");
	free(tail);
	tail = xasprintf("fields/%lld/100", (long long)id);
	put(cat, tail, buf_slice(&b));
}

static struct verify *plan_of(const struct task *t, struct catalog *cat, const char *replicate_id)
{
	struct verify_opts o = {.task = t, .catalog = cat, .replicate_id = replicate_id};
	struct verify *v = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(verify_new(&o, &v, &e), ERR_OK);
	return v;
}

/* Two servers with one replicateID against each other: what the other made is not replicated back. */
static void test_plan(void **state UNUSED)
{
	struct catalog_opts co = {.root_path = "by-dev/", .meta_sub_path = "meta"};
	CLEANUP(buf_done) struct buf db = BUF_INIT(LIMIT_RECORD);
	struct catalog *cat = NULL;
	struct task *t = task_new();
	struct err e = ERR_INIT;

	assert_int_equal(catalog_new(NULL, &co, &cat, &e), ERR_OK);
	cv_database(&db, 1, "default", 1);
	put(cat, "database/db-info/1", buf_slice(&db));
	put_collection(cat, 10, "mine", "theirs");
	put_collection(cat, 11, "back", "ours");
	t->collection_infos = xcalloc(1, sizeof(*t->collection_infos));
	t->collection_infos[t->n_collection_infos++].name = xstrdup("*");
	struct verify *v = plan_of(t, cat, "ours");
	assert_int_equal(v->n, 1);
	assert_string_equal(v->colls[0].name, "mine");
	assert_false(v->colls[0].undivided);
	verify_free(v);
	t->milvus.ignore_partition = true;
	v = plan_of(t, cat, "");
	assert_int_equal(v->n, 2);
	assert_true(v->colls[0].undivided);
	verify_free(v);
	task_free(t);
	catalog_free(cat);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_both_have_it, vb_up, vb_down),
		cmocka_unit_test_setup_teardown(test_made_a_moment_later, vb_up, vb_down),
		cmocka_unit_test_setup_teardown(test_dropped_a_moment_later, vb_up, vb_down),
		cmocka_unit_test_setup_teardown(test_only_one_has_it, vb_up, vb_down),
		cmocka_unit_test_setup_teardown(test_another_each_time, vb_up, vb_down),
		cmocka_unit_test_setup_teardown(test_gone_while_it_is_read, vb_up, vb_down),
		cmocka_unit_test_setup_teardown(test_read_as_one, vb_up, vb_down),
		cmocka_unit_test(test_plan),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
