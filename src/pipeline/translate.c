/* The splicing of DML messages. Per type a row says which field numbers hold what; from it and the
 * caller's names, ids and times comes the list of new values that splice_message puts in. */
#include "pipeline/translate.h"

#include <assert.h>

#include "base/limits.h"
#include "base/splice.h"
#include "base/wire.h"
#include "model/msg_base.h"
#include "pipeline/translate_priv.h"

enum { F_BASE = 1, F_TIMESTAMPS = 10, FIELDS_MAX = 8, VARINT_BYTES = 10 };
enum { NO_PARTITION = -1 };

/* 0 = the type has no such field. */
static const struct layout {
	int type;
	uint8_t shard, db, collection, collection_id, partition_id, partition_ids;
	bool rows;
} layouts[] = {
	{MSG_INSERT, 2, 3, 4, 7, 8, 0, true},
	{MSG_DELETE, 2, 3, 4, 7, 8, 0, true},
	{MSG_DROP_COLLECTION, 0, 2, 3, 5, 0, 0, false},
	{MSG_DROP_PARTITION, 0, 2, 3, 6, 7, 0, false},
	{MSG_IMPORT, 0, 2, 3, 4, 0, 5, false},
};

/* The new values of one message; the fields point into it. */
struct plan {
	struct splice_field fields[FIELDS_MAX];
	size_t n;
	struct slice base, shard, db, collection, partition_ids, times;
	uint8_t id[VARINT_BYTES];
};

static const struct layout *layout_of(int type)
{
	for (size_t i = 0; i < ARRAY_LEN(layouts); i++)
		if (layouts[i].type == type)
			return &layouts[i];
	return NULL;
}

static void plan_bytes(struct plan *p, uint32_t num, const struct slice *s)
{
	if (num)
		p->fields[p->n++] =
			(struct splice_field){.num = num, .kind = SPLICE_BYTES, .list = s, .n = 1};
}

static void plan_i64(struct plan *p, uint32_t num, int64_t v)
{
	if (num)
		p->fields[p->n++] = (struct splice_field){.num = num, .value = (uint64_t)v};
}

/* How many numbers a packed or unpacked field holds; false if it can't be read. */
static bool count_numbers(const struct wire_field *f, size_t *n)
{
	struct wire w = wire_open(f->data);
	uint64_t v;

	if (f->type == WIRE_VARINT) {
		(*n)++;
		return true;
	}
	while (wire_varint(&w, &v))
		(*n)++;
	return f->type == WIRE_LEN && !w.bad;
}

/* Import names its partitions in a list of ids. Only a list of one has an equal on the target. */
static enum err_code plan_import_partition(struct plan *p, const struct layout *l,
	const struct translate *t, const struct dml *d, struct err *e)
{
	struct wire w = wire_open(d->payload);
	struct wire_field f;
	size_t n = 0;

	while (wire_next(&w, &f))
		if (f.num == l->partition_ids && !count_numbers(&f, &n))
			return err_set(e, ERR_MALFORMED, "an Import's partition ids can't be read");
	if (!n)
		return ERR_OK;
	if (n > 1 || !t->partition_id)
		return err_set(
			e, ERR_UNSUPPORTED, "an Import into %zu partitions can't be translated", n);
	p->partition_ids = slice_of(p->id, wire_varint_put(p->id, (uint64_t)t->partition_id));
	plan_bytes(p, l->partition_ids, &p->partition_ids);
	p->fields[p->n - 1].packed = true;
	return ERR_OK;
}

static uint64_t stamp_of(const struct stamps *s, uint64_t row)
{
	return s->rows ? s->rows[row] : s->one;
}

/* The first is written, then what is there is doubled. */
struct slice translate_repeat_time(uint64_t ts, uint64_t rows, struct arena *a)
{
	size_t one = wire_varint_size(ts), n = one * rows;
	uint8_t *p = arena_alloc(a, MAX(n, (size_t)VARINT_BYTES));

	wire_varint_put(p, ts);
	for (size_t have = one; have < n; have *= 2)
		memcpy(p + have, p, MIN(have, n - have));
	return slice_of(p, n);
}

/* All rows' new times, packed, in the arena. */
static enum err_code pack_times(const struct stamps *s, uint64_t rows, struct arena *a,
	struct slice *ret_times, struct err *e)
{
	if (rows > LIMIT_MESSAGE / VARINT_BYTES)
		return err_set(e, ERR_LIMIT,
			"the times of %llu rows are more than a message may hold",
			(unsigned long long)rows);
	if (!s->rows) {
		*ret_times = translate_repeat_time(s->one, rows, a);
		return ERR_OK;
	}
	uint8_t *p = arena_alloc(a, rows * VARINT_BYTES);
	size_t n = 0;
	for (uint64_t i = 0; i < rows; i++)
		n += wire_varint_put(p + n, s->rows[i]);
	arena_trim(a, p, n);
	*ret_times = slice_of(p, n);
	return ERR_OK;
}

static uint64_t smallest(const struct stamps *s, uint64_t rows)
{
	uint64_t ts = stamp_of(s, 0);

	for (uint64_t i = 1; s->rows && i < rows; i++)
		ts = MIN(ts, s->rows[i]);
	return ts;
}

static enum err_code plan_base(struct plan *p, const struct translate *t, const struct dml *d,
	struct arena *a, struct err *e)
{
	struct msg_base_change c = {
		.msg_id = t->msg_id, .set_ts = t->stamps.change, .replicate_id = t->replicate_id};

	assert(!t->stamps.change || !t->stamps.rows || d->rows);
	if (c.set_ts)
		c.ts = smallest(&t->stamps, d->rows);
	plan_bytes(p, F_BASE, &p->base);
	return msg_base_rewrite(d->payload, &c, a, &p->base, e);
}

enum err_code translate_dml(const struct translate *t, const struct dml *d, struct arena *a,
	struct iov *out, struct err *e)
{
	const struct layout *l = layout_of(d->type);
	struct plan p = {.db = slice_str(t->db), .collection = slice_str(t->collection)};

	assert(l && (!l->shard || t->shard));
	if (plan_base(&p, t, d, a, e))
		return e->code;
	if (l->shard)
		p.shard = slice_str(t->shard);
	plan_bytes(&p, l->shard, &p.shard);
	plan_bytes(&p, l->db, &p.db);
	plan_bytes(&p, l->collection, &p.collection);
	plan_i64(&p, l->collection_id, t->collection_id);
	if (l->partition_id && d->partition_id && d->partition_id != NO_PARTITION)
		plan_i64(&p, l->partition_id, t->partition_id);
	if (l->partition_ids && plan_import_partition(&p, l, t, d, e))
		return e->code;
	if (l->rows && d->rows && t->stamps.change) {
		if (pack_times(&t->stamps, d->rows, a, &p.times, e))
			return e->code;
		plan_bytes(&p, F_TIMESTAMPS, &p.times);
		p.fields[p.n - 1].packed = true;
	}
	return splice_message(d->payload, p.fields, p.n, a, out, e);
}

enum err_code translate_row_times(const struct dml *d, uint64_t *ret, struct err *e)
{
	struct wire w = wire_open(d->payload);
	struct wire_field f;
	uint64_t n = 0, ts;

	while (wire_next(&w, &f)) {
		if (f.num != F_TIMESTAMPS)
			continue;
		struct wire packed = wire_open(f.data);
		if (f.type == WIRE_VARINT && n < d->rows)
			ret[n++] = f.value;
		while (n < d->rows && wire_varint(&packed, &ts))
			ret[n++] = ts;
		if (packed.p != packed.end)
			return err_set(e, ERR_MALFORMED, "a message's row times can't be read");
	}
	if (w.bad || n != d->rows)
		return err_set(e, ERR_MALFORMED, "a message has %llu row times, %llu are expected",
			(unsigned long long)n, (unsigned long long)d->rows);
	return ERR_OK;
}
