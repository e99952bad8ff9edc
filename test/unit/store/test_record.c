#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "model/ts.h"
#include "store/keys.h"
#include "store/record.h"

/* As the reference writes them. */
static const char golden_task[] =
	"{\"TaskID\":\"6623ae52d35842a5a2c9d89b16ed7aa1\",\"MilvusConnectParam\":{\"host\":\"\","
	"\"port\":0,\"enable_tls\":false,\"uri\":\"http://h:19530\",\"token\":\"root:Milvus\","
	"\"dial_config\":{},\"channel_num\":0,\"ignore_partition\":false,\"connect_timeout\":10},"
	"\"KafkaConnectParam\":{\"address\":\"\",\"topic\":\"\",\"enable_sasl\":false,\"sasl\":{}},"
	"\"WriterCacheConfig\":{\"period\":0,\"size\":0},"
	"\"CollectionInfos\":[{\"name\":\"*\",\"positions\":null,\"use_start_position\":false}],"
	"\"DBCollections\":null,\"NameMapping\":null,"
	"\"RPCRequestChannelInfo\":{\"name\":\"\",\"position\":\"\"},"
	"\"ExtraInfo\":{\"enable_user_role\":false},\"ExcludeCollections\":[\"default.foo\"],"
	"\"DisableAutoStart\":false,\"State\":1,\"Reason\":\"\"}";

static const char golden_task_full[] =
	"{\"TaskID\":\"t1\",\"MilvusConnectParam\":{\"host\":\"10.0.0.2\",\"port\":19530,"
	"\"enable_tls\":true,\"username\":\"root\",\"password\":\"pw\",\"uri\":\"\","
	"\"dial_config\":{\"server_name\":\"localhost\",\"server_pem_path\":\"/c/s.pem\","
	"\"ca_pem_path\":\"/c/ca.pem\",\"client_pem_path\":\"/c/c.pem\","
	"\"client_key_path\":\"/c/c.key\"},\"channel_num\":16,\"ignore_partition\":true,"
	"\"connect_timeout\":0},"
	"\"KafkaConnectParam\":{\"address\":\"k:9092\",\"topic\":\"t\",\"enable_sasl\":true,"
	"\"sasl\":{\"username\":\"u\",\"password\":\"p\",\"mechanisms\":\"PLAIN\","
	"\"security_protocol\":\"SASL_SSL\"}},"
	"\"WriterCacheConfig\":{\"period\":7,\"size\":8},\"CollectionInfos\":null,"
	"\"DBCollections\":{\"*\":[{\"name\":\"*\",\"positions\":null,\"use_start_position\":true}]"
	","
	"\"db1\":[{\"name\":\"foo\",\"positions\":{\"by-dev-rootcoord-dml_0_4505v0\":\"CAEQAg==\","
	"\"by-dev-rootcoord-dml_1_4505v1\":\"CAEQAw==\"},\"use_start_position\":false}]},"
	"\"NameMapping\":[{\"source_db\":\"db1\",\"target_db\":\"db1_bak\","
	"\"collection_mapping\":{\"foo\":\"foo2\"}},"
	"{\"source_db\":\"db2\",\"target_db\":\"db3\",\"collection_mapping\":{}}],"
	"\"RPCRequestChannelInfo\":{\"name\":\"by-dev-replicate-msg\",\"position\":\"CAEQAg==\"},"
	"\"ExtraInfo\":{\"enable_user_role\":true},\"ExcludeCollections\":null,"
	"\"DisableAutoStart\":true,\"State\":2,\"Reason\":\"fail to start task, err: x\"}";

static const char golden_positions[] =
	"{\"TaskID\":\"4d45\",\"CollectionID\":449,\"CollectionName\":\"foo\","
	"\"Positions\":{\"by-dev-rootcoord-dml_0\":{\"StartTime\":0,\"Time\":1700000000000,"
	"\"DataPair\":{\"key\":\"by-dev-rootcoord-dml_0\",\"data\":\"CAEQAg==\"},"
	"\"Dropped\":false}},\"OpPositions\":{},\"TargetPositions\":{}}";

static struct task *decode_task(const char *text)
{
	struct task *t = NULL;
	struct err e = ERR_INIT;
	assert_int_equal(record_task_decode(slice_str(text), &t, &e), ERR_OK);
	return t;
}

static char *encode_task(const struct task *t)
{
	struct buf b = BUF_INIT(LIMIT_RECORD);
	struct err e = ERR_INIT;
	assert_int_equal(record_task_encode(&b, t, &e), ERR_OK);
	return buf_take(&b);
}

static char *encode_positions(const struct store_positions *p)
{
	struct buf b = BUF_INIT(LIMIT_RECORD);
	struct err e = ERR_INIT;
	assert_int_equal(record_positions_encode(&b, p, &e), ERR_OK);
	return buf_take(&b);
}

static void decode_positions(const char *text, struct store_positions *p)
{
	struct err e = ERR_INIT;
	assert_int_equal(record_positions_decode(slice_str(text), p, &e), ERR_OK);
}

static void replace(char **to, const char *s)
{
	free(*to);
	*to = xstrdup(s);
}

static void test_task_text_is_the_references(void **state)
{
	(void)state;
	const char *const texts[] = {golden_task, golden_task_full};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		CLEANUP(task_freep)
		struct task *t = decode_task(texts[i]);
		CLEANUP(freep)
		char *out = encode_task(t);
		assert_string_equal(out, texts[i]);
	}
}

static void test_task_fields(void **state)
{
	(void)state;
	CLEANUP(task_freep)
	struct task *t = decode_task(golden_task_full);

	assert_string_equal(t->id, "t1");
	assert_int_equal(t->milvus.port, 19530);
	assert_string_equal(t->milvus.client_key_path, "/c/c.key");
	assert_string_equal(t->kafka.security_protocol, "SASL_SSL");
	assert_false(t->has_collection_infos);
	assert_true(t->has_dbs);
	assert_int_equal(t->n_dbs, 2);
	assert_true(t->dbs[0].collections[0].use_start_position);
	assert_int_equal(t->dbs[1].collections[0].n_positions, 2);
	assert_string_equal(t->dbs[1].collections[0].positions[1].value, "CAEQAw==");
	assert_int_equal(t->n_mappings, 2);
	assert_string_equal(t->mappings[0].collections[0].value, "foo2");
	assert_string_equal(t->rpc_position, "CAEQAg==");
	assert_int_equal(t->cache_size, 8);
	assert_true(t->enable_user_role && t->disable_auto_start);
	assert_int_equal(t->state, TASK_PAUSED);
	assert_false(t->user_paused);
}

static void test_the_users_pause_is_known_from_either_server(void **state)
{
	(void)state;
	CLEANUP(task_freep)
	struct task *theirs = decode_task("{\"TaskID\":\"a\",\"State\":2,\"Reason\":\"manually "
					  "pause through http interface\"}");
	assert_true(theirs->user_paused);
	CLEANUP(task_freep)
	struct task *failed =
		decode_task("{\"TaskID\":\"a\",\"State\":2,\"Reason\":\"fail to read\"}");
	assert_false(failed->user_paused);
	failed->user_paused = true;
	CLEANUP(freep)
	char *text = encode_task(failed);
	assert_non_null(strstr(text, ",\"UserPaused\":true}"));
	CLEANUP(task_freep)
	struct task *ours = decode_task(text);
	assert_true(ours->user_paused);
}

static void test_the_policy_for_operations_is_kept(void **state)
{
	(void)state;
	CLEANUP(task_freep)
	struct task *t = decode_task(
		"{\"TaskID\":\"a\",\"OnUnsupportedOperation\":\"hold\",\"AtLeastOnce\":true,"
		"\"NoKeepAlive\":true}");
	assert_true(task_holds_operations(t));
	CLEANUP(freep)
	char *text = encode_task(t);
	assert_non_null(strstr(text, "\"OnUnsupportedOperation\":\"hold\""));
	assert_true(t->at_least_once && strstr(text, "\"AtLeastOnce\":true"));
	assert_true(t->no_keep_alive && strstr(text, "\"NoKeepAlive\":true"));
	CLEANUP(task_freep)
	struct task *old = decode_task("{\"TaskID\":\"a\"}");
	assert_false(task_holds_operations(old));
	CLEANUP(freep)
	char *without = encode_task(old);
	assert_null(strstr(without, "OnUnsupportedOperation"));
	assert_null(strstr(without, "AtLeastOnce"));
}

static void test_an_old_record_lacks_fields(void **state)
{
	(void)state;
	CLEANUP(task_freep)
	struct task *t = decode_task("{\"TaskID\":\"a\",\"DBCollections\":null}");

	assert_string_equal(t->milvus.uri, "");
	assert_int_equal(t->state, TASK_INITIAL);
	assert_false(t->has_collection_infos);
	assert_int_equal(t->n_excludes, 0);
}

static char *merged(const char *stored, const struct task *t)
{
	struct buf b = BUF_INIT(LIMIT_RECORD);
	struct err e = ERR_INIT;
	assert_int_equal(record_task_merge(&b, slice_str(stored), t, &e), ERR_OK);
	return buf_take(&b);
}

static void test_unknown_fields_survive_a_change(void **state)
{
	(void)state;
	static const char stored[] =
		"{\"New\":[1,{\"x\":9007199254740993}],\"TaskID\":\"a\","
		"\"MilvusConnectParam\":{\"uri\":\"u\",\"token\":\"old\",\"future\":{\"k\":null},"
		"\"dial_config\":{\"alpn\":\"h2\",\"server_name\":\"s\"}},"
		"\"CollectionInfos\":[{\"name\":\"foo\",\"extra\":true}],\"State\":1}";
	static const char want[] =
		"{\"New\":[1,{\"x\":9007199254740993}],\"TaskID\":\"a\","
		"\"MilvusConnectParam\":{\"uri\":\"u\",\"future\":{\"k\":null},"
		"\"dial_config\":{\"alpn\":\"h2\",\"server_name\":\"s2\"}},"
		"\"CollectionInfos\":[{\"name\":\"foo\",\"extra\":true}],\"State\":2,"
		"\"Reason\":\"why\"}";
	CLEANUP(task_freep)
	struct task *t = decode_task(stored);
	t->state = TASK_PAUSED;
	replace(&t->reason, "why");
	replace(&t->milvus.token, ""); /* an emptied field that is omitted when empty */
	replace(&t->milvus.server_name, "s2");

	CLEANUP(freep)
	char *out = merged(stored, t);
	assert_string_equal(out, want);
	CLEANUP(task_freep)
	struct task *back = decode_task(out);
	assert_string_equal(back->milvus.token, "");
	assert_string_equal(back->milvus.server_name, "s2");
}

static void test_a_change_of_a_list_replaces_it(void **state)
{
	(void)state;
	static const char stored[] = "{\"TaskID\":\"a\",\"ExcludeCollections\":[\"a.b\"],"
				     "\"DBCollections\":{\"x\":[{\"name\":\"1\"}]}}";
	CLEANUP(task_freep)
	struct task *t = decode_task(stored);
	replace(&t->excludes[0], "c.d");
	replace(&t->dbs[0].db, "y");

	CLEANUP(freep)
	char *out = merged(stored, t);
	CLEANUP(task_freep)
	struct task *back = decode_task(out);
	assert_int_equal(back->n_excludes, 1);
	assert_string_equal(back->excludes[0], "c.d");
	assert_int_equal(back->n_dbs, 1);
	assert_string_equal(back->dbs[0].db, "y");
}

static void test_damaged_task_records(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "{", "[]", "null", "{}", "{\"TaskID\":7}",
		"{\"TaskID\":\"a\",\"State\":3}", "{\"TaskID\":\"a\",\"State\":-1}",
		"{\"TaskID\":\"a\",\"State\":\"1\"}", "{\"TaskID\":\"a\",\"DBCollections\":[]}",
		"{\"TaskID\":\"a\",\"DBCollections\":{\"d\":7}}",
		"{\"TaskID\":\"a\",\"CollectionInfos\":[7]}",
		"{\"TaskID\":\"a\",\"ExcludeCollections\":[7]}",
		"{\"TaskID\":\"a\",\"NameMapping\":[7]}",
		"{\"TaskID\":\"a\",\"NameMapping\":[{\"collection_mapping\":{\"x\":1}}]}",
		"{\"TaskID\":\"a\",\"MilvusConnectParam\":{\"port\":\"x\"}}",
		"{\"TaskID\":\"a\"} x", "{\"TaskID\":\"a\\u0000\"}", "{\"TaskID\":\"\xff\"}"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CLEANUP(task_freep)
		struct task *t = record_task_read("a", slice_str(bad[i]));
		assert_string_equal(t->id, "a");
		assert_int_equal(t->state, TASK_PAUSED);
		assert_ptr_equal(strstr(t->reason, "stored record damaged: "), t->reason);

		CLEANUP(buf_done)
		struct buf b = BUF_INIT(LIMIT_RECORD);
		struct err e = ERR_INIT;
		assert_int_equal(record_task_merge(&b, slice_str(bad[i]), t, &e), ERR_MALFORMED);
	}
}

static void test_a_record_under_another_tasks_key_is_damaged(void **state)
{
	(void)state;
	CLEANUP(task_freep)
	struct task *t = record_task_read("b", slice_str("{\"TaskID\":\"a\"}"));
	assert_string_equal(t->id, "b");
	assert_non_null(strstr(t->reason, "damaged"));
}

static void test_what_can_not_be_written_is_refused(void **state)
{
	(void)state;
	CLEANUP(task_freep)
	struct task *t = task_new();
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(LIMIT_RECORD);
	CLEANUP(buf_done)
	struct buf small = BUF_INIT(16);
	struct err e = ERR_INIT;

	assert_int_equal(record_task_encode(&b, t, &e), ERR_INVALID);
	err_clear(&e);
	replace(&t->id, "\xff");
	assert_int_equal(record_task_encode(&b, t, &e), ERR_INVALID);
	err_clear(&e);
	replace(&t->id, "a");
	assert_int_equal(record_task_encode(&small, t, &e), ERR_LIMIT);
}

static void test_position_text_is_the_references(void **state)
{
	(void)state;
	struct store_positions p;

	decode_positions(golden_positions, &p);
	assert_string_equal(p.task_id, "4d45");
	assert_int_equal(p.collection_id, 449);
	assert_string_equal(p.collection_name, "foo");
	assert_int_equal(p.n_source, 1);
	assert_int_equal(p.n_op, 0);
	assert_string_equal(p.source[0].channel, "by-dev-rootcoord-dml_0");
	assert_int_equal(p.source[0].time_ms, 1700000000000);
	assert_false(p.source[0].exact);
	assert_true(slice_eq(mq_id_slice(&p.source[0].pos.id), slice_of("\x08\x01\x10\x02", 4)));
	CLEANUP(freep)
	char *out = encode_positions(&p);
	assert_string_equal(out, golden_positions);
	store_positions_done(&p);
}

static void test_documents_as_seen_live(void **state)
{
	(void)state;
	struct store_positions p;

	decode_positions("{\"TaskID\":\"a\",\"CollectionID\":-1,\"CollectionName\":\"*\","
			 "\"Positions\":{},\"OpPositions\":null,\"TargetPositions\":null}",
		&p);
	assert_int_equal(p.collection_id, STORE_ID_USER);
	assert_int_equal(p.n_source + p.n_op + p.n_target, 0);
	store_positions_done(&p);
	decode_positions("{\"TaskID\":\"a\",\"CollectionID\":-10,\"CollectionName\":\"-10\","
			 "\"Positions\":{\"by-dev-replicate-msg\":{\"StartTime\":5,\"Time\":0,"
			 "\"DataPair\":{},\"Dropped\":true},\"x\":null}}",
		&p);
	assert_int_equal(p.collection_id, STORE_ID_OPS);
	assert_int_equal(p.n_source, 1);
	assert_int_equal(p.source[0].start_time_ms, 5);
	assert_int_equal(p.source[0].pos.id.n, 0);
	assert_true(p.source[0].dropped);
	store_positions_done(&p);
}

static void fill(struct store_position *s, const char *channel, uint64_t ts, const char *id)
{
	struct err e = ERR_INIT;
	*s = (struct store_position){.pos.ts = ts, .exact = true};
	snprintf(s->channel, sizeof(s->channel), "%s", channel);
	assert_int_equal(mq_id_set(&s->pos.id, slice_str(id), &e), ERR_OK);
}

static void test_exact_positions_come_back_to_the_bit(void **state)
{
	(void)state;
	static const uint64_t times[] = {
		0, 1, 1ULL << 18, 445644800000262143ULL, (1ULL << 63) + 12345, UINT64_MAX};
	char channels[6][16], task[] = "t", name[] = "c";
	struct store_position l[6];

	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		snprintf(channels[i], sizeof(channels[i]), "ch%zu", i);
		fill(&l[i], channels[i], times[i], "id");
		l[i].start_time_ms = (int64_t)i;
		l[i].end_ms = i % 2 ? 1700000000000 + (int64_t)i : 0;
	}
	struct store_positions p = {.task_id = task,
		.collection_id = INT64_MIN,
		.collection_name = name,
		.source = l,
		.n_source = 6,
		.op = l,
		.n_op = 2,
		.target = l,
		.n_target = 1};
	CLEANUP(freep)
	char *text = encode_positions(&p);
	struct store_positions back;
	decode_positions(text, &back);
	assert_int_equal(back.collection_id, INT64_MIN);
	assert_int_equal(back.n_source, 6);
	assert_int_equal(back.n_op, 2);
	assert_int_equal(back.n_target, 1);
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		assert_true(back.source[i].exact);
		assert_true(back.source[i].pos.ts == times[i]);
		assert_int_equal(back.source[i].start_time_ms, i);
		assert_int_equal(back.source[i].end_ms, l[i].end_ms);
		assert_int_equal(back.source[i].time_ms, record_time_ms(times[i]));
	}
	store_positions_done(&back);
}

static void test_text_of_the_extension(void **state)
{
	(void)state;
	char task[] = "4d45", name[] = "foo";
	struct store_position s;
	fill(&s, "by-dev-rootcoord-dml_0", 445644800000262144ULL, "\x08\x01\x10\x02");
	struct store_positions p = {.task_id = task,
		.collection_id = 449,
		.collection_name = name,
		.source = &s,
		.n_source = 1};
	CLEANUP(freep)
	char *text = encode_positions(&p);

	/* 445644800000262144 >> 18 is 1700000000001; the reference resumes at (Time + 1) << 18. */
	assert_string_equal(text,
		"{\"TaskID\":\"4d45\",\"CollectionID\":449,\"CollectionName\":\"foo\","
		"\"Positions\":{\"by-dev-rootcoord-dml_0\":{\"StartTime\":0,\"Time\":1700000000000,"
		"\"DataPair\":{\"key\":\"by-dev-rootcoord-dml_0\",\"data\":\"CAEQAg==\"},"
		"\"Dropped\":false,\"Ext\":{\"V\":1,\"TS\":\"445644800000262144\","
		"\"ID\":\"CAEQAg==\"}}},\"OpPositions\":{},\"TargetPositions\":{}}");
}

static void test_a_way_back_repeats_but_never_skips(void **state)
{
	(void)state;
	assert_int_equal(record_time_ms(0), 0);
	for (uint64_t ms = 1; ms < 1000; ms++) {
		for (uint64_t logical = 0; logical < 1 << 18; logical += 65521) {
			uint64_t ts = ts_from_ms((int64_t)ms) + logical;
			int64_t time = record_time_ms(ts);
			uint64_t resumes = time > 0 ? ts_from_ms(time + 1) : 0;
			assert_true(resumes <= ts);
		}
	}
}

/* Whoever changes the old fields makes ours void. */
static void test_moved_by_somebody_else_is_not_exact(void **state)
{
	(void)state;
	static const struct {
		const char *time, *data, *ext;
		bool exact;
	} cases[] = {
		{"1700000000000", "aWQ=", "{\"V\":1,\"TS\":\"445644800000262144\",\"ID\":\"aWQ=\"}",
			true},
		{"1700000000000", "eHg=", "{\"V\":1,\"TS\":\"445644800000262144\",\"ID\":\"aWQ=\"}",
			false},
		{"1700000000001", "aWQ=", "{\"V\":1,\"TS\":\"445644800000262144\",\"ID\":\"aWQ=\"}",
			false},
		{"1700000000000", "aWQ=", "{\"V\":2,\"TS\":\"445644800000262144\",\"ID\":\"aWQ=\"}",
			false},
		{"1700000000000", "aWQ=", "{\"V\":1,\"TS\":445644800000262144,\"ID\":\"aWQ=\"}",
			false},
		{"1700000000000", "aWQ=", "{\"V\":1,\"TS\":\"-1\",\"ID\":\"aWQ=\"}", false},
		{"1700000000000", "aWQ=", "7", false},
		{"1700000000000", "aWQ=", "null", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(freep)
		char *text = xasprintf("{\"TaskID\":\"a\",\"Positions\":{\"ch\":{"
				       "\"Time\":%s,\"DataPair\":{\"data\":\"%s\"},\"Ext\":%s}}}",
			cases[i].time, cases[i].data, cases[i].ext);
		struct store_positions p;
		decode_positions(text, &p);
		assert_int_equal(p.source[0].exact, cases[i].exact);
		assert_true(p.source[0].pos.ts == (cases[i].exact ? 445644800000262144ULL : 0));
		store_positions_done(&p);
	}
}

static void test_damaged_documents(void **state)
{
	(void)state;
	CLEANUP(freep)
	char *id = xcalloc(1, 300);
	CLEANUP(freep)
	char *channel = xcalloc(1, 300);
	memset(id, 'A', 200);
	memset(channel, 'c', 256);
	CLEANUP(freep)
	char *long_id = xasprintf("{\"TaskID\":\"a\",\"CollectionID\":7,\"Positions\":"
				  "{\"ch\":{\"DataPair\":{\"data\":\"%s\"}}}}",
		id);
	CLEANUP(freep)
	char *long_channel = xasprintf(
		"{\"TaskID\":\"a\",\"CollectionID\":7,\"Positions\":{\"%s\":{}}}", channel);
	const char *const bad[] = {"", "{", "[]", "{\"TaskID\":\"a\",\"CollectionID\":8}",
		"{\"TaskID\":\"b\",\"CollectionID\":7}",
		"{\"TaskID\":\"a\",\"CollectionID\":9223372036854775808}",
		"{\"TaskID\":\"a\",\"CollectionID\":7,\"Positions\":[]}",
		"{\"TaskID\":\"a\",\"CollectionID\":7,\"Positions\":{\"ch\":7}}",
		"{\"TaskID\":\"a\",\"CollectionID\":7,\"Positions\":{\"ch\":{\"DataPair\":{"
		"\"data\":\"!\"}}}}",
		"{\"TaskID\":\"a\",\"CollectionID\":7,\"TargetPositions\":{\"ch\":{\"Time\":1.5}}}",
		long_id, long_channel};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct store_positions p;
		record_positions_read("a", 7, slice_str(bad[i]), &p);
		assert_non_null(p.damaged);
		assert_string_equal(p.task_id, "a");
		assert_int_equal(p.collection_id, 7);
		assert_int_equal(p.n_source + p.n_op + p.n_target, 0);
		store_positions_done(&p);
	}
}

static void decodes_to(const char *key, const char *want)
{
	CLEANUP(freep)
	char *id = keys_decode_id(slice_str(key));
	if (want)
		assert_string_equal(id, want);
	else
		assert_null(id);
}

static void test_task_ids_in_keys(void **state)
{
	(void)state;
	static const char *const ids[][2] = {{"6623ae52d35842a5", "6623ae52d35842a5"},
		{"a b.c-d_e:f", "a b.c-d_e:f"}, {"a/b", "a%2Fb"}, {"a%2Fb", "a%252Fb"},
		{".", "%2E"}, {"..", "%2E%2E"}, {"...", "..."}, {"../../x", "..%2F..%2Fx"},
		{"\xc3\xa4", "\xc3\xa4"}};

	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		CLEANUP(freep)
		char *key = keys_task("cdc", ids[i][0]);
		CLEANUP(freep)
		char *want = xasprintf("cdc/task_info/%s", ids[i][1]);
		assert_string_equal(key, want);
		decodes_to(ids[i][1], ids[i][0]);
		int64_t cid = 0;
		CLEANUP(freep)
		char *doc = keys_position("cdc", ids[i][0], -10);
		CLEANUP(freep)
		char *back =
			keys_decode_position(slice_str(doc + strlen("cdc/task_position/")), &cid);
		assert_string_equal(back, ids[i][0]);
		assert_int_equal(cid, -10);
	}
	decodes_to("a/b", NULL);
	decodes_to("50%", NULL);
	decodes_to("%41", NULL);
	decodes_to("%2f", NULL);
	decodes_to("..", NULL);
	decodes_to("", NULL);
}

static void test_root_paths(void **state)
{
	(void)state;
	static const char *const roots[][2] = {{"cdc", "cdc"}, {"/cdc/", "/cdc"}, {"", ""},
		{"/", "/"}, {"a//b/./c", "a/b/c"}, {"a/../b", "b"}, {"/a/..", "/"}};

	for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
		CLEANUP(freep)
		char *r = keys_root(roots[i][0]);
		assert_string_equal(r, roots[i][1]);
	}
	CLEANUP(freep)
	char *bare = keys_task("", "x");
	assert_string_equal(bare, "task_info/x");
	CLEANUP(freep)
	char *slash = keys_task("/", "x");
	assert_string_equal(slash, "/task_info/x");
	CLEANUP(freep)
	char *owner = keys_owner("/cdc");
	assert_string_equal(owner, "/cdc/ext_owner");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_task_text_is_the_references),
		cmocka_unit_test(test_task_fields),
		cmocka_unit_test(test_the_users_pause_is_known_from_either_server),
		cmocka_unit_test(test_the_policy_for_operations_is_kept),
		cmocka_unit_test(test_an_old_record_lacks_fields),
		cmocka_unit_test(test_unknown_fields_survive_a_change),
		cmocka_unit_test(test_a_change_of_a_list_replaces_it),
		cmocka_unit_test(test_damaged_task_records),
		cmocka_unit_test(test_a_record_under_another_tasks_key_is_damaged),
		cmocka_unit_test(test_what_can_not_be_written_is_refused),
		cmocka_unit_test(test_position_text_is_the_references),
		cmocka_unit_test(test_documents_as_seen_live),
		cmocka_unit_test(test_exact_positions_come_back_to_the_bit),
		cmocka_unit_test(test_text_of_the_extension),
		cmocka_unit_test(test_a_way_back_repeats_but_never_skips),
		cmocka_unit_test(test_moved_by_somebody_else_is_not_exact),
		cmocka_unit_test(test_damaged_documents),
		cmocka_unit_test(test_task_ids_in_keys),
		cmocka_unit_test(test_root_paths),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
