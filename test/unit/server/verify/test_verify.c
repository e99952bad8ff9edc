/* verify against two Milvus that answer by script: ranges of keys and what stands at their borders, rows on
 * their way, rows that change, what is not loaded, going on from a state. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/wire.h"
#include "server/verify/verify_priv.h"
#include "store/store_mem.h"
#include "support/grpc_server.h"

enum { ROWS_MAX = 30000, ANSWER_BYTES = 4 << 20, TEXT_BYTES = 1 << 16, COLLECTION = 449 };

struct cell {
	int64_t key, value;
};

/* One Milvus. The test changes it before and after a pass, its server's thread during one. */
struct side {
	struct gs *server;
	struct milvus *m;
	struct cell rows[ROWS_MAX];
	size_t n;
	int64_t copies;   /* physical rows more than keys */
	int64_t restless; /* this key's value changes with every look at it; -1 = none */
	int64_t late_key; /* is added when the clock has been read so often */
	int clock_reads, late_after;
	bool not_loaded;
	int queries;
};

struct bed {
	struct grpc *grpc;
	struct store *store;
	struct task *task;
	struct stop stop;
	struct side source, target;
	struct verify v;
	struct err e;
};

/* ---- the script ---- */

static void put_numbers(struct buf *answer, const char *name, const int64_t *list, size_t n)
{
	CLEANUP(buf_done) struct buf run = BUF_INIT(ANSWER_BYTES);
	CLEANUP(buf_done) struct buf array = BUF_INIT(ANSWER_BYTES);
	CLEANUP(buf_done) struct buf scalars = BUF_INIT(ANSWER_BYTES);
	CLEANUP(buf_done) struct buf column = BUF_INIT(ANSWER_BYTES);

	for (size_t i = 0; i < n; i++)
		wire_put_varint(&run, (uint64_t)list[i]);
	wire_put_bytes(&array, 1, buf_slice(&run));
	wire_put_bytes(&scalars, 3, buf_slice(&array));
	wire_put_u64(&column, 1, 5);
	wire_put_str(&column, 2, name);
	wire_put_bytes(&column, 3, buf_slice(&scalars));
	wire_put_bytes(answer, 2, buf_slice(&column));
}

static bool is_listed(const char *expr, int64_t key)
{
	char text[32];
	const char *at = expr;

	snprintf(text, sizeof(text), "%" PRId64, key);
	while ((at = strstr(at, text))) {
		char before = at[-1], after = at[strlen(text)];
		if ((before == '[' || before == ',') && (after == ']' || after == ','))
			return true;
		at++;
	}
	return false;
}

static bool fits(const char *expr, int64_t key)
{
	int64_t low, high;

	if (strstr(expr, " in ["))
		return is_listed(expr, key);
	if (sscanf(expr, "id > %" SCNd64 " and id <= %" SCNd64, &low, &high) == 2)
		return key > low && key <= high;
	if (sscanf(expr, "id > %" SCNd64, &low) == 1)
		return key > low;
	if (sscanf(expr, "id <= %" SCNd64, &high) == 1)
		return key <= high;
	return strcmp(expr, "id >= 0 or id < 0") == 0;
}

struct asked {
	char expr[TEXT_BYTES], field[64];
	size_t limit;
};

static void read_query(struct slice body, struct asked *q)
{
	struct wire w = wire_open(body), pair;
	struct wire_field f, p;
	int64_t n = 0;

	*q = (struct asked){.limit = SIZE_MAX};
	while (wire_next(&w, &f)) {
		if (f.num == 4)
			snprintf(q->expr, sizeof(q->expr), "%.*s", (int)f.data.n, f.data.p);
		else if (f.num == 5)
			snprintf(q->field, sizeof(q->field), "%.*s", (int)f.data.n, f.data.p);
		for (pair = wire_open(f.data); f.num == 9 && wire_next(&pair, &p);)
			if (p.num == 2 && slice_to_i64(p.data, &n))
				q->limit = (size_t)n;
	}
}

static void answer_rows(struct side *s, const struct asked *q, struct buf *answer)
{
	int64_t *keys = xcalloc(ROWS_MAX, sizeof(*keys)),
		*values = xcalloc(ROWS_MAX, sizeof(*values));
	size_t n = 0;

	for (size_t i = 0; i < s->n && n < q->limit; i++) {
		if (!fits(q->expr, s->rows[i].key))
			continue;
		if (s->rows[i].key == s->restless)
			s->rows[i].value++;
		keys[n] = s->rows[i].key;
		values[n++] = s->rows[i].value;
	}
	put_numbers(answer, "value", values, n);
	put_numbers(answer, "id", keys, n);
	free(keys);
	free(values);
}

static void add_row(struct side *s, int64_t key, int64_t value)
{
	size_t i = s->n++;

	for (; i > 0 && s->rows[i - 1].key > key; i--)
		s->rows[i] = s->rows[i - 1];
	s->rows[i] = (struct cell){key, value};
}

static void answer_query(struct side *s, struct slice body, struct buf *answer)
{
	struct asked *q = xcalloc(1, sizeof(*q));
	int64_t total = (int64_t)s->n + s->copies;

	read_query(body, q);
	s->queries++;
	if (strcmp(q->field, "count(*)") == 0)
		put_numbers(answer, "count(*)", &total, 1);
	else
		answer_rows(s, q, answer);
	free(q);
}

static void on_request(void *arg, struct gs_call *c)
{
	CLEANUP(buf_done) struct buf answer = BUF_INIT(ANSWER_BYTES);
	struct side *s = arg;
	const char *path = gs_path(c);

	if (strstr(path, "/AllocTimestamp")) {
		wire_put_u64(&answer, 2, 1000);
		if (++s->clock_reads == s->late_after)
			add_row(s, s->late_key, s->late_key);
	} else if (s->not_loaded) {
		wire_put_bytes(
			&answer, 1, slice_str("\x12\x04load\x18\x65")); /* reason, code 101 */
	} else if (strstr(path, "/Query")) {
		answer_query(s, gs_body(c), &answer);
	}
	gs_answer(c, buf_slice(&answer), 0);
}

/* ---- the bed ---- */

static void open_side(struct bed *b, struct side *s)
{
	struct gs_opts so = {.handler = {.arg = s, .request = on_request}};
	char uri[128];

	assert_int_equal(gs_start(&so, &s->server, &b->e), ERR_OK);
	snprintf(uri, sizeof(uri), "http://%s", gs_address(s->server));
	struct milvus_opts o = {.uri = uri};
	assert_int_equal(milvus_open(b->grpc, &o, &s->m, &b->e), ERR_OK);
	s->restless = -1;
}

/* The task has replicated everything up to the end of time. */
static void put_position(struct bed *b)
{
	struct store_position p = {.channel = "c", .pos = {.ts = UINT64_MAX}, .exact = true};
	struct store_positions doc = {
		.task_id = b->task->id, .collection_id = COLLECTION, .source = &p, .n_source = 1};
	struct store_batch batch = {.task = b->task, .positions = &doc, .n_positions = 1};

	p.pos.ts = INT64_MAX;
	doc.collection_name = (char[]){"c"};
	assert_int_equal(store_write(b->store, &batch, &b->stop, &b->e), ERR_OK);
}

static int up(void **state)
{
	struct bed *b = *state = xcalloc(1, sizeof(*b));

	stop_init(&b->stop, NULL);
	assert_int_equal(grpc_new(&b->grpc, &b->e), ERR_OK);
	open_side(b, &b->source);
	open_side(b, &b->target);
	b->store = store_mem_new("cdc");
	b->task = task_new();
	free(b->task->id);
	b->task->id = xstrdup("t1");
	put_position(b);
	b->v = (struct verify){.o = {.source = b->source.m,
				       .target = b->target.m,
				       .store = b->store,
				       .task = b->task,
				       .wait_ms = 5000,
				       .stop = &b->stop},
		.since_ts = 1000,
		.answer = BUF_INIT(ANSWER_BYTES)};
	b->v.colls = xcalloc(1, sizeof(*b->v.colls));
	b->v.n = 1;
	b->v.colls[0] = (struct verify_coll){.id = COLLECTION,
		.db = xstrdup("default"),
		.name = xstrdup("c"),
		.target_db = xstrdup("default"),
		.target_name = xstrdup("d"),
		.pk_name = xstrdup("id")};
	return 0;
}

static int down(void **state)
{
	struct bed *b = *state;
	struct verify *v = xmemdup(&b->v, sizeof(b->v));

	verify_free(v);
	milvus_close(b->source.m);
	milvus_close(b->target.m);
	gs_stop(b->source.server);
	gs_stop(b->target.server);
	grpc_free(b->grpc);
	store_close(b->store);
	task_free(b->task);
	stop_done(&b->stop);
	free(b);
	return 0;
}

static void fill(struct bed *b, int64_t from, int64_t to)
{
	for (int64_t k = from; k < to; k++) {
		b->source.rows[b->source.n++] = (struct cell){k, k};
		b->target.rows[b->target.n++] = (struct cell){k, k};
	}
}

static enum err_code scan(struct bed *b)
{
	struct verify_part p = {
		.v = &b->v, .c = &b->v.colls[0], .on_source = true, .on_target = true};

	enum err_code code = verify_scan(&p, &b->e);
	arena_done(&p.arena);
	free(p.suspects);
	return code;
}

static struct verify_coll *good_scan(struct bed *b)
{
	enum err_code code = scan(b);
	assert_string_equal(b->e.text, "");
	assert_int_equal(code, ERR_OK);
	return &b->v.colls[0];
}

static struct cell *row_of(struct side *s, int64_t key)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->rows[i].key == key)
			return &s->rows[i];
	fail();
	return NULL;
}

static void take_out(struct side *s, int64_t key)
{
	struct cell *c = row_of(s, key);
	memmove(c, c + 1, (size_t)(s->rows + s->n - c - 1) * sizeof(*c));
	s->n--;
}

/* ---- tests ---- */

static void test_equal_sides(void **state)
{
	struct bed *b = *state;

	fill(b, -3000, 10000);
	assert_int_equal(good_scan(b)->rows, 13000);
	assert_int_equal(b->v.colls[0].n_different, 0);
	assert_in_range(b->source.queries, 3, 20);
	assert_int_equal(
		b->target.queries, b->source.queries - 1); /* it is not asked for a total */
}

static void test_empty_sides(void **state)
{
	assert_int_equal(good_scan(*state)->rows, 0);
}

/* Around the ends of ranges (256 rows, then twice as many each time), and at both ends. */
static void test_differences_at_borders(void **state)
{
	static const int64_t missing[] = {0, 255, 256, 767, 768, 4999};
	struct bed *b = *state;

	fill(b, 0, 5000);
	for (size_t i = 0; i < ARRAY_LEN(missing); i++)
		take_out(&b->target, missing[i]);
	add_row(&b->target, -7, 1);
	add_row(&b->target, 9999, 1);
	row_of(&b->target, 257)->value = 1;
	struct verify_coll *c = good_scan(b);
	assert_int_equal(c->n_different, 9);
	assert_int_equal(c->rows, 5000 - 6 - 1);
	for (size_t i = 0; i < c->n_diffs; i++) {
		const struct verify_diff *d = &c->diffs[i];
		int64_t key = 0;
		assert_true(str_to_i64(d->key, &key));
		assert_int_equal(d->kind, key == -7 || key == 9999 ? VERIFY_EXTRA
					  : key == 257             ? VERIFY_DIFFERS
								   : VERIFY_MISSING);
		if (key == 257)
			assert_string_equal(d->what, "value");
	}
}

/* More rows on the target than it is asked for: each of them is found. */
static void test_many_extra_rows(void **state)
{
	struct bed *b = *state;

	fill(b, 0, 100);
	for (int64_t k = 100; k < 12100; k++)
		b->target.rows[b->target.n++] = (struct cell){k, k};
	b->source.rows[b->source.n++] = (struct cell){20000, 1};
	b->target.rows[b->target.n++] = (struct cell){20000, 1};
	struct verify_coll *c = good_scan(b);
	assert_int_equal(c->n_different, 12000);
	assert_int_equal(c->n_diffs, VERIFY_LISTED_MAX);
	assert_int_equal(c->rows, 101);
}

static void test_row_on_its_way(void **state)
{
	struct bed *b = *state;

	fill(b, 0, 600);
	take_out(&b->target, 300);
	b->target.late_key = 300;
	b->target.late_after = 1; /* there when the target's time is asked after the wait */
	struct verify_coll *c = good_scan(b);
	assert_int_equal(c->n_different, 0);
	assert_int_equal(c->rows, 600);
}

static void test_row_that_changes(void **state)
{
	struct bed *b = *state;

	fill(b, 0, 10);
	b->source.restless = 5;
	struct verify_coll *c = good_scan(b);
	assert_int_equal(c->n_different, 0);
	assert_int_equal(c->n_changing, 1);
	assert_int_equal(c->rows, 9);
}

static void test_copies(void **state)
{
	struct bed *b = *state;

	fill(b, 0, 10);
	b->target.copies = 3;
	struct verify_coll *c = good_scan(b);
	assert_int_equal(c->n_different, 1);
	assert_int_equal(c->diffs[0].kind, VERIFY_COPIES);
	assert_non_null(strstr(c->diffs[0].what, "10 rows at the source, 13 on the target"));
}

static void test_not_loaded(void **state)
{
	struct bed *b = *state;

	fill(b, 0, 10);
	b->target.not_loaded = true;
	assert_int_not_equal(scan(b), ERR_OK);
	assert_string_equal(b->e.text, "d is not loaded on the target: load it there");
}

static enum err_code mend(void *arg, int64_t id, const char *partition, const char *const *keys,
	size_t n, struct err *e)
{
	struct bed *b = arg;

	(void)e;
	assert_int_equal(id, COLLECTION);
	assert_null(partition);
	for (size_t i = 0; i < n; i++) {
		int64_t key = 0;
		assert_true(str_to_i64(keys[i], &key));
		if (key == 3)
			add_row(&b->target, 3, 3);
		else if (key == 4)
			row_of(&b->target, 4)->value = 4;
		else
			assert_int_equal(key, 5); /* can't be helped */
	}
	return ERR_OK;
}

static void test_repair(void **state)
{
	struct bed *b = *state;

	fill(b, 0, 10);
	take_out(&b->target, 3);
	row_of(&b->target, 4)->value = 40;
	row_of(&b->target, 5)->value = 50;
	b->v.o.repair = mend;
	b->v.o.arg = b;
	struct verify_coll *c = good_scan(b);
	assert_int_equal(c->n_repaired, 2);
	assert_int_equal(c->rows, 9);
	assert_int_equal(c->n_different, 1);
	assert_string_equal(c->diffs[0].key, "5");
}

/* A pass that goes on takes over what is done, and reads what is behind. */
static void test_document(void **state)
{
	static const char text[] =
		"{\"task_id\":\"t1\",\"up_to_ts\":77,\"collections\":[{\"collection_id\":449,"
		"\"result\":\"open\",\"rows\":40,\"different\":1,\"changing\":0,\"repaired\":2,"
		"\"differences\":[{\"kind\":\"differs\",\"key\":7,\"what\":\"v\"}],"
		"\"partition_read\":\"\",\"after\":\"99\"}]}";
	struct bed *b = *state;
	struct verify_coll *c = &b->v.colls[0];
	CLEANUP(json_in_freep) json_t *doc = json_loads(text, 0, NULL);

	fill(b, 0, 150);
	assert_int_equal(verify_resume(&b->v, doc, &b->e), ERR_OK);
	assert_string_equal(c->after, "99");
	(void)good_scan(b);
	assert_int_equal(c->rows, 40 + 50);
	assert_int_equal(b->v.since_ts, 77);
	CLEANUP(json_in_freep) json_t *out = verify_json(&b->v);
	const json_t *one = json_array_get(json_object_get(out, "collections"), 0);
	assert_int_equal(json_integer_value(json_object_get(one, "rows")), 90);
	assert_int_equal(json_integer_value(json_object_get(one, "repaired")), 2);
	assert_true(json_equal(json_object_get(one, "differences"),
		json_object_get(
			json_array_get(json_object_get(doc, "collections"), 0), "differences")));
	c->state = VERIFY_DIFFERENT;
	CLEANUP(buf_done) struct buf said = BUF_INIT(TEXT_BYTES);
	verify_text(&b->v, &said);
	assert_string_equal(buf_cstr(&said),
		"default.c -> default.d: different, 90 rows equal, 1 differences, 2 rows repaired\n"
		"  differs: 7 (v)\ndifferent: 1 differences, 90 rows equal\n");
}

static void test_bad_documents(void **state)
{
	static const char *const texts[] = {"{}", "{\"task_id\":\"t1\",\"collections\":[]}",
		"{\"task_id\":\"t2\",\"up_to_ts\":7,\"collections\":[]}"};
	struct bed *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		CLEANUP(json_in_freep) json_t *doc = json_loads(texts[i], 0, NULL);
		struct err e = ERR_INIT;
		assert_int_equal(verify_resume(&b->v, doc, &e), ERR_INVALID);
	}
	/* what is no key does not get into an expression */
	CLEANUP(json_in_freep)
	json_t *doc = json_loads("{\"task_id\":\"t1\",\"up_to_ts\":7,\"collections\":[{"
				 "\"collection_id\":449,\"result\":\"open\",\"rows\":5,"
				 "\"after\":\"1 or id > 2\"}]}",
		0, NULL);
	assert_int_equal(verify_resume(&b->v, doc, &b->e), ERR_OK);
	assert_null(b->v.colls[0].after);
	assert_int_equal(b->v.colls[0].rows, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_equal_sides, up, down),
		cmocka_unit_test_setup_teardown(test_empty_sides, up, down),
		cmocka_unit_test_setup_teardown(test_differences_at_borders, up, down),
		cmocka_unit_test_setup_teardown(test_many_extra_rows, up, down),
		cmocka_unit_test_setup_teardown(test_row_on_its_way, up, down),
		cmocka_unit_test_setup_teardown(test_row_that_changes, up, down),
		cmocka_unit_test_setup_teardown(test_copies, up, down),
		cmocka_unit_test_setup_teardown(test_not_loaded, up, down),
		cmocka_unit_test_setup_teardown(test_repair, up, down),
		cmocka_unit_test_setup_teardown(test_document, up, down),
		cmocka_unit_test_setup_teardown(test_bad_documents, up, down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
