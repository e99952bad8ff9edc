#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "support/fake_engine.h"

static void test_create_500(void **state)
{
	static const char good[] = "{" URI ",\"collection_infos\":[{\"name\":\"a\"}]}";

	(void)state;
	fake_engine.fail_check = ERR_UNAVAILABLE;
	ask_expect_fail("create", good, 500, "fail to connect the milvus: no route");
	fake_engine.fail_check = ERR_OK;
	fake_engine.fail_list = ERR_UNAVAILABLE;
	ask_expect_fail(
		"create", good, 500, "fail to get task list to check num: the store is away");
	fake_engine.fail_list = ERR_OK;
	fake_engine.fail_create = ERR_INVALID;
	ask_expect_fail("create", good, 400, "fail to new the meta op");
	fake_engine.fail_create = ERR_OK;
	ask_expect_fail("create",
		"{" URI ",\"collection_infos\":[{\"name\":\"a\",\"positions\":{\"p_1v0\":\"?\"}}]}",
		500,
		"fail to decode the position data: the position is not base64 (standard alphabet, "
		"padded)");
	ask_expect_fail("create",
		"{" URI ",\"collection_infos\":[{\"name\":\"a\"}],\"rpc_channel_info\":{"
		"\"position\":\"x\"}}",
		500,
		"fail to decode the rpc position data: the position is not base64 (standard "
		"alphabet, "
		"padded)");
	fake_engine_set_max_tasks(1);
	ask_create("one", "\"collection_infos\":[{\"name\":\"a\"}]");
	ask_expect_fail("create", "{" URI ",\"collection_infos\":[{\"name\":\"b\"}]}", 500,
		"the task num has reach the limit, 1");
}

static void test_create_makes_an_id(void **state)
{
	CLEANUP(freep)
	char *got = ask_as("POST",
		"{\"request_type\":\"create\",\"request_data\":{" URI ",\"db_collections\":{\"*\":"
		"[{\"name\":\"*\"}]}}}");

	(void)state;
	assert_int_equal(fake_engine.n, 1);
	assert_int_equal(strlen(fake_engine.tasks[0]->id), 32);
	assert_int_equal(strspn(fake_engine.tasks[0]->id, "0123456789abcdef"), 32);
	CLEANUP(freep)
	char *want = xasprintf(
		"{\"code\":200,\"data\":{\"task_id\":\"%s\"}}\n", fake_engine.tasks[0]->id);
	assert_string_equal(got, want);
}

/* More than the reference takes: several names, several databases. */
static void test_create_many(void **state)
{
	(void)state;
	ask_create("a", "\"collection_infos\":[{\"name\":\"x\"},{\"name\":\"y\"}]");
	ask_create("b", "\"db_collections\":{\"d\":[{\"name\":\"x\"},{\"name\":\"y\"}],\"e\":[{"
			"\"name\":\"*\"}]}");
	assert_int_equal(fake_engine_find("a")->n_collection_infos, 2);
	assert_int_equal(fake_engine_find("b")->n_dbs, 2);
	ask_expect_fail("create",
		"{" URI ",\"db_collections\":{\"default\":[{\"name\":\"y\"}],\"e\":"
		"[{\"name\":\"z\"}]}}",
		400, "the collection name is duplicate with existing task, [default.y e.z]");
	ask_create("c", "\"db_collections\":{\"*\":[{\"name\":\"*\"}]}");
	assert_int_equal(fake_engine_find("c")->n_excludes, 5);
	assert_string_equal(fake_engine_find("c")->excludes[4], "e.*");
}

/* Two tasks to one target: their names may not meet there. */
static void test_create_names_of_two_tasks(void **state)
{
	(void)state;
	ask_create("first",
		"\"db_collections\":{\"d\":[{\"name\":\"a\"}]},\"name_mapping\":[{\"source_db\":"
		"\"d\",\"target_db\":\"x\",\"collection_mapping\":{\"a\":\"c\"}}]");
	ask_expect_fail("create",
		"{" URI ",\"db_collections\":{\"e\":[{\"name\":\"b\"}]},\"name_mapping\":[{"
		"\"source_db\":\"e\",\"target_db\":\"x\",\"collection_mapping\":{\"b\":\"c\"}}]}",
		400,
		"e.b and d.a of the task first would both be x.c on the target: check the name "
		"mapping");
	ask_expect_fail("create", "{" URI ",\"db_collections\":{\"x\":[{\"name\":\"c\"}]}}", 400,
		"x.c and d.a of the task first would both be x.c on the target: check the name "
		"mapping");
	/* Two databases may become one: the catalog knows which names meet. */
	ask_create("second",
		"\"db_collections\":{\"e\":[{\"name\":\"*\"}]},\"name_mapping\":[{\"source_db\":"
		"\"e\",\"target_db\":\"x\"}]");
	ask_create("third", "\"db_collections\":{\"x\":[{\"name\":\"*\"}]}");
}

static void test_create_fields(void **state)
{
	(void)state;
	ask_expect_req("create",
		"{\"TASK_ID\":\"t\",\"milvus_connect_param\":{\"HOST\":\"h\",\"port\":19530.7,"
		"\"enable_tls\":true,\"username\":\"u\",\"password\":\"p\",\"channel_num\":16,"
		"\"ignore_partition\":true,\"connect_timeout\":3,\"dial_config\":{\"server_name\":"
		"\"n\","
		"\"client_key_path\":\"k\"},\"unknown\":1},\"extra_info\":{\"enable_user_role\":"
		"true,\"at_least_once\":true,\"no_keep_alive\":true},"
		"\"buffer_config\":{\"period\":1,\"size\":2},\"disable_auto_start\":true,"
		"\"positions\":{},"
		"\"collection_infos\":[{\"name\":\"foo\",\"use_start_position\":true}],"
		"\"name_mapping\":[{\"source_db\":\"default\",\"target_db\":\"x\",\"collection_"
		"mapping\":"
		"{\"foo\":\"bar\"}}],\"db_collections\":null}",
		"{\"code\":200,\"data\":{\"task_id\":\"t\"}}");
	const struct task *t = fake_engine_find("t");
	assert_non_null(t);
	assert_string_equal(t->milvus.host, "h");
	assert_int_equal(t->milvus.port, 19530);
	assert_true(t->milvus.enable_tls);
	assert_int_equal(t->milvus.channel_num, 16);
	assert_int_equal(t->milvus.connect_timeout, 3);
	assert_string_equal(t->milvus.server_name, "n");
	assert_string_equal(t->milvus.client_key_path, "k");
	assert_string_equal(t->milvus.password, "p");
	assert_true(t->enable_user_role && t->disable_auto_start && t->at_least_once);
	assert_true(t->no_keep_alive);
	assert_int_equal(t->cache_size, 2);
	assert_true(t->has_collection_infos);
	assert_false(t->has_dbs);
	assert_true(t->collection_infos[0].use_start_position);
	assert_string_equal(t->mappings[0].collections[0].value, "bar");
	ask_expect_fail("create",
		"{\"milvus_connect_param\":{\"uri\":\"https://h:19530\"},\"extra_info\":"
		"{\"enable_user_role\":true},\"collection_infos\":[{\"name\":\"x\"}]}",
		400, "the enable user role param is duplicate");
}

static void test_create_is_idempotent(void **state)
{
	(void)state;
	ask_create("t", "\"collection_infos\":[{\"name\":\"x\"}]");
	fake_engine.fail_check = ERR_UNAVAILABLE;
	ask_create("t", "\"collection_infos\":[{\"name\":\"x\"}]");
	ask_expect_req("create",
		"{\"task_id\":\"t\"," URI ",\"collection_infos\":[{\"name\":\"other\"}]}",
		"{\"code\":200,\"data\":{\"task_id\":\"t\",\"warnings\":[\"a task with this "
		"task_id exists "
		"already, with another target or other collections; it was not changed\"]}}");
	assert_int_equal(fake_engine.n, 1);
	assert_int_equal(fake_engine.checked, 1);
}

static void test_create_warnings(void **state)
{
	(void)state;
	fake_engine.warnings = "database <a> is not covered\ndatabase b is not covered\n";
	ask_expect_req("create",
		"{\"task_id\":\"t\"," URI ",\"collection_infos\":[{\"name\":\"*\"}]}",
		"{\"code\":200,\"data\":{\"task_id\":\"t\",\"warnings\":[\"database "
		"\\u003ca\\u003e is not "
		"covered\",\"database b is not covered\"]}}");
}

static void test_too_many_names(void **state)
{
	struct buf b = BUF_INIT(4 << 20);

	(void)state;
	buf_put_str(&b, "{" URI ",\"collection_infos\":[{\"name\":\"x\"}");
	for (int i = 0; i < 10000; i++)
		buf_putf(&b, ",{\"name\":\"c%d\"}", i);
	buf_put_str(&b, "]}");
	ask_expect_fail("create", buf_cstr(&b), 400,
		"more than 10000 collections or name mappings in one task");
	buf_done(&b);
}

static void create_same(void *arg)
{
	char **ret = arg;
	*ret = ask_as("POST", "{\"request_type\":\"create\",\"request_data\":{" URI
			      ",\"collection_infos\":[{\"name\":\"x\"}]}}");
}

/* Of several creates of one collection at the same time one succeeds. */
static void test_create_at_once(void **state)
{
	struct thread t[6] = {{.started = false}};
	char *got[ARRAY_LEN(t)];
	struct err e = ERR_INIT;
	int done = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(thread_start(&t[i], "create", create_same, &got[i], &e), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		thread_join(&t[i]);
		done += strstr(got[i], "\"code\":200") != NULL;
		free(got[i]);
	}
	assert_int_equal(done, 1);
	assert_int_equal(fake_engine.n, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fake_engine_setup, fake_engine_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_create_500),
		T(test_create_makes_an_id),
		T(test_create_many),
		T(test_create_names_of_two_tasks),
		T(test_create_fields),
		T(test_create_is_idempotent),
		T(test_create_warnings),
		T(test_too_many_names),
		T(test_create_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
