/* The data types of Milvus: where a column keeps its values and how a value looks in JSON. Shared by
 * rows.c and rows_json.c. */
#pragma once

#include "sink/rows.h"

enum { ROWS_TYPE_INT64 = 5, ROWS_TYPE_VARCHAR = 21 };

enum rows_form {
	ROWS_BOOL,
	ROWS_INT,
	ROWS_FLOAT,
	ROWS_DOUBLE,
	ROWS_TEXT,
	ROWS_BASE64,
	ROWS_ARRAY,
	ROWS_VECTOR_F32,
	ROWS_VECTOR_F16,
	ROWS_VECTOR_BF16,
	ROWS_VECTOR_I8,
	ROWS_SPARSE
};

struct rows_type {
	int type;     /* schema.DataType */
	uint32_t num; /* member of ScalarField or VectorField */
	enum rows_coding coding;
	enum rows_form form;
	bool is_vector;
	unsigned bits; /* of a dimension; 0 = values come one by one */
	bool inner;    /* the bytes are in a message of their own (FloatArray) */
};

/* NULL for a type we don't know. */
const struct rows_type *rows_type_of(int type);

/* A reader of the values of field num in the message raw. */
struct rows_values rows_values_of(struct slice raw, uint32_t num, enum rows_coding coding);
/* The next value; false at the end or when it can't be read. */
bool rows_values_next(struct rows_values *v, uint64_t *ret_number, struct slice *ret_bytes);
