#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "model/kv.h"
#include "support/hex.h"

static struct kv_list read_hex(const char *hex, uint32_t num)
{
	uint8_t bytes[256];
	struct kv_list l = {0};

	assert_true(kv_read(&l, hex_bytes(hex, bytes, sizeof(bytes)), num));
	return l;
}

static void test_reads_one_field(void **state)
{
	(void)state;
	/* 7: {a: 1}, 3: another field, 7: {b: ""}, 7: {a: 2} */
	CLEANUP(kv_done)
	struct kv_list l = read_hex("3a060a016112 0131 1a0178 3a030a0162 3a060a0161120132", 7);

	assert_int_equal(l.n, 2);
	assert_string_equal(kv_get(&l, "a"), "2");
	assert_string_equal(kv_get(&l, "b"), "");
	assert_null(kv_get(&l, "c"));
}

static void test_malformed(void **state)
{
	static const char *const bad[] = {"3a060a0161", "3805", "3a030a0100", "3a020a05"};
	uint8_t bytes[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct kv_list l = {0};
		assert_false(kv_read(&l, hex_bytes(bad[i], bytes, sizeof(bytes)), 7));
		kv_done(&l);
	}
}

static void expect_changes(
	const struct kv_list *before, const struct kv_list *after, const char *hex)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(1024);
	uint8_t want[256];
	char a[512], c[512];

	assert_int_equal(kv_put_changes(&b, before, after, 5, 6), *hex != '\0');
	hex_text(hex_bytes(hex, want, sizeof(want)), a, sizeof(a));
	assert_string_equal(hex_text(buf_slice(&b), c, sizeof(c)), a);
}

/* What is new or changed is set, what is gone is deleted, what stays is not named. */
static void test_changes(void **state)
{
	CLEANUP(kv_done) struct kv_list one = {0}, two = {0};

	(void)state;
	expect_changes(&one, &two, "");
	kv_put(&one, "s", "1");
	kv_put(&two, "s", "1");
	assert_true(kv_equal(&one, &two));
	expect_changes(&one, &two, "");
	kv_put(&one, "g", "1");
	kv_put(&two, "n", "2");
	assert_false(kv_equal(&one, &two));
	expect_changes(&one, &two, "2a06 0a016e 120132 3201 67");
	kv_put(&two, "s", "3");
	expect_changes(&one, &two, "2a06 0a0173 120133 2a06 0a016e 120132 3201 67");
	kv_copy(&one, &two);
	assert_true(kv_equal(&one, &two));
	kv_done(&two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_one_field),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_changes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
