#include "support/verify_bed.h"

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
#include "store/store_mem.h"

enum { ANSWER_BYTES = 4 << 20, TEXT_BYTES = 1 << 16, LIST_MAX = 1000 };

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

struct asked {
	char expr[TEXT_BYTES], field[64], partition[64];
	size_t limit;
	int64_t above, to;      /* a range of keys */
	int64_t list[LIST_MAX]; /* or these */
	size_t n_list;
};

static int by_number(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static void read_expr(struct asked *q)
{
	char *at = strstr(q->expr, " in [");

	q->above = INT64_MIN;
	q->to = INT64_MAX;
	if (!at) {
		if (!sscanf(q->expr, "id > %" SCNd64 " and id <= %" SCNd64, &q->above, &q->to))
			(void)sscanf(q->expr, "id <= %" SCNd64, &q->to);
		return;
	}
	for (at += strlen(" in ["); *at != ']'; at += *at == ',') {
		assert_true(q->n_list < LIST_MAX);
		q->list[q->n_list++] = strtoll(at, &at, 10);
	}
	qsort(q->list, q->n_list, sizeof(*q->list), by_number);
}

static bool fits(const struct asked *q, int64_t key)
{
	if (q->n_list)
		return bsearch(&key, q->list, q->n_list, sizeof(key), by_number);
	return key > q->above && key <= q->to;
}

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
		else if (f.num == 6)
			snprintf(q->partition, sizeof(q->partition), "%.*s", (int)f.data.n,
				f.data.p);
		for (pair = wire_open(f.data); f.num == 9 && wire_next(&pair, &p);)
			if (p.num == 2 && slice_to_i64(p.data, &n))
				q->limit = (size_t)n;
	}
	read_expr(q);
}

static bool is_asked(const struct fake_side *s, const struct asked *q, const struct fake_row *r)
{
	if (r->elsewhere && !s->second)
		return false; /* its partition is gone */
	if (*q->partition && r->elsewhere != (strcmp(q->partition, "second") == 0))
		return false;
	return fits(q, r->key);
}

/* As Milvus 2.3: each segment gives its first rows, copies of a key are taken out of them, and of the
 * rest the first ones are the answer. */
static void answer_rows(struct fake_side *s, const struct asked *q, struct buf *answer)
{
	int64_t *keys = xcalloc(VB_ROWS_MAX, sizeof(*keys)),
		*values = xcalloc(VB_ROWS_MAX, sizeof(*values));
	size_t n = 0, given[2] = {0};

	for (size_t i = 0; i < s->n && n < q->limit; i++) {
		struct fake_row *r = &s->rows[i];
		if (!is_asked(s, q, r) || given[r->segment] == q->limit)
			continue;
		given[r->segment]++;
		if (n && keys[n - 1] == r->key)
			continue;
		if (r->key == s->restless)
			r->value++;
		keys[n] = r->key;
		values[n++] = r->value;
	}
	put_numbers(answer, "value", values, n);
	put_numbers(answer, "id", keys, n);
	free(keys);
	free(values);
}

static void answer_count(struct fake_side *s, const struct asked *q, struct buf *answer)
{
	int64_t total = 0;

	for (size_t i = 0; i < s->n; i++)
		total += is_asked(s, q, &s->rows[i]);
	put_numbers(answer, "count(*)", &total, 1);
}

void vb_add_row(struct fake_side *s, int64_t key, int64_t value)
{
	size_t i = s->n++;

	for (; i > 0 && s->rows[i - 1].key > key; i--)
		s->rows[i] = s->rows[i - 1];
	s->rows[i] = (struct fake_row){.key = key, .value = value};
}

static void put_error(struct buf *answer, const char *reason, uint64_t number)
{
	CLEANUP(buf_done) struct buf status = BUF_INIT(ANSWER_BYTES);

	wire_put_str(&status, 2, reason);
	wire_put_u64(&status, 3, number);
	wire_put_bytes(answer, 1, buf_slice(&status));
}

static void answer_query(struct fake_side *s, struct slice body, struct buf *answer)
{
	struct asked *q = xcalloc(1, sizeof(*q));

	read_query(body, q);
	s->queries++;
	if (*q->partition && s->ends_when_asked)
		s->second = 0;
	if (strcmp(q->partition, "second") == 0 && !s->second)
		put_error(answer, "partition not found", 200);
	else if (strcmp(q->field, "count(*)") == 0)
		answer_count(s, q, answer);
	else
		answer_rows(s, q, answer);
	free(q);
}

static void answer_describe(struct buf *answer)
{
	put_error(answer, "", 0);
	wire_put_u64(answer, 3, VB_COLLECTION);
	wire_put_str(answer, 4, "by-dev-rootcoord-dml_0_449v0");
	wire_put_str(answer, 5, "by-dev-rootcoord-dml_0");
}

static void answer_partitions(struct fake_side *s, struct buf *answer)
{
	if (++s->listings == s->listed_after)
		s->second = s->second_next;
	put_error(answer, "", 0);
	wire_put_str(answer, 2, "_default");
	if (s->second)
		wire_put_str(answer, 2, "second");
	wire_put_u64(answer, 3, 1);
	if (s->second)
		wire_put_u64(answer, 3, (uint64_t)s->second);
	if (s->listed_after == VB_EVERY_TIME)
		s->second++;
}

static void on_request(void *arg, struct gs_call *c)
{
	CLEANUP(buf_done) struct buf answer = BUF_INIT(ANSWER_BYTES);
	struct fake_side *s = arg;
	const char *path = gs_path(c);

	if (strstr(path, "/AllocTimestamp")) {
		wire_put_u64(&answer, 2, 1000);
		if (++s->clock_reads == s->late_after)
			vb_add_row(s, s->late_key, s->late_key);
	} else if (strstr(path, "/DescribeCollection")) {
		answer_describe(&answer);
	} else if (strstr(path, "/ShowPartitions")) {
		answer_partitions(s, &answer);
	} else if (s->not_loaded) {
		put_error(&answer, "load", 101);
	} else if (strstr(path, "/Query")) {
		answer_query(s, gs_body(c), &answer);
	}
	gs_answer(c, buf_slice(&answer), 0);
}

/* ---- the bed ---- */

static void open_side(struct verify_bed *b, struct fake_side *s)
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
static void put_position(struct verify_bed *b)
{
	struct store_position p = {.channel = "c", .pos = {.ts = UINT64_MAX}, .exact = true};
	struct store_positions doc = {.task_id = b->task->id,
		.collection_id = VB_COLLECTION,
		.source = &p,
		.n_source = 1};
	struct store_batch batch = {.task = b->task, .positions = &doc, .n_positions = 1};

	p.pos.ts = INT64_MAX;
	doc.collection_name = (char[]){"c"};
	assert_int_equal(store_write(b->store, &batch, &b->stop, &b->e), ERR_OK);
}

int vb_up(void **state)
{
	struct verify_bed *b = *state = xcalloc(1, sizeof(*b));

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
	b->v.colls[0] = (struct verify_coll){.id = VB_COLLECTION,
		.db = xstrdup("default"),
		.name = xstrdup("c"),
		.target_db = xstrdup("default"),
		.target_name = xstrdup("d"),
		.pk_name = xstrdup("id")};
	return 0;
}

int vb_down(void **state)
{
	struct verify_bed *b = *state;
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

void vb_fill(struct verify_bed *b, int64_t from, int64_t to)
{
	for (int64_t k = from; k < to; k++) {
		b->source.rows[b->source.n++] = (struct fake_row){.key = k, .value = k};
		b->target.rows[b->target.n++] = (struct fake_row){.key = k, .value = k};
	}
}

enum err_code vb_scan(struct verify_bed *b)
{
	struct verify_part p = {
		.v = &b->v, .c = &b->v.colls[0], .on_source = true, .on_target = true};

	enum err_code code = verify_scan(&p, &b->e);
	arena_done(&p.arena);
	free(p.suspects);
	return code;
}

struct verify_coll *vb_good_scan(struct verify_bed *b)
{
	enum err_code code = vb_scan(b);
	assert_string_equal(b->e.text, "");
	assert_int_equal(code, ERR_OK);
	return &b->v.colls[0];
}

struct fake_row *vb_row_of(struct fake_side *s, int64_t key)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->rows[i].key == key)
			return &s->rows[i];
	fail();
	return NULL;
}

void vb_take_out(struct fake_side *s, int64_t key)
{
	struct fake_row *c = vb_row_of(s, key);
	memmove(c, c + 1, (size_t)(s->rows + s->n - c - 1) * sizeof(*c));
	s->n--;
}
