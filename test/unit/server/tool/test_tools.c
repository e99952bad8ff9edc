/* What the side tools print of a queue in memory. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/wire.h"
#include "model/ts.h"
#include "server/tool/tool_count.h"
#include "server/tool/tool_inspect.h"
#include "server/tool/tool_positions.h"
#include "support/dml_make.h"
#include "support/fake_mq.h"

#define TOPIC "by-dev-rootcoord-dml_0"
#define SHARD TOPIC "_449v0"

struct bed {
	struct fake_mq *f;
	struct stop stop;
	struct tool_plan plan;
	char *text;
	size_t n;
	FILE *out;
};

static int up(void **state)
{
	struct bed *b = *state = xcalloc(1, sizeof(*b));
	b->f = fake_mq_new();
	stop_init(&b->stop, NULL);
	b->out = open_memstream(&b->text, &b->n);
	return 0;
}

static int down(void **state)
{
	struct bed *b = *state;

	fclose(b->out);
	free(b->text);
	tool_plan_done(&b->plan);
	stop_done(&b->stop);
	int lost = fake_mq_free(b->f);
	free(b);
	return lost;
}

static void put_tick(struct bed *b, uint64_t ts)
{
	struct buf base = BUF_INIT(100), m = BUF_INIT(100);

	wire_put_u64(&base, 1, MSG_TIME_TICK);
	wire_put_u64(&base, 3, ts);
	wire_put_bytes(&m, 1, buf_slice(&base));
	fake_mq_put(b->f, TOPIC, buf_slice(&m), NULL);
	buf_done(&base);
	buf_done(&m);
}

static void put_rows(
	struct bed *b, int type, int64_t collection, const char *shard, uint64_t ts, size_t rows)
{
	struct buf m = BUF_INIT(1 << 16);
	uint64_t times[8];

	for (size_t i = 0; i < rows; i++)
		times[i] = ts;
	dml_make_rows(&m, type, 1, shard, collection, 5, times, rows, 10);
	fake_mq_put(b->f, TOPIC, buf_slice(&m), NULL);
	buf_done(&m);
}

/* Two collections, ticks, a message nobody can read. */
static void fill(struct bed *b)
{
	put_tick(b, ts_from_ms(1000));
	put_rows(b, MSG_INSERT, 449, SHARD, ts_from_ms(1100), 3);
	put_rows(b, MSG_INSERT, 450, TOPIC "_450v0", ts_from_ms(1150), 2);
	put_tick(b, ts_from_ms(1200));
	put_rows(b, MSG_DELETE, 449, SHARD, ts_from_ms(1300), 4);
	fake_mq_put(b->f, TOPIC, slice_of("\xff\xff", 2), NULL);
	put_tick(b, ts_from_ms(1400));
}

static void plan(struct bed *b, int64_t collection, int64_t number, uint64_t ts)
{
	struct tool_channel ch = {
		.collection_id = collection, .from = {.id = fake_mq_id(number), .ts = ts}};

	snprintf(ch.pchannel, sizeof(ch.pchannel), "%s", TOPIC);
	mem_grow(&b->plan.list, &b->plan.cap, b->plan.n + 1, sizeof(ch));
	b->plan.list[b->plan.n++] = ch;
}

static void scan(struct bed *b, bool (*message)(void *, const struct tool_message *), void *arg)
{
	struct err e = ERR_INIT;
	size_t last;
	struct tool_scan s = {.mq = fake_mq_queue(b->f),
		.stop = &b->stop,
		.pchannel = TOPIC,
		.message = message,
		.arg = arg};

	s.from = tool_first_id(s.mq, &b->plan, 0, &last);
	assert_int_equal(last, b->plan.n);
	assert_int_equal(tool_scan(&s, &e), ERR_OK);
}

static const char *count(struct bed *b, bool json)
{
	struct tool_count n = {.mq = fake_mq_queue(b->f), .plan = &b->plan, .last = b->plan.n};

	scan(b, tool_count_message, &n);
	tool_count_print(b->out, &n, json);
	tool_count_done(&n);
	fflush(b->out);
	return b->text;
}

static void expect(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no '%s' in\n%s", part, text);
}

static void test_count_of_a_channel(void **state)
{
	struct bed *b = *state;

	fill(b);
	plan(b, 0, 0, 0);
	const char *text = count(b, false);
	expect(text, "TimeTick                    3 messages            0 rows");
	expect(text, "unreadable                  1 messages");
	expect(text, "  unknown (449)");
	expect(text, "Insert                      1 messages            3 rows");
	expect(text, "Delete                      1 messages            4 rows");
	expect(text, "from 1970-01-01 00:00:01.100 to 1970-01-01 00:00:01.300 UTC");
	expect(text, "  unknown (450)");
}

/* What a position's time says was taken is not counted, wherever its id stands. */
static void test_count_from_a_position(void **state)
{
	struct bed *b = *state;

	fill(b);
	plan(b, 449, 1, ts_from_ms(1100));
	const char *text = count(b, true);
	expect(text, "\"collection_id\":449");
	expect(text, "\"Delete\":{\"messages\":1,\"rows\":4,");
	assert_null(strstr(text, "Insert"));
	assert_null(strstr(text, "450"));
}

/* Two records of one channel: the topic is read once, each message counted once. */
static void test_count_two_positions(void **state)
{
	struct bed *b = *state;

	fill(b);
	plan(b, 449, 4, 0);
	plan(b, 450, 0, 0);
	const char *text = count(b, true);
	expect(text, "\"Delete\":{\"messages\":1,\"rows\":4,");
	expect(text, "\"Insert\":{\"messages\":1,\"rows\":2,");
	expect(text, "\"TimeTick\":{\"messages\":3,");
}

static void test_count_keys(void **state)
{
	struct bed *b = *state;

	fill(b);
	plan(b, 449, 4, 0);
	struct tool_count n = {
		.mq = fake_mq_queue(b->f), .plan = &b->plan, .last = 1, .csv = b->out};
	scan(b, tool_count_message, &n);
	tool_count_done(&n);
	fflush(b->out);
	expect(b->text, "delete,449,340787200,10\ndelete,449,340787200,11\n");
}

static const char *inspect(struct bed *b, bool json, int64_t limit, bool ticks)
{
	struct tool_inspect in = {.out = b->out,
		.json = json,
		.ticks = ticks,
		.limit = limit,
		.keys = 2,
		.plan = &b->plan,
		.last = b->plan.n,
		.mq = fake_mq_queue(b->f)};

	scan(b, tool_inspect_message, &in);
	fflush(b->out);
	return b->text;
}

static void test_inspect_lines(void **state)
{
	struct bed *b = *state;

	fill(b);
	plan(b, 0, 0, 0);
	const char *text = inspect(b, false, 0, false);
	expect(text, "  1970-01-01 00:00:01.100  Insert");
	expect(text, "(449)");
	expect(text, " rows 4 ");
	expect(text, " keys 10,11,...\n");
	expect(text, "can't be read: ");
	assert_null(strstr(text, "TimeTick"));
}

static void test_inspect_json_and_limit(void **state)
{
	struct bed *b = *state;

	fill(b);
	plan(b, 0, 0, 0);
	const char *text = inspect(b, true, 2, true);
	expect(text, "\"type\":\"TimeTick\",\"ts\":262144000");
	expect(text, "\"type\":\"Insert\",\"ts\":288358400,\"msg_id\":1,");
	expect(text, "\"collection_id\":449");
	assert_ptr_equal(strchr(strchr(text, '\n') + 1, '\n') + 1, b->text + b->n);
}

/* Operations name what they are about; nothing of it may act on a terminal. */
static void test_inspect_operation(void **state)
{
	struct bed *b = *state;
	struct buf base = BUF_INIT(100), m = BUF_INIT(200);

	wire_put_u64(&base, 1, MSG_CREATE_INDEX);
	wire_put_u64(&base, 3, ts_from_ms(7));
	wire_put_bytes(&m, 1, buf_slice(&base));
	wire_put_str(&m, 3, "a\x1b[2Jb");
	fake_mq_put(b->f, TOPIC, buf_slice(&m), NULL);
	plan(b, 0, 0, 0);
	const char *text = inspect(b, false, 0, false);
	expect(text, "CreateIndex      default.a?[2Jb bytes ");
	buf_done(&base);
	buf_done(&m);
}

static void test_unknown_topic(void **state)
{
	struct bed *b = *state;
	struct err e = ERR_INIT;
	struct tool_scan s = {.mq = fake_mq_queue(b->f), .stop = &b->stop, .pchannel = "nowhere"};

	assert_int_equal(tool_scan(&s, &e), ERR_NOT_FOUND);
	expect(e.text, "topic nowhere");
}

static const char *decoded(struct bed *b, const char *text, bool json)
{
	struct err e = ERR_INIT;

	if (tool_positions_decode(b->out, text, json, &e))
		fail_msg("%s: %s", text, e.text);
	fflush(b->out);
	return b->text;
}

static void test_decode(void **state)
{
	struct bed *b = *state;
	struct err e = ERR_INIT;

	expect(decoded(b, "ChZieS1kZXYtcm9vdGNvb3JkLWRtbF8wEghdAAAAAAAAACCCgJDI44eFxAY=", false),
		"form     MsgPosition\nchannel  by-dev-rootcoord-dml_0\nid       93\n"
		"time     470648418537308162 (2026-11-22 21:00:35.265 UTC)");
	expect(decoded(b, "XQAAAAAAAAA=", false),
		"form     bare message id (MQ position)\nid       93\n");
	expect(decoded(b, "CAwQIhgAIP///////////wE=", true),
		"{\"form\":\"id\",\"id\":\"12:34:0\",\"ts\":0}");
	expect(decoded(b, "ChZieS1kZXYtcm9vdGNvb3JkLWRtbF8wEgQIARAC", true),
		"{\"form\":\"MsgPosition\",\"channel\":\"by-dev-rootcoord-dml_0\",\"id\":\"1:2\"");
	assert_int_equal(tool_positions_decode(b->out, "no!", false, &e), ERR_INVALID);
	err_clear(&e);
	assert_int_equal(tool_positions_decode(b->out, "", false, &e), ERR_INVALID);
}

static void test_positions(void **state)
{
	struct bed *b = *state;
	struct shard shards[2] = {{.vchannel = xstrdup(SHARD), .pchannel = xstrdup(TOPIC)},
		{.vchannel = xstrdup("x_449v1"), .pchannel = xstrdup("x")}};
	struct collection c = {
		.id = 449, .shards = shards, .shards_num = 2, .name = xstrdup("foo")};

	assert_int_equal(
		mq_id_set(&shards[0].start, slice_of("\x08\x01\x10\x02", 4), NULL), ERR_OK);
	tool_positions_print(b->out, &c, "db1", NULL, false);
	fflush(b->out);
	expect(b->text, "db1.foo, id 449, created - UTC\n");
	expect(b->text, "  message id      1:2\n  MQPosition      CAEQAg==\n"
			"  MilvusPosition  ChZieS1kZXYtcm9vdGNvb3JkLWRtbF8wEgQIARAC\n");
	expect(b->text, "x_449v1\n  message id      unknown\n");
	/* A shard without a known start is left out of the request. */
	expect(b->text, "{\"db1\":[{\"name\":\"foo\",\"positions\":{\"" SHARD
			"\":\"ChZieS1kZXYtcm9vdGNvb3JkLWRtbF8wEgQIARAC\"}}]}");
	tool_positions_print(b->out, &c, "db1", NULL, true);
	fflush(b->out);
	expect(b->text, "\"mq_position\":\"CAEQAg==\"");
	for (int i = 0; i < 2; i++) {
		free(shards[i].vchannel);
		free(shards[i].pchannel);
	}
	free(c.name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_count_of_a_channel, up, down),
		cmocka_unit_test_setup_teardown(test_count_from_a_position, up, down),
		cmocka_unit_test_setup_teardown(test_count_two_positions, up, down),
		cmocka_unit_test_setup_teardown(test_count_keys, up, down),
		cmocka_unit_test_setup_teardown(test_inspect_lines, up, down),
		cmocka_unit_test_setup_teardown(test_inspect_json_and_limit, up, down),
		cmocka_unit_test_setup_teardown(test_inspect_operation, up, down),
		cmocka_unit_test_setup_teardown(test_unknown_topic, up, down),
		cmocka_unit_test_setup_teardown(test_decode, up, down),
		cmocka_unit_test_setup_teardown(test_positions, up, down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
