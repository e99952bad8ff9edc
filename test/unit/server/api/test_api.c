#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "metrics/metrics.h"
#include "server/docs.h"
#include "support/fake_engine.h"

static int64_t counted(const char *type, const char *status)
{
	return metrics_value(metrics_get(METRIC_request_total, type, status, NULL));
}

static void test_envelope(void **state)
{
	static const char bad[] = "fail to unmarshal the request, error: ";
	CLEANUP(freep)
	char *got = ask_as("GET", "");
	CLEANUP(freep)
	char *first = xasprintf("{\"code\":500,\"message\":\"%sinvalid character 'a' "
				"looking for beginning of value\"}",
		bad);
	CLEANUP(freep)
	char *map = xasprintf(
		"{\"code\":500,\"message\":\"%sexpected { character for map value\"}", bad);
	CLEANUP(freep)
	char *end = xasprintf("{\"code\":500,\"message\":\"%sunexpected end of JSON input\"}", bad);
	static const char unknown[] = "{\"code\":400,\"message\":\"invalid 'request_type' param, "
				      "can be set [create delete "
				      "pause resume get position list maintenance]\"}";

	(void)state;
	assert_string_equal(got, "{\"code\":405,\"message\":\"only support the POST method\"}\n");
	ask_expect("  abc", first);
	ask_expect("", end);
	ask_expect("{\"request_type\":\"list\",\"request_data\":[]}", map);
	ask_expect("{\"request_type\":\"list\",\"request_data\":\"x\"}", map);
	ask_expect("{\"request_type\":\"lost\"}", unknown);
	ask_expect("{\"request_type\":\"List\"}", unknown);
	ask_expect("{}", unknown);
	ask_expect("null", unknown);
	ask_expect("{\"REQUEST_TYPE\":\"list\",\"request_data\":null}",
		"{\"code\":200,\"data\":{\"tasks\":[]}}");
	assert_int_equal(counted("unknown", "invalid_method"), 1);
	assert_int_equal(counted("unknown", "unmarshal_error"), 4);
	assert_int_equal(counted("unknown", "total"), 4);
	assert_int_equal(counted("list", "total"), 1);
	assert_int_equal(counted("list", "success"), 1);
}

static char *position_text(const char *channel, uint64_t ts)
{
	struct position p = {.id = {.n = 3, .b = {1, 2, 3}}, .ts = ts};
	return position_to_b64(channel, &p, true);
}

static void test_positions_in_and_out(void **state)
{
	CLEANUP(freep)
	char *text = position_text("ignored", (uint64_t)1700000000000 << 18 | 5);
	CLEANUP(freep)
	char *data = xasprintf(
		"\"collection_infos\":[{\"name\":\"a\"},{\"name\":\"foo\",\"positions\":{\"p_0_"
		"449v0\":"
		"\"%s\",\"p_1_449v1\":\"%s\"}}],\"rpc_channel_info\":{\"position\":\"%s\"}",
		text, text, text);

	(void)state;
	ask_create("t", data);
	assert_int_equal(fake_engine.n_pos, 2);
	assert_int_equal(fake_engine.pos[0].collection_id, 449);
	assert_string_equal(fake_engine.pos[0].collection_name, "foo");
	assert_int_equal(fake_engine.pos[0].n_source, 2);
	assert_string_equal(fake_engine.pos[0].source[1].channel, "p_1");
	assert_int_equal(fake_engine.pos[0].source[0].start_time_ms, 1700000000000);
	assert_int_equal(fake_engine.pos[0].source[0].time_ms, 1699999999999);
	assert_true(fake_engine.pos[0].source[0].exact);
	assert_int_equal(fake_engine.pos[0].source[0].pos.ts, (uint64_t)1700000000000 << 18 | 5);
	assert_false(fake_engine.pos[1].source[0].exact);
	assert_int_equal(fake_engine.pos[0].source[0].pos.id.n, 3);
	assert_int_equal(fake_engine.pos[1].collection_id, -10);
	assert_string_equal(fake_engine.pos[1].collection_name, "-10");
	assert_string_equal(fake_engine.pos[1].source[0].channel, FAKE_CHANNEL);
	assert_string_equal(fake_engine_find("t")->rpc_position, "");
	fake_engine.pos[0].source[0].time_ms = 1700000000000;
	fake_engine.pos[0].source[1].dropped = true;
	fake_engine.pos[0].target = xcalloc(1, sizeof(struct store_position));
	fake_engine.pos[0].n_target = 1;
	snprintf(fake_engine.pos[0].target[0].channel, 8, "q<");
	CLEANUP(freep)
	char *rpc_id = position_to_b64(FAKE_CHANNEL, &fake_engine.pos[1].source[0].pos, false);
	CLEANUP(freep)
	char *id = position_to_b64("p_0", &fake_engine.pos[0].source[0].pos, true);
	CLEANUP(freep)
	char *want = xasprintf("{\"code\":200,\"data\":{\"op_positions\":null,\"positions\":[{"
			       "\"collection_id\":449,"
			       "\"channel_name\":\"p_0\",\"time\":1700000000000,\"tt\":"
			       "445644800000262144,\"msg_id\":"
			       "\"%s\"},{\"collection_id\":-10,\"channel_name\":\"%"
			       "s\",\"time\":0,\"tt\":"
			       "262144,\"msg_id\":\"%s\"}],\"target_positions\":[{\"collection_"
			       "id\":449,\"channel_name\":"
			       "\"q\\u003c\",\"time\":0,\"tt\":262144,\"msg_id\":\"CgJxPBIA\"}]}}",
		id, FAKE_CHANNEL, rpc_id);
	ask_expect_req("position", "{\"task_id\":\"\"}", want);
	ask_expect_req("position", "{\"task_id\":\"t\"}", want);
	ask_expect_req("position", "{\"task_id\":\"none\"}",
		"{\"code\":200,\"data\":{\"op_positions\":null,\"positions\":null,\"target_"
		"positions\":null}}");
}

/* The API leaves no second record for a channel, and no time that would leave rows out. */
static void test_positions_with_and_without_time(void **state)
{
	CLEANUP(freep)
	char *late = position_text("p_0", (uint64_t)1700000000000 << 18);
	CLEANUP(freep)
	char *early = position_text("p_0", (uint64_t)1600000000000 << 18);
	CLEANUP(freep)
	char *none = position_text("p_1", 0);
	CLEANUP(freep)
	char *future = position_text("p_1", (uint64_t)9000000000000 << 18);
	CLEANUP(freep)
	char *good = xasprintf("\"collection_infos\":[{\"name\":\"foo\",\"positions\":{"
			       "\"p_0_449v0\":\"%s\",\"p_1_449v1\":\"%s\",\"p_0_449v2\":\"%s\"}}]",
		late, none, early);
	CLEANUP(freep)
	char *bad = xasprintf("{\"milvus_connect_param\":{\"uri\":\"http://h:1\"},"
			      "\"collection_infos\":[{\"name\":\"foo\",\"positions\":{"
			      "\"p_1_449v0\":\"%s\"}}]}",
		future);

	(void)state;
	ask_create("t", good);
	assert_int_equal(fake_engine.pos[0].n_source, 2);
	assert_int_equal(fake_engine.pos[0].source[0].start_time_ms, 1600000000000);
	assert_false(fake_engine.pos[0].source[1].exact);
	ask_expect_fail("create", bad, 400,
		"the position of p_1_449v0 has a time in the future: rows up to it would be left "
		"out");
}

static void test_delete_pause_resume(void **state)
{
	(void)state;
	ask_create("t", "\"collection_infos\":[{\"name\":\"x\"}]");
	ask_expect_fail("resume", "{\"task_id\":\"t\"}", 400, "the task has running, task_id: t");
	ask_expect_req("pause", "{\"task_id\":\"t\"}", "{\"code\":200}");
	ask_expect_fail("pause", "{\"task_id\":\"t\"}", 400, "the task has paused, task_id: t");
	ask_expect_req("resume", "{\"task_id\":\"t\"}", "{\"code\":200}");
	ask_expect_fail(
		"pause", "{\"task_id\":\"nope\"}", 400, "not found the task, task_id: nope");
	ask_expect_fail(
		"delete", "{\"task_id\":\"nope\"}", 400, "not found the task, task_id: nope");
	ask_expect_req(
		"delete", "{\"task_id\":\"nope\",\"ignore_not_found\":true}", "{\"code\":200}");
	ask_expect_req("delete", "{\"task_id\":\"t\"}", "{\"code\":200}");
	assert_int_equal(fake_engine.n, 0);
}

static void test_get(void **state)
{
	(void)state;
	ask_expect_fail("get", "{}", 400, "task_id is empty");
	ask_expect_fail("get", "{\"task_id\":\"x\"}", 400, "not found: [x]");
	ask_expect_req("create",
		"{\"task_id\":\"x\",\"milvus_connect_param\":{\"uri\":\"http://"
		"h:19530\",\"token\":\"hush\","
		"\"connect_timeout\":10},\"collection_infos\":[{\"name\":\"*\"}]}",
		"{\"code\":200,\"data\":{\"task_id\":\"x\"}}");
	ask_expect_req("get", "{\"task_id\":\"x\"}",
		"{\"code\":200,\"data\":{\"task\":{\"collection_infos\":[{\"name\":\"*\","
		"\"positions\":null,"
		"\"use_start_position\":false}],\"db_collections\":null,\"kafka_connect_param\":{"
		"\"address\":"
		"\"\",\"enable_sasl\":false,\"sasl\":{},\"topic\":\"\"},\"milvus_connect_param\":{"
		"\"channel_num\":0,\"connect_timeout\":10,\"dial_config\":{},\"enable_tls\":false,"
		"\"host\":"
		"\"\",\"ignore_partition\":false,\"port\":0,\"uri\":\"http://"
		"h:19530\"},\"state\":\"Running\","
		"\"task_id\":\"x\"}}}");
	ask_expect_req("pause", "{\"task_id\":\"x\"}", "{\"code\":200}");
	fake_engine.extra = "{\"lag_ms\":5}";
	ask_expect_req("get", "{\"task_id\":\"x\"}",
		"{\"code\":200,\"data\":{\"task\":{\"collection_infos\":[{\"name\":\"*\","
		"\"positions\":null,"
		"\"use_start_position\":false}],\"db_collections\":null,\"detail\":{\"lag_ms\":5},"
		"\"kafka_connect_param\":{\"address\":\"\",\"enable_sasl\":false,\"sasl\":{},"
		"\"topic\":\"\"},"
		"\"milvus_connect_param\":{\"channel_num\":0,\"connect_timeout\":10,\"dial_"
		"config\":{},"
		"\"enable_tls\":false,\"host\":\"\",\"ignore_partition\":false,\"port\":0,\"uri\":"
		"\"http://h:19530\"},\"reason\":\"manually pause through http "
		"interface\",\"state\":"
		"\"Paused\",\"task_id\":\"x\"}}}");
}

static void test_list(void **state)
{
	(void)state;
	ask_expect("{\"request_type\":\"list\"}", "{\"code\":200,\"data\":{\"tasks\":[]}}");
	ask_expect_req("create",
		"{\"task_id\":\"k\",\"kafka_connect_param\":{\"address\":\"k:9092\",\"topic\":"
		"\"t\","
		"\"enable_sasl\":true,\"sasl\":{\"username\":\"hush\",\"password\":\"hush\","
		"\"mechanisms\":"
		"\"PLAIN\",\"security_protocol\":\"SASL_SSL\"}},\"db_collections\":{\"b\":[{"
		"\"name\":\"x\","
		"\"positions\":{\"p_1v1\":\"\",\"p_1v0\":\"\"}}],\"a\":[{\"name\":\"*\"}]}}",
		"{\"code\":200,\"data\":{\"task_id\":\"k\"}}");
	ask_expect("{\"request_type\":\"list\"}",
		"{\"code\":200,\"data\":{\"tasks\":[{\"task_id\":\"k\",\"milvus_connect_param\":{"
		"\"host\":\"\","
		"\"port\":0,\"enable_tls\":false,\"uri\":\"\",\"dial_config\":{},\"channel_num\":0,"
		"\"ignore_partition\":false,\"connect_timeout\":0},\"kafka_connect_param\":{"
		"\"address\":"
		"\"k:9092\",\"topic\":\"t\",\"enable_sasl\":true,\"sasl\":{\"mechanisms\":"
		"\"PLAIN\","
		"\"security_protocol\":\"SASL_SSL\"}},\"collection_infos\":null,\"db_collections\":"
		"{\"a\":[{"
		"\"name\":\"*\",\"positions\":null,\"use_start_position\":false}],\"b\":[{\"name\":"
		"\"x\","
		"\"positions\":{\"p_1v0\":\"\",\"p_1v1\":\"\"},\"use_start_position\":false}]},"
		"\"state\":"
		"\"Running\"}]}}");
	fake_engine.fail_list = ERR_UNAVAILABLE;
	ask_expect("{\"request_type\":\"list\"}",
		"{\"code\":500,\"message\":\"fail to handle the list "
		"request, error: the store is away\"}");
}

/* What the texts of test/data/api_cases.jsonl promise. */
static void test_maintenance(void **state)
{
	static const char *const requests[] = {
		"{\"operation\":\"set_log_level\",\"params\":{\"log_level\":\"debug\","
		"\"component\":"
		"\"sink\"}}",
		"{\"operation\":\"set_force_log_msg\",\"params\":{\"force\":\"T\"}}",
		"{\"operation\":\"reset_log_msg\",\"params\":{\"count\":\"12\",\"duration\":3}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		CLEANUP(freep)
		char *body = xasprintf(
			"{\"request_type\":\"maintenance\",\"request_data\":%s}", requests[i]);
		CLEANUP(freep)
		char *got = ask_as("POST", body);
		assert_non_null(strstr(got, "\"code\":200"));
	}
	assert_true(fake_engine.forced);
	assert_int_equal(fake_engine.reset_count, 12);
	assert_int_equal(fake_engine.reset_minutes, 3);
	assert_true(log_enabled(LOG_sink, LOG_DEBUG));
	assert_false(log_enabled(LOG_api, LOG_ERROR));
}

static void test_doc_names_every_request(void **state)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(1 << 20);
	static const char *const words[] = {"## create", "## maintenance",
		"`milvus_connect_param.uri`", "`milvus_connect_param.dial_config.ca_pem_path`",
		"`db_collections[database][].positions`", "`name_mapping[].collection_mapping`",
		"`kafka_connect_param.sasl.password`"};

	(void)state;
	api_doc_write(&b);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (!strstr(buf_cstr(&b), words[i]))
			fail_msg("no %s", words[i]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fake_engine_setup, fake_engine_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_envelope),
		T(test_positions_in_and_out),
		T(test_positions_with_and_without_time),
		T(test_delete_pause_resume),
		T(test_get),
		T(test_list),
		T(test_maintenance),
		cmocka_unit_test(test_doc_names_every_request),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
