/* The client against a scripted server: headers, the clock's second way, and which failures of a
 * ReplicateMessage are definite. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/wire.h"
#include "client/milvus/milvus.h"
#include "support/grpc_server.h"

enum { ANSWER_BYTES = 4096, TEXT_BYTES = 128 };

/* What the server answers and what it saw last; written before and after a call, not during one. */
struct bed {
	struct gs *server;
	struct grpc *grpc;
	struct milvus *m;
	struct stop stop;
	struct err e;
	struct buf answer;
	bool no_clock; /* AllocTimestamp and, by its own flag, Connect are unknown methods */
	bool no_connect;
	char path[TEXT_BYTES], db[TEXT_BYTES], auth[TEXT_BYTES], id[TEXT_BYTES], now[TEXT_BYTES];
};

static void keep(char out[TEXT_BYTES], const char *value)
{
	snprintf(out, TEXT_BYTES, "%s", value ? value : "(none)");
}

static void on_request(void *arg, struct gs_call *c)
{
	struct bed *b = arg;

	keep(b->path, gs_path(c));
	keep(b->db, gs_meta_get(c, "dbname"));
	keep(b->auth, gs_meta_get(c, "authorization"));
	keep(b->id, gs_meta_get(c, "identifier"));
	keep(b->now, gs_meta_get(c, "client-request-unixmsec"));
	if ((b->no_clock && strstr(b->path, "/AllocTimestamp")) ||
		(b->no_connect && strstr(b->path, "/Connect")))
		gs_end(c, 12, "unknown method", 0);
	else
		gs_answer(c, buf_slice(&b->answer), 0);
}

static int setup(void **state)
{
	struct bed *b = xcalloc(1, sizeof(*b));
	struct gs_opts so = {.handler = {.arg = b, .request = on_request}};
	char uri[TEXT_BYTES];

	buf_init(&b->answer, ANSWER_BYTES);
	stop_init(&b->stop, NULL);
	if (gs_start(&so, &b->server, &b->e) || grpc_new(&b->grpc, &b->e))
		return -1;
	snprintf(uri, sizeof(uri), "http://%s/", gs_address(b->server));
	struct milvus_opts o = {.uri = uri, .token = "root:Milvus"};
	*state = b;
	return milvus_open(b->grpc, &o, &b->m, &b->e);
}

static int teardown(void **state)
{
	struct bed *b = *state;

	milvus_close(b->m);
	grpc_free(b->grpc);
	gs_stop(b->server);
	stop_done(&b->stop);
	buf_done(&b->answer);
	free(b);
	return 0;
}

static void answer_connect(struct bed *b, int64_t identifier)
{
	buf_reset(&b->answer);
	wire_put_bytes(&b->answer, 1, (struct slice){0});
	wire_put_bytes(&b->answer, 2, slice_str("\x0a\x06v2.3.5"));
	wire_put_i64(&b->answer, 3, identifier);
}

static void test_headers(void **state)
{
	struct bed *b = *state;
	struct milvus_info info;
	int64_t now;

	answer_connect(b, 470651598618755074);
	assert_int_equal(milvus_connect(b->m, &b->stop, &info, &b->e), ERR_OK);
	assert_string_equal(info.version, "v2.3.5");
	assert_true(info.identifier == 470651598618755074);
	assert_string_equal(b->path, "/milvus.proto.milvus.MilvusService/Connect");
	assert_string_equal(b->db, "default");
	assert_string_equal(b->auth, "cm9vdDpNaWx2dXM=");
	assert_string_equal(b->id, "(none)");
	buf_reset(&b->answer);
	assert_int_equal(milvus_call(b->m, "Any", "d1", NULL, 0, 0, &b->stop, NULL, &b->e), ERR_OK);
	assert_string_equal(b->path, "/milvus.proto.milvus.MilvusService/Any");
	assert_string_equal(b->db, "d1");
	assert_string_equal(b->id, "470651598618755074");
	assert_true(str_to_i64(b->now, &now) && llabs(now - time_wall_ms()) < 10000);
	/* a second Connect replaces the identifier */
	answer_connect(b, 5);
	assert_int_equal(milvus_connect(b->m, &b->stop, &info, &b->e), ERR_OK);
	assert_int_equal(milvus_call(b->m, "Any", "", NULL, 0, 0, &b->stop, NULL, &b->e), ERR_OK);
	assert_string_equal(b->id, "5");
	assert_string_equal(b->db, "default");
}

static void test_clock_falls_back_to_connect(void **state)
{
	struct bed *b = *state;
	uint64_t ts = 0;

	b->no_clock = true;
	answer_connect(b, 4711);
	assert_int_equal(milvus_clock(b->m, &b->stop, &ts, &b->e), ERR_OK);
	assert_int_equal(ts, 4711);
	b->no_connect = true;
	assert_int_equal(milvus_clock(b->m, &b->stop, &ts, &b->e), ERR_UNSUPPORTED);
}

static void test_a_server_without_connect(void **state)
{
	struct bed *b = *state;
	struct milvus_info info;

	b->no_connect = true;
	assert_int_equal(milvus_connect(b->m, &b->stop, &info, &b->e), ERR_OK);
	assert_string_equal(info.version, "");
	assert_int_equal(b->e.code, ERR_OK);
}

static enum err_code replicate(struct bed *b, size_t *ret_n)
{
	uint8_t id[64];
	struct slice body = slice_str("\x12\x01x");

	err_clear(&b->e);
	return milvus_replicate(b->m, &body, 1, 2000, &b->stop, id, sizeof(id), ret_n, &b->e);
}

/* The Status of an answer that came: only what Milvus says before it produces is definite. */
static void test_replicate_statuses(void **state)
{
	static const struct {
		int code;
		const char *reason;
		enum err_code want;
	} rows[] = {{0, "", ERR_OK}, {1, "not ready", ERR_UNAVAILABLE}, {1100, "x", ERR_INVALID},
		{1900, "deny", ERR_DENIED}, {1901, "bytes", ERR_MALFORMED}, {1902, "x", ERR_BUSY},
		{1903, "x", ERR_BUSY}, {65535, "getSegmentID failed: x", ERR_BUSY},
		{65535, "empty msgs", ERR_INVALID},
		{65535, "Broker: Message size too large", ERR_LIMIT},
		{65535, "message size exceeds MaxMessageSize", ERR_LIMIT}, {3, "memory", ERR_BUSY},
		{4, "requests", ERR_BUSY}, {7, "disk", ERR_BUSY}, {8, "rate", ERR_BUSY},
		{9, "quota", ERR_BUSY}, {11, "tick", ERR_BUSY}, {12, "resources", ERR_BUSY},
		{108, "no replicate id", ERR_DENIED}, {1302, "mq", ERR_UNCERTAIN},
		{100, "collection", ERR_UNCERTAIN}, {65535, "who knows", ERR_UNCERTAIN}};
	struct bed *b = *state;
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(buf_done)
		struct buf status = BUF_INIT(ANSWER_BYTES);
		wire_put_i64(&status, 1, rows[i].code != 0);
		wire_put_str_opt(&status, 2, rows[i].reason);
		wire_put_i64(&status, 3, rows[i].code);
		buf_reset(&b->answer);
		wire_put_bytes(&b->answer, 1, buf_slice(&status));
		wire_put_str(&b->answer, 2, "XQAAAAAAAAA=");
		assert_int_equal(replicate(b, &n), rows[i].want);
		/* What will pass is no verdict: no origin. */
		assert_int_equal(b->e.origin, rows[i].code == 1302 ? 0 : rows[i].code);
		assert_int_equal(n, rows[i].code ? 0 : 8);
	}
}

/* Servers that know no codes: force deny, rate, memory, disk. */
static void test_replicate_quotas_of_2_2(void **state)
{
	static const int legacy[] = {48, 49, 53, 54, 55};
	struct bed *b = *state;
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(legacy); i++) {
		CLEANUP(buf_done)
		struct buf status = BUF_INIT(ANSWER_BYTES);
		wire_put_i64(&status, 1, legacy[i]);
		wire_put_str(&status, 2, "quota exceeded");
		buf_reset(&b->answer);
		wire_put_bytes(&b->answer, 1, buf_slice(&status));
		assert_int_equal(replicate(b, &n), ERR_BUSY);
		assert_int_equal(b->e.origin, legacy[i]);
	}
}

/* It is done, even if the position makes no sense. */
static void test_replicate_position(void **state)
{
	struct bed *b = *state;
	size_t n = 99;

	buf_reset(&b->answer);
	wire_put_str(&b->answer, 2, "no base64");
	assert_int_equal(replicate(b, &n), ERR_OK);
	assert_int_equal(n, 0);
}

static void test_replicate_broken_calls(void **state)
{
	static const struct {
		struct gs_step step;
		enum err_code want;
	} rows[] = {{{.fault = GS_FAULT_TRAILERS_ONLY, .code = 14}, ERR_UNCERTAIN},
		{{.fault = GS_FAULT_TRAILERS_ONLY, .code = 4}, ERR_UNCERTAIN},
		{{.fault = GS_FAULT_TRAILERS_ONLY, .code = 2}, ERR_UNCERTAIN},
		{{.fault = GS_FAULT_TRAILERS_ONLY, .code = 5}, ERR_UNCERTAIN},
		{{.fault = GS_FAULT_TRAILERS_ONLY, .code = 7}, ERR_DENIED},
		{{.fault = GS_FAULT_TRAILERS_ONLY, .code = 8}, ERR_BUSY},
		{{.fault = GS_FAULT_TRAILERS_ONLY, .code = 12}, ERR_UNSUPPORTED},
		{{.fault = GS_FAULT_TRAILERS_ONLY, .code = 16}, ERR_DENIED},
		{{.fault = GS_FAULT_CLOSE_ANSWER}, ERR_UNCERTAIN},
		{{.fault = GS_FAULT_NO_STATUS}, ERR_UNCERTAIN}};
	struct bed *b = *state;
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		gs_script(b->server, &rows[i].step, 1);
		if (replicate(b, &n) != rows[i].want)
			fail_msg("row %zu: %s: %s", i, err_name(b->e.code), b->e.text);
	}
}

static void test_replicate_to_nobody(void **state)
{
	struct bed *b = *state;
	struct milvus_opts o = {.uri = "127.0.0.1:1"};
	struct milvus *nobody;
	size_t n;

	assert_int_equal(milvus_open(b->grpc, &o, &nobody, &b->e), ERR_OK);
	err_clear(&b->e);
	enum err_code code = milvus_replicate(nobody, NULL, 0, 300, &b->stop, NULL, 0, &n, &b->e);
	assert_true(code == ERR_UNAVAILABLE || code == ERR_TIMEOUT);
	milvus_close(nobody);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
		T(headers),
		T(clock_falls_back_to_connect),
		T(a_server_without_connect),
		T(replicate_statuses),
		T(replicate_quotas_of_2_2),
		T(replicate_position),
		T(replicate_broken_calls),
		T(replicate_to_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
