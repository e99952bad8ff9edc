/* Names that meet on the target: in one task, in two, and which of two collections has to give way. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "server/task/name_meet.h"

static struct task *task_of(const char *id, const char *db, const char *coll)
{
	struct task *t = task_new();

	free(t->id);
	t->id = xstrdup(id);
	t->has_dbs = true;
	t->n_dbs = 1;
	t->dbs = xcalloc(1, sizeof(*t->dbs));
	t->dbs[0].db = xstrdup(db);
	t->dbs[0].n_collections = 1;
	t->dbs[0].collections = xcalloc(1, sizeof(struct task_collection));
	t->dbs[0].collections[0].name = xstrdup(coll);
	return t;
}

static void map(struct task *t, const char *db, const char *to_db, const char *from, const char *to)
{
	size_t cap = t->n_mappings;

	mem_grow(&t->mappings, &cap, t->n_mappings + 1, sizeof(*t->mappings));
	struct task_mapping *m = &t->mappings[t->n_mappings++];
	*m = (struct task_mapping){.source_db = xstrdup(db), .target_db = xstrdup(to_db)};
	if (!from)
		return;
	m->n_collections = 1;
	m->collections = xcalloc(1, sizeof(*m->collections));
	m->collections[0] = (struct task_pair){xstrdup(from), xstrdup(to)};
}

static struct source_names three(void)
{
	struct source_names s = {.n = 0};

	source_names_add(&s, 1, 100, "default", "a");
	source_names_add(&s, 2, 200, "default", "b");
	source_names_add(&s, 3, 300, "other", "a");
	return s;
}

static void without_mappings_nothing_meets(void **state)
{
	CLEANUP(source_names_done) struct source_names s = three();
	CLEANUP(task_freep) struct task *t = task_of("t", "*", "*"), *o = task_of("o", "*", "*");
	struct name_meet m;

	(void)state;
	assert_false(name_meet_any(t, &o, 1, &s, &m));
}

static void two_of_one_task(void **state)
{
	CLEANUP(source_names_done) struct source_names s = three();
	CLEANUP(task_freep) struct task *t = task_of("t", "*", "*");
	struct name_meet m;

	(void)state;
	map(t, "default", "default", "a", "b");
	assert_true(name_meet_any(t, NULL, 0, &s, &m));
	assert_int_equal(m.a->id + m.b->id, 3);
	assert_string_equal(m.target_db, "default");
	assert_string_equal(m.target_name, "b");
	assert_ptr_equal(m.task, t);
}

static void two_databases_of_one_name(void **state)
{
	CLEANUP(source_names_done) struct source_names s = three();
	CLEANUP(task_freep) struct task *t = task_of("t", "default", "*");
	CLEANUP(task_freep) struct task *o = task_of("o", "other", "*");
	struct name_meet m;

	(void)state;
	assert_false(name_meet_any(t, &o, 1, &s, &m));
	map(o, "other", "default", NULL, NULL);
	assert_true(name_meet_any(t, &o, 1, &s, &m));
	assert_int_equal(m.a->id, 1);
	assert_int_equal(m.b->id, 3);
	assert_ptr_equal(m.task, o);
	/* Theirs among each other is not the new one's business. */
	CLEANUP(task_freep) struct task *n = task_of("n", "default", "b");
	struct task *both[] = {t, o};
	assert_false(name_meet_any(n, both, 2, &s, &m));
}

static void one_collection_of_two_tasks_is_one(void **state)
{
	CLEANUP(source_names_done) struct source_names s = three();
	CLEANUP(task_freep) struct task *t = task_of("t", "default", "a");
	CLEANUP(task_freep) struct task *o = task_of("o", "default", "a");
	struct name_meet m;

	(void)state;
	map(t, "default", "x", "a", "y");
	map(o, "default", "x", "a", "y");
	assert_false(name_meet_any(t, &o, 1, &s, &m));
}

static void the_younger_gives_way(void **state)
{
	CLEANUP(source_names_done) struct source_names s = three();
	CLEANUP(task_freep) struct task *t = task_of("t", "*", "*");
	struct name_meet m = {.target_db = "default", .target_name = "b"};

	(void)state;
	map(t, "default", "default", "a", "b");
	assert_true(name_meet_older(t, &s, 2, 200, &m));
	assert_int_equal(m.b->id, 1);
	assert_false(name_meet_older(t, &s, 1, 100, &m));
	/* Created at one time: the smaller id. */
	s.l[1].create_ts = 100;
	assert_false(name_meet_older(t, &s, 1, 100, &m));
	assert_true(name_meet_older(t, &s, 2, 100, &m));
	/* What the task does not take is not in the way. */
	CLEANUP(task_freep) struct task *narrow = task_of("t", "default", "b");
	map(narrow, "default", "default", "a", "b");
	assert_false(name_meet_older(narrow, &s, 2, 200, &m));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_mappings_nothing_meets),
		cmocka_unit_test(two_of_one_task),
		cmocka_unit_test(two_databases_of_one_name),
		cmocka_unit_test(one_collection_of_two_tasks_is_one),
		cmocka_unit_test(the_younger_gives_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
