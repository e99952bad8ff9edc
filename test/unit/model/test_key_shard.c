/* Shards of keys. That a real proxy chooses the same is test_verify.py's to show: rows that were
 * repaired are deleted at the source. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "model/key_shard.h"

static void test_numbers(void **state)
{
	/* MurmurHash3 of the key's bytes, modulo 2^31, modulo a prime: the whole hash counts */
	static const struct {
		int64_t key;
		uint32_t shard;
	} known[] = {
		{0, 666669}, {1, 987380}, {-1, 855759}, {1LL << 40, 997669}, {INT64_MAX, 977479}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		assert_int_equal(key_shard_number(known[i].key, 1000003), known[i].shard);
	assert_int_equal(key_shard_number(5, 1), 0);
}

static void test_texts(void **state)
{
	char longer[200];

	(void)state;
	assert_int_equal(key_shard_text(slice_str("123456789"), UINT32_MAX), 0xcbf43926);
	assert_int_equal(key_shard_text(slice_str(""), 7), 0);
	/* only the first hundred bytes count */
	memset(longer, 'x', sizeof(longer));
	assert_int_equal(key_shard_text(slice_of(longer, 100), 1000003),
		key_shard_text(slice_of(longer, 200), 1000003));
	assert_int_not_equal(key_shard_text(slice_of(longer, 99), 1000003),
		key_shard_text(slice_of(longer, 100), 1000003));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_texts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
