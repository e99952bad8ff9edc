/* JSON on both ends: a strict reader over jansson, and a writer into a buf that escapes as Go's
 * encoding/json does (<, >, & and the line separators as \uXXXX), keeps the order of its calls and
 * prints 64-bit numbers exactly. Names start with json_in_ and json_out_: json_ alone is jansson's.
 */
#pragma once

#include <jansson.h>

#include "base/buf.h"
#include "base/defs.h"
#include "base/err.h"

enum { JSON_IN_VALUES_MAX = 200000 };

/* Reads one document of at most JSON_IN_VALUES_MAX values; the last of equal keys wins. MALFORMED
 * with line and column; *ret_j is a new reference. Depth is bounded by jansson (2048). */
NODISCARD enum err_code json_in_parse(struct slice text, json_t **ret_j, struct err *e);
/* For CLEANUP on a json_t *. */
void json_in_freep(json_t **j);

/* A writer; key is NULL inside a list and for the outermost value. */
struct json_out {
	struct buf *b;
	bool comma; /* a value stands before the next one at this level */
};

void json_out_open(struct json_out *o, const char *key, char bracket); /* '{' or '[' */
void json_out_close(struct json_out *o, char bracket);                 /* '}' or ']' */
void json_out_str(struct json_out *o, const char *key, const char *s);
/* The pair only if s is not empty. */
void json_out_str_if(struct json_out *o, const char *key, const char *s);
void json_out_i64(struct json_out *o, const char *key, int64_t v);
void json_out_u64(struct json_out *o, const char *key, uint64_t v);
void json_out_bool(struct json_out *o, const char *key, bool v);
void json_out_null(struct json_out *o, const char *key);
/* A ready JSON text. */
void json_out_raw(struct json_out *o, const char *key, const char *text);

/* Ready members of an object, or "". */
void json_out_members(struct json_out *o, const char *text);

/* One byte as an escape: \n, \", \u003c, ... */
void json_out_escaped(struct buf *b, unsigned char c);
/* Any bytes in quotes, as Go writes them: what is no UTF-8 becomes U+FFFD; <, >, & and the line
 * separators are escaped, so that scripts may embed the text. Without a writer. */
void json_out_text(struct buf *b, struct slice s);
/* s in quotes, escaped; without a writer. */
void json_out_quoted(struct buf *b, const char *s);
