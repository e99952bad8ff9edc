#include "base/json.h"

#include <string.h>

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

/* Length of U+2028 or U+2029 at s, which break scripts that embed the text. */
static bool line_separator(const char *s)
{
	return memcmp(s, "\xe2\x80", 2) == 0 && ((uint8_t)s[2] & 0xfe) == 0xa8;
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

void json_out_quoted(struct buf *b, const char *s)
{
	const char *from = s;

	buf_put_u8(b, '"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		bool separator = c == 0xe2 && s[1] && s[2] && line_separator(s);
		if (!separator && c >= 0x20 && !strchr("\"\\<>&", c))
			continue;
		buf_put(b, from, (size_t)(s - from));
		if (separator) {
			buf_putf(b, "\\u20%02x", (uint8_t)s[2] - 0x80);
			s += 2;
		} else {
			json_out_escaped(b, c);
		}
		from = s + 1;
	}
	buf_put(b, from, (size_t)(s - from));
	buf_put_u8(b, '"');
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
