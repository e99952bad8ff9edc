/* Every verb of the client against a real Milvus 2.3.5 that accepts ReplicateMessage; its address
 * comes in CDC_TEST_MILVUS (test/e2e/test_client_milvus.py), without it the tests are skipped. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/ts.h"
#include "support/real_milvus.h"

static int setup(void **state)
{
	*state = real_open();
	return 0;
}

static int teardown(void **state)
{
	real_close(*state);
	return 0;
}

static struct real *real_or_skip(void **state)
{
	if (!*state)
		skip();
	return *state;
}

#define assert_ok(r, call)                                                                         \
	do {                                                                                       \
		err_clear(&(r)->e);                                                                \
		if (call)                                                                          \
			fail_msg("%s: %s", #call, (r)->e.text);                                    \
	} while (0)

#define assert_err(r, call, want, want_origin)                                                     \
	do {                                                                                       \
		err_clear(&(r)->e);                                                                \
		if ((call) != (want) || (want_origin != (r)->e.origin))                            \
			fail_msg("%s: %s %d: %s", #call, err_name((r)->e.code), (r)->e.origin,     \
				(r)->e.text);                                                      \
	} while (0)

static void test_connect_and_clock(void **state)
{
	struct real *r = real_or_skip(state);
	struct milvus_info info;
	uint64_t a, b;

	assert_ok(r, milvus_connect(r->m, &r->stop, &info, &r->e));
	assert_non_null(strstr(info.version, "2."));
	assert_true(llabs(ts_ms((uint64_t)info.identifier) - time_wall_ms()) < 10000);
	assert_ok(r, milvus_clock(r->m, &r->stop, &a, &r->e));
	assert_ok(r, milvus_clock(r->m, &r->stop, &b, &r->e));
	assert_true(a < b);
	assert_true((uint64_t)info.identifier < a);
}

/* A data node that follows a new channel waits for a tick above the creation, and lets all other
 * channels wait for a minute meanwhile, even when the collection is dropped again. */
static enum err_code tick_channels(struct real *r, const char *db)
{
	struct milvus_collection c = {0};
	uint64_t ts = real_clock(r);

	if (milvus_describe(r->m, db, r->name, &r->stop, &c, &r->e))
		return r->e.code;
	for (int i = 0; i < c.shards_num && !r->e.code; i++)
		real_tick(r, c.shards[i].pchannel, ts);
	milvus_collection_done(&c);
	return r->e.code;
}

static enum err_code create(struct real *r, const char *db, uint64_t ts)
{
	CLEANUP(buf_done)
	struct buf schema = BUF_INIT(REAL_MAX_BYTES);
	struct milvus_create c = {
		.db = db, .name = r->name, .shards_num = 2, .consistency_level = 1, .ts = ts};

	real_schema(&schema, false);
	c.schema = buf_slice(&schema);
	if (milvus_create_collection(r->m, &c, &r->stop, &r->e))
		return r->e.code;
	return tick_channels(r, db);
}

static void test_collection_life(void **state)
{
	struct real *r = real_or_skip(state);
	struct milvus_collection c;
	uint64_t ts = real_clock(r);

	assert_err(r, milvus_describe(r->m, "", r->name, &r->stop, &c, &r->e), ERR_NOT_FOUND, 100);
	assert_ok(r, create(r, "", ts));
	assert_ok(r, create(r, "", ts)); /* the same again is fine */
	assert_ok(r, milvus_describe(r->m, NULL, r->name, &r->stop, &c, &r->e));
	assert_int_equal(c.created_ts, ts);
	assert_int_equal(c.shards_num, 2);
	assert_int_equal(c.consistency_level, 1);
	assert_true(c.id > 0);
	assert_non_null(strstr(c.shards[0].vchannel, "v0"));
	assert_non_null(strstr(c.shards[1].vchannel, "v1"));
	assert_null(strstr(c.shards[1].pchannel, "v1"));
	assert_non_null(memmem(c.schema.p, c.schema.n, r->name, strlen(r->name)));
	assert_null(memmem(c.schema.p, c.schema.n, "name_at_the_source", 18));
	assert_int_equal(c.n_partitions, 1);
	assert_string_equal(c.partitions[0].name, "_default");
	milvus_collection_done(&c);

	assert_ok(r, milvus_create_partition(r->m, "", r->name, "p1", ts, &r->stop, &r->e));
	assert_ok(r, milvus_describe(r->m, "", r->name, &r->stop, &c, &r->e));
	assert_int_equal(c.n_partitions, 2);
	milvus_collection_done(&c);
	assert_ok(r, milvus_drop_partition(r->m, "", r->name, "p1", ts, &r->stop, &r->e));
	assert_ok(r, milvus_drop_collection(r->m, "", r->name, ts, &r->stop, &r->e));
	assert_ok(r, milvus_drop_collection(r->m, "", r->name, ts, &r->stop, &r->e));
	assert_err(r, milvus_describe(r->m, "", r->name, &r->stop, &c, &r->e), ERR_NOT_FOUND, 100);
}

static bool lists_database(struct real *r, const char *db)
{
	struct milvus_names l = {0};
	bool found = false;

	assert_ok(r, milvus_list_databases(r->m, &r->stop, &l, &r->e));
	for (size_t i = 0; i < l.n; i++)
		found = found || !strcmp(l.names[i], db);
	milvus_names_done(&l);
	return found;
}

static void test_database_life(void **state)
{
	struct real *r = real_or_skip(state);
	struct milvus_collection c;
	struct slice none = {0};
	uint64_t ts = real_clock(r);

	assert_true(lists_database(r, "default"));
	assert_false(lists_database(r, r->name));
	assert_ok(r, milvus_create_database(r->m, r->name, none, ts, &r->stop, &r->e));
	assert_err(r, milvus_create_database(r->m, r->name, none, ts, &r->stop, &r->e), ERR_EXISTS,
		65535);
	assert_true(lists_database(r, r->name));
	assert_ok(r, create(r, r->name, ts));
	assert_err(r, milvus_describe(r->m, "", r->name, &r->stop, &c, &r->e), ERR_NOT_FOUND, 100);
	assert_ok(r, milvus_describe(r->m, r->name, r->name, &r->stop, &c, &r->e));
	milvus_collection_done(&c);
	assert_ok(r, milvus_drop_collection(r->m, r->name, r->name, ts, &r->stop, &r->e));
	assert_ok(r, milvus_drop_database(r->m, r->name, ts, &r->stop, &r->e));
	assert_false(lists_database(r, r->name));
}

/* An alias answers like its collection; the client must tell them apart. */
static void test_alias(void **state)
{
	struct real *r = real_or_skip(state);
	struct milvus_collection c;
	CLEANUP(buf_done)
	struct buf body = BUF_INIT(REAL_MAX_BYTES);
	char alias[80];
	uint64_t ts = real_clock(r);

	snprintf(alias, sizeof(alias), "%s_alias", r->name);
	wire_put_str(&body, 3, r->name);
	wire_put_str(&body, 4, alias);
	struct slice one = buf_slice(&body);
	assert_ok(r, create(r, "", ts));
	assert_ok(r, milvus_call(r->m, "CreateAlias", NULL, &one, 1, 0, &r->stop, NULL, &r->e));
	assert_err(r, milvus_describe(r->m, "", alias, &r->stop, &c, &r->e), ERR_EXISTS, 0);
	assert_ok(r, milvus_describe(r->m, "", r->name, &r->stop, &c, &r->e));
	assert_int_equal(c.n_aliases, 1);
	assert_string_equal(c.aliases[0], alias);
	milvus_collection_done(&c);
	assert_ok(r, milvus_drop_alias(r->m, "", alias, &r->stop, &r->e));
	assert_err(r, milvus_describe(r->m, "", alias, &r->stop, &c, &r->e), ERR_NOT_FOUND, 100);
	assert_ok(r, milvus_drop_collection(r->m, "", r->name, ts, &r->stop, &r->e));
}

static void test_refusals(void **state)
{
	struct real *r = real_or_skip(state);
	struct milvus_collection c;
	struct iov msg = {0};

	assert_err(r, milvus_create_partition(r->m, "", r->name, "p", 1, &r->stop, &r->e),
		ERR_NOT_FOUND, 100);
	assert_err(r, milvus_call(r->m, "NoSuchMethod", NULL, NULL, 0, 0, &r->stop, NULL, &r->e),
		ERR_UNSUPPORTED, 12);
	assert_err(r, milvus_describe(r->m, "", "", &r->stop, &c, &r->e), ERR_INVALID, 1100);
	assert_err(r, real_send(r, r->name, NULL, 0, 1, 1), ERR_INVALID, 65535);
	assert_err(r, real_send(r, "", NULL, 0, 1, 1), ERR_INVALID, 1100);
	iov_put(&msg, slice_str("\x0a\x02\x08\x07")); /* a type nobody knows */
	assert_err(r, real_send(r, r->name, &msg, 1, 1, 1), ERR_MALFORMED, 1901);
	iov_done(&msg);
}

static void test_a_dead_target(void **state)
{
	struct real *r = real_or_skip(state);
	struct milvus_opts o = {.uri = "http://127.0.0.1:1/", .connect_timeout_ms = 300};
	struct milvus *dead;
	struct milvus_info info;
	uint8_t id[8];
	size_t n;

	assert_ok(r, milvus_open(r->grpc, &o, &dead, &r->e));
	err_clear(&r->e);
	assert_int_not_equal(milvus_connect(dead, &r->stop, &info, &r->e), ERR_OK);
	assert_int_equal(err_retry_class(r->e.code), ERR_RETRY_YES);
	err_clear(&r->e);
	enum err_code code = milvus_replicate(dead, NULL, 0, 500, &r->stop, id, 8, &n, &r->e);
	assert_true(code == ERR_UNAVAILABLE || code == ERR_TIMEOUT);
	milvus_close(dead);
}

static void test_a_wrong_password(void **state)
{
	struct real *r = real_or_skip(state);
	const char *token = getenv("CDC_TEST_MILVUS_TOKEN");
	struct milvus_opts o = {.uri = getenv("CDC_TEST_MILVUS"), .token = "root:wrong"};
	struct milvus_names l;
	struct milvus *m;

	if (!token || !*token)
		skip();
	assert_ok(r, milvus_open(r->grpc, &o, &m, &r->e));
	assert_int_equal(milvus_list_databases(m, &r->stop, &l, &r->e), ERR_DENIED);
	milvus_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
		T(connect_and_clock),
		T(collection_life),
		T(database_life),
		T(alias),
		T(refusals),
		T(a_dead_target),
		T(a_wrong_password),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
