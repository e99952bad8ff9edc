/* The rows of an insert or delete, one after the other: the only place where a message's rows are
 * decoded. Columns are read by cursors that advance together, so nothing grows with the number of
 * rows. Slices point into the payload. No I/O.
 *
 * Every type of Milvus up to 2.5 as JSON (docs/kafka-target.md has the table): numbers as numbers,
 * VarChar and JSON as text, BinaryVector in base64, other vectors as lists, a sparse vector as an
 * object, null where valid_data says so. */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"
#include "base/wire.h"
#include "model/dml.h"
#include "sink/gojson.h"

enum rows_coding { ROWS_VARINT, ROWS_F32, ROWS_F64, ROWS_BYTES };

/* The values of one repeated field, packed or not. */
struct rows_values {
	struct wire w, run;
	uint32_t num;
	enum rows_coding coding;
};

struct rows_column {
	struct slice name;
	int64_t field_id;
	int type; /* schema.DataType */
	bool is_dynamic;
	bool nullable;             /* valid says per row whether it has a value */
	bool compact;              /* rows without a value take no place in values */
	struct rows_values valid;  /* bools */
	struct rows_values values; /* of scalars and sparse vectors */
	struct slice dense;        /* of dense vectors, row_bytes a row that has a value */
	size_t row_bytes;
	uint64_t dim;
	/* The present row's. */
	bool is_null;
	uint64_t number;
	struct slice bytes;
};

struct rows {
	struct rows_column *columns;
	size_t n_columns, cap;
	uint64_t n, i; /* rows, and how many were taken */
	bool timed;    /* false: the rows of an answer, which have no times */
	struct rows_values times;
	uint64_t ts; /* of the present row */
};

/* UNSUPPORTED for row-based inserts and unknown types; MALFORMED. A delete has one column: its keys,
 * named pk_name. r must be given to rows_done, also after a failure. */
NODISCARD enum err_code rows_open(struct rows *r, const struct dml *d, int64_t pk_field_id,
	const char *pk_name, struct err *e);
/* The rows of an answer to Query; its key column, which says how many there are, is pk_name. An answer
 * without columns has no rows. Errors as above, rows_done too. */
NODISCARD enum err_code rows_open_answer(
	struct rows *r, struct slice answer, const char *pk_name, struct err *e);
void rows_done(struct rows *r);

/* The next row; *ret_more false at the end. MALFORMED when a column is too short. */
NODISCARD enum err_code rows_next(struct rows *r, bool *ret_more, struct err *e);
/* The present row's fields as an object. MALFORMED. */
NODISCARD enum err_code rows_json(
	const struct rows *r, struct gojson *o, const char *key, struct err *e);
/* Appends the present row's value of column c in a form that is equal for equal values, whoever
 * encoded them. MALFORMED. */
NODISCARD enum err_code rows_put_value(struct buf *b, const struct rows_column *c, struct err *e);
/* The value of one field of the present row, null if there is no such field. */
NODISCARD enum err_code rows_json_field(
	const struct rows *r, int64_t field_id, struct gojson *o, const char *key, struct err *e);
