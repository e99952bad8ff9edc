#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/mem.h"
#include "base/wire.h"
#include "sink/event.h"
#include "sink/requests.h"
#include "sink/schema_json.h"

enum { MOST = 1 << 16 };

/* The kinds that the reference defines, as its structs come out of encoding/json. */
static void change_is(const struct sink_change *c, const char *want)
{
	struct buf out = BUF_INIT(MOST);
	struct err e = ERR_INIT;
	const char *kind = NULL;

	assert_int_equal(event_envelope_change(&out, c, &kind, &e), ERR_OK);
	assert_string_equal(buf_cstr(&out), want);
	buf_done(&out);
}

static void test_drops(void **state)
{
	(void)state;
	struct sink_change c = {.kind = SINK_DROP_COLLECTION,
		.db = "default",
		.collection = "foo",
		.partition = "p",
		.ts = 44};
	change_is(&c, "{\"data\":\"{\\\"Base\\\":{\\\"replicateInfo\\\":{\\\"isReplicate\\\":true,"
		      "\\\"msgTimestamp\\\":44}},\\\"Database\\\":\\\"default\\\","
		      "\\\"CollectionName\\\":\\\"foo\\\"}\",\"info\":\"drop collection\"}");
	c.kind = SINK_CREATE_PARTITION;
	change_is(&c, "{\"data\":\"{\\\"Base\\\":{\\\"replicateInfo\\\":{\\\"isReplicate\\\":true,"
		      "\\\"msgTimestamp\\\":44}},\\\"Database\\\":\\\"default\\\","
		      "\\\"CollectionName\\\":\\\"foo\\\",\\\"PartitionName\\\":\\\"p\\\"}\","
		      "\"info\":\"create partition\"}");
	c.kind = SINK_DROP_DATABASE;
	c.ts = 0;
	change_is(&c, "{\"data\":\"{\\\"Database\\\":\\\"\\\",\\\"base\\\":{\\\"replicateInfo\\\":{"
		      "\\\"isReplicate\\\":true}},\\\"db_name\\\":\\\"default\\\"}\","
		      "\"info\":\"drop database\"}");
}

static void put_sub(struct buf *b, uint32_t num, const struct buf *sub)
{
	wire_put_bytes(b, num, buf_slice(sub));
}

static void put_pair(struct buf *b, uint32_t num, const char *key, const char *value)
{
	struct buf kv = BUF_INIT(MOST);
	wire_put_str(&kv, 1, key);
	wire_put_str(&kv, 2, value);
	put_sub(b, num, &kv);
	buf_done(&kv);
}

static void put_schema(struct buf *b)
{
	struct buf key = BUF_INIT(MOST), vec = BUF_INIT(MOST), def = BUF_INIT(MOST);

	wire_put_u64(&key, 1, 100);
	wire_put_str(&key, 2, "id");
	wire_put_u64(&key, 3, 1);
	wire_put_u64(&key, 5, 5);
	wire_put_u64(&key, 8, 1);
	wire_put_u64(&def, 3, 7);
	wire_put_u64(&vec, 1, 101);
	wire_put_str(&vec, 2, "v");
	wire_put_u64(&vec, 5, 101);
	put_pair(&vec, 6, "z", "1");
	put_pair(&vec, 6, "dim", "4");
	put_sub(&vec, 11, &def);
	wire_put_u64(&vec, 15, 1);
	wire_put_str(b, 1, "old");
	wire_put_str(b, 2, "about <it>");
	put_sub(b, 4, &key);
	put_sub(b, 4, &vec);
	wire_put_u64(b, 5, 1);
	buf_done(&key);
	buf_done(&vec);
	buf_done(&def);
}

static void test_create_collection(void **state)
{
	(void)state;
	struct buf schema = BUF_INIT(MOST), props = BUF_INIT(MOST), out = BUF_INIT(MOST);
	struct err e = ERR_INIT;

	put_schema(&schema);
	put_pair(&props, 7, "collection.ttl.seconds", "60");
	struct sink_change c = {.kind = SINK_CREATE_COLLECTION,
		.db = "d",
		.collection = "new",
		.source_id = 9,
		.ts = 44,
		.schema = buf_slice(&schema),
		.properties = buf_slice(&props),
		.shards_num = 2,
		.consistency_level = 1};
	/* debezium carries the same data as an object, which reads better */
	assert_int_equal(event_change(&out, &c, 5, &e), ERR_OK);
	assert_string_equal(buf_cstr(&out),
		"{\"op\":\"ddl\",\"kind\":\"create "
		"collection\",\"source\":{\"connector\":\"milvus\","
		"\"version\":1,\"db\":\"d\",\"collection\":\"new\",\"collection_id\":9,\"ts\":44,"
		"\"ts_ms\":0},\"ts_ms\":5,\"data\":{"
		"\"Base\":{\"replicateInfo\":{\"isReplicate\":true,\"msgTimestamp\":44}},"
		"\"Database\":\"d\",\"Schema\":{\"CollectionName\":\"new\","
		"\"Description\":\"about \\u003cit\\u003e\",\"AutoID\":true,\"Fields\":["
		"{\"ID\":100,\"Name\":\"id\",\"PrimaryKey\":true,\"AutoID\":true,"
		"\"Description\":\"\",\"DataType\":5,\"TypeParams\":{},\"IndexParams\":{},"
		"\"IsDynamic\":false,\"IsPartitionKey\":false,\"IsClusteringKey\":false,"
		"\"ElementType\":0,\"DefaultValue\":null,\"Nullable\":false},"
		"{\"ID\":101,\"Name\":\"v\",\"PrimaryKey\":false,\"AutoID\":false,"
		"\"Description\":\"\",\"DataType\":101,\"TypeParams\":{\"dim\":\"4\",\"z\":\"1\"},"
		"\"IndexParams\":{},\"IsDynamic\":false,\"IsPartitionKey\":false,"
		"\"IsClusteringKey\":false,\"ElementType\":0,"
		"\"DefaultValue\":{\"Data\":{\"LongData\":7}},\"Nullable\":true}],"
		"\"EnableDynamicField\":true,\"Functions\":[]},\"ShardsNum\":2,"
		"\"ConsistencyLevel\":1,\"Properties\":[{\"key\":\"collection.ttl.seconds\","
		"\"value\":\"60\"}]}}");
	struct slice name = schema_field_name(buf_slice(&schema), 101);
	assert_true(slice_eq_str(name, "v"));
	assert_int_equal(schema_field_name(buf_slice(&schema), 5).n, 0);
	buf_done(&schema);
	buf_done(&props);
	buf_done(&out);
}

static void call_is(const char *method, const struct buf *body, const char *db, const char *want)
{
	struct buf out = BUF_INIT(MOST);
	struct iov iov = {0};
	struct err e = ERR_INIT;
	const char *kind;
	/* in two pieces, as a spliced request comes */
	iov_put(&iov, slice_of(body->p, body->n / 2));
	struct slice rest = slice_of(body->p + body->n / 2, body->n - body->n / 2);
	mem_grow(&iov.v, &iov.cap, 2, sizeof(*iov.v));
	iov.v[iov.n++] = rest;
	iov.bytes += rest.n;
	struct sink_call c = {.method = method, .db = db, .body = &iov, .ts = 44};

	assert_int_equal(event_envelope_call(&out, &c, &kind, &e), ERR_OK);
	assert_string_equal(buf_cstr(&out), want);
	iov_done(&iov);
	buf_done(&out);
}

static void put_base(struct buf *b)
{
	struct buf base = BUF_INIT(MOST), info = BUF_INIT(MOST);
	wire_put_u64(&info, 1, 1);
	wire_put_u64(&info, 2, 44);
	wire_put_u64(&base, 1, 300);
	put_sub(&base, 7, &info);
	put_sub(b, 1, &base);
	buf_done(&base);
	buf_done(&info);
}

#define BASE                                                                                       \
	"\\\"base\\\":{\\\"msg_type\\\":300,\\\"replicateInfo\\\":{\\\"isReplicate\\\":true,"      \
	"\\\"msgTimestamp\\\":44}}"

static void test_operations(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(MOST), role = BUF_INIT(MOST);

	put_base(&b);
	wire_put_str(&b, 2, "d");
	wire_put_str(&b, 3, "x");
	wire_put_str(&b, 4, "f");
	put_pair(&b, 5, "index_type", "HNSW");
	wire_put_str(&b, 6, "i");
	call_is("CreateIndex", &b, "db",
		"{\"data\":\"{\\\"Database\\\":\\\"db\\\"," BASE ",\\\"db_name\\\":\\\"d\\\","
		"\\\"collection_name\\\":\\\"x\\\",\\\"field_name\\\":\\\"f\\\",\\\"extra_"
		"params\\\":"
		"[{\\\"key\\\":\\\"index_type\\\",\\\"value\\\":\\\"HNSW\\\"}],"
		"\\\"index_name\\\":\\\"i\\\"}\",\"info\":\"create index\"}");
	buf_reset(&b);
	put_base(&b);
	wire_put_str(&b, 2, "joe");
	wire_put_str(&b, 3, "admin");
	wire_put_u64(&b, 4, 1);
	call_is("OperateUserRole", &b, "",
		"{\"data\":\"{\\\"Database\\\":\\\"\\\"," BASE ",\\\"username\\\":\\\"joe\\\","
		"\\\"role_name\\\":\\\"admin\\\",\\\"type\\\":1}\",\"info\":\"remove user from "
		"role\"}");
	buf_reset(&b);
	put_base(&b);
	wire_put_str(&role, 1, "r");
	put_sub(&b, 2, &role);
	call_is("CreateRole", &b, "",
		"{\"data\":\"{\\\"Database\\\":\\\"\\\"," BASE
		",\\\"entity\\\":{\\\"name\\\":\\\"r\\\"}}\",\"info\":\"create role\"}");
	buf_done(&b);
	buf_done(&role);
}

static void test_operation_refused(void **state)
{
	(void)state;
	struct buf out = BUF_INIT(MOST);
	struct gojson o = {.b = &out};
	struct err e = ERR_INIT;
	const char *kind;

	assert_int_equal(
		requests_put(&o, "Insert", "", slice_of("", 0), &kind, &e), ERR_UNSUPPORTED);
	err_clear(&e);
	assert_int_equal(
		requests_put(&o, "Flush", "", slice_of("\x1a\x7f", 2), &kind, &e), ERR_MALFORMED);
	err_clear(&e);
	/* db_name as a number */
	assert_int_equal(
		requests_put(&o, "Flush", "", slice_of("\x10\x01", 2), &kind, &e), ERR_MALFORMED);
	assert_string_equal(
		requests_kind("OperatePrivilege", slice_of("\x18\x00", 2)), "grant privilege");
	buf_done(&out);
}

static void envelope_is(const struct iov *body, bool last, const char *want)
{
	struct buf out = BUF_INIT(MOST);
	struct dml d = {.type = MSG_INSERT, .min_ts = 1, .max_ts = 2};
	struct event_rows r = {.dml = &d,
		.pchannel = "c",
		.vchannel = "c_1v0",
		.end_ts = 7,
		.end_id = slice_of("\x09", 1),
		.last = last,
		.body = body};

	event_envelope_rows(&out, &r);
	assert_string_equal(buf_cstr(&out), want);
	buf_done(&out);
}

/* The base64 of a message must not depend on how it is cut into slices. */
static void test_envelope_of_rows(void **state)
{
	(void)state;
	static const uint8_t two[] = {1, 2}, many[] = "abcdefgh";
	struct slice pieces[8];
	struct iov body = {.v = pieces};

	pieces[0] = slice_of(two, 2);
	body.n = 1;
	envelope_is(&body, false,
		"{\"data\":\"{\\\"Base\\\":{\\\"replicateInfo\\\":{\\\"isReplicate\\\":true}},"
		"\\\"Database\\\":\\\"\\\",\\\"ChannelName\\\":\\\"c\\\",\\\"BeginTs\\\":1,"
		"\\\"EndTs\\\":2,\\\"MsgsBytes\\\":[\\\"AQI=\\\"],\\\"StartPositions\\\":["
		"{\\\"channel_name\\\":\\\"c\\\",\\\"msgID\\\":\\\"CQ==\\\",\\\"timestamp\\\":1}],"
		"\\\"EndPositions\\\":[{\\\"channel_name\\\":\\\"c\\\",\\\"msgID\\\":\\\"CQ==\\\","
		"\\\"timestamp\\\":2}],\\\"TargetMsgPosition\\\":\\\"\\\"}\","
		"\"info\":\"replicate message\"}");
	static const size_t cuts[][4] = {
		{8, 0, 0, 0}, {1, 1, 1, 5}, {2, 4, 1, 1}, {3, 1, 4, 0}, {1, 6, 1, 0}};
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		size_t at = 0;
		body.n = 0;
		for (size_t k = 0; k < 4; at += cuts[i][k++])
			pieces[body.n++] = slice_of(many + at, cuts[i][k]);
		envelope_is(&body, true,
			"{\"data\":\"{\\\"Base\\\":{\\\"replicateInfo\\\":{\\\"isReplicate\\\":"
			"true}},"
			"\\\"Database\\\":\\\"\\\",\\\"ChannelName\\\":\\\"c\\\",\\\"BeginTs\\\":1,"
			"\\\"EndTs\\\":7,\\\"MsgsBytes\\\":[\\\"YWJjZGVmZ2g=\\\","
			"\\\"ChAIsAkYByD///////////8B\\\"],\\\"StartPositions\\\":["
			"{\\\"channel_name\\\":\\\"c\\\",\\\"msgID\\\":\\\"CQ==\\\","
			"\\\"timestamp\\\":1}"
			"],\\\"EndPositions\\\":[{\\\"channel_name\\\":\\\"c\\\",\\\"msgID\\\":"
			"\\\"CQ==\\\",\\\"timestamp\\\":7}],\\\"TargetMsgPosition\\\":\\\"\\\"}\","
			"\"info\":\"replicate message\"}");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_drops),
		cmocka_unit_test(test_create_collection), cmocka_unit_test(test_operations),
		cmocka_unit_test(test_operation_refused), cmocka_unit_test(test_envelope_of_rows)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
