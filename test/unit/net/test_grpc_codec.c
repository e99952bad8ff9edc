/* Framing, headers and statuses without a network; the write queue. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/grpc_codec.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "net/wq.h"

/* The same two messages whatever the cuts. */
static void frames_in_any_cuts(void **state UNUSED)
{
	static const uint8_t in[] = "\0\0\0\0\3abc\0\0\0\0\0\0\0\0\0\1z";
	const size_t n = sizeof(in) - 1;

	for (size_t cut = 1; cut <= n; cut++) {
		struct buf msg = BUF_INIT(100);
		struct buf all = BUF_INIT(100);
		struct grpc_frames f = {.msg = &msg};
		unsigned whole_n = 0;
		for (size_t at = 0; at < n; at += cut) {
			struct slice s = slice_of(in + at, MIN(cut, n - at));
			while (s.n) {
				bool whole;
				assert_int_equal(grpc_frames_push(&f, &s, &whole, NULL), ERR_OK);
				if (!whole)
					continue;
				whole_n++;
				buf_put(&all, msg.p, msg.n);
				buf_put_u8(&all, '|');
				buf_reset(&msg);
			}
		}
		assert_int_equal(whole_n, 3);
		assert_string_equal(buf_cstr(&all), "abc||z|");
		assert_true(grpc_frames_idle(&f));
		buf_done(&msg);
		buf_done(&all);
	}
}

static void a_claimed_length_takes_no_memory(void **state UNUSED)
{
	struct buf msg = BUF_INIT(1 << 30);
	struct grpc_frames f = {.msg = &msg};
	struct slice s = slice_of("\0\x3f\xff\xff\xff"
				  "a",
		6);
	bool whole;

	assert_int_equal(grpc_frames_push(&f, &s, &whole, NULL), ERR_OK);
	assert_false(whole);
	assert_false(grpc_frames_idle(&f));
	assert_true(msg.cap < 1 << 20);
	buf_done(&msg);
}

static void unescapes(void **state UNUSED)
{
	static const struct {
		const char *in, *out;
	} rows[] = {{"plain", "plain"}, {"a%20b", "a b"}, {"%e4%B8%AD", "\xe4\xb8\xad"},
		{"100%", "100%"}, {"%4", "%4"}, {"%zz", "%zz"}, {"%%41", "%A"}, {"%00x", " x"},
		{"", ""}};
	char out[64], tiny[4];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(grpc_unescape(slice_str(rows[i].in), out, sizeof(out)),
			strlen(rows[i].out));
		assert_string_equal(out, rows[i].out);
	}
	assert_int_equal(grpc_unescape(slice_str("abcdef"), tiny, sizeof(tiny)), 3);
	assert_string_equal(tiny, "abc");
}

static void timeouts_have_at_most_eight_digits(void **state UNUSED)
{
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {{-5, "1m"}, {0, "1m"}, {1, "1m"}, {99999999, "99999999m"},
		{100000000, "100000S"}, {99999999999, "99999999S"}, {100000000000, "1666666M"},
		{INT64_MAX / 2, "99999999H"}};
	char out[GRPC_TIMEOUT_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		grpc_timeout_text(rows[i].ms, out);
		assert_string_equal(out, rows[i].text);
	}
}

static enum err_code header(struct grpc_reply *r, const char *name, const char *value)
{
	return grpc_reply_header(r, slice_str(name), slice_str(value), NULL);
}

static void content_types(void **state UNUSED)
{
	static const struct {
		const char *type;
		bool ok;
	} rows[] = {{"application/grpc", true}, {"application/grpc+proto", true},
		{"application/grpc;charset=x", true}, {"application/grpc-web", false},
		{"text/html", false}, {"", false}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct grpc_reply r;
		grpc_reply_init(&r);
		assert_int_equal(header(&r, ":status", "200"), ERR_OK);
		assert_int_equal(header(&r, "content-type", rows[i].type), ERR_OK);
		assert_int_equal(grpc_reply_is_grpc(&r), rows[i].ok);
	}
}

static void http_statuses_and_resets(void **state UNUSED)
{
	static const struct {
		const char *http;
		uint32_t reset;
		int status;
	} rows[] = {{"400", 0, 13}, {"401", 0, 16}, {"403", 0, 7}, {"404", 0, 12}, {"429", 0, 14},
		{"502", 0, 14}, {"503", 0, 14}, {"504", 0, 14}, {"500", 0, 2}, {"junk", 0, 2},
		{"200", 7, 14}, {"200", 8, 1}, {"200", 11, 8}, {"200", 12, 7}, {"200", 2, 13}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct grpc_reply r;
		struct err e = ERR_INIT;
		grpc_reply_init(&r);
		assert_int_equal(header(&r, ":status", rows[i].http), ERR_OK);
		assert_int_not_equal(grpc_reply_result(&r, true, rows[i].reset, &e), ERR_OK);
		assert_int_equal(e.origin, rows[i].status);
	}
}

static void endless_headers_are_cut_off(void **state UNUSED)
{
	struct grpc_reply r;
	char value[1024];
	int n = 0;

	memset(value, 'a', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	grpc_reply_init(&r);
	while (header(&r, "x", value) == ERR_OK)
		n++;
	assert_in_range(n, 50, LIMIT_GRPC_HEADERS / 1000);
}

static void flatten(const struct wq *q, struct buf *out)
{
	struct iovec v[64];
	size_t n = wq_peek(q, v, ARRAY_LEN(v));

	buf_reset(out);
	for (size_t i = 0; i < n; i++)
		buf_put(out, v[i].iov_base, v[i].iov_len);
}

static void the_queue_keeps_order_and_gives_slices_back(void **state UNUSED)
{
	struct wq q = {0};
	struct buf out = BUF_INIT(1000);
	char *borrowed = xstrdup("0123456789");
	int me, other;

	wq_put_copy(&q, slice_str("head "));
	wq_put_ref(&q, slice_of(borrowed, 4), &me);
	wq_put_copy(&q, slice_str(" a longer piece of control "));
	wq_put_ref(&q, slice_of(borrowed + 4, 6), &me);
	wq_put_ref(&q, slice_str("kept"), &other);
	flatten(&q, &out);
	assert_string_equal(buf_cstr(&out), "head 0123 a longer piece of control 456789kept");
	wq_advance(&q, 7); /* in the middle of a borrowed slice */
	wq_disown(&q, &me);
	memset(borrowed, 'x', 10);
	free(borrowed);
	flatten(&q, &out);
	assert_string_equal(buf_cstr(&out), "23 a longer piece of control 456789kept");
	assert_int_equal(q.sent, 7);
	wq_advance(&q, q.bytes);
	assert_int_equal(q.put, q.sent);
	assert_int_equal(wq_peek(&q, &(struct iovec){0}, 1), 0);
	wq_done(&q);
	buf_done(&out);
}

static void the_queue_stays_small_under_a_stream(void **state UNUSED)
{
	struct wq q = {0};

	for (int i = 0; i < 100000; i++) {
		wq_put_copy(&q, slice_str("some bytes"));
		wq_put_copy(&q, slice_str("and some more bytes"));
		if (i > 10)
			wq_advance(&q, 29);
	}
	assert_true(q.cap <= 64);
	wq_done(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_in_any_cuts),
		cmocka_unit_test(a_claimed_length_takes_no_memory),
		cmocka_unit_test(unescapes),
		cmocka_unit_test(timeouts_have_at_most_eight_digits),
		cmocka_unit_test(content_types),
		cmocka_unit_test(http_statuses_and_resets),
		cmocka_unit_test(endless_headers_are_cut_off),
		cmocka_unit_test(the_queue_keeps_order_and_gives_slices_back),
		cmocka_unit_test(the_queue_stays_small_under_a_stream),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
