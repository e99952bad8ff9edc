#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "client/http/http_codec.h"

static void url(const char *text, bool tls, const char *address, const char *host, const char *path)
{
	struct http_url u;
	struct err e = ERR_INIT;

	assert_int_equal(http_url_parse(&u, text, &e), ERR_OK);
	assert_int_equal(u.tls, tls);
	assert_string_equal(u.address, address);
	assert_string_equal(u.host, host);
	assert_string_equal(u.path, path);
}

static void test_urls(void **state UNUSED)
{
	static const char *const bad[] = {
		"", "ftp://h:1", "http://", "http://u:p@h/", "http://a b/"};
	struct http_url u;

	url("http://h:8444", false, "h:8444", "h", "/");
	url("https://h/cdc", true, "h:443", "h", "/cdc");
	url("h", false, "h:80", "h", "/");
	url("127.0.0.1:8444/cdc", false, "127.0.0.1:8444", "127.0.0.1", "/cdc");
	url("https://[::1]", true, "[::1]:443", "::1", "/");
	url("http://[::1]:5/x?y", false, "[::1]:5", "::1", "/x?y");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err e = ERR_INIT;
		assert_int_equal(http_url_parse(&u, bad[i], &e), ERR_INVALID);
	}
}

static void test_request(void **state UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(1 << 16);
	struct http_url u;
	struct err e = ERR_INIT;

	assert_int_equal(http_url_parse(&u, "http://h:1/cdc", &e), ERR_OK);
	http_put_request(&b, "POST", &u, "secret", slice_str("{}"));
	assert_string_equal(buf_cstr(&b),
		"POST /cdc HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\n"
		"Authorization: Bearer secret\r\nContent-Type: application/json\r\n"
		"Content-Length: 2\r\n\r\n{}");
	buf_reset(&b);
	http_put_request(&b, "GET", &u, NULL, slice_of(NULL, 0));
	assert_string_equal(
		buf_cstr(&b), "GET /cdc HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\n\r\n");
}

static enum err_code answer(const char *in, int *status, struct buf *body)
{
	struct err e = ERR_INIT;

	buf_reset(body);
	*status = 0;
	return http_read_answer(slice_str(in), status, body, &e);
}

static void test_answers(void **state UNUSED)
{
	static const char *const cut[] = {"", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"};
	static const char *const bad[] = {"SSH-2.0-x\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"};
	CLEANUP(buf_done) struct buf b = BUF_INIT(64);
	int status;

	assert_int_equal(
		answer("HTTP/1.1 200 OK\r\ncontent-LENGTH:  3 \r\n\r\nabcdef", &status, &b), 0);
	assert_int_equal(status, 200);
	assert_string_equal(buf_cstr(&b), "abc");
	assert_int_equal(answer("HTTP/1.0 404 x\r\n\r\nall", &status, &b), 0);
	assert_int_equal(status, 404);
	assert_string_equal(buf_cstr(&b), "all");
	assert_int_equal(answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
				"3\r\nabc\r\n2;n=v\r\nde\r\n0\r\n\r\n",
				 &status, &b),
		0);
	assert_string_equal(buf_cstr(&b), "abcde");
	for (size_t i = 0; i < ARRAY_LEN(cut); i++)
		assert_int_equal(answer(cut[i], &status, &b), ERR_UNAVAILABLE);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(answer(bad[i], &status, &b), ERR_MALFORMED);
}

static void test_too_large(void **state UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(4);
	int status;

	assert_int_equal(answer("HTTP/1.1 200 OK\r\n\r\n12345", &status, &b), ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_too_large),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
