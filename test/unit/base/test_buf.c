#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/iov.h"
#include "base/mem.h"

static void test_puts_follow_each_other(void **state)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(1000);

	(void)state;
	buf_put_str(&b, "ab");
	buf_put_u8(&b, 'c');
	buf_putf(&b, "%d%s", 7, "d");
	buf_put(&b, NULL, 0);
	assert_true(slice_eq_str(buf_slice(&b), "abc7d"));
	assert_string_equal(buf_cstr(&b), "abc7d");
	assert_int_equal(b.n, 5);
}

static void test_grows_far_beyond_its_first_size(void **state)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(1 << 20);

	(void)state;
	for (int i = 0; i < 100000; i++)
		buf_put_u8(&b, (uint8_t)i);
	assert_int_equal(b.n, 100000);
	assert_false(buf_failed(&b));
	for (int i = 0; i < 100000; i++)
		assert_int_equal(b.p[i], (uint8_t)i);
}

static void test_the_cap_is_exact_and_failure_sticks(void **state)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(4);

	(void)state;
	buf_put_str(&b, "abcd");
	assert_false(buf_failed(&b));
	buf_put_u8(&b, 'e');
	assert_true(buf_failed(&b));
	assert_int_equal(b.n, 4);
	assert_string_equal(buf_cstr(&b), "");
	buf_reset(&b);
	buf_put_str(&b, "ab");
	buf_put_str(&b, "cde"); /* does not fit: nothing of it is put, and nothing after it */
	buf_put_u8(&b, 'x');
	assert_true(buf_failed(&b));
	assert_true(slice_eq_str(buf_slice(&b), "ab"));
	assert_null(buf_reserve(&b, 0));
}

static void test_an_absurd_length_does_not_overflow(void **state)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(100);

	(void)state;
	buf_put_str(&b, "abc");
	assert_null(buf_reserve(&b, SIZE_MAX));
	assert_null(buf_reserve(&b, SIZE_MAX - 2));
	assert_true(buf_failed(&b));
}

static void test_take_hands_the_memory_over(void **state)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(100);

	(void)state;
	buf_put_str(&b, "mine");
	CLEANUP(freep) char *s = buf_take(&b);
	assert_string_equal(s, "mine");
	assert_int_equal(b.n, 0);
	assert_null(b.p);
	CLEANUP(freep) char *empty = buf_take(&b);
	assert_string_equal(empty, "");
	buf_put_str(&b, "again");
	assert_string_equal(buf_cstr(&b), "again");
}

static void test_mem_grow_keeps_content(void **state)
{
	uint64_t *v = NULL;
	size_t cap = 0;

	(void)state;
	for (size_t i = 0; i < 1000; i++) {
		mem_grow(&v, &cap, i + 1, sizeof(*v));
		assert_true(cap > i);
		v[i] = i;
	}
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(v[i], i);
	uint64_t *before = v;
	mem_grow(&v, &cap, 10, sizeof(*v));
	assert_ptr_equal(v, before);
	free(v);
}

static void test_copies_of_text(void **state)
{
	(void)state;
	CLEANUP(freep) char *a = xstrndup("abcdef", 3);
	CLEANUP(freep) char *b = xstrndup("ab", 100);
	CLEANUP(freep) char *none = xstrndup(NULL, 0);

	assert_string_equal(none, "");
	CLEANUP(freep) char *c = xasprintf("%s-%d", "x", 5);
	CLEANUP(freep) void *d = xmemdup(NULL, 0);
	assert_string_equal(a, "abc");
	assert_string_equal(b, "ab");
	assert_string_equal(c, "x-5");
	assert_non_null(d);
	freep(&d);
	assert_null(d);
}

static void test_iov_joins_neighbours(void **state)
{
	static const char text[] = "abcdef";
	struct iov o = {0};

	(void)state;
	iov_put(&o, slice_of(text, 2));
	iov_put(&o, slice_of(text + 2, 1));
	iov_put(&o, slice_of(text + 2, 0));
	iov_put(&o, slice_of(text + 4, 2));
	assert_int_equal(o.n, 2);
	assert_int_equal(o.bytes, 5);
	assert_true(slice_eq_str(o.v[0], "abc"));
	assert_true(slice_eq_str(o.v[1], "ef"));
	iov_reset(&o);
	assert_int_equal(o.n, 0);
	assert_int_equal(o.bytes, 0);
	iov_put(&o, slice_of(text, 6));
	assert_int_equal(o.bytes, 6);
	iov_done(&o);
	assert_null(o.v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_puts_follow_each_other),
		cmocka_unit_test(test_grows_far_beyond_its_first_size),
		cmocka_unit_test(test_the_cap_is_exact_and_failure_sticks),
		cmocka_unit_test(test_an_absurd_length_does_not_overflow),
		cmocka_unit_test(test_take_hands_the_memory_over),
		cmocka_unit_test(test_mem_grow_keeps_content),
		cmocka_unit_test(test_copies_of_text),
		cmocka_unit_test(test_iov_joins_neighbours),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
