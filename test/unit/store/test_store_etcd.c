/* What only a shared metastore can do: another server on the same root, records of the reference,
 * and being away. A real etcd. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/store_etcd.h"
#include "support/etcd_server.h"

struct bed {
	struct etcd_server server;
	struct grpc *g;
	struct etcd *c;
	struct stop stop;
};

static int group_up(void **state)
{
	struct bed *b = *state = xcalloc(1, sizeof(*b));
	struct err e = ERR_INIT;
	const char *endpoint = b->server.address;
	struct etcd_opts o = {.endpoints = &endpoint, .n_endpoints = 1, .op_timeout_ms = 700};

	stop_init(&b->stop, NULL);
	etcd_server_start(&b->server);
	assert_int_equal(grpc_new(&b->g, &e), ERR_OK);
	assert_int_equal(etcd_open(b->g, &o, &b->c, &e), ERR_OK);
	return 0;
}

static int group_down(void **state)
{
	struct bed *b = *state;

	etcd_close(b->c);
	grpc_free(b->g);
	etcd_server_stop(&b->server);
	stop_done(&b->stop);
	free(b);
	return 0;
}

static struct store *open_store(struct bed *b, const char *root)
{
	struct store *st = NULL;
	struct err e = ERR_INIT;
	assert_int_equal(store_etcd_open(b->c, root, &st, &e), ERR_OK);
	return st;
}

static enum err_code put(struct bed *b, struct store *st, const char *id, struct err *e)
{
	CLEANUP(task_freep)
	struct task *t = task_new();
	free(t->id);
	t->id = xstrdup(id);
	return store_put_task(st, t, &b->stop, e);
}

static void plant(struct bed *b, const char *key, const char *text)
{
	struct err e = ERR_INIT;
	if (etcd_put(b->c, key, slice_str(text), &b->stop, &e))
		fail_msg("%s", e.text);
}

static char *raw(struct bed *b, const char *key)
{
	struct etcd_range r;
	struct err e = ERR_INIT;

	etcd_range_init(&r);
	if (etcd_get(b->c, key, &b->stop, &r, &e))
		fail_msg("%s", e.text);
	char *text = r.n ? xstrndup((const char *)r.kvs[0].value.p, r.kvs[0].value.n) : NULL;
	etcd_range_done(&r);
	return text;
}

static void expect_raw(struct bed *b, const char *key, const char *want)
{
	CLEANUP(freep)
	char *text = raw(b, key);
	if (want)
		assert_string_equal(text, want);
	else
		assert_null(text);
}

static enum err_code put_doc(
	struct bed *b, struct store *st, const char *task_id, uint64_t ts, struct err *e)
{
	CLEANUP(freep)
	char *id = xstrdup(task_id);
	char name[] = "foo";
	struct store_position s = {
		.channel = "by-dev-rootcoord-dml_0", .pos.ts = ts, .exact = true};
	struct store_positions p = {.task_id = id,
		.collection_id = 449,
		.collection_name = name,
		.source = &s,
		.n_source = 1};
	struct store_batch batch = {.positions = &p, .n_positions = 1};
	return store_write(st, &batch, &b->stop, e);
}

static void test_the_references_keys_and_text(void **state)
{
	struct bed *b = *state;
	struct store *st = open_store(b, "/keys/");
	struct err e = ERR_INIT;

	assert_int_equal(put(b, st, "6623ae52d35842a5a2c9d89b16ed7aa1", &e), ERR_OK);
	assert_int_equal(put_doc(b, st, "6623ae52d35842a5a2c9d89b16ed7aa1", 2 << 18, &e), ERR_OK);
	CLEANUP(freep)
	char *task = raw(b, "/keys/task_info/6623ae52d35842a5a2c9d89b16ed7aa1");
	assert_ptr_equal(
		strstr(task, "{\"TaskID\":\"6623ae52d35842a5a2c9d89b16ed7aa1\",\"MilvusConnect"),
		task);
	expect_raw(b, "/keys/task_position/6623ae52d35842a5a2c9d89b16ed7aa1/449",
		"{\"TaskID\":\"6623ae52d35842a5a2c9d89b16ed7aa1\",\"CollectionID\":449,"
		"\"CollectionName\":\"foo\",\"Positions\":{\"by-dev-rootcoord-dml_0\":{"
		"\"StartTime\":0,\"Time\":1,\"DataPair\":{\"key\":\"by-dev-rootcoord-dml_0\"},"
		"\"Dropped\":false,\"Ext\":{\"V\":1,\"TS\":\"524288\",\"ID\":\"\"}}},"
		"\"OpPositions\":{},\"TargetPositions\":{}}");
	store_close(st);
}

/* The reference puts any id into a key as it is. */
static void test_a_references_odd_id_is_shown_and_can_be_deleted(void **state)
{
	struct bed *b = *state;
	struct store *st = open_store(b, "odd");
	struct err e = ERR_INIT;
	struct task **l;
	size_t n;

	plant(b, "odd/task_info/a/b", "{\"TaskID\":\"a/b\"}");
	plant(b, "odd/task_position/a/b/1", "{}");
	plant(b, "odd/task_position/a/bc/1", "{}");
	assert_int_equal(put(b, st, "a", &e), ERR_OK);
	assert_int_equal(put_doc(b, st, "a", 1 << 18, &e), ERR_OK);
	assert_int_equal(store_read_tasks(st, &b->stop, &l, &n, &e), ERR_OK);
	assert_int_equal(n, 2);
	assert_string_equal(l[1]->id, "a/b");
	assert_int_equal(l[1]->state, TASK_PAUSED);
	store_tasks_free(l, n);

	assert_int_equal(store_delete_task(st, "a/b", &b->stop, &e), ERR_OK);
	expect_raw(b, "odd/task_info/a/b", NULL);
	expect_raw(b, "odd/task_position/a/b/1", NULL);
	expect_raw(b, "odd/task_position/a/bc/1", "{}");
	CLEANUP(freep)
	char *doc = raw(b, "odd/task_position/a/449");
	assert_non_null(doc);
	store_close(st);
}

static void test_the_newest_server_wins_and_the_other_is_told(void **state)
{
	struct bed *b = *state;
	struct store *one = open_store(b, "own"), *two = open_store(b, "own");
	struct store *elsewhere = open_store(b, "own2");
	struct err e = ERR_INIT;

	assert_int_equal(put(b, one, "a", &e), ERR_OK);
	assert_int_equal(put(b, elsewhere, "a", &e), ERR_OK);
	assert_int_equal(put_doc(b, one, "a", 1 << 18, &e), ERR_OK);
	assert_int_equal(put_doc(b, two, "a", 2 << 18, &e), ERR_OK);
	CLEANUP(freep)
	char *before = raw(b, "own/task_position/a/449");
	for (int i = 0; i < 3; i++) {
		err_clear(&e);
		assert_int_equal(put_doc(b, one, "a", 3 << 18, &e), ERR_CONFLICT);
		assert_non_null(strstr(e.text, "taken over by another server"));
		assert_non_null(strstr(e.text, "\"process\""));
		err_clear(&e);
		assert_int_equal(one->ops->check(one, &b->stop, &e), ERR_CONFLICT);
	}
	expect_raw(b, "own/task_position/a/449", before);
	err_clear(&e);
	assert_int_equal(put_doc(b, two, "a", 4 << 18, &e), ERR_OK);
	store_close(one);
	store_close(two);
	store_close(elsewhere);
}

/* A write whose answer was lost must not land on top of a newer one: all changes share the owner
 * key's revision, so a late one finds it moved on. */
static void test_a_given_up_write_can_not_land_later(void **state)
{
	struct bed *b = *state;
	struct store *st = open_store(b, "late");
	struct etcd_range r;
	struct err e = ERR_INIT;

	assert_int_equal(put(b, st, "a", &e), ERR_OK);
	etcd_range_init(&r);
	assert_int_equal(etcd_get(b->c, "late/ext_owner", &b->stop, &r, &e), ERR_OK);
	/* What the store would have sent, still under way ... */
	struct etcd_cmp cmp = {"late/ext_owner", r.kvs[0].mod_revision};
	struct etcd_op op = {.key = "late/task_position/a/449", .value = slice_str("old")};
	/* ... while the store goes on. */
	assert_int_equal(put_doc(b, st, "a", 9 << 18, &e), ERR_OK);
	CLEANUP(freep)
	char *now = raw(b, "late/task_position/a/449");
	assert_int_equal(etcd_txn(b->c, &cmp, 1, &op, 1, &b->stop, NULL, &e), ERR_CONFLICT);
	expect_raw(b, "late/task_position/a/449", now);

	/* The other way round: it lands between two writes of ours; the next one goes over it. */
	etcd_range_done(&r);
	err_clear(&e);
	assert_int_equal(etcd_get(b->c, "late/ext_owner", &b->stop, &r, &e), ERR_OK);
	struct etcd_op both[] = {op, {.key = "late/ext_owner", .value = r.kvs[0].value}};
	cmp.mod_revision = r.kvs[0].mod_revision;
	assert_int_equal(etcd_txn(b->c, &cmp, 1, both, 2, &b->stop, NULL, &e), ERR_OK);
	assert_int_equal(put_doc(b, st, "a", 9 << 18, &e), ERR_OK);
	expect_raw(b, "late/task_position/a/449", now);
	etcd_range_done(&r);
	store_close(st);
}

static void test_away_and_back(void **state)
{
	struct bed *b = *state;
	struct store *st = open_store(b, "away");
	struct err e = ERR_INIT;

	assert_int_equal(put(b, st, "a", &e), ERR_OK);
	etcd_server_kill(&b->server);
	enum err_code code = put_doc(b, st, "a", 1 << 18, &e);
	assert_true(code == ERR_UNAVAILABLE || code == ERR_UNCERTAIN || code == ERR_TIMEOUT);
	assert_non_null(strstr(e.text, "metastore etcd"));
	err_clear(&e);
	code = st->ops->check(st, &b->stop, &e);
	assert_true(code == ERR_UNAVAILABLE || code == ERR_TIMEOUT);
	etcd_server_restart(&b->server);
	struct deadline d = deadline_in(10000);
	do {
		err_clear(&e);
		code = put_doc(b, st, "a", 2 << 18, &e);
	} while (code && !deadline_passed(d));
	assert_int_equal(code, ERR_OK);
	store_close(st);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_references_keys_and_text),
		cmocka_unit_test(test_a_references_odd_id_is_shown_and_can_be_deleted),
		cmocka_unit_test(test_the_newest_server_wins_and_the_other_is_told),
		cmocka_unit_test(test_a_given_up_write_can_not_land_later),
		cmocka_unit_test(test_away_and_back),
	};
	return cmocka_run_group_tests(tests, group_up, group_down);
}
