#include "sink/gojson.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/str.h"

enum { NUMBER_BYTES = 40 };

void gojson_key(struct gojson *o, const char *key)
{
	if (o->comma)
		buf_put_u8(o->b, ',');
	o->comma = true;
	if (key) {
		json_out_text(o->b, slice_str(key));
		buf_put_u8(o->b, ':');
	}
}

void gojson_open(struct gojson *o, const char *key, char bracket)
{
	gojson_key(o, key);
	buf_put_u8(o->b, (uint8_t)bracket);
	o->comma = false;
}

void gojson_close(struct gojson *o, char bracket)
{
	buf_put_u8(o->b, (uint8_t)bracket);
	o->comma = true;
}

void gojson_str(struct gojson *o, const char *key, struct slice s)
{
	gojson_key(o, key);
	json_out_text(o->b, s);
}

void gojson_cstr(struct gojson *o, const char *key, const char *s)
{
	gojson_str(o, key, slice_str(s));
}

void gojson_b64(struct gojson *o, const char *key, struct slice s)
{
	gojson_key(o, key);
	buf_put_u8(o->b, '"');
	b64_encode(o->b, s);
	buf_put_u8(o->b, '"');
}

void gojson_i64(struct gojson *o, const char *key, int64_t v)
{
	gojson_key(o, key);
	buf_putf(o->b, "%lld", (long long)v);
}

void gojson_u64(struct gojson *o, const char *key, uint64_t v)
{
	gojson_key(o, key);
	buf_putf(o->b, "%llu", (unsigned long long)v);
}

void gojson_bool(struct gojson *o, const char *key, bool v)
{
	gojson_key(o, key);
	buf_put_str(o->b, v ? "true" : "false");
}

void gojson_null(struct gojson *o, const char *key)
{
	gojson_key(o, key);
	buf_put_str(o->b, "null");
}

/* "-0" would be read as an integer, which has no sign of zero. */
static bool put_unusual(struct buf *b, double v)
{
	if (isnan(v))
		buf_put_str(b, "\"NaN\"");
	else if (isinf(v))
		buf_put_str(b, v < 0 ? "\"-Infinity\"" : "\"Infinity\"");
	else if (fpclassify(v) == FP_ZERO && signbit(v))
		buf_put_str(b, "-0.0");
	else
		return false;
	return true;
}

/* The fewest digits of two choices that give the same number back. */
void gojson_f32(struct gojson *o, const char *key, float v)
{
	char text[NUMBER_BYTES];

	gojson_key(o, key);
	if (put_unusual(o->b, (double)v))
		return;
	snprintf(text, sizeof(text), "%.7g", (double)v);
	if (strtof(text, NULL) < v || strtof(text, NULL) > v)
		snprintf(text, sizeof(text), "%.9g", (double)v);
	buf_put_str(o->b, text);
}

void gojson_f64(struct gojson *o, const char *key, double v)
{
	char text[NUMBER_BYTES];

	gojson_key(o, key);
	if (put_unusual(o->b, v))
		return;
	snprintf(text, sizeof(text), "%.15g", v);
	if (strtod(text, NULL) < v || strtod(text, NULL) > v)
		snprintf(text, sizeof(text), "%.17g", v);
	buf_put_str(o->b, text);
}
