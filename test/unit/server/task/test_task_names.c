#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "server/task/task_names.h"

enum { TASKS_MAX = 8 };

static void add_name(struct task_collection **l, size_t *n, const char *name)
{
	*l = xrealloc(*l, (*n + 1) * sizeof(**l));
	(*l)[(*n)++] = (struct task_collection){.name = xstrdup(name)};
}

/* names: "db/name db/name". */
static struct task *make(const char *names, const char *uri)
{
	struct task *t = task_new();
	char db[64], name[64];
	int used;

	free(t->milvus.uri);
	t->milvus.uri = xstrdup(uri);
	for (; sscanf(names, " %63[^/]/%63s%n", db, name, &used) == 2; names += used) {
		t->dbs = xrealloc(t->dbs, (t->n_dbs + 1) * sizeof(*t->dbs));
		t->dbs[t->n_dbs] = (struct task_db){.db = xstrdup(db)};
		add_name(&t->dbs[t->n_dbs].collections, &t->dbs[t->n_dbs].n_collections, name);
		t->n_dbs++;
	}
	return t;
}

struct world {
	struct task *l[TASKS_MAX];
	size_t n;
};

/* +names creates, -names deletes; ":" separates names from what is expected: "dup ...", "ex ...",
 * "ok". */
static void step(struct world *w, const char *line)
{
	CLEANUP(buf_done)
	struct buf got = BUF_INIT(4096);
	char names[128];
	struct err e = ERR_INIT;

	assert_int_equal(sscanf(line + 1, "%127[^:]", names), 1);
	const char *want = strchr(line, ':') ? strchr(line, ':') + 1 : "ok";
	CLEANUP(task_freep)
	struct task *t = make(names, "http://h:19530");
	if (line[0] == '-') {
		for (size_t i = 0; i < w->n; i++) {
			if (!task_names_equal(w->l[i], t))
				continue;
			task_free(w->l[i]);
			memmove(&w->l[i], &w->l[i + 1], (--w->n - i) * sizeof(w->l[0]));
			return;
		}
		fail_msg("no task %s", names);
	}
	if (task_names_check(t, w->l, w->n, &e)) {
		assert_int_equal(e.code, ERR_INVALID);
		assert_int_equal(t->n_excludes, 0);
		buf_putf(&got, "dup %s",
			e.text + strlen("the collection name is duplicate with existing task, "));
	} else {
		buf_put_str(&got, t->n_excludes ? "ex" : "ok");
		for (size_t i = 0; i < t->n_excludes; i++)
			buf_putf(&got, " %s", t->excludes[i]);
		w->l[w->n++] = TAKE(t);
	}
	if (strcmp(buf_cstr(&got), want) != 0)
		fail_msg("%s: got %s", line, buf_cstr(&got));
}

static void run(const char *const *steps)
{
	struct world w = {.n = 0};

	for (; *steps; steps++)
		step(&w, *steps);
	for (size_t i = 0; i < w.n; i++)
		task_free(w.l[i]);
}

#define SCENARIO(name, ...)                                                                        \
	static void name(void **state)                                                             \
	{                                                                                          \
		static const char *const steps[] = {__VA_ARGS__, NULL};                            \
		(void)state;                                                                       \
		run(steps);                                                                        \
	}

/* The examples of docs/api.md and their kin. */
SCENARIO(test_narrow_then_wide, "+default/foo:ok", "+default/*:ex default.foo",
	"+default/bar:dup [default.bar]", "-default/foo", "+default/foo:ok")
SCENARIO(test_everything_last, "+*/foo:ok", "+db2/hoo:ok", "+*/*:ex *.foo db2.hoo",
	"+db3/foo:dup [db3.foo]")
SCENARIO(test_literal_repeat, "+default/foo:ok", "+default/foo:dup [default.foo]", "+a/*:ok",
	"+a/*:dup [a.*]", "+*/*:ex default.foo a.*", "+*/*:dup [*.*]")
SCENARIO(test_other_databases_stand_apart, "+default/*:ok", "+db/foo:ok", "+db/bar:ok", "+db2/*:ok",
	"+*/x:ex default.x db2.x")
SCENARIO(test_wide_takes_all_later_ones, "+*/*:ok", "+a/b:dup [a.b]", "+a/*:dup [a.*]",
	"+*/b:dup [*.b]")
SCENARIO(test_several_names, "+default/a default/b:ok", "+default/b default/c:dup [default.b]",
	"+default/c db/x:ok", "+default/*:ex default.a default.b default.c")
/* Neither covers the other: the crossing stays with the older task. */
SCENARIO(test_crossing, "+*/foo:ok", "+db/*:ex db.foo", "-*/foo", "+db/foo:ok")
SCENARIO(test_crossing_reversed, "+db/*:ok", "+*/foo:ex db.foo", "+db/foo:dup [db.foo]")
/* The older task does not replicate it any more, so the new one has to. */
SCENARIO(test_crossing_already_left, "+*/foo:ok", "+db/*:ex db.foo", "-*/foo", "+*/foo:ok")
SCENARIO(test_left_to_a_wider_one, "+default/foo:ok", "+default/*:ex default.foo",
	"+*/*:ex default.foo default.*", "-default/foo", "+default/foo:ok",
	"+default/baz:dup [default.baz]")
SCENARIO(test_dots_in_names, "+a/b.c:ok", "+a/b:ok", "+a/*:ex a.b.c a.b", "+a/b.c:dup [a.b.c]",
	"+a/.:dup [a..]", "-a/b.c", "+a/b.c:ok")

/* A database with a list of its own takes nothing from that of "*". */
SCENARIO(test_own_lists, "+*/* db/foo:ok", "+db/bar:ok", "+db/foo:dup [db.foo]",
	"+db2/x:dup [db2.x]")
SCENARIO(test_own_lists_wide, "+*/* db/foo:ok", "+db/*:ex db.foo", "+db/x:dup [db.x]")
/* Neither is read in 2.2.2 of the reference, whose tasks have one name each. */
SCENARIO(test_names_beside_a_star, "+a/* a/foo:ok", "+a/bar:dup [a.bar]", "+a/foo:dup [a.foo]",
	"+b/foo b/*:ok", "+*/*:ex a.* a.foo b.foo b.*")
/* What the narrow task left stays left, so that it can be made again. */
SCENARIO(test_left_stays_left, "+default/foo:ok", "+default/*:ex default.foo", "-default/foo",
	"+default/bar:dup [default.bar]", "+default/foo:ok", "-default/*",
	"+default/*:ex default.foo")

static void test_repeats(void **state)
{
	CLEANUP(task_freep)
	struct task *t = make("a/x a/y b/x a/x a/x /z default/z", "http://h:19530");
	CLEANUP(task_freep)
	struct task *good = make("a/x a/* */x */*", "http://h:19530");
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(task_names_check_repeats(good, &e), ERR_OK);
	assert_int_equal(task_names_check_repeats(t, &e), ERR_INVALID);
	assert_string_equal(e.text, "the collection name is duplicate in the request, [a.x]");
}

static void test_address_spellings(void **state)
{
	static const char *const same[] = {
		"http://h:19530", "http://H:19530/", "h:19530", "h", "http://h", "https://h:19530"};
	static const char *const other[] = {"http://h:19531", "https://h", "http://h2:19530"};
	struct task *a = make("default/foo", same[0]);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		CLEANUP(task_freep)
		struct task *b = make("default/foo", same[i]);
		assert_true(task_names_same_target(a, b));
	}
	for (size_t i = 0; i < ARRAY_LEN(other); i++) {
		CLEANUP(task_freep)
		struct task *b = make("default/foo", other[i]);
		assert_false(task_names_same_target(a, b));
	}
	task_free(a);
	a = make("default/foo", "http://localhost:1");
	struct task *c = make("default/foo", "127.0.0.1:1");
	assert_true(task_names_same_target(a, c));
	task_free(a);
	task_free(c);
}

static void test_targets_are_apart(void **state)
{
	struct task *a = make("default/foo", "http://h:19530");
	struct task *b = make("default/foo", "http://other:19530");
	struct task *c = make("default/foo", "H:19530/");
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(task_names_check(b, &a, 1, &e), ERR_OK);
	assert_int_equal(task_names_check(c, &a, 1, &e), ERR_INVALID);
	assert_string_equal(
		e.text, "the collection name is duplicate with existing task, [default.foo]");
	assert_true(task_names_equal(a, c));
	assert_false(task_names_equal(a, b));
	task_free(a);
	task_free(b);
	task_free(c);
}

static void test_topics_are_targets(void **state)
{
	struct task *a = make("default/foo", ""), *b = make("default/foo", "");

	(void)state;
	free(a->kafka.address);
	free(b->kafka.address);
	free(b->kafka.topic);
	a->kafka.address = xstrdup("k:9092");
	b->kafka.address = xstrdup("k:9092");
	b->kafka.topic = xstrdup("t");
	assert_false(task_names_same_target(a, b));
	assert_true(task_names_same_target(a, a));
	task_free(a);
	task_free(b);
}

static void test_user_role_once(void **state)
{
	struct task *a = make("default/a", "h:1"), *b = make("default/b", "h:1");
	struct err e = ERR_INIT;

	(void)state;
	a->enable_user_role = true;
	assert_int_equal(task_names_check(b, &a, 1, &e), ERR_OK);
	b->enable_user_role = true;
	assert_int_equal(task_names_check(b, &a, 1, &e), ERR_INVALID);
	assert_string_equal(e.text, "the enable user role param is duplicate");
	task_free(a);
	task_free(b);
}

static void check_mapping(const char *names, const char *db, const char *coll, bool ok)
{
	struct task *t = make(names, "h:1");
	struct err e = ERR_INIT;

	t->n_mappings = 1;
	t->mappings = xcalloc(1, sizeof(*t->mappings));
	t->mappings[0].source_db = xstrdup(db);
	t->mappings[0].target_db = xstrdup("x");
	if (coll) {
		t->mappings[0].collections = xcalloc(1, sizeof(struct task_pair));
		t->mappings[0].collections[0] = (struct task_pair){xstrdup(coll), xstrdup("y")};
		t->mappings[0].n_collections = 1;
	}
	assert_int_equal(task_names_check(t, NULL, 0, &e), ok ? ERR_OK : ERR_INVALID);
	if (!ok)
		assert_string_equal(e.text, "the collection name in the name mapping is not in the "
					    "collection info, checkout it");
	task_free(t);
}

static void test_mappings_are_covered(void **state)
{
	(void)state;
	check_mapping("db/foo", "db", "foo", true);
	check_mapping("db/foo", "db", "bar", false);
	check_mapping("db/foo", "db", NULL, false);
	check_mapping("db/*", "db", NULL, true);
	check_mapping("*/*", "db", NULL, true);
	check_mapping("*/foo", "db", "foo", true);
	check_mapping("default/foo", "default", "foo", true);
	check_mapping("db/a db/foo", "db", "foo", true);
	check_mapping("db/a.b", "db", "a.b", true);
}

static void test_ids(void **state)
{
	char text[200];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[128] = '\0';
	assert_int_equal(task_names_check_id(text, NULL), ERR_OK);
	text[128] = 'x';
	text[129] = '\0';
	assert_int_equal(task_names_check_id(text, NULL), ERR_INVALID);
	assert_int_equal(task_names_check_id("", NULL), ERR_INVALID);
	assert_int_equal(task_names_check_id("a\nb", NULL), ERR_INVALID);
	assert_int_equal(task_names_check_id("a\x7f", NULL), ERR_INVALID);
	assert_int_equal(task_names_check_id("a/b ../\xc3\xa4", NULL), ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_narrow_then_wide),
		cmocka_unit_test(test_everything_last),
		cmocka_unit_test(test_literal_repeat),
		cmocka_unit_test(test_other_databases_stand_apart),
		cmocka_unit_test(test_wide_takes_all_later_ones),
		cmocka_unit_test(test_several_names),
		cmocka_unit_test(test_crossing),
		cmocka_unit_test(test_crossing_reversed),
		cmocka_unit_test(test_crossing_already_left),
		cmocka_unit_test(test_left_to_a_wider_one),
		cmocka_unit_test(test_dots_in_names),
		cmocka_unit_test(test_own_lists),
		cmocka_unit_test(test_own_lists_wide),
		cmocka_unit_test(test_names_beside_a_star),
		cmocka_unit_test(test_left_stays_left),
		cmocka_unit_test(test_repeats),
		cmocka_unit_test(test_address_spellings),
		cmocka_unit_test(test_targets_are_apart),
		cmocka_unit_test(test_topics_are_targets),
		cmocka_unit_test(test_user_role_once),
		cmocka_unit_test(test_mappings_are_covered),
		cmocka_unit_test(test_ids),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
