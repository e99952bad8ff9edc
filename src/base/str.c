#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/mem.h"

static const char b64_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);
	return n >= m && strcmp(s + n - m, suffix) == 0;
}

bool str_to_u64(const char *s, uint64_t *ret_v)
{
	return *s && *s != '-' && slice_eq(slice_of(s, strspn(s, "0123456789")), slice_str(s)) &&
	       (errno = 0, *ret_v = strtoull(s, NULL, 10), errno == 0);
}

bool str_to_i64(const char *s, int64_t *ret_v)
{
	const char *d = s + (*s == '-');
	if (!*d || d[strspn(d, "0123456789")])
		return false;
	errno = 0;
	*ret_v = strtoll(s, NULL, 10);
	return errno == 0;
}

bool slice_to_i64(struct slice s, int64_t *ret_v)
{
	char text[24];
	if (s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return strlen(text) == s.n && str_to_i64(text, ret_v);
}

void b64_encode(struct buf *b, struct slice in)
{
	for (size_t i = 0; i < in.n; i += 3) {
		size_t left = in.n - i;
		uint32_t v = (uint32_t)in.p[i] << 16 | (left > 1 ? (uint32_t)in.p[i + 1] << 8 : 0) |
			     (left > 2 ? in.p[i + 2] : 0);
		char out[4] = {b64_chars[v >> 18], b64_chars[v >> 12 & 63],
			left > 1 ? b64_chars[v >> 6 & 63] : '=',
			left > 2 ? b64_chars[v & 63] : '='};
		buf_put(b, out, 4);
	}
}

char *b64_text(struct slice in)
{
	struct buf b = BUF_INIT(in.n * 2 + 8);
	b64_encode(&b, in);
	return buf_take(&b);
}

static int b64_value(char c)
{
	const char *at = c ? strchr(b64_chars, c) : NULL;
	return at ? (int)(at - b64_chars) : -1;
}

static bool b64_group(struct buf *b, const char *s, bool last)
{
	int pad = last ? (s[3] == '=') + (s[3] == '=' && s[2] == '=') : 0;
	uint32_t v = 0;

	for (int k = 0; k < 4; k++) {
		int d = k >= 4 - pad ? 0 : b64_value(s[k]);
		if (d < 0)
			return false;
		v = v << 6 | (uint32_t)d;
	}
	uint8_t out[3] = {(uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
	buf_put(b, out, (size_t)(3 - pad));
	return true;
}

bool b64_decode(struct buf *b, const char *text)
{
	size_t n = strlen(text);
	if (n % 4)
		return false;
	for (size_t i = 0; i < n; i += 4)
		if (!b64_group(b, text + i, i + 4 == n))
			return false;
	return !buf_failed(b);
}

void str_random_id(char out[33])
{
	uint8_t r[16];
	size_t got = 0;
	while (got < sizeof(r)) {
		ssize_t n = getrandom(r + got, sizeof(r) - got, 0);
		got += n > 0 ? (size_t)n : 0;
	}
	r[6] = (uint8_t)((r[6] & 0x0f) | 0x40);
	r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < sizeof(r); i++)
		snprintf(out + 2 * i, 3, "%02x", r[i]);
}

size_t str_utf8_len(const uint8_t *p, size_t n)
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
