#include "base/json.h"

#include <string.h>

#include "base/str.h"

/* A value costs jansson up to 300 bytes ("{}," in the text), so a small text can want much memory.
 * Separators inside strings count too; the cap leaves room for that. */
static bool too_many_values(struct slice text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == ',' || text.p[i] == '{' || text.p[i] == '[';
	return n > JSON_IN_VALUES_MAX;
}

enum err_code json_in_parse(struct slice text, json_t **ret_j, struct err *e)
{
	json_error_t je;

	if (too_many_values(text))
		return err_set(e, ERR_MALFORMED, "more than %d values", JSON_IN_VALUES_MAX);
	json_t *j = json_loadb(text.n ? (const char *)text.p : "", text.n, JSON_DECODE_ANY, &je);
	if (!j && json_error_code(&je) == json_error_premature_end_of_input)
		return err_set(e, ERR_MALFORMED, "unexpected end of JSON input");
	if (!j)
		return err_set(
			e, ERR_MALFORMED, "%s (line %d, column %d)", je.text, je.line, je.column);
	*ret_j = j;
	return ERR_OK;
}

void json_in_freep(json_t **j)
{
	json_decref(*j);
	*j = NULL;
}

void json_out_escaped(struct buf *b, unsigned char c)
{
	switch (c) {
	case '"':
	case '\\':
		buf_put_u8(b, '\\');
		buf_put_u8(b, c);
		break;
	case '\n':
		buf_put_str(b, "\\n");
		break;
	case '\r':
		buf_put_str(b, "\\r");
		break;
	case '\t':
		buf_put_str(b, "\\t");
		break;
	default:
		buf_putf(b, "\\u%04x", c);
	}
}

static bool is_plain(uint8_t c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

/* One character that is not plain; returns how many bytes it took. */
static size_t put_char(struct buf *b, const uint8_t *p, size_t n)
{
	size_t size = str_utf8_len(p, n);

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

void json_out_text(struct buf *b, struct slice s)
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

void json_out_quoted(struct buf *b, const char *s)
{
	json_out_text(b, slice_str(s));
}

static void start(struct json_out *o, const char *key)
{
	if (o->comma)
		buf_put_u8(o->b, ',');
	o->comma = true;
	if (key) {
		json_out_quoted(o->b, key);
		buf_put_u8(o->b, ':');
	}
}

void json_out_open(struct json_out *o, const char *key, char bracket)
{
	start(o, key);
	buf_put_u8(o->b, (uint8_t)bracket);
	o->comma = false;
}

void json_out_close(struct json_out *o, char bracket)
{
	buf_put_u8(o->b, (uint8_t)bracket);
	o->comma = true;
}

void json_out_str(struct json_out *o, const char *key, const char *s)
{
	start(o, key);
	json_out_quoted(o->b, s);
}

void json_out_str_if(struct json_out *o, const char *key, const char *s)
{
	if (*s)
		json_out_str(o, key, s);
}

void json_out_i64(struct json_out *o, const char *key, int64_t v)
{
	start(o, key);
	buf_putf(o->b, "%lld", (long long)v);
}

void json_out_u64(struct json_out *o, const char *key, uint64_t v)
{
	start(o, key);
	buf_putf(o->b, "%llu", (unsigned long long)v);
}

void json_out_bool(struct json_out *o, const char *key, bool v)
{
	json_out_raw(o, key, v ? "true" : "false");
}

void json_out_null(struct json_out *o, const char *key)
{
	json_out_raw(o, key, "null");
}

void json_out_members(struct json_out *o, const char *text)
{
	if (*text)
		json_out_raw(o, NULL, text);
}

void json_out_raw(struct json_out *o, const char *key, const char *text)
{
	start(o, key);
	buf_put_str(o->b, text);
}
