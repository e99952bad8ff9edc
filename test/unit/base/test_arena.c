#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/arena.h"

static void test_pieces_are_aligned_and_apart(void **state)
{
	struct arena a = ARENA_INIT;
	uint8_t *before = NULL;
	size_t before_n = 0;

	(void)state;
	for (size_t n = 0; n < 5000; n += 7) {
		uint8_t *p = arena_alloc(&a, n);
		assert_int_equal((uintptr_t)p % 8, 0);
		memset(p, (int)(n & 0xff), n);
		for (size_t i = 0; i < before_n; i++)
			assert_int_equal(before[i], before_n & 0xff);
		before = p;
		before_n = n;
	}
	arena_done(&a);
}

static void test_a_piece_larger_than_a_chunk(void **state)
{
	struct arena a = ARENA_INIT;

	(void)state;
	uint8_t *small = arena_alloc(&a, 10);
	uint8_t *big = arena_alloc(&a, 1 << 20);
	memset(small, 1, 10);
	memset(big, 2, 1 << 20);
	assert_int_equal(small[9], 1);
	assert_true(a.bytes >= 1 << 20);
	arena_done(&a);
	assert_int_equal(a.bytes, 0);
}

static void test_reset_keeps_one_chunk(void **state)
{
	struct arena a = ARENA_INIT;

	(void)state;
	arena_reset(&a);
	uint8_t *first = arena_alloc(&a, 100);
	size_t one = a.bytes;
	for (int i = 0; i < 50; i++)
		memset(arena_alloc(&a, 10000), i, 10000);
	assert_true(a.bytes > one);
	arena_reset(&a);
	assert_int_equal(a.bytes, one);
	assert_ptr_equal(arena_alloc(&a, 100), first);
	arena_done(&a);
}

static void test_copy_and_trim(void **state)
{
	struct arena a = ARENA_INIT;
	char text[] = "hello";

	(void)state;
	struct slice copy = arena_copy(&a, slice_str(text));
	text[0] = 'j';
	assert_true(slice_eq_str(copy, "hello"));
	assert_int_equal(arena_copy(&a, (struct slice){0}).n, 0);
	uint8_t *p = arena_alloc(&a, 1000);
	arena_trim(&a, p, 3);
	uint8_t *q = arena_alloc(&a, 1);
	assert_ptr_equal(q, p + 8);
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces_are_aligned_and_apart),
		cmocka_unit_test(test_a_piece_larger_than_a_chunk),
		cmocka_unit_test(test_reset_keeps_one_chunk),
		cmocka_unit_test(test_copy_and_trim),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
