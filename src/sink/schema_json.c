#include "sink/schema_json.h"

#include "base/wire.h"
#include "sink/pbjson.h"

/* schema.CollectionSchema, FieldSchema, FunctionSchema */
enum { S_DESCRIPTION = 2, S_AUTO_ID = 3, S_FIELDS = 4, S_DYNAMIC = 5, S_FUNCTIONS = 7 };
enum {
	F_ID = 1,
	F_NAME = 2,
	F_PRIMARY = 3,
	F_DESCRIPTION = 4,
	F_TYPE = 5,
	F_TYPE_PARAMS = 6,
	F_INDEX_PARAMS = 7,
	F_AUTO_ID = 8,
	F_ELEMENT = 10,
	F_DEFAULT = 11,
	F_DYNAMIC = 12,
	F_PARTITION_KEY = 13,
	F_CLUSTERING_KEY = 14,
	F_NULLABLE = 15
};
enum { FN_NAME = 1, FN_DESCRIPTION = 3, FN_TYPE = 4, FN_INPUTS = 5, FN_OUTPUTS = 7, FN_PARAMS = 9 };

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
	return found;
}

static uint64_t number(struct slice raw, uint32_t num)
{
	struct wire_field f;
	return find(raw, num, &f) && f.type == WIRE_VARINT ? f.value : 0;
}

static struct slice text(struct slice raw, uint32_t num)
{
	struct wire_field f;
	return find(raw, num, &f) && f.type == WIRE_LEN ? f.data : (struct slice){0};
}

struct slice schema_field_name(struct slice schema, int64_t field_id)
{
	struct wire w = wire_open(schema);
	struct wire_field f;

	while (wire_next(&w, &f))
		if (f.num == S_FIELDS && f.type == WIRE_LEN &&
			(int64_t)number(f.data, F_ID) == field_id)
			return text(f.data, F_NAME);
	return (struct slice){0};
}

static float float_of(uint64_t bits)
{
	uint32_t b = (uint32_t)bits;
	float v;
	memcpy(&v, &b, sizeof(v));
	return v;
}

static double double_of(uint64_t bits)
{
	double v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

/* schema.ValueField, a oneof: Go writes the name of the wrapper's member. */
static void put_value(struct gojson *o, const struct wire_field *f)
{
	switch (f->num) {
	case 1:
		gojson_bool(o, "BoolData", f->value != 0);
		break;
	case 2:
		gojson_i64(o, "IntData", (int64_t)f->value);
		break;
	case 3:
		gojson_i64(o, "LongData", (int64_t)f->value);
		break;
	case 4:
		gojson_f32(o, "FloatData", float_of(f->value));
		break;
	case 5:
		gojson_f64(o, "DoubleData", double_of(f->value));
		break;
	case 6:
		gojson_str(o, "StringData", f->data);
		break;
	default:
		gojson_b64(o, "BytesData", f->data);
	}
}

static void put_default(struct gojson *o, struct slice field)
{
	struct wire_field outer, f;

	if (!find(field, F_DEFAULT, &outer) || outer.type != WIRE_LEN) {
		gojson_null(o, "DefaultValue");
		return;
	}
	struct wire w = wire_open(outer.data);
	gojson_open(o, "DefaultValue", '{');
	if (wire_next(&w, &f)) {
		gojson_open(o, "Data", '{');
		put_value(o, &f);
		gojson_close(o, '}');
	} else {
		gojson_null(o, "Data");
	}
	gojson_close(o, '}');
}

static enum err_code put_field(struct gojson *o, struct slice f, struct err *e)
{
	gojson_open(o, NULL, '{');
	gojson_i64(o, "ID", (int64_t)number(f, F_ID));
	gojson_str(o, "Name", text(f, F_NAME));
	gojson_bool(o, "PrimaryKey", number(f, F_PRIMARY));
	gojson_bool(o, "AutoID", number(f, F_AUTO_ID));
	gojson_str(o, "Description", text(f, F_DESCRIPTION));
	gojson_i64(o, "DataType", (int64_t)number(f, F_TYPE));
	if (pbjson_map(o, "TypeParams", f, F_TYPE_PARAMS, e) ||
		pbjson_map(o, "IndexParams", f, F_INDEX_PARAMS, e))
		return e->code;
	gojson_bool(o, "IsDynamic", number(f, F_DYNAMIC));
	gojson_bool(o, "IsPartitionKey", number(f, F_PARTITION_KEY));
	gojson_bool(o, "IsClusteringKey", number(f, F_CLUSTERING_KEY));
	gojson_i64(o, "ElementType", (int64_t)number(f, F_ELEMENT));
	put_default(o, f);
	gojson_bool(o, "Nullable", number(f, F_NULLABLE));
	gojson_close(o, '}');
	return ERR_OK;
}

static void put_names(struct gojson *o, const char *key, struct slice raw, uint32_t num)
{
	struct wire w = wire_open(raw);
	struct wire_field f;

	gojson_open(o, key, '[');
	while (wire_next(&w, &f))
		if (f.num == num && f.type == WIRE_LEN)
			gojson_str(o, NULL, f.data);
	gojson_close(o, ']');
}

static enum err_code put_function(struct gojson *o, struct slice f, struct err *e)
{
	gojson_open(o, NULL, '{');
	gojson_str(o, "Name", text(f, FN_NAME));
	gojson_str(o, "Description", text(f, FN_DESCRIPTION));
	gojson_i64(o, "Type", (int64_t)number(f, FN_TYPE));
	put_names(o, "InputFieldNames", f, FN_INPUTS);
	put_names(o, "OutputFieldNames", f, FN_OUTPUTS);
	if (pbjson_map(o, "Params", f, FN_PARAMS, e))
		return e->code;
	gojson_close(o, '}');
	return ERR_OK;
}

static enum err_code put_all(struct gojson *o, const char *key, struct slice schema, uint32_t num,
	enum err_code (*put)(struct gojson *, struct slice, struct err *), struct err *e)
{
	struct wire w = wire_open(schema);
	struct wire_field f;

	gojson_open(o, key, '[');
	while (wire_next(&w, &f))
		if (f.num == num && f.type == WIRE_LEN && put(o, f.data, e))
			return e->code;
	gojson_close(o, ']');
	return w.bad ? err_set(e, ERR_MALFORMED, "the schema can't be read") : ERR_OK;
}

/* The reference's AutoID of a collection: any field has it. */
static bool auto_id(struct slice schema)
{
	struct wire w = wire_open(schema);
	struct wire_field f;
	bool any = number(schema, S_AUTO_ID) != 0;

	while (wire_next(&w, &f))
		any = any || (f.num == S_FIELDS && f.type == WIRE_LEN && number(f.data, F_AUTO_ID));
	return any;
}

enum err_code schema_json(
	struct gojson *o, const char *key, struct slice schema, const char *name, struct err *e)
{
	gojson_open(o, key, '{');
	gojson_cstr(o, "CollectionName", name);
	gojson_str(o, "Description", text(schema, S_DESCRIPTION));
	gojson_bool(o, "AutoID", auto_id(schema));
	if (put_all(o, "Fields", schema, S_FIELDS, put_field, e))
		return e->code;
	gojson_bool(o, "EnableDynamicField", number(schema, S_DYNAMIC));
	if (put_all(o, "Functions", schema, S_FUNCTIONS, put_function, e))
		return e->code;
	gojson_close(o, '}');
	return ERR_OK;
}
