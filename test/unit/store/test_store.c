/* One suite for every metastore: memory, SQLite, and a real etcd and MariaDB of the
 * test's own. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "store/keys.h"
#include "store/store.h"
#include "support/store_bed.h"

/* --- verbs --- */

static void put_task(struct store_bed *b, const char *id)
{
	CLEANUP(task_freep)
	struct task *t = task_new();
	struct err e = ERR_INIT;

	free(t->id);
	t->id = xstrdup(id);
	if (store_put_task(b->st, t, &b->stop, &e))
		fail_msg("%s", e.text);
}

static struct task **get_tasks(struct store_bed *b, size_t *n)
{
	struct task **l = NULL;
	struct err e = ERR_INIT;

	if (store_read_tasks(b->st, &b->stop, &l, n, &e))
		fail_msg("%s", e.text);
	return l;
}

static size_t count_tasks(struct store_bed *b)
{
	size_t n;
	struct task **l = get_tasks(b, &n);
	store_tasks_free(l, n);
	return n;
}

static void delete_task(struct store_bed *b, const char *id)
{
	struct err e = ERR_INIT;
	if (store_delete_task(b->st, id, &b->stop, &e))
		fail_msg("%s", e.text);
}

/* A document with one exact source position; task_id is borrowed. */
static struct store_positions doc(const char *task_id, int64_t cid, uint64_t ts)
{
	struct store_positions p;
	struct store_positions from = {.task_id = xstrdup(task_id), .collection_id = cid};
	struct store_position s = {.channel = "ch0", .pos.ts = ts, .exact = true};

	from.source = &s;
	from.n_source = 1;
	store_positions_copy(&p, &from);
	free(from.task_id);
	return p;
}

static enum err_code put_docs(
	struct store_bed *b, struct store_positions *l, size_t n, struct err *e)
{
	struct store_batch batch = {.positions = l, .n_positions = n};
	enum err_code code = store_write(b->st, &batch, &b->stop, e);

	for (size_t i = 0; i < n; i++)
		store_positions_done(&l[i]);
	return code;
}

static void put_doc(struct store_bed *b, const char *task_id, int64_t cid, uint64_t ts)
{
	struct store_positions p = doc(task_id, cid, ts);
	struct err e = ERR_INIT;
	if (put_docs(b, &p, 1, &e))
		fail_msg("%s", e.text);
}

static struct store_positions *get_docs(struct store_bed *b, const char *task_id, size_t *n)
{
	struct store_positions *l = NULL;
	struct err e = ERR_INIT;

	if (store_read_positions(b->st, task_id, &b->stop, &l, n, &e))
		fail_msg("%s", e.text);
	return l;
}

static size_t count_docs(struct store_bed *b, const char *task_id)
{
	size_t n;
	struct store_positions *l = get_docs(b, task_id, &n);
	store_positions_free(l, n);
	return n;
}

static void put_ext(struct store_bed *b, const char *key, const char *value)
{
	struct store_ext x = {key, value};
	struct store_batch batch = {.exts = &x, .n_exts = 1};
	struct err e = ERR_INIT;
	if (store_write(b->st, &batch, &b->stop, &e))
		fail_msg("%s", e.text);
}

static struct store_ext_kv *get_exts(struct store_bed *b, const char *prefix, size_t *n)
{
	struct store_ext_kv *l = NULL;
	struct err e = ERR_INIT;

	if (store_read_exts(b->st, prefix, &b->stop, &l, n, &e))
		fail_msg("%s", e.text);
	return l;
}

static size_t count_exts(struct store_bed *b, const char *prefix)
{
	size_t n;
	struct store_ext_kv *l = get_exts(b, prefix, &n);
	store_exts_free(l, n);
	return n;
}

/* --- the suite --- */

static void test_empty(void **state)
{
	struct store_bed *b = *state;
	struct err e = ERR_INIT;

	assert_int_equal(b->st->ops->check(b->st, &b->stop, &e), ERR_OK);
	assert_int_equal(count_tasks(b), 0);
	assert_int_equal(count_docs(b, NULL), 0);
	assert_int_equal(count_exts(b, ""), 0);
	delete_task(b, "nobody");
}

static void test_tasks_are_created_changed_and_listed_by_key(void **state)
{
	struct store_bed *b = *state;
	struct err e = ERR_INIT;
	size_t n;

	put_task(b, "bb");
	put_task(b, "aa");
	struct task **l = get_tasks(b, &n);
	assert_int_equal(n, 2);
	assert_string_equal(l[0]->id, "aa");
	l[0]->state = TASK_RUNNING;
	l[0]->user_paused = true;
	free(l[0]->milvus.uri);
	l[0]->milvus.uri = xstrdup("http://\xc3\xa4:1/'\"\\");
	assert_int_equal(store_put_task(b->st, l[0], &b->stop, &e), ERR_OK);
	assert_int_equal(store_put_task(b->st, l[0], &b->stop, &e), ERR_OK);
	store_tasks_free(l, n);
	if (b->reopen)
		b->reopen(b);
	l = get_tasks(b, &n);
	assert_int_equal(n, 2);
	assert_int_equal(l[0]->state, TASK_RUNNING);
	assert_true(l[0]->user_paused);
	assert_string_equal(l[0]->milvus.uri, "http://\xc3\xa4:1/'\"\\");
	assert_int_equal(l[1]->state, TASK_INITIAL);
	store_tasks_free(l, n);
}

static void test_foreign_fields_survive(void **state)
{
	struct store_bed *b = *state;
	struct err e = ERR_INIT;
	size_t n;

	b->plant_task(b, "aa", "{\"TaskID\":\"aa\",\"Else\":[1]}");
	struct task **l = get_tasks(b, &n);
	l[0]->state = TASK_RUNNING;
	assert_int_equal(store_put_task(b->st, l[0], &b->stop, &e), ERR_OK);
	store_tasks_free(l, n);
	CLEANUP(freep)
	char *raw = b->raw_task(b, "aa");
	assert_string_equal(raw + strlen(raw) - strlen(",\"Else\":[1],\"State\":1}"),
		",\"Else\":[1],\"State\":1}");
}

static void test_a_damaged_task_hides_nobody_and_is_not_overwritten(void **state)
{
	struct store_bed *b = *state;
	struct err e = ERR_INIT;
	size_t n;

	put_task(b, "aa");
	put_task(b, "cc");
	b->plant_task(b, "bb", "{\"TaskID\":");
	struct task **l = get_tasks(b, &n);
	assert_int_equal(n, 3);
	assert_string_equal(l[1]->id, "bb");
	assert_int_equal(l[1]->state, TASK_PAUSED);
	assert_non_null(strstr(l[1]->reason, "stored record damaged: "));
	assert_int_equal(store_put_task(b->st, l[1], &b->stop, &e), ERR_MALFORMED);
	assert_non_null(strstr(e.text, "bb"));
	store_tasks_free(l, n);

	delete_task(b, "bb");
	l = get_tasks(b, &n);
	assert_int_equal(n, 2);
	store_tasks_free(l, n);
	put_task(b, "bb");
}

static void test_positions_round_trip(void **state)
{
	struct store_bed *b = *state;
	size_t n;

	put_task(b, "aa");
	put_task(b, "bb");
	put_doc(b, "aa", 449, 445644800000262144ULL);
	put_doc(b, "aa", STORE_ID_OPS, 7ULL << 18);
	put_doc(b, "bb", 449, UINT64_MAX);
	put_doc(b, "bb", 449, UINT64_MAX); /* no change is no failure */
	put_doc(b, "aa", 449, 445644800000262145ULL);
	if (b->reopen)
		b->reopen(b);
	assert_int_equal(count_docs(b, NULL), 3);
	struct store_positions *l = get_docs(b, "aa", &n);
	assert_int_equal(n, 2);
	assert_int_equal(l[0].collection_id, STORE_ID_OPS);
	assert_int_equal(l[1].collection_id, 449);
	assert_true(l[1].source[0].exact);
	assert_true(l[1].source[0].pos.ts == 445644800000262145ULL);
	assert_string_equal(l[1].source[0].channel, "ch0");
	store_positions_free(l, n);
}

static void test_a_damaged_document_hides_nobody(void **state)
{
	struct store_bed *b = *state;
	size_t n;

	put_task(b, "aa");
	put_doc(b, "aa", 1, 1ULL << 40);
	b->plant_doc(b, "aa", 2, "{\"TaskID\":\"aa\",\"CollectionID\":2,\"Positions\":7");
	struct store_positions *l = get_docs(b, "aa", &n);
	assert_int_equal(n, 2);
	assert_null(l[0].damaged);
	assert_non_null(l[1].damaged);
	assert_int_equal(l[1].collection_id, 2);
	assert_string_equal(l[1].task_id, "aa");
	assert_int_equal(l[1].n_source, 0);
	store_positions_free(l, n);
}

static void test_delete_takes_all_of_one_task_and_nothing_else(void **state)
{
	struct store_bed *b = *state;
	static const char *const ids[] = {"a", "ab", "a/b", "a%2Fb", "a/1", "..", "A"};

	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		CLEANUP(freep)
		char *object = keys_ext_task("object", ids[i], "1");
		CLEANUP(freep)
		char *bound = keys_ext_task("bound", ids[i], "by-dev_0");
		put_task(b, ids[i]);
		put_doc(b, ids[i], 1, 1ULL << 40);
		put_doc(b, ids[i], 12, 1ULL << 40);
		put_ext(b, object, "{}");
		put_ext(b, bound, "{}");
	}
	put_ext(b, "other/a/1", "{}");
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		size_t left = ARRAY_LEN(ids) - i - 1, n;
		delete_task(b, ids[i]);
		assert_int_equal(count_docs(b, ids[i]), 0);
		assert_int_equal(count_docs(b, NULL), 2 * left);
		assert_int_equal(count_exts(b, ""), 2 * left + 1);
		struct task **l = get_tasks(b, &n);
		assert_int_equal(n, left);
		for (size_t k = 0; k < n; k++)
			assert_null(strstr(l[k]->reason, "damaged"));
		store_tasks_free(l, n);
	}
}

static void test_positions_of_a_deleted_task_are_left_out(void **state)
{
	struct store_bed *b = *state;
	struct err e = ERR_INIT;

	put_task(b, "aa");
	put_task(b, "bb");
	put_doc(b, "aa", 1, 1ULL << 40);
	delete_task(b, "aa");
	struct store_positions l[] = {doc("aa", 1, 2ULL << 40), doc("bb", 1, 2ULL << 40)};
	assert_int_equal(put_docs(b, l, 2, &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.text, "aa"));
	assert_int_equal(count_docs(b, "aa"), 0);
	assert_int_equal(count_docs(b, "bb"), 1);
	/* A task made anew under the old id starts without the old positions, and may have its own.
	 */
	put_task(b, "aa");
	assert_int_equal(count_docs(b, "aa"), 0);
	put_doc(b, "aa", 1, 3ULL << 40);
	assert_int_equal(count_docs(b, "aa"), 1);
}

static void test_a_task_and_its_first_positions_in_one_write(void **state)
{
	struct store_bed *b = *state;
	CLEANUP(task_freep)
	struct task *t = task_new();
	struct store_positions p = doc("new", STORE_ID_OPS, 5ULL << 40);
	struct store_batch batch = {.task = t, .positions = &p, .n_positions = 1};
	struct err e = ERR_INIT;

	free(t->id);
	t->id = xstrdup("new");
	assert_int_equal(store_write(b->st, &batch, &b->stop, &e), ERR_OK);
	store_positions_done(&p);
	assert_int_equal(count_tasks(b), 1);
	assert_int_equal(count_docs(b, "new"), 1);
}

static void test_our_own_records(void **state)
{
	struct store_bed *b = *state;
	size_t n;

	put_ext(b, "object/a/1", "{\"s\":1}");
	put_ext(b, "object/a/2", "{\"s\":2}");
	put_ext(b, "object/ab/1", "{\"s\":3}");
	put_ext(b, "object/a/2", "{\"s\":4}");
	put_ext(b, "object/a/9", NULL); /* was never there */
	struct store_ext_kv *l = get_exts(b, "object/a/", &n);
	assert_int_equal(n, 2);
	assert_string_equal(l[0].key, "object/a/1");
	assert_string_equal(l[1].value, "{\"s\":4}");
	store_exts_free(l, n);
	put_ext(b, "object/a/1", NULL);
	assert_int_equal(count_exts(b, "object/a/"), 1);
	assert_int_equal(count_exts(b, ""), 2);
}

static void test_a_document_can_be_deleted_alone(void **state)
{
	struct store_bed *b = *state;
	const struct store_doc_id gone[] = {{"aa", 1}, {"aa", 7}, {"nobody", 1}};
	struct store_positions p = doc("aa", 3, 1ULL << 40);
	struct store_batch batch = {
		.gone = gone, .n_gone = ARRAY_LEN(gone), .positions = &p, .n_positions = 1};
	struct err e = ERR_INIT;

	put_task(b, "aa");
	put_doc(b, "aa", 1, 1ULL << 40);
	put_doc(b, "aa", 12, 1ULL << 40);
	assert_int_equal(store_write(b->st, &batch, &b->stop, &e), ERR_OK);
	store_positions_done(&p);
	size_t n;
	struct store_positions *l = get_docs(b, "aa", &n);
	assert_int_equal(n, 2);
	assert_int_equal(l[0].collection_id, 12);
	assert_int_equal(l[1].collection_id, 3);
	store_positions_free(l, n);
}

/* For copies between stores: every byte that means something stays. */
static void test_task_records_as_they_are(void **state)
{
	static const char text[] = "{\"TaskID\":\"a/b\",\"Else\":{\"n\":9007199254740993}}";
	struct store_bed *b = *state;
	const struct store_ext texts[] = {{"a/b", text}};
	struct store_positions p = doc("a/b", 3, 1ULL << 40);
	struct store_batch batch = {
		.texts = texts, .n_texts = 1, .positions = &p, .n_positions = 1};
	struct store_ext_kv *l;
	struct err e = ERR_INIT;
	size_t n, damaged;

	b->plant_task(b, "bad", "{\"TaskID\":");
	for (int i = 0; i < 2; i++) /* safe to repeat */
		assert_int_equal(store_write(b->st, &batch, &b->stop, &e), ERR_OK);
	store_positions_done(&p);
	assert_int_equal(store_read_texts(b->st, &b->stop, &l, &n, &damaged, &e), ERR_OK);
	assert_int_equal(n, 1);
	assert_int_equal(damaged, 1);
	assert_string_equal(l[0].key, "a/b");
	assert_non_null(strstr(l[0].value, "9007199254740993"));
	store_exts_free(l, n);
	assert_int_equal(count_docs(b, "a/b"), 1);
}

/* Above etcd's operations and bytes a transaction. */
static void test_a_batch_beyond_one_transaction(void **state)
{
	enum { DOCS = 250, EXTS = 12, VALUE = 300000 };
	struct store_bed *b = *state;
	struct store_positions l[DOCS];
	struct store_ext x[EXTS];
	char keys[EXTS][16];
	CLEANUP(freep)
	char *value = xcalloc(1, VALUE + 3);
	struct err e = ERR_INIT;
	size_t n;

	memset(value, 'x', VALUE);
	value[0] = value[VALUE - 1] = '"';
	put_task(b, "aa");
	put_task(b, "bb");
	for (int i = 0; i < DOCS; i++)
		l[i] = doc(i % 2 ? "aa" : "bb", i, (uint64_t)i << 40);
	for (int i = 0; i < EXTS; i++) {
		snprintf(keys[i], sizeof(keys[i]), "big/%02d", i);
		x[i] = (struct store_ext){keys[i], value};
	}
	struct store_batch batch = {.positions = l, .n_positions = DOCS, .exts = x, .n_exts = EXTS};
	if (store_write(b->st, &batch, &b->stop, &e))
		fail_msg("%s", e.text);
	for (int i = 0; i < DOCS; i++)
		store_positions_done(&l[i]);
	assert_int_equal(count_docs(b, "aa"), DOCS / 2);
	assert_int_equal(count_docs(b, NULL), DOCS);
	struct store_ext_kv *got = get_exts(b, "big/", &n);
	assert_int_equal(n, EXTS);
	assert_string_equal(got[EXTS - 1].value, value);
	store_exts_free(got, n);
}

static void test_what_can_not_be_encoded_changes_nothing(void **state)
{
	struct store_bed *b = *state;
	struct err e = ERR_INIT;

	put_task(b, "aa");
	struct store_positions l[] = {doc("aa", 1, 1ULL << 40), doc("aa", 2, 1ULL << 40)};
	snprintf(l[1].source[0].channel, sizeof(l[1].source[0].channel), "\xff");
	assert_int_equal(put_docs(b, l, 2, &e), ERR_INVALID);
	assert_int_equal(count_docs(b, "aa"), 0);
	put_doc(b, "aa", 1, 1ULL << 40);
}

static void test_a_set_stop_token_cancels(void **state)
{
	struct store_bed *b = *state;
	struct store_positions p = doc("aa", 1, 1ULL << 40), *docs;
	struct store_batch batch = {.positions = &p, .n_positions = 1};
	struct store_ext_kv *exts;
	struct task **tasks;
	struct err e = ERR_INIT;
	size_t n;
	struct stop s;

	put_task(b, "aa");
	stop_init(&s, NULL);
	stop_set(&s);
	assert_int_equal(b->st->ops->check(b->st, &s, &e), ERR_CANCELLED);
	assert_int_equal(store_read_tasks(b->st, &s, &tasks, &n, &e), ERR_CANCELLED);
	assert_int_equal(store_read_positions(b->st, NULL, &s, &docs, &n, &e), ERR_CANCELLED);
	assert_int_equal(store_read_exts(b->st, "", &s, &exts, &n, &e), ERR_CANCELLED);
	assert_int_equal(store_write(b->st, &batch, &s, &e), ERR_CANCELLED);
	assert_int_equal(store_delete_task(b->st, "aa", &s, &e), ERR_CANCELLED);
	stop_done(&s);
	store_positions_done(&p);
	assert_int_equal(count_docs(b, NULL), 0);
}

struct racer {
	struct store_bed *b;
	int wrote, refused;
};

static void race(void *arg)
{
	struct racer *r = arg;

	for (int i = 0; i < 60; i++) {
		struct store_positions p = doc("aa", i % 7, (uint64_t)i << 40);
		struct err e = ERR_INIT;
		enum err_code code = put_docs(r->b, &p, 1, &e);
		r->wrote += code == ERR_OK;
		r->refused += code == ERR_NOT_FOUND;
	}
}

/* Whatever the order, a deletion leaves no position behind. */
static void test_writes_racing_with_deletion_leave_nothing(void **state)
{
	struct store_bed *b = *state;
	struct racer r[2] = {{.b = b}, {.b = b}};
	struct thread t[2];
	struct err e = ERR_INIT;

	put_task(b, "aa");
	for (int i = 0; i < 2; i++)
		assert_int_equal(thread_start(&t[i], "racer", race, &r[i], &e), ERR_OK);
	for (int i = 0; i < 10; i++) {
		put_task(b, "bb");
		delete_task(b, "aa");
		assert_int_equal(count_docs(b, "aa"), 0);
		if (i < 9)
			put_task(b, "aa");
	}
	for (int i = 0; i < 2; i++) {
		thread_join(&t[i]);
		assert_int_equal(r[i].wrote + r[i].refused, 60);
	}
	assert_int_equal(count_docs(b, NULL), 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, UP, store_bed_down)
#define SUITE                                                                                      \
	TEST(test_empty), TEST(test_tasks_are_created_changed_and_listed_by_key),                  \
		TEST(test_foreign_fields_survive),                                                 \
		TEST(test_a_damaged_task_hides_nobody_and_is_not_overwritten),                     \
		TEST(test_positions_round_trip), TEST(test_a_damaged_document_hides_nobody),       \
		TEST(test_delete_takes_all_of_one_task_and_nothing_else),                          \
		TEST(test_positions_of_a_deleted_task_are_left_out),                               \
		TEST(test_a_task_and_its_first_positions_in_one_write),                            \
		TEST(test_our_own_records), TEST(test_a_document_can_be_deleted_alone),            \
		TEST(test_task_records_as_they_are), TEST(test_a_batch_beyond_one_transaction),    \
		TEST(test_what_can_not_be_encoded_changes_nothing),                                \
		TEST(test_a_set_stop_token_cancels),                                               \
		TEST(test_writes_racing_with_deletion_leave_nothing)

int main(void)
{
#define UP store_bed_mem_up
	const struct CMUnitTest mem[] = {SUITE};
#undef UP
#define UP store_bed_sqlite_up
	const struct CMUnitTest sqlite[] = {SUITE};
#undef UP
#define UP store_bed_etcd_up
	const struct CMUnitTest etcd[] = {SUITE};
#undef UP
#define UP store_bed_mysql_up
	const struct CMUnitTest mysql[] = {SUITE};
#undef UP

	return cmocka_run_group_tests(mem, NULL, NULL) +
	       cmocka_run_group_tests(sqlite, NULL, NULL) +
	       cmocka_run_group_tests(etcd, store_bed_etcd_group_up, store_bed_etcd_group_down) +
	       cmocka_run_group_tests(mysql, store_bed_mysql_group_up, store_bed_mysql_group_down);
}
