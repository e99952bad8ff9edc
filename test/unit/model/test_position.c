/* Positions as users and backup tools write them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "model/position.h"
#include "support/hex.h"

#define TEXT "ChZieS1kZXYtcm9vdGNvb3JkLWRtbF8wEghdAAAAAAAAACCCgJDI44eFxAY="

static void test_vector_both_ways(void **state)
{
	struct err e = ERR_INIT;
	struct position p;
	char hex[64];

	(void)state;
	assert_int_equal(position_from_b64(&p, TEXT, &e), ERR_OK);
	assert_int_equal(p.ts, 470648418537308162ULL);
	assert_string_equal(hex_text(mq_id_slice(&p.id), hex, sizeof(hex)), "5d00000000000000");
	char *text = position_to_b64("by-dev-rootcoord-dml_0", &p, true);
	assert_string_equal(text, TEXT);
	free(text);
}

static void test_without_time(void **state)
{
	struct err e = ERR_INIT;
	struct position p = {.ts = 5}, back;

	(void)state;
	assert_int_equal(mq_id_set(&p.id, slice_str("12345678"), &e), ERR_OK);
	char *text = position_to_b64("c", &p, false);
	assert_int_equal(position_from_b64(&back, text, &e), ERR_OK);
	assert_int_equal(back.ts, 0);
	assert_true(slice_eq(mq_id_slice(&back.id), slice_str("12345678")));
	free(text);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {"not base64!", "ChZ", "Cg==", "EgX/"};
	char long_id[200] = "";
	struct mq_id id;
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err why = ERR_INIT;
		struct position p;
		assert_int_equal(position_from_b64(&p, bad[i], &why), ERR_INVALID);
	}
	memset(long_id, 'x', sizeof(long_id) - 1);
	assert_int_equal(mq_id_set(&id, slice_str(long_id), &e), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vector_both_ways),
		cmocka_unit_test(test_without_time),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
