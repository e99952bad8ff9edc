/* Opening the columns of a message and walking over its rows. */
#include "sink/rows.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "sink/rows_type.h"

/* msg.InsertRequest, msg.DeleteRequest, schema.FieldData, schema.IDs */
enum { M_TIMESTAMPS = 10, I_FIELDS = 13, I_VERSION = 15, D_INT64_KEYS = 9, D_KEYS = 12 };
enum {
	FD_TYPE = 1,
	FD_NAME = 2,
	FD_SCALARS = 3,
	FD_VECTORS = 4,
	FD_ID = 5,
	FD_DYNAMIC = 6,
	FD_VALID = 7
};
enum { IDS_LONG = 1, IDS_STRING = 2, ARRAY_DATA = 1, VEC_DIM = 1 };
enum { S_LONG = 3, S_STRING = 6 }; /* schema.ScalarField */
enum { A_FIELDS = 2 };             /* milvus.QueryResults */
enum { COLUMNS_MAX = 4096, FIRST_USER_FIELD = 100, VERSION_COLUMNS = 1 };

struct rows_values rows_values_of(struct slice raw, uint32_t num, enum rows_coding coding)
{
	return (struct rows_values){.w = wire_open(raw),
		.run = wire_open((struct slice){0}),
		.num = num,
		.coding = coding};
}

static bool take_fixed(struct wire *run, size_t n, uint64_t *ret)
{
	uint64_t v = 0;

	if ((size_t)(run->end - run->p) < n)
		return false;
	for (size_t i = n; i > 0; i--)
		v = v << 8 | run->p[i - 1];
	run->p += n;
	*ret = v;
	return true;
}

static bool take_packed(struct rows_values *v, uint64_t *ret)
{
	switch (v->coding) {
	case ROWS_VARINT:
		return wire_varint(&v->run, ret);
	case ROWS_F32:
		return take_fixed(&v->run, 4, ret);
	case ROWS_F64:
		return take_fixed(&v->run, 8, ret);
	case ROWS_BYTES:
		break;
	}
	return false;
}

bool rows_values_next(struct rows_values *v, uint64_t *ret_number, struct slice *ret_bytes)
{
	struct wire_field f;

	while (v->run.p == v->run.end) {
		if (!wire_next(&v->w, &f))
			return false;
		if (f.num != v->num)
			continue;
		if (v->coding == ROWS_BYTES) {
			*ret_bytes = f.data;
			return f.type == WIRE_LEN;
		}
		if (f.type != WIRE_LEN) {
			*ret_number = f.value;
			return true;
		}
		v->run = wire_open(f.data);
	}
	return take_packed(v, ret_number);
}

static uint64_t count(struct rows_values v)
{
	uint64_t n = 0, number;
	struct slice bytes;

	while (rows_values_next(&v, &number, &bytes))
		n++;
	return n;
}

/* The last field num of raw; false when it is missing. */
static bool find(struct slice raw, uint32_t num, struct wire_field *ret)
{
	struct wire w = wire_open(raw);
	struct wire_field f;
	bool found = false;

	while (wire_next(&w, &f))
		if (f.num == num) {
			*ret = f;
			found = true;
		}
	return found && !w.bad;
}

static enum err_code malformed(const struct rows_column *c, const char *why, struct err *e)
{
	return err_set(e, ERR_MALFORMED, "field %.*s (id %lld, type %d): %s",
		(int)MIN(c->name.n, 80), c->name.n ? (const char *)c->name.p : "",
		(long long)c->field_id, c->type, why);
}

static uint64_t rows_with_value(const struct rows_column *c, uint64_t rows)
{
	struct rows_values v = c->valid;
	uint64_t n = 0, number;
	struct slice bytes;

	if (!c->nullable)
		return rows;
	while (rows_values_next(&v, &number, &bytes))
		n += number != 0;
	return n;
}

/* Dense vectors: one run of bytes, the same number a row. */
static enum err_code open_dense(struct rows_column *c, const struct rows_type *t,
	struct slice vectors, uint64_t rows, struct err *e)
{
	struct wire_field f, inner;

	c->dim = find(vectors, VEC_DIM, &f) && f.type == WIRE_VARINT ? f.value : 0;
	if (find(vectors, t->num, &f) && f.type == WIRE_LEN) {
		c->dense = f.data;
		if (t->inner)
			c->dense = find(f.data, ARRAY_DATA, &inner) && inner.type == WIRE_LEN
					   ? inner.data
					   : (struct slice){0};
	}
	c->row_bytes = c->dim / 8 * t->bits + c->dim % 8 * t->bits / 8;
	if (c->dim > LIMIT_MESSAGE || !c->row_bytes)
		return malformed(c, "its dimension can't be", e);
	uint64_t have = c->dense.n / c->row_bytes;
	if (c->dense.n % c->row_bytes || (have != rows && have != rows_with_value(c, rows)))
		return malformed(c, "its bytes do not make up the rows", e);
	c->compact = have != rows;
	return ERR_OK;
}

static enum err_code open_values(struct rows_column *c, const struct rows_type *t,
	struct slice holder, uint64_t rows, struct err *e)
{
	struct wire_field f;
	struct slice array = {0};

	if (find(holder, t->num, &f)) {
		if (f.type != WIRE_LEN)
			return malformed(c, "it can't be read", e);
		array = f.data;
	}
	c->values = rows_values_of(array, ARRAY_DATA, t->coding);
	uint64_t have = count(c->values);
	if (have != rows && have != rows_with_value(c, rows))
		return malformed(c, "it has not as many values as there are rows", e);
	c->compact = have != rows;
	return ERR_OK;
}

static struct rows_column *add_column(struct rows *r)
{
	mem_grow(&r->columns, &r->cap, r->n_columns + 1, sizeof(*r->columns));
	struct rows_column *c = &r->columns[r->n_columns++];
	*c = (struct rows_column){.type = 0};
	return c;
}

static void read_head(struct rows_column *c, struct slice raw)
{
	struct wire w = wire_open(raw);
	struct wire_field f;

	while (wire_next(&w, &f)) {
		if (f.num == FD_TYPE)
			c->type = (int)f.value;
		else if (f.num == FD_NAME)
			c->name = f.data;
		else if (f.num == FD_ID)
			c->field_id = (int64_t)f.value;
		else if (f.num == FD_DYNAMIC)
			c->is_dynamic = f.value != 0;
		else if (f.num == FD_VALID)
			c->nullable = true;
	}
	c->valid = rows_values_of(raw, FD_VALID, ROWS_VARINT);
	if (!c->name.n && c->is_dynamic)
		c->name = slice_str("$meta");
}

static enum err_code open_column(struct rows *r, struct slice raw, struct err *e)
{
	struct rows_column *c = add_column(r);
	struct wire_field f = {0};

	read_head(c, raw);
	if (c->field_id && c->field_id < FIRST_USER_FIELD) {
		r->n_columns--; /* row id and time: ours come from elsewhere */
		return ERR_OK;
	}
	const struct rows_type *t = rows_type_of(c->type);
	if (!t)
		return err_set(e, ERR_UNSUPPORTED,
			"field %.*s has data type %d, which has no form in this format",
			(int)MIN(c->name.n, 80), c->name.n ? (const char *)c->name.p : "", c->type);
	if (c->nullable && count(c->valid) != r->n)
		return malformed(c, "valid_data does not fit the rows", e);
	bool found = find(raw, t->is_vector ? FD_VECTORS : FD_SCALARS, &f);
	if (found && f.type != WIRE_LEN)
		return malformed(c, "it can't be read", e);
	struct slice holder = found ? f.data : (struct slice){0};
	return t->bits ? open_dense(c, t, holder, r->n, e) : open_values(c, t, holder, r->n, e);
}

static enum err_code open_insert(struct rows *r, struct slice payload, struct err *e)
{
	struct wire w = wire_open(payload);
	struct wire_field f;
	uint64_t version = 0;

	while (wire_next(&w, &f)) {
		if (f.num == I_VERSION)
			version = f.value;
		if (f.num != I_FIELDS)
			continue;
		if (f.type != WIRE_LEN || r->n_columns >= COLUMNS_MAX)
			return err_set(e, ERR_MALFORMED, "an insert's columns can't be read");
		if (open_column(r, f.data, e))
			return e->code;
	}
	if (version != VERSION_COLUMNS)
		return err_set(e, ERR_UNSUPPORTED, "an insert is row-based (version %llu)",
			(unsigned long long)version);
	return ERR_OK;
}

static enum err_code open_delete(struct rows *r, struct slice payload, int64_t pk_field_id,
	const char *pk_name, struct err *e)
{
	struct rows_column *c = add_column(r);
	struct wire_field f, keys;

	c->name = slice_str(pk_name);
	c->field_id = pk_field_id;
	c->type = ROWS_TYPE_INT64;
	if (!find(payload, D_KEYS, &f) || f.type != WIRE_LEN) {
		c->values = rows_values_of(payload, D_INT64_KEYS, ROWS_VARINT);
	} else if (find(f.data, IDS_STRING, &keys) && keys.type == WIRE_LEN) {
		c->type = ROWS_TYPE_VARCHAR;
		c->values = rows_values_of(keys.data, ARRAY_DATA, ROWS_BYTES);
	} else if (find(f.data, IDS_LONG, &keys) && keys.type == WIRE_LEN) {
		c->values = rows_values_of(keys.data, ARRAY_DATA, ROWS_VARINT);
	}
	return count(c->values) == r->n ? ERR_OK
					: malformed(c, "a delete has not a key for each row", e);
}

enum err_code rows_open(struct rows *r, const struct dml *d, int64_t pk_field_id,
	const char *pk_name, struct err *e)
{
	*r = (struct rows){.n = d->rows, .timed = true};
	r->times = rows_values_of(d->payload, M_TIMESTAMPS, ROWS_VARINT);
	if (d->type == MSG_DELETE)
		return open_delete(r, d->payload, pk_field_id, pk_name, e);
	return open_insert(r, d->payload, e);
}

/* How many values the column of that name has. */
static bool count_keys(struct slice column, const char *pk_name, uint64_t *ret)
{
	struct rows_column c = {.type = 0};
	struct wire_field scalars, array;

	read_head(&c, column);
	if (!slice_eq_str(c.name, pk_name))
		return false;
	bool text = c.type == ROWS_TYPE_VARCHAR;
	*ret = 0;
	if (find(column, FD_SCALARS, &scalars) && scalars.type == WIRE_LEN &&
		find(scalars.data, text ? S_STRING : S_LONG, &array) && array.type == WIRE_LEN)
		*ret = count(
			rows_values_of(array.data, ARRAY_DATA, text ? ROWS_BYTES : ROWS_VARINT));
	return true;
}

enum err_code rows_open_answer(
	struct rows *r, struct slice answer, const char *pk_name, struct err *e)
{
	struct wire w = wire_open(answer), again = w;
	struct wire_field f;
	bool keyed = false, any = false;

	*r = (struct rows){.n = 0};
	while (wire_next(&w, &f)) {
		any = any || f.num == A_FIELDS;
		if (f.num == A_FIELDS && f.type == WIRE_LEN)
			keyed = count_keys(f.data, pk_name, &r->n) || keyed;
	}
	if (w.bad || keyed != any)
		return err_set(e, ERR_MALFORMED, "an answer of %zu bytes has no column %s",
			answer.n, pk_name);
	while (wire_next(&again, &f)) {
		if (f.num != A_FIELDS)
			continue;
		if (f.type != WIRE_LEN || r->n_columns >= COLUMNS_MAX)
			return err_set(e, ERR_MALFORMED, "an answer's columns can't be read");
		if (open_column(r, f.data, e))
			return e->code;
	}
	return ERR_OK;
}

void rows_done(struct rows *r)
{
	freep(&r->columns);
	*r = (struct rows){.n = 0};
}

static bool take_value(struct rows_column *c)
{
	uint64_t valid = 1;
	struct slice none;

	if (c->nullable && !rows_values_next(&c->valid, &valid, &none))
		return false;
	c->is_null = !valid;
	if (c->is_null && c->compact)
		return true;
	if (!c->row_bytes)
		return rows_values_next(&c->values, &c->number, &c->bytes);
	if (c->dense.n < c->row_bytes)
		return false;
	c->bytes = slice_of(c->dense.p, c->row_bytes);
	c->dense = slice_of(c->dense.p + c->row_bytes, c->dense.n - c->row_bytes);
	return true;
}

enum err_code rows_next(struct rows *r, bool *ret_more, struct err *e)
{
	struct slice none;

	*ret_more = r->i < r->n;
	if (!*ret_more)
		return ERR_OK;
	r->i++;
	if (r->timed && !rows_values_next(&r->times, &r->ts, &none))
		return err_set(e, ERR_MALFORMED, "a row has no time");
	for (size_t i = 0; i < r->n_columns; i++)
		if (!take_value(&r->columns[i]))
			return malformed(&r->columns[i], "it ends before the rows do", e);
	return ERR_OK;
}
