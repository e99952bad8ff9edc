#include "client/http/http_codec.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

enum { STATUS_AT = 9, STATUS_DIGITS = 3, CHUNK_DIGITS = 8 };

/* ---- urls ---- */

/* The port is what stands behind the last colon that is not inside of brackets. */
static bool has_port(const char *address)
{
	const char *colon = strrchr(address, ':');

	return colon && !strchr(colon, ']');
}

enum err_code http_url_parse(struct http_url *u, const char *text, struct err *e)
{
	const char *scheme = strstr(text, "://");
	const char *rest = scheme ? scheme + 3 : text;
	size_t n = strcspn(rest, "/?#");

	u->tls = str_starts(text, "https://");
	if (scheme && !u->tls && !str_starts(text, "http://"))
		return err_set(e, ERR_INVALID, "%s: only http and https are spoken", text);
	if (!n || n > HTTP_HOST_BYTES - sizeof(":65535") || memchr(rest, '@', n) ||
		strcspn(rest, " \t\r\n") != strlen(rest) || strlen(rest + n) >= HTTP_PATH_BYTES)
		return err_set(e, ERR_INVALID, "%s is no url: http(s)://host:port", text);
	snprintf(u->address, sizeof(u->address), "%.*s", (int)n, rest);
	if (!has_port(u->address))
		snprintf(u->address + n, sizeof(u->address) - n, ":%d", u->tls ? 443 : 80);
	snprintf(u->path, sizeof(u->path), "%s", rest[n] == '/' ? rest + n : "/");
	const char *colon = strrchr(u->address, ':');
	bool bracket = u->address[0] == '[';
	snprintf(u->host, sizeof(u->host), "%.*s", (int)(colon - u->address) - 2 * bracket,
		u->address + bracket);
	return ERR_OK;
}

/* ---- requests ---- */

void http_put_request(struct buf *b, const char *method, const struct http_url *u,
	const char *token, struct slice body)
{
	buf_putf(b, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", method, u->path,
		u->address);
	if (token && *token)
		buf_putf(b, "Authorization: Bearer %s\r\n", token);
	if (body.n)
		buf_putf(b, "Content-Type: application/json\r\nContent-Length: %zu\r\n", body.n);
	buf_put_str(b, "\r\n");
	buf_put(b, body.p, body.n);
}

/* ---- answers ---- */

struct answer {
	struct slice head, body;
	bool chunked, has_length;
	uint64_t length;
};

static enum err_code no_http(struct err *e)
{
	return err_set(e, ERR_MALFORMED, "the answer is not HTTP");
}

static bool split(struct slice in, struct answer *a)
{
	const uint8_t *end = in.n ? memmem(in.p, in.n, "\r\n\r\n", 4) : NULL;

	if (!end)
		return false;
	a->head = slice_of(in.p, (size_t)(end - in.p) + 2);
	a->body = slice_of(end + 4, in.n - a->head.n - 2);
	return true;
}

static bool read_status(struct slice head, int *ret)
{
	if (head.n < STATUS_AT + STATUS_DIGITS || memcmp(head.p, "HTTP/1.", 7) != 0)
		return false;
	*ret = 0;
	for (int i = STATUS_AT; i < STATUS_AT + STATUS_DIGITS; i++) {
		if (!isdigit(head.p[i]))
			return false;
		*ret = *ret * 10 + (head.p[i] - '0');
	}
	return true;
}

static struct slice trimmed(struct slice s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = slice_of(s.p + 1, s.n - 1);
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static bool is_name(struct slice line, const char *name)
{
	size_t n = strlen(name);
	return line.n > n && strncasecmp((const char *)line.p, name, n) == 0 && line.p[n] == ':';
}

static bool read_header(struct slice line, struct answer *a)
{
	static const char length[] = "content-length", coding[] = "transfer-encoding";
	int64_t n;

	if (is_name(line, length)) {
		struct slice v =
			trimmed(slice_of(line.p + sizeof(length), line.n - sizeof(length)));
		if (!slice_to_i64(v, &n) || n < 0)
			return false;
		a->has_length = true;
		a->length = (uint64_t)n;
	} else if (is_name(line, coding)) {
		struct slice v =
			trimmed(slice_of(line.p + sizeof(coding), line.n - sizeof(coding)));
		a->chunked = v.n == 7 && strncasecmp((const char *)v.p, "chunked", 7) == 0;
		return a->chunked;
	}
	return true;
}

static bool read_headers(struct answer *a)
{
	struct slice rest = a->head;

	while (rest.n) {
		const uint8_t *end = memmem(rest.p, rest.n, "\r\n", 2);
		size_t n = end ? (size_t)(end - rest.p) : rest.n;
		if (!read_header(slice_of(rest.p, n), a))
			return false;
		rest = slice_of(rest.p + MIN(n + 2, rest.n), rest.n - MIN(n + 2, rest.n));
	}
	return true;
}

static enum err_code cut_off(struct err *e)
{
	return err_set(e, ERR_UNAVAILABLE, "the answer was cut off");
}

/* The hexadecimal size at the start of a chunk, and where its bytes begin. */
static bool chunk_size(struct slice in, size_t *ret_size, size_t *ret_at)
{
	size_t i = 0, size = 0;

	for (; i < in.n && i < CHUNK_DIGITS && isxdigit(in.p[i]); i++)
		size = size * 16 +
		       (size_t)(isdigit(in.p[i]) ? in.p[i] - '0' : tolower(in.p[i]) - 'a' + 10);
	const uint8_t *end = i ? memmem(in.p + i, in.n - i, "\r\n", 2) : NULL;
	if (!end)
		return false;
	*ret_size = size;
	*ret_at = (size_t)(end - in.p) + 2;
	return true;
}

static enum err_code take_chunks(struct slice in, struct buf *ret, struct err *e)
{
	size_t size, at;

	for (;;) {
		if (!chunk_size(in, &size, &at))
			return cut_off(e);
		if (!size)
			return ERR_OK;
		if (in.n - at < size + 2)
			return cut_off(e);
		buf_put(ret, in.p + at, size);
		in = slice_of(in.p + at + size + 2, in.n - at - size - 2);
	}
}

enum err_code http_read_answer(
	struct slice in, int *ret_status, struct buf *ret_body, struct err *e)
{
	struct answer a = {.chunked = false};
	enum err_code code = ERR_OK;

	if (!split(in, &a))
		return in.n && memcmp(in.p, "HTTP/1.", MIN(in.n, (size_t)7)) != 0 ? no_http(e)
										  : cut_off(e);
	if (!read_status(a.head, ret_status) || !read_headers(&a))
		return no_http(e);
	if (a.chunked)
		code = take_chunks(a.body, ret_body, e);
	else if (a.has_length && a.body.n < a.length)
		code = cut_off(e);
	else
		buf_put(ret_body, a.body.p, a.has_length ? (size_t)a.length : a.body.n);
	if (!code && buf_failed(ret_body))
		code = err_set(e, ERR_LIMIT, "the answer is too large");
	return code;
}
