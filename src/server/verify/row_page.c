#include "server/verify/row_page.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "sink/rows.h"

static int compare_text(struct slice a, struct slice b)
{
	size_t n = MIN(a.n, b.n);
	int c = n ? memcmp(a.p, b.p, n) : 0;

	return c ? c : (a.n > b.n) - (a.n < b.n);
}

int row_key_compare(const struct row_key *a, const struct row_key *b, bool varchar)
{
	int c = varchar ? compare_text(a->text, b->text)
			: (a->number > b->number) - (a->number < b->number);
	return (c > 0) - (c < 0);
}

void row_key_put(struct buf *b, const struct row_key *k, bool varchar)
{
	if (!varchar) {
		buf_putf(b, "%" PRId64, k->number);
		return;
	}
	buf_put_u8(b, '"');
	for (size_t i = 0; i < k->text.n; i++) {
		uint8_t c = k->text.p[i];
		if (c < ' ' || c == '"' || c == '\\')
			json_out_escaped(b, c);
		else
			buf_put_u8(b, c);
	}
	buf_put_u8(b, '"');
}

struct row_key row_key_copy(struct arena *a, const struct row_key *k)
{
	return (struct row_key){.number = k->number, .text = arena_copy(a, k->text)};
}

/* ---- reading ---- */

/* Columns in the order of their names. */
struct order {
	const struct rows_column **columns;
	size_t n, key; /* key: the place of the key column */
};

static int by_name(const void *a, const void *b)
{
	const struct rows_column *const *x = a, *const *y = b;
	return compare_text((*x)->name, (*y)->name);
}

static void order_columns(struct order *o, const struct rows *r, const char *pk_name)
{
	o->n = r->n_columns;
	o->columns = xcalloc(o->n + 1, sizeof(struct rows_column *));
	for (size_t i = 0; i < o->n; i++)
		o->columns[i] = &r->columns[i];
	qsort(o->columns, o->n, sizeof(struct rows_column *), by_name);
	for (size_t i = 0; i < o->n; i++)
		if (slice_eq_str(o->columns[i]->name, pk_name))
			o->key = i;
}

static void put_names(struct row_page *p, const struct order *o)
{
	p->n_names = o->n;
	p->names = arena_alloc(&p->arena, (o->n + 1) * sizeof(char *));
	for (size_t i = 0; i < o->n; i++) {
		struct slice name = o->columns[i]->name;
		char *copy = arena_alloc(&p->arena, name.n + 1);
		if (name.n)
			memcpy(copy, name.p, name.n);
		copy[name.n] = '\0';
		p->names[i] = copy;
	}
}

/* Collisions are out of the question, also where somebody can choose the rows. */
static enum err_code digest(struct slice in, uint8_t *ret, size_t n, struct err *e)
{
	uint8_t full[EVP_MAX_MD_SIZE];

	if (EVP_Digest(in.p, in.n, full, NULL, EVP_sha256(), NULL) != 1)
		return err_set(e, ERR_SYSTEM, "SHA-256 failed");
	memcpy(ret, full, n);
	return ERR_OK;
}

static enum err_code add_fields(
	struct row_page *p, struct row *row, struct slice whole, const size_t *ends, struct err *e)
{
	row->fields = arena_alloc(&p->arena, (p->n_names + 1) * sizeof(uint64_t));
	for (size_t i = 0, at = 0; i < p->n_names; at = ends[i++])
		if (digest(slice_of(whole.p + at, ends[i] - at), (uint8_t *)&row->fields[i],
			    sizeof(uint64_t), e))
			return e->code;
	return ERR_OK;
}

/* The present row of the columns. */
static enum err_code add_row(struct row_page *p, const struct order *o, bool varchar, size_t *ends,
	struct buf *scratch, struct err *e)
{
	const struct rows_column *key = o->columns[o->key];
	struct row row = {.fields = NULL};

	buf_reset(scratch);
	for (size_t i = 0; i < o->n; i++) {
		buf_put(scratch, o->columns[i]->name.p, o->columns[i]->name.n);
		buf_put_u8(scratch, '\0');
		if (rows_put_value(scratch, o->columns[i], e))
			return e->code;
		if (ends)
			ends[i] = scratch->n;
	}
	if (buf_failed(scratch))
		return err_set(e, ERR_LIMIT, "a row is larger than %zu bytes", scratch->max);
	if (varchar)
		row.key.text = arena_copy(&p->arena, key->bytes);
	else
		row.key.number = (int64_t)key->number;
	if (digest(buf_slice(scratch), row.digest, sizeof(row.digest), e) ||
		(ends && add_fields(p, &row, buf_slice(scratch), ends, e)))
		return e->code;
	mem_grow(&p->rows, &p->cap, p->n + 1, sizeof(*p->rows));
	p->rows[p->n++] = row;
	return ERR_OK;
}

static int by_key(const void *a, const void *b, void *varchar)
{
	const struct row *x = a, *y = b;
	return row_key_compare(&x->key, &y->key, *(bool *)varchar);
}

/* Milvus answers in the order of the keys; where it does not, it is put right here. */
static enum err_code sort_rows(struct row_page *p, bool varchar, struct err *e)
{
	qsort_r(p->rows, p->n, sizeof(*p->rows), by_key, &varchar);
	for (size_t i = 1; i < p->n; i++)
		if (!row_key_compare(&p->rows[i - 1].key, &p->rows[i].key, varchar))
			return err_set(e, ERR_MALFORMED, "a key stands twice in one answer");
	return ERR_OK;
}

static enum err_code add_rows(struct row_page *p, struct rows *r, const struct order *o,
	bool varchar, bool detail, struct err *e)
{
	CLEANUP(buf_done) struct buf scratch = BUF_INIT(LIMIT_MESSAGE);
	CLEANUP(freep) size_t *ends = detail ? xcalloc(o->n + 1, sizeof(*ends)) : NULL;
	bool more;

	while (!rows_next(r, &more, e) && more)
		if (add_row(p, o, varchar, ends, &scratch, e))
			break;
	return e->code ? e->code : sort_rows(p, varchar, e);
}

enum err_code row_page_read(struct row_page *p, struct slice answer, const char *pk_name,
	bool varchar, bool detail, struct err *e)
{
	CLEANUP(rows_done) struct rows r = {.n = 0};
	struct order o = {.n = 0};

	row_page_reset(p);
	p->bytes = answer.n;
	if (rows_open_answer(&r, answer, pk_name, e))
		return e->code;
	if (r.n) {
		order_columns(&o, &r, pk_name);
		bool fits = (o.columns[o.key]->values.coding == ROWS_BYTES) == varchar &&
			    !o.columns[o.key]->row_bytes;
		put_names(p, &o);
		if (!fits)
			err_set(e, ERR_MALFORMED, "key %s is of another type", pk_name);
		else
			(void)add_rows(p, &r, &o, varchar, detail, e);
		free(o.columns);
	}
	return e->code;
}

const struct row *row_page_find(const struct row_page *p, const struct row_key *k, bool varchar)
{
	size_t low = 0, high = p->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = row_key_compare(&p->rows[mid].key, k, varchar);
		if (!c)
			return &p->rows[mid];
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

void row_page_reset(struct row_page *p)
{
	arena_reset(&p->arena);
	p->n = p->n_names = p->bytes = 0;
	p->names = NULL;
}

void row_page_done(struct row_page *p)
{
	arena_done(&p->arena);
	free(p->rows);
	*p = (struct row_page){.n = 0};
}
