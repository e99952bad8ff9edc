/* JSON as Go's encoding/json writes it: no blanks, <, > and & and the line separators escaped, bytes
 * that are no UTF-8 replaced, bytes fields in base64. Values go to a buf; what a peer sends may hold
 * any byte. */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/defs.h"

struct gojson {
	struct buf *b;
	bool comma; /* a value stands before the next one at this level */
};

/* The comma if one is due and the key (NULL inside a list); the value must follow. */
void gojson_key(struct gojson *o, const char *key);
void gojson_open(struct gojson *o, const char *key, char bracket); /* '{' or '[' */
void gojson_close(struct gojson *o, char bracket);                 /* '}' or ']' */

void gojson_str(struct gojson *o, const char *key, struct slice s);
void gojson_cstr(struct gojson *o, const char *key, const char *s);
void gojson_b64(struct gojson *o, const char *key, struct slice s);
void gojson_i64(struct gojson *o, const char *key, int64_t v);
void gojson_u64(struct gojson *o, const char *key, uint64_t v);
void gojson_bool(struct gojson *o, const char *key, bool v);
void gojson_null(struct gojson *o, const char *key);
/* NaN and the infinities, which JSON has not, become the texts "NaN", "Infinity", "-Infinity". */
void gojson_f32(struct gojson *o, const char *key, float v);
void gojson_f64(struct gojson *o, const char *key, double v);
