#include "server/target/compare.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/wire.h"

/* schema.CollectionSchema and FieldSchema numbers */
enum { S_FIELDS = 4, S_DYNAMIC = 5, S_FUNCTIONS = 7, S_STRUCTS = 9 };
enum {
	F_ID = 1,
	F_NAME = 2,
	F_PK = 3,
	F_TYPE = 5,
	F_TYPE_PARAMS = 6,
	F_AUTO = 8,
	F_ELEMENT = 10,
	F_DYNAMIC = 12,
	F_DEFAULT = 11,
	F_PARTITION_KEY = 13,
	F_CLUSTERING_KEY = 14,
	F_NULLABLE = 15,
	F_FUNCTION_OUTPUT = 16
};
/* schema.FunctionSchema; its ids are made by each cluster for itself */
enum { FN_ID = 2, FN_DESCRIPTION = 3, FN_IN_IDS = 6, FN_OUT_IDS = 8 };
enum { FIELDS_MAX = 1024, USER_FIELD = 100, PARAMS_MAX = 16 };

struct field {
	uint64_t id, pk, type, auto_id, element, dynamic, partition_key, nullable;
	uint64_t clustering_key, function_output;
	struct slice name, default_value;
	struct slice params[PARAMS_MAX];
	size_t n_params;
};

static bool read_field(struct slice in, struct field *f)
{
	struct wire w = wire_open(in);
	struct wire_field x;

	*f = (struct field){.id = 0};
	while (wire_next(&w, &x)) {
		switch (x.num) {
		case F_ID:
			f->id = x.value;
			break;
		case F_NAME:
			f->name = x.data;
			break;
		case F_PK:
			f->pk = x.value;
			break;
		case F_TYPE:
			f->type = x.value;
			break;
		case F_AUTO:
			f->auto_id = x.value;
			break;
		case F_ELEMENT:
			f->element = x.value;
			break;
		case F_DYNAMIC:
			f->dynamic = x.value;
			break;
		case F_PARTITION_KEY:
			f->partition_key = x.value;
			break;
		case F_NULLABLE:
			f->nullable = x.value;
			break;
		case F_CLUSTERING_KEY:
			f->clustering_key = x.value;
			break;
		case F_FUNCTION_OUTPUT:
			f->function_output = x.value;
			break;
		case F_DEFAULT:
			f->default_value = x.data;
			break;
		case F_TYPE_PARAMS:
			if (f->n_params < PARAMS_MAX)
				f->params[f->n_params++] = x.data;
			break;
		default:
			break;
		}
	}
	return !w.bad;
}

/* The user fields of a schema, in their order. */
static size_t read_fields(struct slice schema, struct field *out, size_t max)
{
	struct wire w = wire_open(schema);
	struct wire_field x;
	size_t n = 0;

	while (n < max && wire_next(&w, &x)) {
		if (x.num != S_FIELDS || !read_field(x.data, &out[n]))
			continue;
		if (out[n].id >= USER_FIELD && !out[n].dynamic)
			n++;
	}
	return n;
}

static bool has_param(const struct field *f, struct slice p)
{
	for (size_t i = 0; i < f->n_params; i++)
		if (slice_eq(f->params[i], p))
			return true;
	return false;
}

static const char *field_difference(const struct field *a, const struct field *b)
{
	if (!slice_eq(a->name, b->name))
		return "name";
	if (a->type != b->type || a->element != b->element)
		return "data type";
	if (a->pk != b->pk)
		return "primary key";
	if (a->auto_id != b->auto_id)
		return "auto id";
	if (a->partition_key != b->partition_key)
		return "partition key";
	if (a->nullable != b->nullable)
		return "nullable";
	if (a->clustering_key != b->clustering_key)
		return "clustering key";
	if (a->function_output != b->function_output)
		return "function output";
	if (!slice_eq(a->default_value, b->default_value))
		return "default value";
	if (a->n_params != b->n_params)
		return "type parameters";
	for (size_t i = 0; i < a->n_params; i++)
		if (!has_param(b, a->params[i]))
			return "type parameters";
	return NULL;
}

static const struct field *by_id(const struct field *l, size_t n, uint64_t id)
{
	for (size_t i = 0; i < n; i++)
		if (l[i].id == id)
			return &l[i];
	return NULL;
}

static bool compare_fields(
	const struct field *a, size_t na, const struct field *b, size_t nb, char *why, size_t cap)
{
	if (na != nb) {
		snprintf(why, cap, "%zu fields at the source, %zu on the target", na, nb);
		return false;
	}
	for (size_t i = 0; i < na; i++) {
		const struct field *t = by_id(b, nb, a[i].id);
		const char *diff = t ? field_difference(&a[i], t) : "field id";
		if (!diff)
			continue;
		snprintf(why, cap, "field %.*s (id %" PRIu64 ") differs in its %s",
			(int)a[i].name.n, (const char *)a[i].name.p, a[i].id, diff);
		return false;
	}
	return true;
}

static bool dynamic(struct slice schema)
{
	struct wire w = wire_open(schema);
	struct wire_field x;
	bool on = false;
	while (wire_next(&w, &x))
		if (x.num == S_DYNAMIC)
			on = x.value != 0;
	return on;
}

/* Appends what has to be equal of a function or struct array: all but its description and what the
 * cluster numbers for itself. */
static void essence(struct slice in, uint32_t kind, struct buf *out)
{
	struct wire w = wire_open(in);
	struct wire_field x;
	bool function = kind == S_FUNCTIONS;

	while (wire_next(&w, &x)) {
		bool own =
			function && (x.num == FN_ID || x.num == FN_IN_IDS || x.num == FN_OUT_IDS);
		if (!own && x.num != FN_DESCRIPTION)
			buf_put(out, x.raw.p, x.raw.n);
	}
}

static bool has_part(struct slice schema, uint32_t kind, struct slice part)
{
	CLEANUP(buf_done) struct buf want = BUF_INIT(part.n);
	struct wire w = wire_open(schema);
	struct wire_field x;
	bool found = false;

	essence(part, kind, &want);
	while (!found && wire_next(&w, &x)) {
		if (x.num != kind || x.type != WIRE_LEN)
			continue;
		struct buf have = BUF_INIT(x.data.n);
		essence(x.data, kind, &have);
		found = slice_eq(buf_slice(&want), buf_slice(&have));
		buf_done(&have);
	}
	return found;
}

/* Is every function (or struct array) of a in b as well? */
static bool all_parts(struct slice a, struct slice b, uint32_t kind)
{
	struct wire w = wire_open(a);
	struct wire_field x;

	while (wire_next(&w, &x))
		if (x.num == kind && x.type == WIRE_LEN && !has_part(b, kind, x.data))
			return false;
	return true;
}

static bool same_parts(struct slice a, struct slice b, uint32_t kind)
{
	return all_parts(a, b, kind) && all_parts(b, a, kind);
}

bool compare_schema(struct slice source, struct slice target, char *why, size_t cap)
{
	struct field *a = xcalloc(FIELDS_MAX, sizeof(*a)), *b = xcalloc(FIELDS_MAX, sizeof(*b));
	bool same = false;

	if (dynamic(source) != dynamic(target))
		snprintf(why, cap, "the dynamic field is on at one side only");
	else if (!same_parts(source, target, S_FUNCTIONS))
		snprintf(why, cap, "the functions differ");
	else if (!same_parts(source, target, S_STRUCTS))
		snprintf(why, cap, "the struct array fields differ");
	else
		same = compare_fields(a, read_fields(source, a, FIELDS_MAX), b,
			read_fields(target, b, FIELDS_MAX), why, cap);
	free(a);
	free(b);
	return same;
}
