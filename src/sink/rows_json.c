/* A row as JSON. */
#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"
#include "sink/rows_type.h"

/* Numbers of schema.DataType and of the members of schema.ScalarField and VectorField. */
static const struct rows_type types[] = {
	{1, 1, ROWS_VARINT, ROWS_BOOL, false, 0, false},         /* Bool */
	{2, 2, ROWS_VARINT, ROWS_INT, false, 0, false},          /* Int8 */
	{3, 2, ROWS_VARINT, ROWS_INT, false, 0, false},          /* Int16 */
	{4, 2, ROWS_VARINT, ROWS_INT, false, 0, false},          /* Int32 */
	{5, 3, ROWS_VARINT, ROWS_INT, false, 0, false},          /* Int64 */
	{10, 4, ROWS_F32, ROWS_FLOAT, false, 0, false},          /* Float */
	{11, 5, ROWS_F64, ROWS_DOUBLE, false, 0, false},         /* Double */
	{20, 6, ROWS_BYTES, ROWS_TEXT, false, 0, false},         /* String */
	{21, 6, ROWS_BYTES, ROWS_TEXT, false, 0, false},         /* VarChar */
	{22, 8, ROWS_BYTES, ROWS_ARRAY, false, 0, false},        /* Array */
	{23, 9, ROWS_BYTES, ROWS_TEXT, false, 0, false},         /* JSON */
	{24, 10, ROWS_BYTES, ROWS_BASE64, false, 0, false},      /* Geometry: WKB */
	{25, 6, ROWS_BYTES, ROWS_TEXT, false, 0, false},         /* Text */
	{100, 3, ROWS_BYTES, ROWS_BASE64, true, 1, false},       /* BinaryVector */
	{101, 2, ROWS_BYTES, ROWS_VECTOR_F32, true, 32, true},   /* FloatVector */
	{102, 4, ROWS_BYTES, ROWS_VECTOR_F16, true, 16, false},  /* Float16Vector */
	{103, 5, ROWS_BYTES, ROWS_VECTOR_BF16, true, 16, false}, /* BFloat16Vector */
	{104, 6, ROWS_BYTES, ROWS_SPARSE, true, 0, false},       /* SparseFloatVector */
	{105, 7, ROWS_BYTES, ROWS_VECTOR_I8, true, 8, false},    /* Int8Vector */
};

const struct rows_type *rows_type_of(int type)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (types[i].type == type)
			return &types[i];
	return NULL;
}

static uint32_t u32_at(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static float f32_of(uint32_t bits)
{
	float v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

static double f64_of(uint64_t bits)
{
	double v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

/* IEEE 754 half to single, exactly. */
static float f16_of(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 0x1f, part = h & 0x3ff;

	if (exponent == 0) {
		float small = (float)part / 16777216.0f; /* part * 2^-24 */
		return sign ? -small : small;
	}
	exponent = exponent == 0x1f ? 0xff : exponent + 112;
	return f32_of(sign | exponent << 23 | part << 13);
}

/* Bytes a dimension of a dense vector takes. */
static size_t dimension_bytes(enum rows_form form)
{
	return form == ROWS_VECTOR_F32 ? 4 : form == ROWS_VECTOR_I8 ? 1 : 2;
}

static void put_dimension(struct gojson *o, enum rows_form form, const uint8_t *p)
{
	if (form == ROWS_VECTOR_F32)
		gojson_f32(o, NULL, f32_of(u32_at(p)));
	else if (form == ROWS_VECTOR_I8)
		gojson_i64(o, NULL, (int8_t)p[0]);
	else if (form == ROWS_VECTOR_F16)
		gojson_f32(o, NULL, f16_of((uint16_t)(p[0] | p[1] << 8)));
	else
		gojson_f32(o, NULL, f32_of((uint32_t)(p[0] | p[1] << 8) << 16));
}

static void put_vector(struct gojson *o, const char *key, enum rows_form form, struct slice v)
{
	size_t step = dimension_bytes(form);

	gojson_open(o, key, '[');
	for (size_t i = 0; i + step <= v.n; i += step)
		put_dimension(o, form, v.p + i);
	gojson_close(o, ']');
}

/* Pairs of uint32 index and float, little-endian. */
static bool put_sparse(struct gojson *o, const char *key, struct slice v)
{
	char index[16];

	if (v.n % 8)
		return false;
	gojson_open(o, key, '{');
	for (size_t i = 0; i < v.n; i += 8) {
		snprintf(index, sizeof(index), "%u", (unsigned)u32_at(v.p + i));
		gojson_f32(o, index, f32_of(u32_at(v.p + i + 4)));
	}
	gojson_close(o, '}');
	return true;
}

static void put_scalar(
	struct gojson *o, const char *key, enum rows_form form, uint64_t number, struct slice bytes)
{
	switch (form) {
	case ROWS_BOOL:
		gojson_bool(o, key, number != 0);
		break;
	case ROWS_INT:
		gojson_i64(o, key, (int64_t)number);
		break;
	case ROWS_FLOAT:
		gojson_f32(o, key, f32_of((uint32_t)number));
		break;
	case ROWS_DOUBLE:
		gojson_f64(o, key, f64_of(number));
		break;
	case ROWS_TEXT:
		gojson_str(o, key, bytes);
		break;
	case ROWS_BASE64:
	case ROWS_ARRAY:
	case ROWS_VECTOR_F32:
	case ROWS_VECTOR_F16:
	case ROWS_VECTOR_BF16:
	case ROWS_VECTOR_I8:
	case ROWS_SPARSE:
		gojson_b64(o, key, bytes);
		break;
	}
}

/* One row of an Array column: a ScalarField with one member. */
static bool put_array(struct gojson *o, const char *key, struct slice v)
{
	static const struct {
		uint32_t num;
		enum rows_coding coding;
		enum rows_form form;
	} members[] = {{1, ROWS_VARINT, ROWS_BOOL}, {2, ROWS_VARINT, ROWS_INT},
		{3, ROWS_VARINT, ROWS_INT}, {4, ROWS_F32, ROWS_FLOAT}, {5, ROWS_F64, ROWS_DOUBLE},
		{6, ROWS_BYTES, ROWS_TEXT}, {7, ROWS_BYTES, ROWS_BASE64}};
	struct wire w = wire_open(v);
	struct wire_field f;
	uint64_t number = 0;
	struct slice bytes = {0};

	gojson_open(o, key, '[');
	while (wire_next(&w, &f))
		for (size_t i = 0; f.type == WIRE_LEN && i < ARRAY_LEN(members); i++) {
			if (members[i].num != f.num)
				continue;
			struct rows_values values = {.w = wire_open(f.data),
				.run = wire_open((struct slice){0}),
				.num = 1,
				.coding = members[i].coding};
			while (rows_values_next(&values, &number, &bytes))
				put_scalar(o, NULL, members[i].form, number, bytes);
			w.bad = w.bad || values.w.bad || values.run.p != values.run.end;
		}
	gojson_close(o, ']');
	return !w.bad;
}

static bool put_column(struct gojson *o, const char *key, const struct rows_column *c)
{
	enum rows_form form = rows_type_of(c->type)->form;

	switch (form) {
	case ROWS_ARRAY:
		return put_array(o, key, c->bytes);
	case ROWS_SPARSE:
		return put_sparse(o, key, c->bytes);
	case ROWS_VECTOR_F32:
	case ROWS_VECTOR_F16:
	case ROWS_VECTOR_BF16:
	case ROWS_VECTOR_I8:
		put_vector(o, key, form, c->bytes);
		break;
	case ROWS_BOOL:
	case ROWS_INT:
	case ROWS_FLOAT:
	case ROWS_DOUBLE:
	case ROWS_TEXT:
	case ROWS_BASE64:
		put_scalar(o, key, form, c->number, c->bytes);
		break;
	}
	return true;
}

static enum err_code put_value(
	struct gojson *o, const char *key, const struct rows_column *c, struct err *e)
{
	if (c->is_null) {
		gojson_null(o, key);
		return ERR_OK;
	}
	if (put_column(o, key, c))
		return ERR_OK;
	return err_set(e, ERR_MALFORMED, "a value of field %.*s can't be read",
		(int)MIN(c->name.n, 80), c->name.n ? (const char *)c->name.p : "");
}

enum err_code rows_json(const struct rows *r, struct gojson *o, const char *key, struct err *e)
{
	gojson_open(o, key, '{');
	for (size_t i = 0; i < r->n_columns; i++) {
		const struct rows_column *c = &r->columns[i];
		/* The value stands behind a key of any bytes. */
		struct gojson value = {.b = o->b};
		gojson_key(o, NULL);
		json_out_text(o->b, c->name);
		buf_put_u8(o->b, ':');
		if (put_value(&value, NULL, c, e))
			return e->code;
	}
	gojson_close(o, '}');
	return ERR_OK;
}

enum err_code rows_json_field(
	const struct rows *r, int64_t field_id, struct gojson *o, const char *key, struct err *e)
{
	for (size_t i = 0; i < r->n_columns; i++)
		if (r->columns[i].field_id == field_id)
			return put_value(o, key, &r->columns[i], e);
	gojson_null(o, key);
	return ERR_OK;
}
