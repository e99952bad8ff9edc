/* A replay on a real Milvus 2.3.5 (address in CDC_TEST_MILVUS): rows sent twice double; sent again
 * as delete and insert at one higher time, exactly one of each key is left, whatever was there
 * before. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/real_milvus.h"

enum { ROWS = 3, LOADED = 3 };

struct scene {
	struct real *r;
	struct milvus_collection c;
	struct buf payload; /* an insert as the source wrote it */
	struct dml d;
	bool varchar;
	int64_t msg_id;
};

static void must(struct scene *x, enum err_code code, const char *what)
{
	if (code)
		fail_msg("%s: %s", what, x->r->e.text);
	err_clear(&x->r->e);
}

static void call(struct scene *x, const char *method, const struct buf *body, struct buf *answer)
{
	struct slice one = buf_slice(body);

	buf_reset(answer);
	must(x, milvus_call(x->r->m, method, NULL, &one, 1, 0, &x->r->stop, answer, &x->r->e),
		method);
}

/* A field of an answer, as a number or the start of its bytes. */
static bool find_field(struct slice in, uint32_t num, struct wire_field *ret_f)
{
	struct wire w = wire_open(in);
	while (wire_next(&w, ret_f))
		if (ret_f->num == num)
			return true;
	return false;
}

static void create_index(struct scene *x)
{
	CLEANUP(buf_done)
	struct buf body = BUF_INIT(REAL_MAX_BYTES), answer = BUF_INIT(REAL_MAX_BYTES);
	static const char *const params[][2] = {
		{"index_type", "FLAT"}, {"metric_type", "L2"}, {"params", "{}"}};

	wire_put_str(&body, 3, x->r->name);
	wire_put_str(&body, 4, "v");
	for (size_t i = 0; i < ARRAY_LEN(params); i++) {
		CLEANUP(buf_done)
		struct buf pair = BUF_INIT(256);
		wire_put_str(&pair, 1, params[i][0]);
		wire_put_str(&pair, 2, params[i][1]);
		wire_put_bytes(&body, 5, buf_slice(&pair));
	}
	call(x, "CreateIndex", &body, &answer);
}

static uint64_t tick_now(struct scene *x)
{
	uint64_t ts = real_clock(x->r);

	assert_true(ts > 0);
	for (int i = 0; i < x->c.shards_num; i++)
		must(x, real_tick(x->r, x->c.shards[i].pchannel, ts), "tick");
	return ts;
}

/* Ticks and asks until the field of the answer has the value. */
static void tick_until(
	struct scene *x, const char *method, const struct buf *body, uint32_t num, uint64_t value)
{
	CLEANUP(buf_done)
	struct buf answer = BUF_INIT(REAL_MAX_BYTES);
	struct deadline d = deadline_in(REAL_WAIT_MS);
	struct wire_field f;

	for (;;) {
		call(x, method, body, &answer);
		if (find_field(buf_slice(&answer), num, &f) && f.value == value)
			return;
		assert_false(deadline_passed(d));
		tick_now(x);
		stop_sleep(&x->r->stop, 50);
	}
}

static void load(struct scene *x)
{
	CLEANUP(buf_done)
	struct buf body = BUF_INIT(1024), state = BUF_INIT(1024);
	CLEANUP(buf_done)
	struct buf answer = BUF_INIT(REAL_MAX_BYTES);

	wire_put_str(&body, 3, x->r->name);
	wire_put_str(&state, 2, x->r->name);
	call(x, "LoadCollection", &body, &answer);
	tick_until(x, "GetLoadState", &state, 2, LOADED);
}

/* Seals and writes out what is there. FlushResponse: 6 = map of flush times by collection. */
static void flush(struct scene *x)
{
	CLEANUP(buf_done)
	struct buf body = BUF_INIT(1024), state = BUF_INIT(1024);
	CLEANUP(buf_done)
	struct buf answer = BUF_INIT(REAL_MAX_BYTES);
	struct wire_field entry, ts;

	wire_put_str(&body, 3, x->r->name);
	/* It waits until the data node follows the channel, for which the node wants ticks. */
	struct slice one = buf_slice(&body);
	struct deadline d = deadline_in(REAL_WAIT_MS);
	while (milvus_call(x->r->m, "Flush", NULL, &one, 1, 2000, &x->r->stop, &answer, &x->r->e)) {
		if (deadline_passed(d))
			fail_msg("%s", x->r->e.text);
		err_clear(&x->r->e);
		tick_now(x);
	}
	assert_true(find_field(buf_slice(&answer), 6, &entry));
	assert_true(find_field(entry.data, 2, &ts));
	wire_put_u64(&state, 2, ts.value);
	wire_put_str(&state, 4, x->r->name);
	tick_until(x, "GetFlushState", &state, 2, 1);
}

static void put_keys(struct buf *insert, bool varchar)
{
	static const char *const texts[ROWS] = {"a", "", "a longer key"};
	CLEANUP(buf_done)
	struct buf array = BUF_INIT(256), scalars = BUF_INIT(256);
	CLEANUP(buf_done)
	struct buf field = BUF_INIT(256), keys = BUF_INIT(256);

	for (int i = 0; i < ROWS; i++) {
		if (varchar)
			wire_put_str(&array, 1, texts[i]);
		else
			wire_put_varint(&keys, (uint64_t)(i - 1)); /* -1, 0, 1 */
	}
	if (!varchar)
		wire_put_bytes(&array, 1, buf_slice(&keys));
	wire_put_bytes(&scalars, varchar ? 6 : 3, buf_slice(&array));
	wire_put_i64(&field, 1, varchar ? 21 : 5);
	wire_put_str(&field, 2, "key");
	wire_put_bytes(&field, 3, buf_slice(&scalars));
	wire_put_i64(&field, 5, 100);
	wire_put_bytes(insert, 13, buf_slice(&field));
}

static void put_vectors(struct buf *insert)
{
	static const float zeros[ROWS * REAL_DIM];
	CLEANUP(buf_done)
	struct buf floats = BUF_INIT(256), vectors = BUF_INIT(256);
	CLEANUP(buf_done)
	struct buf field = BUF_INIT(256);

	wire_put_bytes(&floats, 1, slice_of(zeros, sizeof(zeros)));
	wire_put_i64(&vectors, 1, REAL_DIM);
	wire_put_bytes(&vectors, 2, buf_slice(&floats));
	wire_put_i64(&field, 1, 101);
	wire_put_str(&field, 2, "v");
	wire_put_bytes(&field, 4, buf_slice(&vectors));
	wire_put_i64(&field, 5, 101);
	wire_put_bytes(insert, 13, buf_slice(&field));
}

/* An insert with the source's ids and times. */
static void make_source_insert(struct scene *x)
{
	CLEANUP(buf_done)
	struct buf base = BUF_INIT(64), times = BUF_INIT(64), rows = BUF_INIT(64);
	struct buf *b = &x->payload;

	buf_init(b, REAL_MAX_BYTES);
	wire_put_i64(&base, 1, MSG_INSERT);
	wire_put_i64(&base, 2, 77);
	wire_put_u64(&base, 3, 470648418537308162ULL);
	for (int i = 0; i < ROWS; i++) {
		wire_put_varint(&times, 470648418537308162ULL);
		wire_put_varint(&rows, (uint64_t)i + 1);
	}
	wire_put_bytes(b, 1, buf_slice(&base));
	wire_put_str(b, 2, "source-rootcoord-dml_3_449v0");
	wire_put_str(b, 4, "name_at_the_source");
	wire_put_str(b, 5, "_default");
	wire_put_i64(b, 7, 449);
	wire_put_i64(b, 8, 450);
	wire_put_bytes(b, 10, buf_slice(&times));
	wire_put_bytes(b, 11, buf_slice(&rows));
	put_keys(b, x->varchar);
	put_vectors(b);
	wire_put_i64(b, 14, ROWS);
	wire_put_i64(b, 15, 1);
	must(x, dml_read(&x->d, buf_slice(b), &x->r->e), "dml_read");
}

static struct translate to_target(struct scene *x, uint64_t ts)
{
	return (struct translate){.db = "default",
		.collection = x->r->name,
		.shard = x->c.shards[0].vchannel,
		.collection_id = x->c.id,
		.partition_id = x->c.partitions[0].id,
		.stamps = {.change = true, .one = ts},
		.msg_id = ++x->msg_id};
}

/* Sends the rows stamped now, with the delete of their keys in front if asked, then a tick. */
static uint64_t send_rows(struct scene *x, bool with_delete)
{
	uint64_t ts = real_clock(x->r);
	struct iov msgs[2] = {0};
	size_t n = 0;

	if (with_delete) {
		struct translate t = to_target(x, ts);
		must(x,
			translate_replay_delete(
				&t, &x->d, 100, x->varchar, ts, &x->r->arena, &msgs[n++], &x->r->e),
			"translate_replay_delete");
	}
	struct translate t = to_target(x, ts);
	must(x, translate_dml(&t, &x->d, &x->r->arena, &msgs[n++], &x->r->e), "translate_dml");
	must(x, real_send(x->r, x->c.shards[0].pchannel, msgs, n, ts, ts), "rows");
	must(x, real_tick(x->r, x->c.shards[0].pchannel, ts), "tick");
	iov_done(&msgs[0]);
	iov_done(&msgs[1]);
	return ts;
}

/* QueryResults: 2 fields_data{3 scalars{3 long_data{1 packed}}} */
static uint64_t count_rows(struct scene *x, uint64_t at)
{
	CLEANUP(buf_done)
	struct buf body = BUF_INIT(1024), answer = BUF_INIT(REAL_MAX_BYTES);
	static const uint32_t path[] = {2, 3, 3, 1};
	struct wire_field f = {0};
	uint64_t n = 0;

	wire_put_str(&body, 3, x->r->name);
	wire_put_str(&body, 5, "count(*)");
	wire_put_u64(&body, 8, at);
	call(x, "Query", &body, &answer);
	struct slice in = buf_slice(&answer);
	for (size_t i = 0; i < ARRAY_LEN(path); i++) {
		assert_true(find_field(in, path[i], &f));
		in = f.data;
	}
	struct wire w = wire_open(in);
	assert_true(wire_varint(&w, &n));
	return n;
}

static void replay_leaves_one(bool varchar)
{
	CLEANUP(buf_done)
	struct buf schema = BUF_INIT(REAL_MAX_BYTES);
	struct scene x = {.r = real_open(), .varchar = varchar};

	if (!x.r)
		skip();
	real_schema(&schema, varchar);
	struct milvus_create create = {.db = "",
		.name = x.r->name,
		.shards_num = 1,
		.schema = buf_slice(&schema),
		.ts = real_clock(x.r)};
	must(&x, milvus_create_collection(x.r->m, &create, &x.r->stop, &x.r->e), "create");
	must(&x, milvus_describe(x.r->m, "", x.r->name, &x.r->stop, &x.c, &x.r->e), "describe");
	make_source_insert(&x);
	create_index(&x);
	load(&x);
	assert_int_equal(count_rows(&x, send_rows(&x, false)), ROWS);
	assert_int_equal(count_rows(&x, send_rows(&x, false)), 2 * ROWS);
	assert_int_equal(count_rows(&x, send_rows(&x, true)), ROWS);
	flush(&x);
	assert_int_equal(count_rows(&x, send_rows(&x, true)), ROWS);
	must(&x,
		milvus_drop_collection(x.r->m, "", x.r->name, real_clock(x.r), &x.r->stop, &x.r->e),
		"drop");
	milvus_collection_done(&x.c);
	buf_done(&x.payload);
	real_close(x.r);
}

static void test_replay_of_int64_keys(void **state)
{
	(void)state;
	replay_leaves_one(false);
}

static void test_replay_of_varchar_keys(void **state)
{
	(void)state;
	replay_leaves_one(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replay_of_int64_keys),
		cmocka_unit_test(test_replay_of_varchar_keys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
