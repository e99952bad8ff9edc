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
#include "base/str.h"
#include "metrics/metrics.h"
#include "server/api.h"
#include "server/config.h"
#include "server/docs.h"

enum { TASKS_MAX = 8 };

/* An engine that remembers. fail_* make the next such call fail. */
struct engine {
	struct task *tasks[TASKS_MAX];
	size_t n;
	struct store_positions *pos;
	size_t n_pos;
	const char *warnings, *extra;
	enum err_code fail_check, fail_create, fail_list;
	int checked;
	bool forced;
	int64_t reset_count, reset_minutes;
};

static char text0[] = "";
static char chan0[] = "by-dev-replicate-msg";
static struct engine en;
static struct config conf;
static struct api *api;

static struct task *find(const char *id)
{
	for (size_t i = 0; i < en.n; i++)
		if (strcmp(en.tasks[i]->id, id) == 0)
			return en.tasks[i];
	return NULL;
}

static enum err_code fake_check(void *arg, const struct task *t, struct err *e)
{
	(void)arg;
	(void)t;
	en.checked++;
	return en.fail_check ? err_set(e, en.fail_check, "fail to connect the milvus: no route") : ERR_OK;
}

static void drop_positions(void)
{
	store_positions_free(en.pos, en.n_pos);
	en.pos = NULL;
	en.n_pos = 0;
}

static enum err_code fake_create(void *arg, struct task *t, const struct store_positions *pos,
	size_t n_pos, struct buf *warnings, struct err *e)
{
	(void)arg;
	if (en.fail_create || en.n == TASKS_MAX) {
		task_free(t);
		return err_set(e, en.fail_create, "fail to new the meta op");
	}
	drop_positions();
	en.pos = xcalloc(n_pos + 1, sizeof(*en.pos));
	for (size_t i = 0; i < n_pos; i++)
		store_positions_copy(&en.pos[i], &pos[i]);
	en.n_pos = n_pos;
	if (en.warnings)
		buf_put_str(warnings, en.warnings);
	t->state = TASK_RUNNING;
	en.tasks[en.n++] = t;
	return ERR_OK;
}

static enum err_code fake_remove(void *arg, const char *id, struct err *e)
{
	(void)arg;
	for (size_t i = 0; i < en.n; i++) {
		if (strcmp(en.tasks[i]->id, id) != 0)
			continue;
		task_free(en.tasks[i]);
		en.tasks[i] = en.tasks[--en.n];
		return ERR_OK;
	}
	return err_set(e, ERR_NOT_FOUND, "not found the task, task_id: %s", id);
}

static enum err_code set_state(const char *id, enum task_state from, enum task_state to,
	const char *word, struct err *e)
{
	struct task *t = find(id);
	if (!t)
		return err_set(e, ERR_NOT_FOUND, "not found the task, task_id: %s", id);
	if (t->state != from)
		return err_set(e, ERR_INVALID, "the task has %s, task_id: %s", word, id);
	t->state = to;
	free(t->reason);
	t->reason = xstrdup(to == TASK_PAUSED ? "manually pause through http interface" : "");
	return ERR_OK;
}

static enum err_code fake_pause(void *arg, const char *id, struct err *e)
{
	(void)arg;
	return set_state(id, TASK_RUNNING, TASK_PAUSED, "paused", e);
}

static enum err_code fake_resume(void *arg, const char *id, struct err *e)
{
	(void)arg;
	return set_state(id, TASK_PAUSED, TASK_RUNNING, "running", e);
}

static enum err_code fake_get(void *arg, const char *id, struct task **ret_t, char **ret_extra,
	struct err *e)
{
	(void)arg;
	if (!find(id))
		return err_set(e, ERR_NOT_FOUND, "no such task");
	*ret_t = task_copy(find(id));
	*ret_extra = xstrdup(en.extra ? en.extra : "");
	return ERR_OK;
}

static enum err_code fake_list(void *arg, struct task ***ret_list, char ***ret_extras, size_t *ret_n,
	struct err *e)
{
	(void)arg;
	if (en.fail_list)
		return err_set(e, en.fail_list, "the store is away");
	*ret_list = xcalloc(TASKS_MAX, sizeof(struct task *));
	*ret_extras = xcalloc(TASKS_MAX, sizeof(char *));
	for (size_t i = 0; i < en.n; i++) {
		(*ret_list)[i] = task_copy(en.tasks[i]);
		(*ret_extras)[i] = xstrdup(en.extra ? en.extra : "");
	}
	*ret_n = en.n;
	return ERR_OK;
}

static enum err_code fake_positions(void *arg, const char *id, struct store_positions **ret_list,
	size_t *ret_n, struct err *e)
{
	(void)arg;
	(void)e;
	*ret_list = xcalloc(en.n_pos + 1, sizeof(**ret_list));
	*ret_n = 0;
	for (size_t i = 0; i < en.n_pos; i++)
		if (!*id || strcmp(en.pos[i].task_id, id) == 0)
			store_positions_copy(&(*ret_list)[(*ret_n)++], &en.pos[i]);
	return ERR_OK;
}

static void fake_force(void *arg, bool on)
{
	(void)arg;
	en.forced = on;
}

static void fake_reset(void *arg, int64_t count, int64_t minutes)
{
	(void)arg;
	en.reset_count = count;
	en.reset_minutes = minutes;
}

static int setup(void **state)
{
	static const struct api_engine vt = {.check_target = fake_check, .create = fake_create,
		.remove = fake_remove, .pause = fake_pause, .resume = fake_resume, .get = fake_get,
		.list = fake_list, .positions = fake_positions, .message_log_force = fake_force,
		.message_log_reset = fake_reset};
	struct err e = ERR_INIT;

	(void)state;
	log_set_level(LOG_OFF);
	en = (struct engine){.n = 0};
	conf = (struct config){.max_task_num = 100, .max_name_length = 20, .replicate_channel = chan0,
		.address = text0};
	return api_new(&conf, &vt, &api, &e) ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < en.n; i++)
		task_free(en.tasks[i]);
	drop_positions();
	api_free(api);
	metrics_done();
	return 0;
}

static char *ask_as(const char *method, const char *body)
{
	struct buf b = BUF_INIT(1 << 20);
	api_handle(api, method, slice_str(body), &b);
	return buf_take(&b);
}

static void expect(const char *body, const char *want)
{
	CLEANUP(freep) char *got = ask_as("POST", body);
	size_t n = strlen(got);

	assert_true(n && got[n - 1] == '\n');
	got[n - 1] = '\0';
	if (strcmp(got, want) != 0)
		fail_msg("%s\n got %s\nwant %s", body, got, want);
}

/* request_data of a type; the whole answer. */
static void expect_req(const char *type, const char *data, const char *want)
{
	CLEANUP(freep) char *body =
		xasprintf("{\"request_type\":\"%s\",\"request_data\":%s}", type, data);
	expect(body, want);
}

static void expect_fail(const char *type, const char *data, int code, const char *text)
{
	CLEANUP(freep) char *want = xasprintf(
		"{\"code\":%d,\"message\":\"fail to handle the %s request, error: %s\"}", code, type, text);
	expect_req(type, data, want);
}

#define URI "\"milvus_connect_param\":{\"uri\":\"http://h:19530\"}"

static void create(const char *id, const char *rest)
{
	CLEANUP(freep) char *data = xasprintf("{\"task_id\":\"%s\"," URI ",%s}", id, rest);
	CLEANUP(freep) char *want = xasprintf("{\"code\":200,\"data\":{\"task_id\":\"%s\"}}", id);
	expect_req("create", data, want);
}

static int64_t counted(const char *type, const char *status)
{
	return metrics_value(metrics_get(METRIC_request_total, type, status, NULL));
}

static void test_envelope(void **state)
{
	static const char bad[] = "fail to unmarshal the request, error: ";
	CLEANUP(freep) char *got = ask_as("GET", "");
	CLEANUP(freep) char *first = xasprintf("{\"code\":500,\"message\":\"%sinvalid character 'a' "
					       "looking for beginning of value\"}",
		bad);
	CLEANUP(freep) char *map =
		xasprintf("{\"code\":500,\"message\":\"%sexpected { character for map value\"}", bad);
	CLEANUP(freep) char *end =
		xasprintf("{\"code\":500,\"message\":\"%sunexpected end of JSON input\"}", bad);
	static const char unknown[] =
		"{\"code\":400,\"message\":\"invalid 'request_type' param, can be set [create delete "
		"pause resume get position list maintenance]\"}";

	(void)state;
	assert_string_equal(got, "{\"code\":405,\"message\":\"only support the POST method\"}\n");
	expect("  abc", first);
	expect("", end);
	expect("{\"request_type\":\"list\",\"request_data\":[]}", map);
	expect("{\"request_type\":\"list\",\"request_data\":\"x\"}", map);
	expect("{\"request_type\":\"lost\"}", unknown);
	expect("{\"request_type\":\"List\"}", unknown);
	expect("{}", unknown);
	expect("null", unknown);
	expect("{\"REQUEST_TYPE\":\"list\",\"request_data\":null}", "{\"code\":200,\"data\":{\"tasks\":[]}}");
	assert_int_equal(counted("unknown", "invalid_method"), 1);
	assert_int_equal(counted("unknown", "unmarshal_error"), 4);
	assert_int_equal(counted("unknown", "total"), 4);
	assert_int_equal(counted("list", "total"), 1);
	assert_int_equal(counted("list", "success"), 1);
}

static void test_decode_errors(void **state)
{
	static const struct {
		const char *type, *data, *text;
	} cases[] = {
		{"create", "{\"milvus_connect_param\":{\"port\":\"19530\"}}",
			"1 error(s) decoding:\\n\\n* 'milvus_connect_param.port' expected type 'int', got "
			"unconvertible type 'string', value: '19530'"},
		{"get", "{\"task_id\":7}",
			"1 error(s) decoding:\\n\\n* 'task_id' expected type 'string', got unconvertible type "
			"'float64', value: '7'"},
		{"delete", "{\"task_id\":[1,\"a\",{\"k\":null}],\"ignore_not_found\":\"true\"}",
			"2 error(s) decoding:\\n\\n* 'ignore_not_found' expected type 'bool', got "
			"unconvertible type 'string', value: 'true'\\n* 'task_id' expected type 'string', got "
			"unconvertible type '[]interface {}', value: '[1 a map[k:\\u003cnil\\u003e]]'"},
		{"create", "{\"collection_infos\":{},\"db_collections\":[],\"extra_info\":true}",
			"3 error(s) decoding:\\n\\n* 'collection_infos': source data must be an array or "
			"slice, got map\\n* 'db_collections' expected a map, got 'slice'\\n* 'extra_info' "
			"expected a map, got 'bool'"},
		{"create",
			"{\"collection_infos\":[{\"name\":1},3],\"db_collections\":{\"d\":[{\"positions\":"
			"{\"p\":2}}],\"e\":4}}",
			"4 error(s) decoding:\\n\\n* 'collection_infos[0].name' expected type 'string', got "
			"unconvertible type 'float64', value: '1'\\n* 'collection_infos[1]' expected a map, "
			"got 'float64'\\n* 'db_collections[d][0].positions[p]' expected type 'string', got "
			"unconvertible type 'float64', value: '2'\\n* 'db_collections[e]': source data must "
			"be an array or slice, got float64"},
		{"create", "{\"milvus_connect_param\":{\"password\":123456}}",
			"1 error(s) decoding:\\n\\n* 'milvus_connect_param.password' expected type 'string', "
			"got unconvertible type 'float64', value: '***'"},
		{"maintenance", "{\"params\":1}",
			"1 error(s) decoding:\\n\\n* 'params' expected a map, got 'float64'"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(freep) char *want = xasprintf(
			"{\"code\":500,\"message\":\"fail to decode the %s request, error: %s\"}",
			cases[i].type, cases[i].text);
		expect_req(cases[i].type, cases[i].data, want);
	}
	assert_int_equal(counted("create", "fail"), 4);
}

static void test_create_validation(void **state)
{
	static const struct {
		const char *data, *text;
	} cases[] = {
		{"{}", "the downstream address is empty"},
		{"null", "the downstream address is empty"},
		{"{\"milvus_connect_param\":{\"port\":-1}}", "the downstream address is empty"},
		{"{" URI ",\"kafka_connect_param\":{\"address\":\"k\",\"topic\":\"t\"}}",
			"don't support milvus and kafka at the same time now"},
		{"{\"milvus_connect_param\":{\"port\":1}}", "the milvus host is empty"},
		{"{\"milvus_connect_param\":{\"host\":\"h\"}}", "the milvus port is less or equal zero"},
		{"{\"milvus_connect_param\":{\"uri\":\"h\",\"username\":\"u\"}}",
			"cannot set only one of the milvus username and password"},
		{"{\"milvus_connect_param\":{\"uri\":\"h\",\"password\":\"u\"}}",
			"cannot set only one of the milvus username and password"},
		{"{\"milvus_connect_param\":{\"uri\":\"h\",\"connect_timeout\":-1}}",
			"the milvus connect timeout is less zero"},
		{"{\"kafka_connect_param\":{\"address\":\"k\"}}", "the kafka topic is empty"},
		{"{" URI ",\"buffer_config\":{\"period\":-1,\"size\":-1}}", "the cache period is less zero"},
		{"{" URI ",\"buffer_config\":{\"size\":-1}}", "the cache size is less zero"},
		{"{" URI "}", "the collection info is empty"},
		{"{" URI ",\"collection_infos\":[],\"db_collections\":{}}", "the collection info is empty"},
		{"{" URI ",\"collection_infos\":[{\"name\":\"a\"}],\"db_collections\":{\"d\":[]}}",
			"the collection info and db collection info should be only one"},
		{"{" URI ",\"db_collections\":{\"123456789012345678901\":[{\"name\":\"a\"}]}}",
			"the db name length exceeds 20 characters, 123456789012345678901"},
		{"{" URI ",\"db_collections\":{\"d\":[]}}", "empty collection info"},
		{"{" URI ",\"db_collections\":{\"d\":null}}", "empty collection info"},
		{"{" URI ",\"collection_infos\":[{\"name\":\"*\",\"positions\":{\"a_1v0\":\"\"}}]}",
			"the collection name is `*`, the positions should be empty"},
		{"{" URI ",\"collection_infos\":[{\"name\":\"a\",\"positions\":{\"by-dev_0\":\"\"}}]}",
			"the position channel name is not virtual channel, by-dev_0"},
		{"{" URI ",\"collection_infos\":[{\"name\":\"\"}]}",
			"there is a collection name that is empty. "},
		{"{" URI ",\"collection_infos\":[{}]}", "there is a collection name that is empty. "},
		{"{" URI ",\"collection_infos\":[{\"name\":\"123456789012345678901\"}]}",
			"there are some collection names whose length exceeds 20 characters, "
			"[123456789012345678901]"},
		{"{" URI ",\"collection_infos\":[{\"name\":\"\"},{\"name\":\"123456789012345678901\"},"
		 "{\"name\":\"123456789012345678902\"}]}",
			"there is a collection name that is empty. there are some collection names whose "
			"length exceeds 20 characters, [123456789012345678901 123456789012345678902]"},
		{"{" URI ",\"collection_infos\":[{\"name\":\"a\"}],\"rpc_channel_info\":{\"name\":\"x\"}}",
			"the rpc channel is invalid, the channel name should be the same as the source "
			"config"},
		{"{" URI ",\"collection_infos\":[{\"name\":\"a\"}],\"task_id\":\"a\\nb\"}",
			"the task_id holds a control character"},
		{"{" URI ",\"collection_infos\":[{\"name\":\"a\"}],\"name_mapping\":[{\"source_db\":\"x\"}]}",
			"the collection name in the name mapping is not in the collection info, checkout it"},
		{"{" URI ",\"collection_infos\":[{\"name\":\"*\"}],\"name_mapping\":[{\"collection_mapping\":"
		 "{\"a\":\"c\",\"b\":\"c\"}}]}",
			"the name mapping leads two collections to default.c"},
		{"{" URI ",\"collection_infos\":[{\"name\":\"*\"}],\"name_mapping\":[{\"collection_mapping\":"
		 "{\"a\":\"\"}}]}",
			"the name mapping of default holds an empty collection name"},
		{"{" URI ",\"collection_infos\":[{\"name\":\"a\",\"positions\":{\"p_1vx\":\"\"}}]}",
			"the vchannel is invalid, p_1vx, err: it is not \\u003cpchannel\\u003e_"
			"\\u003ccollection id\\u003ev\\u003cshard\\u003e"},
		{"{" URI ",\"collection_infos\":[{\"name\":\"a\",\"positions\":{\"p_1v0\":\"\",\"q_2v1\":"
		 "\"\"}}]}",
			"the channel position info should be in the same collection"},
		{"{" URI ",\"collection_infos\":[{\"name\":\"a\",\"positions\":{\"p_1v0\":\"\"}},"
		 "{\"name\":\"b\",\"positions\":{\"p_1v0\":\"\"}}]}",
			"the positions of a and b name the same collection"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		expect_fail("create", cases[i].data, 400, cases[i].text);
	assert_int_equal(en.n, 0);
}

static void test_create_500(void **state)
{
	static const char good[] = "{" URI ",\"collection_infos\":[{\"name\":\"a\"}]}";

	(void)state;
	en.fail_check = ERR_UNAVAILABLE;
	expect_fail("create", good, 500, "fail to connect the milvus: no route");
	en.fail_check = ERR_OK;
	en.fail_list = ERR_UNAVAILABLE;
	expect_fail("create", good, 500, "fail to get task list to check num: the store is away");
	en.fail_list = ERR_OK;
	en.fail_create = ERR_INVALID;
	expect_fail("create", good, 400, "fail to new the meta op");
	en.fail_create = ERR_OK;
	expect_fail("create",
		"{" URI ",\"collection_infos\":[{\"name\":\"a\",\"positions\":{\"p_1v0\":\"?\"}}]}", 500,
		"fail to decode the position data: the position is not base64 (standard alphabet, padded)");
	expect_fail("create",
		"{" URI ",\"collection_infos\":[{\"name\":\"a\"}],\"rpc_channel_info\":{\"position\":\"x\"}}",
		500, "fail to decode the rpc position data: the position is not base64 (standard alphabet, "
		     "padded)");
	conf.max_task_num = 1;
	create("one", "\"collection_infos\":[{\"name\":\"a\"}]");
	expect_fail("create", "{" URI ",\"collection_infos\":[{\"name\":\"b\"}]}", 500,
		"the task num has reach the limit, 1");
}

static void test_create_makes_an_id(void **state)
{
	CLEANUP(freep) char *got = ask_as("POST",
		"{\"request_type\":\"create\",\"request_data\":{" URI ",\"db_collections\":{\"*\":"
		"[{\"name\":\"*\"}]}}}");

	(void)state;
	assert_int_equal(en.n, 1);
	assert_int_equal(strlen(en.tasks[0]->id), 32);
	assert_int_equal(strspn(en.tasks[0]->id, "0123456789abcdef"), 32);
	CLEANUP(freep) char *want =
		xasprintf("{\"code\":200,\"data\":{\"task_id\":\"%s\"}}\n", en.tasks[0]->id);
	assert_string_equal(got, want);
}

/* More than the reference takes: several names, several databases. */
static void test_create_many(void **state)
{
	(void)state;
	create("a", "\"collection_infos\":[{\"name\":\"x\"},{\"name\":\"y\"}]");
	create("b", "\"db_collections\":{\"d\":[{\"name\":\"x\"},{\"name\":\"y\"}],\"e\":[{\"name\":\"*\"}]}");
	assert_int_equal(find("a")->n_collection_infos, 2);
	assert_int_equal(find("b")->n_dbs, 2);
	expect_fail("create", "{" URI ",\"db_collections\":{\"default\":[{\"name\":\"y\"}],\"e\":"
			      "[{\"name\":\"z\"}]}}",
		400, "the collection name is duplicate with existing task, [default.y e.z]");
	create("c", "\"db_collections\":{\"*\":[{\"name\":\"*\"}]}");
	assert_int_equal(find("c")->n_excludes, 5);
	assert_string_equal(find("c")->excludes[4], "e.*");
}

static void test_create_fields(void **state)
{
	(void)state;
	expect_req("create",
		"{\"TASK_ID\":\"t\",\"milvus_connect_param\":{\"HOST\":\"h\",\"port\":19530.7,"
		"\"enable_tls\":true,\"username\":\"u\",\"password\":\"p\",\"channel_num\":16,"
		"\"ignore_partition\":true,\"connect_timeout\":3,\"dial_config\":{\"server_name\":\"n\","
		"\"client_key_path\":\"k\"},\"unknown\":1},\"extra_info\":{\"enable_user_role\":true},"
		"\"buffer_config\":{\"period\":1,\"size\":2},\"disable_auto_start\":true,\"positions\":{},"
		"\"collection_infos\":[{\"name\":\"foo\",\"use_start_position\":true}],"
		"\"name_mapping\":[{\"source_db\":\"default\",\"target_db\":\"x\",\"collection_mapping\":"
		"{\"foo\":\"bar\"}}],\"db_collections\":null}",
		"{\"code\":200,\"data\":{\"task_id\":\"t\"}}");
	const struct task *t = find("t");
	assert_non_null(t);
	assert_string_equal(t->milvus.host, "h");
	assert_int_equal(t->milvus.port, 19530);
	assert_true(t->milvus.enable_tls);
	assert_int_equal(t->milvus.channel_num, 16);
	assert_int_equal(t->milvus.connect_timeout, 3);
	assert_string_equal(t->milvus.server_name, "n");
	assert_string_equal(t->milvus.client_key_path, "k");
	assert_string_equal(t->milvus.password, "p");
	assert_true(t->enable_user_role && t->disable_auto_start);
	assert_int_equal(t->cache_size, 2);
	assert_true(t->has_collection_infos);
	assert_false(t->has_dbs);
	assert_true(t->collection_infos[0].use_start_position);
	assert_string_equal(t->mappings[0].collections[0].value, "bar");
	expect_fail("create", "{\"milvus_connect_param\":{\"uri\":\"https://h:19530\"},\"extra_info\":"
			      "{\"enable_user_role\":true},\"collection_infos\":[{\"name\":\"x\"}]}",
		400, "the enable user role param is duplicate");
}

static void test_create_is_idempotent(void **state)
{
	(void)state;
	create("t", "\"collection_infos\":[{\"name\":\"x\"}]");
	en.fail_check = ERR_UNAVAILABLE;
	create("t", "\"collection_infos\":[{\"name\":\"x\"}]");
	expect_req("create", "{\"task_id\":\"t\"," URI ",\"collection_infos\":[{\"name\":\"other\"}]}",
		"{\"code\":200,\"data\":{\"task_id\":\"t\",\"warnings\":[\"a task with this task_id exists "
		"already, with another target or other collections; it was not changed\"]}}");
	assert_int_equal(en.n, 1);
	assert_int_equal(en.checked, 1);
}

static void test_create_warnings(void **state)
{
	(void)state;
	en.warnings = "database <a> is not covered\ndatabase b is not covered\n";
	expect_req("create", "{\"task_id\":\"t\"," URI ",\"collection_infos\":[{\"name\":\"*\"}]}",
		"{\"code\":200,\"data\":{\"task_id\":\"t\",\"warnings\":[\"database \\u003ca\\u003e is not "
		"covered\",\"database b is not covered\"]}}");
}

static char *position_text(const char *channel, uint64_t ts)
{
	struct position p = {.id = {.n = 3, .b = {1, 2, 3}}, .ts = ts};
	return position_to_b64(channel, &p, true);
}

static void test_positions_in_and_out(void **state)
{
	CLEANUP(freep) char *text = position_text("ignored", (uint64_t)1700000000000 << 18 | 5);
	CLEANUP(freep) char *data = xasprintf(
		"\"collection_infos\":[{\"name\":\"a\"},{\"name\":\"foo\",\"positions\":{\"p_0_449v0\":"
		"\"%s\",\"p_1_449v1\":\"%s\"}}],\"rpc_channel_info\":{\"position\":\"%s\"}",
		text, text, text);

	(void)state;
	create("t", data);
	assert_int_equal(en.n_pos, 2);
	assert_int_equal(en.pos[0].collection_id, 449);
	assert_string_equal(en.pos[0].collection_name, "foo");
	assert_int_equal(en.pos[0].n_source, 2);
	assert_string_equal(en.pos[0].source[1].channel, "p_1");
	assert_int_equal(en.pos[0].source[0].start_time_ms, 1700000000000);
	assert_int_equal(en.pos[0].source[0].time_ms, 0);
	assert_int_equal(en.pos[0].source[0].pos.id.n, 3);
	assert_int_equal(en.pos[1].collection_id, -10);
	assert_string_equal(en.pos[1].collection_name, "-10");
	assert_string_equal(en.pos[1].source[0].channel, chan0);
	assert_string_equal(find("t")->rpc_position, "");
	en.pos[0].source[0].time_ms = 1700000000000;
	en.pos[0].source[1].dropped = true;
	en.pos[0].target = xcalloc(1, sizeof(struct store_position));
	en.pos[0].n_target = 1;
	snprintf(en.pos[0].target[0].channel, 8, "q<");
	CLEANUP(freep) char *rpc_id = position_to_b64(chan0, &en.pos[1].source[0].pos, false);
	CLEANUP(freep) char *want = xasprintf(
		"{\"code\":200,\"data\":{\"op_positions\":null,\"positions\":[{\"collection_id\":449,"
		"\"channel_name\":\"p_0\",\"time\":1700000000000,\"tt\":445644800000262144,\"msg_id\":"
		"\"CgNwXzASAwECAw==\"},{\"collection_id\":-10,\"channel_name\":\"%s\",\"time\":0,\"tt\":"
		"262144,\"msg_id\":\"%s\"}],\"target_positions\":[{\"collection_id\":449,\"channel_name\":"
		"\"q\\u003c\",\"time\":0,\"tt\":262144,\"msg_id\":\"CgJxPBIA\"}]}}",
		chan0, rpc_id);
	expect_req("position", "{\"task_id\":\"\"}", want);
	expect_req("position", "{\"task_id\":\"t\"}", want);
	expect_req("position", "{\"task_id\":\"none\"}",
		"{\"code\":200,\"data\":{\"op_positions\":null,\"positions\":null,\"target_positions\":null}}");
}

static void test_delete_pause_resume(void **state)
{
	(void)state;
	create("t", "\"collection_infos\":[{\"name\":\"x\"}]");
	expect_fail("resume", "{\"task_id\":\"t\"}", 400, "the task has running, task_id: t");
	expect_req("pause", "{\"task_id\":\"t\"}", "{\"code\":200}");
	expect_fail("pause", "{\"task_id\":\"t\"}", 400, "the task has paused, task_id: t");
	expect_req("resume", "{\"task_id\":\"t\"}", "{\"code\":200}");
	expect_fail("pause", "{\"task_id\":\"nope\"}", 400, "not found the task, task_id: nope");
	expect_fail("delete", "{\"task_id\":\"nope\"}", 400, "not found the task, task_id: nope");
	expect_req("delete", "{\"task_id\":\"nope\",\"ignore_not_found\":true}", "{\"code\":200}");
	expect_req("delete", "{\"task_id\":\"t\"}", "{\"code\":200}");
	assert_int_equal(en.n, 0);
}

static void test_get(void **state)
{
	(void)state;
	expect_fail("get", "{}", 400, "task_id is empty");
	expect_fail("get", "{\"task_id\":\"x\"}", 400, "not found: [x]");
	expect_req("create",
		"{\"task_id\":\"x\",\"milvus_connect_param\":{\"uri\":\"http://h:19530\",\"token\":\"hush\","
		"\"connect_timeout\":10},\"collection_infos\":[{\"name\":\"*\"}]}",
		"{\"code\":200,\"data\":{\"task_id\":\"x\"}}");
	expect_req("get", "{\"task_id\":\"x\"}",
		"{\"code\":200,\"data\":{\"task\":{\"collection_infos\":[{\"name\":\"*\",\"positions\":null,"
		"\"use_start_position\":false}],\"db_collections\":null,\"kafka_connect_param\":{\"address\":"
		"\"\",\"enable_sasl\":false,\"sasl\":{},\"topic\":\"\"},\"milvus_connect_param\":{"
		"\"channel_num\":0,\"connect_timeout\":10,\"dial_config\":{},\"enable_tls\":false,\"host\":"
		"\"\",\"ignore_partition\":false,\"port\":0,\"uri\":\"http://h:19530\"},\"state\":\"Running\","
		"\"task_id\":\"x\"}}}");
	expect_req("pause", "{\"task_id\":\"x\"}", "{\"code\":200}");
	en.extra = "{\"lag_ms\":5}";
	expect_req("get", "{\"task_id\":\"x\"}",
		"{\"code\":200,\"data\":{\"task\":{\"collection_infos\":[{\"name\":\"*\",\"positions\":null,"
		"\"use_start_position\":false}],\"db_collections\":null,\"detail\":{\"lag_ms\":5},"
		"\"kafka_connect_param\":{\"address\":\"\",\"enable_sasl\":false,\"sasl\":{},\"topic\":\"\"},"
		"\"milvus_connect_param\":{\"channel_num\":0,\"connect_timeout\":10,\"dial_config\":{},"
		"\"enable_tls\":false,\"host\":\"\",\"ignore_partition\":false,\"port\":0,\"uri\":"
		"\"http://h:19530\"},\"reason\":\"manually pause through http interface\",\"state\":"
		"\"Paused\",\"task_id\":\"x\"}}}");
}

static void test_list(void **state)
{
	(void)state;
	expect("{\"request_type\":\"list\"}", "{\"code\":200,\"data\":{\"tasks\":[]}}");
	expect_req("create",
		"{\"task_id\":\"k\",\"kafka_connect_param\":{\"address\":\"k:9092\",\"topic\":\"t\","
		"\"enable_sasl\":true,\"sasl\":{\"username\":\"hush\",\"password\":\"hush\",\"mechanisms\":"
		"\"PLAIN\",\"security_protocol\":\"SASL_SSL\"}},\"db_collections\":{\"b\":[{\"name\":\"x\","
		"\"positions\":{\"p_1v1\":\"\",\"p_1v0\":\"\"}}],\"a\":[{\"name\":\"*\"}]}}",
		"{\"code\":200,\"data\":{\"task_id\":\"k\"}}");
	expect("{\"request_type\":\"list\"}",
		"{\"code\":200,\"data\":{\"tasks\":[{\"task_id\":\"k\",\"milvus_connect_param\":{\"host\":\"\","
		"\"port\":0,\"enable_tls\":false,\"uri\":\"\",\"dial_config\":{},\"channel_num\":0,"
		"\"ignore_partition\":false,\"connect_timeout\":0},\"kafka_connect_param\":{\"address\":"
		"\"k:9092\",\"topic\":\"t\",\"enable_sasl\":true,\"sasl\":{\"mechanisms\":\"PLAIN\","
		"\"security_protocol\":\"SASL_SSL\"}},\"collection_infos\":null,\"db_collections\":{\"a\":[{"
		"\"name\":\"*\",\"positions\":null,\"use_start_position\":false}],\"b\":[{\"name\":\"x\","
		"\"positions\":{\"p_1v0\":\"\",\"p_1v1\":\"\"},\"use_start_position\":false}]},\"state\":"
		"\"Running\"}]}}");
	en.fail_list = ERR_UNAVAILABLE;
	expect("{\"request_type\":\"list\"}",
		"{\"code\":500,\"message\":\"fail to handle the list request, error: the store is away\"}");
}

static void test_maintenance(void **state)
{
	static const struct {
		const char *data, *text;
	} cases[] = {
		{"{\"operation\":\"x\"}", "unsupported operation: x"},
		{"{}", "unsupported operation: "},
		{"{\"operation\":\"set_log_level\"}", "log_level is required"},
		{"{\"operation\":\"set_log_level\",\"params\":{\"log_level\":\"loud\"}}",
			"parse log level failed: unrecognized level: \\\"loud\\\""},
		{"{\"operation\":\"set_log_level\",\"params\":{\"log_level\":\"error\",\"component\":\"?\"}}",
			"unknown component: \\\"?\\\""},
		{"{\"operation\":\"set_log_level\",\"params\":{\"log_level\":\"debug\",\"component\":"
		 "\"sink\"}}",
			"set log level to debug"},
		{"{\"operation\":\"set_force_log_msg\",\"params\":{}}", "force is required"},
		{"{\"operation\":\"set_force_log_msg\",\"params\":{\"force\":\"maybe\"}}",
			"parse force failed: strconv.ParseBool: parsing \\\"maybe\\\": invalid syntax"},
		{"{\"operation\":\"set_force_log_msg\",\"params\":{\"force\":\"T\"}}",
			"set force log msg to true"},
		{"{\"operation\":\"reset_log_msg\",\"params\":{}}", "count is required"},
		{"{\"operation\":\"reset_log_msg\",\"params\":{\"count\":1}}", "duration is required"},
		{"{\"operation\":\"reset_log_msg\",\"params\":{\"count\":\"x\",\"duration\":1}}",
			"parse count failed: strconv.Atoi: parsing \\\"x\\\": invalid syntax"},
		{"{\"operation\":\"reset_log_msg\",\"params\":{\"count\":\"12\",\"duration\":3}}",
			"reset log msg count to 12, duration to 3"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(freep) char *want =
			xasprintf("{\"code\":200,\"data\":{\"State\":\"%s\"}}", cases[i].text);
		expect_req("maintenance", cases[i].data, want);
	}
	assert_true(en.forced);
	assert_int_equal(en.reset_count, 12);
	assert_int_equal(en.reset_minutes, 3);
	assert_true(log_enabled(LOG_sink, LOG_DEBUG));
	assert_false(log_enabled(LOG_api, LOG_ERROR));
}

static void test_too_many_names(void **state)
{
	struct buf b = BUF_INIT(4 << 20);

	(void)state;
	buf_put_str(&b, "{" URI ",\"collection_infos\":[{\"name\":\"x\"}");
	for (int i = 0; i < 10000; i++)
		buf_putf(&b, ",{\"name\":\"c%d\"}", i);
	buf_put_str(&b, "]}");
	expect_fail("create", buf_cstr(&b), 400,
		"more than 10000 collections or name mappings in one task");
	buf_done(&b);
}

static void test_doc_names_every_request(void **state)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(1 << 20);
	static const char *const words[] = {"## create", "## maintenance", "`milvus_connect_param.uri`",
		"`milvus_connect_param.dial_config.ca_pem_path`", "`db_collections[database][].positions`",
		"`name_mapping[].collection_mapping`", "`kafka_connect_param.sasl.password`"};

	(void)state;
	api_doc_write(&b);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (!strstr(buf_cstr(&b), words[i]))
			fail_msg("no %s", words[i]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_envelope),
		T(test_decode_errors),
		T(test_create_validation),
		T(test_create_500),
		T(test_create_makes_an_id),
		T(test_create_many),
		T(test_create_fields),
		T(test_create_is_idempotent),
		T(test_create_warnings),
		T(test_positions_in_and_out),
		T(test_delete_pause_resume),
		T(test_get),
		T(test_list),
		T(test_maintenance),
		T(test_too_many_names),
		cmocka_unit_test(test_doc_names_every_request),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
