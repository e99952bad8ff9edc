#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

static void test_numbers_are_whole_or_nothing(void **state)
{
	static const char *const bad[] = {"", "-", "+1", " 1", "1 ", "1x", "0x1", "1.0",
		"9223372036854775808", "-9223372036854775809", "--1"};
	int64_t v;
	uint64_t u;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (str_to_i64(bad[i], &v))
			fail_msg("accepted: '%s'", bad[i]);
		assert_false(slice_to_i64(slice_str(bad[i]), &v));
	}
	assert_true(str_to_i64("-9223372036854775808", &v) && v == INT64_MIN);
	assert_true(str_to_i64("9223372036854775807", &v) && v == INT64_MAX);
	assert_true(str_to_i64("007", &v) && v == 7);
	assert_true(str_to_u64("18446744073709551615", &u) && u == UINT64_MAX);
	assert_false(str_to_u64("18446744073709551616", &u));
	assert_false(str_to_u64("-1", &u));
	assert_false(str_to_u64("", &u));
	assert_false(slice_to_i64(slice_of("1\0002", 3), &v));
	assert_true(slice_to_i64(slice_of("123", 2), &v) && v == 12);
}

static void test_ends(void **state)
{
	(void)state;
	assert_true(str_starts("abc", "ab") && str_starts("abc", "") && !str_starts("a", "ab"));
	assert_true(str_ends("abc", "bc") && str_ends("abc", "") && !str_ends("c", "bc"));
}

/* The examples of RFC 4648, and all bytes there and back. */
static void test_base64(void **state)
{
	static const char *const pairs[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="},
		{"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"}};
	uint8_t all[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		CLEANUP(freep) char *text = b64_text(slice_str(pairs[i][0]));
		CLEANUP(buf_done) struct buf back = BUF_INIT(100);
		assert_string_equal(text, pairs[i][1]);
		assert_true(b64_decode(&back, text));
		assert_true(slice_eq_str(buf_slice(&back), pairs[i][0]));
	}
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)i;
	CLEANUP(freep) char *text = b64_text(slice_of(all, sizeof(all)));
	CLEANUP(buf_done) struct buf back = BUF_INIT(1000);
	assert_true(b64_decode(&back, text));
	assert_true(slice_eq(buf_slice(&back), slice_of(all, sizeof(all))));
}

static void test_bad_base64(void **state)
{
	static const char *const bad[] = {
		"Z", "Zg", "Zg=", "Zg==Zg==", "Z===", "====", "Zg=g", "Z g=", "Zm9-", "Zm9v\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CLEANUP(buf_done) struct buf b = BUF_INIT(100);
		if (b64_decode(&b, bad[i]))
			fail_msg("accepted: '%s'", bad[i]);
	}
	CLEANUP(buf_done) struct buf small = BUF_INIT(2);
	assert_false(b64_decode(&small, "Zm9v"));
}

static void test_random_ids_are_uuids_without_dashes(void **state)
{
	char a[33], b[33];

	(void)state;
	str_random_id(a);
	str_random_id(b);
	assert_int_equal(strlen(a), 32);
	assert_int_equal(strspn(a, "0123456789abcdef"), 32);
	assert_int_equal(a[12], '4');
	assert_non_null(strchr("89ab", a[16]));
	assert_string_not_equal(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers_are_whole_or_nothing),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_bad_base64),
		cmocka_unit_test(test_random_ids_are_uuids_without_dashes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
