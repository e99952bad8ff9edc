/* Forwarded operations on a real Milvus 2.3.5 (address in CDC_TEST_MILVUS): the vectors of the
 * fuzzer's corpus, renamed to a collection, a database, a user and a role of this test's own. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sink/ops.h"
#include "support/real_milvus.h"

enum { VECTOR_BYTES = 4096 };

static struct slice read_vector(const char *name, uint8_t *bytes)
{
	char path[256];

	snprintf(path, sizeof(path), "test/fuzz/corpus/ops/%s", name);
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	size_t n = fread(bytes, 1, VECTOR_BYTES, f);
	fclose(f);
	return slice_of(bytes, n);
}

/* Forwards one vector; all its collections become r->name, its database db. */
static enum err_code forward(struct real *r, const char *vector, const char *db)
{
	uint8_t bytes[VECTOR_BYTES];
	const char *names[] = {r->name, r->name, r->name};
	struct op_names to = {.db = db, .collections = names};
	struct op op;

	err_clear(&r->e);
	iov_reset(&r->out);
	if (ops_read(&op, read_vector(vector, bytes), &r->arena, &r->e) ||
		ops_forward(&op, &to, &r->arena, &r->out, &r->e))
		return r->e.code;
	return milvus_call(r->m, op.method, op.flags & OP_DATABASE ? NULL : db, r->out.v, r->out.n,
		10000, &r->stop, NULL, &r->e);
}

static void run_steps(struct real *r, const char *db, const char *const *steps, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (forward(r, steps[i], db))
			fail_msg("%s: %s", steps[i], r->e.text);
}

static void create_collection(struct real *r)
{
	CLEANUP(buf_done)
	struct buf schema = BUF_INIT(REAL_MAX_BYTES);
	struct milvus_create create = {
		.db = "", .name = r->name, .shards_num = 1, .ts = real_clock(r)};
	struct milvus_collection c;

	real_schema(&schema, false);
	create.schema = buf_slice(&schema);
	assert_int_equal(milvus_create_collection(r->m, &create, &r->stop, &r->e), ERR_OK);
	assert_int_equal(milvus_describe(r->m, "", r->name, &r->stop, &c, &r->e), ERR_OK);
	assert_int_equal(real_tick(r, c.shards[0].pchannel, real_clock(r)), ERR_OK);
	milvus_collection_done(&c);
}

static void test_collection_operations(void **state)
{
	struct real *r = real_open();
	static const char *const steps[] = {"create_index", "alias", "alter_alias",
		"alter_collection", "release", "drop_alias", "drop_index"};

	(void)state;
	if (!r)
		skip();
	create_collection(r);
	run_steps(r, "", steps, ARRAY_LEN(steps));
	assert_int_equal(milvus_drop_collection(r->m, "", r->name, 1, &r->stop, &r->e), ERR_OK);
	assert_int_equal(forward(r, "create_index", ""), ERR_NOT_FOUND);
	real_close(r);
}

static void test_database_operations(void **state)
{
	struct real *r = real_open();

	(void)state;
	if (!r)
		skip();
	assert_int_equal(forward(r, "create_db", r->name), ERR_OK);
	assert_int_equal(forward(r, "create_db", r->name), ERR_EXISTS);
	assert_int_equal(forward(r, "alter_db", r->name), ERR_UNSUPPORTED); /* 2.3.5 has none */
	assert_int_equal(forward(r, "drop_db", r->name), ERR_OK);
	real_close(r);
}

static void test_users_and_roles(void **state)
{
	struct real *r = real_open();
	static const char *const grants[] = {"grant", "grant_all"};

	(void)state;
	if (!r)
		skip();
	forward(r, "user_delete", ""); /* what a failed run has left */
	assert_int_equal(forward(r, "user", ""), ERR_OK);
	/* 2.3.5 does not drop a role with privileges, so it may be there from an earlier run */
	assert_true(!forward(r, "role", "") || r->e.code == ERR_EXISTS);
	/* Milvus wants to know the grantor even when it asks nobody who he is: we say root */
	run_steps(r, "", grants, ARRAY_LEN(grants));
	assert_int_equal(forward(r, "user", ""), ERR_EXISTS);
	assert_int_equal(forward(r, "role", ""), ERR_EXISTS);
	assert_int_equal(forward(r, "user_delete", ""), ERR_OK);
	assert_int_equal(forward(r, "grant_v2", ""), ERR_UNSUPPORTED);
	real_close(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_collection_operations),
		cmocka_unit_test(test_database_operations),
		cmocka_unit_test(test_users_and_roles),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
