/* Where a run starts from, when the run before has left something with the store writer. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "server/task/run.h"
#include "store/store_mem.h"
#include "store/writer.h"

enum { LONG_MS = 3600000 };

struct bed {
	struct store *store;
	struct writer *writer;
	struct services sv;
	struct stop stop;
};

static int up(void **state)
{
	CLEANUP(task_freep) struct task *t = task_new();
	struct bed *b = *state = xcalloc(1, sizeof(*b));
	struct err e = ERR_INIT;

	log_set_level(LOG_OFF);
	stop_init(&b->stop, NULL);
	b->store = store_mem_new("cdc");
	assert_int_equal(writer_new(b->store, LONG_MS, &b->writer, &e), ERR_OK);
	b->sv = (struct services){.store = b->store, .writer = b->writer};
	free(t->id);
	t->id = xstrdup("a");
	assert_int_equal(store_put_task(b->store, t, &b->stop, &e), ERR_OK);
	return 0;
}

static int down(void **state)
{
	struct bed *b = *state;

	writer_free(b->writer);
	store_close(b->store);
	stop_done(&b->stop);
	free(b);
	return 0;
}

static void put_position(struct bed *b, const char *name, uint64_t ts)
{
	CLEANUP(freep) char *id = xstrdup("a");
	CLEANUP(freep) char *copy = xstrdup(name);
	struct store_position p = {.channel = "ch", .pos.ts = ts << 18, .exact = true};
	struct store_positions doc = {.task_id = id,
		.collection_id = 1,
		.collection_name = copy,
		.source = &p,
		.n_source = 1};

	writer_put_position(b->writer, &doc);
}

static void expect_start(struct bed *b, uint64_t ts)
{
	struct store_positions *list = NULL;
	struct err e = ERR_INIT;
	size_t n = 0;

	assert_int_equal(run_stored(&b->sv, "a", &b->stop, &list, &n, &e), ERR_OK);
	assert_int_equal(n, 1);
	assert_int_equal(list[0].source[0].pos.ts >> 18, ts);
	store_positions_free(list, n);
}

/* A pause while the metastore was away, and a resume when it is back. */
static void test_what_still_waits_is_stored_first(void **state)
{
	struct bed *b = *state;

	put_position(b, "c", 5);
	expect_start(b, 5);
	put_position(b, "c", 6);
	expect_start(b, 6);
}

/* The run starts from what is stored; what was refused must not come into its way later. */
static void test_what_is_refused_is_forgotten(void **state)
{
	struct bed *b = *state;
	struct writer_status st;

	put_position(b, "c", 5);
	expect_start(b, 5);
	put_position(b, "\xff", 6);
	expect_start(b, 5);
	writer_status(b->writer, &st);
	assert_int_equal(st.waiting, 0);
}

static void test_nothing_is_read_before_it_is_stored(void **state)
{
	struct bed *b = *state;
	struct store_positions *list = NULL;
	struct err e = ERR_INIT;
	size_t n = 0;

	put_position(b, "c", 5);
	stop_set(&b->stop);
	assert_int_equal(run_stored(&b->sv, "a", &b->stop, &list, &n, &e), ERR_CANCELLED);
	assert_null(list);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_still_waits_is_stored_first),
		TEST(test_what_is_refused_is_forgotten),
		TEST(test_nothing_is_read_before_it_is_stored),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
