#include "sink/gojson.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/str.h"

enum { NUMBER_BYTES = 40 };

/* Length of the UTF-8 sequence at p, 0 if there is none (overlong, surrogate, cut, ...). */
static size_t utf8_length(const uint8_t *p, size_t n)
{
	static const struct {
		uint8_t first, last, low, high, size;
	} forms[] = {{0x00, 0x7f, 0, 0, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2},
		{0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
		{0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
		{0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4},
		{0xf4, 0xf4, 0x80, 0x8f, 4}};

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		if (p[0] < forms[i].first || p[0] > forms[i].last)
			continue;
		size_t size = forms[i].size;
		if (size > n || (size > 1 && (p[1] < forms[i].low || p[1] > forms[i].high)))
			return 0;
		for (size_t k = 2; k < size; k++)
			if (p[k] < 0x80 || p[k] > 0xbf)
				return 0;
		return size;
	}
	return 0;
}

static bool is_plain(uint8_t c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

/* One character that is not plain; returns how many bytes it took. */
static size_t put_char(struct buf *b, const uint8_t *p, size_t n)
{
	size_t size = utf8_length(p, n);

	if (!size)
		buf_put_str(b, "\\ufffd");
	else if (size == 1)
		json_out_escaped(b, *p);
	else if (size == 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9))
		buf_put_str(b, p[2] == 0xa8 ? "\\u2028" : "\\u2029");
	else
		buf_put(b, p, size);
	return MAX(size, (size_t)1);
}

void gojson_text(struct buf *b, struct slice s)
{
	size_t from = 0;

	buf_put_u8(b, '"');
	for (size_t i = 0; i < s.n;) {
		if (is_plain(s.p[i])) {
			i++;
			continue;
		}
		buf_put(b, s.p + from, i - from);
		i += put_char(b, s.p + i, s.n - i);
		from = i;
	}
	if (s.n > from)
		buf_put(b, s.p + from, s.n - from);
	buf_put_u8(b, '"');
}

void gojson_key(struct gojson *o, const char *key)
{
	if (o->comma)
		buf_put_u8(o->b, ',');
	o->comma = true;
	if (key) {
		gojson_text(o->b, slice_str(key));
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
	gojson_text(o->b, s);
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
