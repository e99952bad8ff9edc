#include "store/rjson.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/limits.h"

void rjson_fail(struct rjson *io, const char *fmt, ...)
{
	va_list ap;

	if (rjson_failed(io))
		return;
	va_start(ap, fmt);
	vsnprintf(io->why, sizeof(io->why), fmt, ap);
	va_end(ap);
}

bool rjson_failed(const struct rjson *io)
{
	return io->why[0] != '\0';
}

enum err_code rjson_read(struct slice in, json_t **ret_o, struct err *e)
{
	CLEANUP(json_in_freep)
	json_t *o = NULL;

	if (in.n > LIMIT_RECORD)
		return err_set(e, ERR_MALFORMED, "a record of %zu bytes", in.n);
	if (json_in_parse(in, &o, e))
		return ERR_MALFORMED;
	if (!json_is_object(o))
		return err_set(e, ERR_MALFORMED, "not a JSON object");
	*ret_o = TAKE(o);
	return ERR_OK;
}

static int put_chunk(const char *p, size_t n, void *arg)
{
	struct buf *b = arg;
	buf_put(b, p, n);
	return buf_failed(b) ? -1 : 0;
}

enum err_code rjson_write(struct buf *b, const json_t *o, struct err *e)
{
	if (json_dump_callback(o, put_chunk, b, JSON_COMPACT))
		return err_set(e, ERR_LIMIT, "a record of more than %zu bytes", b->max);
	return ERR_OK;
}

static json_t *member(struct rjson *io, const json_t *o, const char *key, json_type type)
{
	json_t *v = json_object_get(o, key);
	if (!v || json_is_null(v))
		return NULL;
	if (json_typeof(v) == type)
		return v;
	rjson_fail(io, "%s has the wrong type", key);
	return NULL;
}

const char *rjson_get_str(struct rjson *io, const json_t *o, const char *key)
{
	const json_t *v = member(io, o, key, JSON_STRING);
	return v ? json_string_value(v) : "";
}

int64_t rjson_get_int(struct rjson *io, const json_t *o, const char *key)
{
	const json_t *v = member(io, o, key, JSON_INTEGER);
	return v ? json_integer_value(v) : 0;
}

bool rjson_get_bool(struct rjson *io, const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	if (v && !json_is_null(v) && !json_is_boolean(v))
		rjson_fail(io, "%s has the wrong type", key);
	return json_is_true(v);
}

json_t *rjson_get_obj(struct rjson *io, const json_t *o, const char *key)
{
	return member(io, o, key, JSON_OBJECT);
}

json_t *rjson_get_arr(struct rjson *io, const json_t *o, const char *key)
{
	return member(io, o, key, JSON_ARRAY);
}

void rjson_set(struct rjson *io, json_t *o, const char *key, json_t *v)
{
	if (json_object_set_new(o, key, v))
		rjson_fail(io, "%s is not UTF-8 text", key);
}

void rjson_set_str(struct rjson *io, json_t *o, const char *key, const char *v)
{
	rjson_set(io, o, key, json_string(v));
}

void rjson_set_str_opt(struct rjson *io, json_t *o, const char *key, const char *v)
{
	if (*v)
		rjson_set_str(io, o, key, v);
}

void rjson_set_int(struct rjson *io, json_t *o, const char *key, int64_t v)
{
	rjson_set(io, o, key, json_integer(v));
}

void rjson_set_bool(struct rjson *io, json_t *o, const char *key, bool v)
{
	rjson_set(io, o, key, json_boolean(v));
}
