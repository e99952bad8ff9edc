#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/task.h"

enum { NAME_CAP = 256 };

static struct task_collection *one(struct task_collection **l, size_t *n, const char *name)
{
	size_t cap = *n;
	mem_grow(l, &cap, *n + 1, sizeof(**l));
	struct task_collection *c = &(*l)[(*n)++];
	*c = (struct task_collection){.name = xstrdup(name)};
	return c;
}

static struct task_collection *add_info(struct task *t, const char *name)
{
	t->has_collection_infos = true;
	return one(&t->collection_infos, &t->n_collection_infos, name);
}

static struct task_collection *add_db(struct task *t, const char *db, const char *name)
{
	size_t cap = t->n_dbs;
	t->has_dbs = true;
	mem_grow(&t->dbs, &cap, t->n_dbs + 1, sizeof(*t->dbs));
	struct task_db *d = &t->dbs[t->n_dbs++];
	*d = (struct task_db){.db = xstrdup(db)};
	return one(&d->collections, &d->n_collections, name);
}

static void add_exclude(struct task *t, const char *full)
{
	size_t cap = t->n_excludes;
	mem_grow(&t->excludes, &cap, t->n_excludes + 1, sizeof(*t->excludes));
	t->excludes[t->n_excludes++] = xstrdup(full);
}

static struct task_mapping *add_mapping(struct task *t, const char *from, const char *to)
{
	size_t cap = t->n_mappings;
	mem_grow(&t->mappings, &cap, t->n_mappings + 1, sizeof(*t->mappings));
	struct task_mapping *m = &t->mappings[t->n_mappings++];
	*m = (struct task_mapping){.source_db = xstrdup(from), .target_db = xstrdup(to)};
	return m;
}

static void add_pair(struct task_mapping *m, const char *from, const char *to)
{
	size_t cap = m->n_collections;
	mem_grow(&m->collections, &cap, m->n_collections + 1, sizeof(*m->collections));
	m->collections[m->n_collections++] =
		(struct task_pair){.key = xstrdup(from), .value = xstrdup(to)};
}

static void replace(char **to, const char *s)
{
	free(*to);
	*to = xstrdup(s);
}

static void test_collection_infos_mean_the_default_database(void **state)
{
	(void)state;
	CLEANUP(task_freep)
	struct task *t = task_new();
	const struct task_collection *info = NULL;
	add_info(t, "foo");

	assert_true(task_selects(t, "default", "foo", &info));
	assert_ptr_equal(info, &t->collection_infos[0]);
	assert_true(task_selects(t, "", "foo", NULL));
	assert_false(task_selects(t, "db1", "foo", &info));
	assert_null(info);
	assert_false(task_selects(t, "default", "bar", NULL));
	assert_true(task_covers_db(t, ""));
	assert_true(task_covers_db(t, "default"));
	assert_false(task_covers_db(t, "db1"));
}

static void test_star_skips_what_is_excluded(void **state)
{
	(void)state;
	CLEANUP(task_freep)
	struct task *t = task_new();
	add_info(t, "*");
	add_exclude(t, "default.foo");
	add_exclude(t, "*.all");

	assert_true(task_selects(t, "default", "bar", NULL));
	assert_false(task_selects(t, "default", "foo", NULL));
	assert_false(task_selects(t, "default", "all", NULL));
	assert_false(task_selects(t, "db1", "bar", NULL));
}

static void test_a_database_with_its_own_list_does_not_use_the_star_list(void **state)
{
	(void)state;
	CLEANUP(task_freep)
	struct task *t = task_new();
	add_db(t, "db1", "foo");
	add_db(t, "*", "*");

	assert_true(task_selects(t, "db1", "foo", NULL));
	assert_false(task_selects(t, "db1", "bar", NULL));
	assert_true(task_selects(t, "db2", "bar", NULL));
	assert_true(task_covers_db(t, "anything"));
}

static void test_one_name_in_all_databases_but_the_excluded_one(void **state)
{
	(void)state;
	CLEANUP(task_freep)
	struct task *t = task_new();
	add_db(t, "*", "foo");
	add_exclude(t, "db1.foo");

	assert_true(task_selects(t, "db2", "foo", NULL));
	assert_true(task_selects(t, "", "foo", NULL));
	assert_false(task_selects(t, "db1", "foo", NULL));
	assert_false(task_selects(t, "db2", "bar", NULL));
}

static void test_everything_but_what_narrow_tasks_do(void **state)
{
	(void)state;
	CLEANUP(task_freep)
	struct task *t = task_new();
	add_db(t, "*", "*");
	add_exclude(t, "*.foo");
	add_exclude(t, "db2.hoo");
	add_exclude(t, "db3.*");

	assert_false(task_selects(t, "db9", "foo", NULL));
	assert_false(task_selects(t, "db2", "hoo", NULL));
	assert_true(task_selects(t, "db4", "hoo", NULL));
	assert_false(task_selects(t, "db3", "x", NULL));
}

static void test_several_entries_and_the_named_one_wins(void **state)
{
	(void)state;
	CLEANUP(task_freep)
	struct task *t = task_new();
	const struct task_collection *info;
	add_info(t, "*");
	add_info(t, "foo")->use_start_position = true;
	add_db(t, "db1", "a");
	add_db(t, "db1", "b");
	add_exclude(t, "default.foo");

	assert_true(task_selects(t, "default", "foo", &info));
	assert_true(info->use_start_position);
	assert_true(task_selects(t, "default", "x", &info));
	assert_false(info->use_start_position);
	assert_true(task_selects(t, "db1", "a", NULL));
	assert_true(task_selects(t, "db1", "b", NULL));
	assert_false(task_selects(t, "db1", "c", NULL));
}

static void test_nothing_selected_selects_nothing(void **state)
{
	(void)state;
	CLEANUP(task_freep)
	struct task *t = task_new();

	assert_false(task_selects(t, "default", "foo", NULL));
	assert_false(task_covers_db(t, "default"));
}

static void maps_to(const struct task *t, const char *db, const char *name, const char *want_db,
	const char *want_name)
{
	char got_db[NAME_CAP], got_name[NAME_CAP];

	task_map_name(t, db, name, got_db, got_name, sizeof(got_db));
	assert_string_equal(got_db, want_db);
	assert_string_equal(got_name, want_name);
}

static void test_mapping_exact_pair_then_database_then_identity(void **state)
{
	(void)state;
	CLEANUP(task_freep)
	struct task *t = task_new();
	/* The database pair stands first: order must not matter. */
	add_mapping(t, "db1", "db1_all");
	add_pair(add_mapping(t, "db1", "db1_bak"), "foo", "foo2");
	add_pair(add_mapping(t, "default", "moved"), "x", "y");
	/* As the reference: without a source it maps nothing, without a target it leads to default. */
	add_pair(add_mapping(t, "", "nowhere"), "z", "y");
	add_mapping(t, "db4", "");
	add_pair(add_mapping(t, "db3", "star"), "*", "*");

	maps_to(t, "db1", "foo", "db1_bak", "foo2");
	maps_to(t, "db1", "bar", "db1_all", "bar");
	maps_to(t, "db2", "foo", "db2", "foo");
	maps_to(t, "", "x", "moved", "y");
	maps_to(t, "default", "x", "moved", "y");
	maps_to(t, "default", "z", "default", "z");
	maps_to(t, "", "z", "default", "z");
	maps_to(t, "db3", "any", "star", "any");
	maps_to(t, "db4", "any", "default", "any");
	maps_to(t, "db3", "*", "star", "*");
}

static void test_database_operations_follow_database_pairs_only(void **state)
{
	(void)state;
	CLEANUP(task_freep)
	struct task *t = task_new();
	char db[NAME_CAP];
	add_pair(add_mapping(t, "db1", "elsewhere"), "foo", "foo2");
	add_mapping(t, "db2", "db2_all");

	task_map_name(t, "db1", NULL, db, NULL, sizeof(db));
	assert_string_equal(db, "db1");
	task_map_name(t, "db2", NULL, db, NULL, sizeof(db));
	assert_string_equal(db, "db2_all");
	task_map_name(t, "db1", "foo", db, NULL, sizeof(db));
	assert_string_equal(db, "db1");
}

static void target_is(const struct task *t, const char *want)
{
	CLEANUP(freep)
	char *s = task_target(t);
	assert_string_equal(s, want);
}

static void token_is(const struct task *t, const char *want)
{
	CLEANUP(freep)
	char *s = task_token(t);
	assert_string_equal(s, want);
}

static void test_target_and_token(void **state)
{
	(void)state;
	CLEANUP(task_freep)
	struct task *t = task_new();
	target_is(t, "");
	token_is(t, "");
	replace(&t->kafka.address, "k:9092");
	target_is(t, "k:9092");
	replace(&t->milvus.host, "h");
	t->milvus.port = 19530;
	target_is(t, "http://h:19530");
	t->milvus.enable_tls = true;
	target_is(t, "https://h:19530");
	replace(&t->milvus.host, "http://h:1");
	target_is(t, "http://h:1");
	replace(&t->milvus.uri, "u:2");
	target_is(t, "u:2");
	replace(&t->milvus.username, "root");
	token_is(t, "root:");
	replace(&t->milvus.password, "pw");
	token_is(t, "root:pw");
	replace(&t->milvus.token, "key");
	token_is(t, "key");
}

static void test_copy_is_deep(void **state)
{
	(void)state;
	struct task *t = task_new();
	struct task_collection *c = add_info(t, "foo");
	c->positions = xcalloc(1, sizeof(*c->positions));
	c->n_positions = 1;
	c->positions[0] = (struct task_pair){xstrdup("ch_1v0"), xstrdup("cG9z")};
	add_db(t, "db", "x");
	add_pair(add_mapping(t, "a", "b"), "c", "d");
	add_exclude(t, "a.b");
	replace(&t->milvus.token, "secret");
	replace(&t->kafka.sasl_mechanisms, "PLAIN");
	CLEANUP(task_freep)
	struct task *copy = task_copy(t);
	task_free(t);

	assert_string_equal(copy->collection_infos[0].positions[0].value, "cG9z");
	assert_string_equal(copy->dbs[0].collections[0].name, "x");
	assert_string_equal(copy->mappings[0].collections[0].value, "d");
	assert_string_equal(copy->excludes[0], "a.b");
	assert_string_equal(copy->milvus.token, "secret");
	assert_string_equal(copy->kafka.sasl_mechanisms, "PLAIN");
	task_free(NULL);
}

static void test_state_names(void **state)
{
	(void)state;
	assert_string_equal(task_state_name(TASK_INITIAL), "Initial");
	assert_string_equal(task_state_name(TASK_RUNNING), "Running");
	assert_string_equal(task_state_name(TASK_PAUSED), "Paused");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_collection_infos_mean_the_default_database),
		cmocka_unit_test(test_star_skips_what_is_excluded),
		cmocka_unit_test(test_a_database_with_its_own_list_does_not_use_the_star_list),
		cmocka_unit_test(test_one_name_in_all_databases_but_the_excluded_one),
		cmocka_unit_test(test_everything_but_what_narrow_tasks_do),
		cmocka_unit_test(test_several_entries_and_the_named_one_wins),
		cmocka_unit_test(test_nothing_selected_selects_nothing),
		cmocka_unit_test(test_mapping_exact_pair_then_database_then_identity),
		cmocka_unit_test(test_database_operations_follow_database_pairs_only),
		cmocka_unit_test(test_target_and_token),
		cmocka_unit_test(test_copy_is_deep),
		cmocka_unit_test(test_state_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
