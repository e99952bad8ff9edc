/* Copies of metastores, in memory; real ones of every kind: test/e2e/test_stores.py. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "server/tool/tool_migrate.h"
#include "store/store_mem.h"

struct bed {
	struct store *from, *to;
	struct stop stop;
	char *said; /* of the last copy */
};

static int up(void **state)
{
	struct bed *b = *state = xcalloc(1, sizeof(*b));

	stop_init(&b->stop, NULL);
	b->from = store_mem_new("a");
	b->to = store_mem_new("b");
	store_mem_raw(b->from, "a/task_info/t", "{\"TaskID\":\"t\",\"Else\":[1]}");
	store_mem_raw(b->from, "a/task_position/t/7",
		"{\"TaskID\":\"t\",\"CollectionID\":7,\"CollectionName\":\"foo\",\"Positions\":{"
		"\"ch\":{\"StartTime\":0,\"Time\":5,\"DataPair\":{\"key\":\"ch\",\"data\":\"CAE=\"}"
		",\"Dropped\":true}},\"OpPositions\":null,\"TargetPositions\":{}}");
	store_mem_raw(b->from, "a/ext/bound/t/ch", "{\"x\":1}");
	return 0;
}

static int down(void **state)
{
	struct bed *b = *state;

	store_close(b->from);
	store_close(b->to);
	stop_done(&b->stop);
	free(b->said);
	free(b);
	return 0;
}

static enum err_code migrate(struct bed *b, struct migrate_opts o, struct err *e)
{
	size_t n;

	free(b->said);
	FILE *out = open_memstream(&b->said, &n);
	enum err_code code = migrate_stores(b->from, b->to, &o, &b->stop, out, e);
	fclose(out);
	return code;
}

static void migrate_ok(struct bed *b, struct migrate_opts o, const char *says)
{
	struct err e = ERR_INIT;

	if (migrate(b, o, &e))
		fail_msg("%s", e.text);
	assert_non_null(strstr(b->said, says));
}

static void refused(struct bed *b, enum err_code want, const char *says)
{
	struct err e = ERR_INIT;

	assert_int_equal(migrate(b, (struct migrate_opts){.force = false}, &e), want);
	if (!strstr(e.text, says))
		fail_msg("%s", e.text);
}

static void expect(struct bed *b, const char *key, const char *want)
{
	CLEANUP(freep)
	char *text = store_mem_get(b->to, key);

	if (want)
		assert_string_equal(text, want);
	else
		assert_null(text);
}

static const struct migrate_opts plain = {.force = false}, force = {.force = true},
				 dry = {.dry_run = true};

static void test_everything_is_copied_and_read_back(void **state)
{
	struct bed *b = *state;

	migrate_ok(b, dry, "1 tasks, 1 positions, 1 other records: would be copied");
	expect(b, "b/task_info/t", NULL);
	migrate_ok(b, plain, "copied, read back and equal");
	expect(b, "b/task_info/t", "{\"TaskID\":\"t\",\"Else\":[1]}");
	expect(b, "b/ext/bound/t/ch", "{\"x\":1}");
	uint64_t writes = store_mem_writes(b->to);
	migrate_ok(b, plain, "all there already");
	assert_true(store_mem_writes(b->to) == writes);
}

/* Cut off after the task's record: run again, it goes on. */
static void test_a_copy_cut_off_goes_on(void **state)
{
	struct bed *b = *state;

	store_mem_raw(b->to, "b/task_info/t", "{ \"Else\": [1], \"TaskID\": \"t\" }");
	migrate_ok(b, plain, "copied, read back and equal");
	store_mem_raw(b->to, "b/ext/bound/t/ch", NULL);
	migrate_ok(b, plain, "copied, read back and equal");
	expect(b, "b/ext/bound/t/ch", "{\"x\":1}");
}

static void test_a_target_with_other_things_is_left_alone(void **state)
{
	struct bed *b = *state;

	store_mem_raw(b->to, "b/ext/bound/t/ch", "{\"x\":2}");
	refused(b, ERR_EXISTS, "holds something else already (ext/bound/t/ch)");
	expect(b, "b/task_info/t", NULL);
	migrate_ok(b, force, "copied, read back and equal");
	expect(b, "b/ext/bound/t/ch", "{\"x\":1}");
	store_mem_raw(b->to, "b/task_info/other", "{\"TaskID\":\"other\"}");
	refused(b, ERR_EXISTS, "task/other");
}

static void test_damaged_and_left_over_records(void **state)
{
	struct bed *b = *state;

	store_mem_raw(b->from, "a/task_position/gone/1",
		"{\"TaskID\":\"gone\",\"CollectionID\":1,\"Positions\":{}}");
	migrate_ok(b, plain, "1 positions of tasks that no longer exist are left out");
	store_mem_raw(b->from, "a/task_position/t/8", "{\"TaskID\":");
	refused(b, ERR_MALFORMED, "1 damaged records (position of task t, collection 8)");
	migrate_ok(b, force, "1 damaged records are left out");
	expect(b, "b/task_position/t/8", NULL);
}

static void test_failures_are_told(void **state)
{
	struct bed *b = *state;

	store_mem_fail(b->from, ERR_DENIED, 1);
	refused(b, ERR_DENIED, "the source: ");
	store_mem_fail(b->to, ERR_UNAVAILABLE, 1);
	refused(b, ERR_UNAVAILABLE, "the target: ");
	expect(b, "b/task_info/t", NULL);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_everything_is_copied_and_read_back),
		TEST(test_a_copy_cut_off_goes_on),
		TEST(test_a_target_with_other_things_is_left_alone),
		TEST(test_damaged_and_left_over_records),
		TEST(test_failures_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
