/* jansson with memory of the first failure: read or write a whole record, then look once whether it
 * went well. Private to store/. Members read are borrowed from the object. */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"
#include "base/json.h"

struct rjson {
	char why[160]; /* "" = no failure so far */
};

/* Remembers the first failure. */
void rjson_fail(struct rjson *io, const char *fmt, ...) PRINTF(2, 3);
bool rjson_failed(const struct rjson *io);

/* MALFORMED unless in is one JSON object of at most LIMIT_RECORD bytes. */
NODISCARD enum err_code rjson_read(struct slice in, json_t **ret_o, struct err *e);
/* Appends compact text; LIMIT beyond the buffer's cap. */
NODISCARD enum err_code rjson_write(struct buf *b, const json_t *o, struct err *e);

/* Members: absent and null are "", 0, false, NULL; another type is a failure. */
const char *rjson_get_str(struct rjson *io, const json_t *o, const char *key);
int64_t rjson_get_int(struct rjson *io, const json_t *o, const char *key);
bool rjson_get_bool(struct rjson *io, const json_t *o, const char *key);
json_t *rjson_get_obj(struct rjson *io, const json_t *o, const char *key);
json_t *rjson_get_arr(struct rjson *io, const json_t *o, const char *key);

/* Sets a member; text that is not UTF-8 is a failure. set takes v, NULL is a failure. */
void rjson_set(struct rjson *io, json_t *o, const char *key, json_t *v);
void rjson_set_str(struct rjson *io, json_t *o, const char *key, const char *v);
/* Nothing for "", as Go's omitempty. */
void rjson_set_str_opt(struct rjson *io, json_t *o, const char *key, const char *v);
void rjson_set_int(struct rjson *io, json_t *o, const char *key, int64_t v);
void rjson_set_bool(struct rjson *io, json_t *o, const char *key, bool v);
