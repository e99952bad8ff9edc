/* From the JSON of request_data to structs, driven by tables. Rules and error texts are those of
 * the reference's decoder (mapstructure): names match exactly, else in any case; unknown names are
 * ignored; null is absent; nothing is converted, but a fraction given for a whole number is cut.
 * The same tables make docs/api.md. */
#pragma once

#include "base/buf.h"
#include "base/defs.h"
#include "base/err.h"
#include "base/json.h"

enum api_type {
	API_STRING,  /* char *, replaced; "" when the struct is new */
	API_INT,     /* int64_t */
	API_BOOL,    /* bool */
	API_STRUCT,  /* fields of sub, in the same struct shifted by offset */
	API_LIST,    /* T *, count at count_offset; sub describes T */
	API_STRINGS, /* map of strings: struct task_pair *, count at count_offset */
	API_LISTS,   /* map of lists of sub: struct task_db *, count at count_offset */
	API_ANY,     /* const json_t *, borrowed; must be an object */
	API_IGNORED, /* accepted, not read */
};

enum { API_SECRET = 1 };

struct api_field {
	const char *name;
	enum api_type type;
	unsigned flags;
	size_t offset, count_offset;
	size_t has_offset; /* of a bool set when the field was given; 0 = none */
	const struct api_struct *sub;
	const char *doc;
};

struct api_struct {
	size_t size; /* of an element of an API_LIST */
	const struct api_field *fields;
	size_t n;
};

/* Fills *to (already initialised) from j, an object or NULL. All errors are collected; INVALID with
 * the text "N error(s) decoding:\n\n* ..." appended to problems. */
NODISCARD enum err_code api_decode(
	const struct api_struct *s, const json_t *j, void *to, struct buf *problems);

/* The member whose name equals name, exactly or else in any case; NULL if none or null. */
const json_t *api_member(const json_t *object, const char *name);
