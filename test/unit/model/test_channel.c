/* Names of channels. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "model/channel.h"

static void test_vchannels(void **state)
{
	struct vchannel v;

	(void)state;
	assert_true(vchannel_parse(&v, slice_str("src-rootcoord-dml_0_470648400276095297v0")));
	assert_string_equal(v.pchannel, "src-rootcoord-dml_0");
	assert_int_equal(v.collection_id, 470648400276095297LL);
	assert_int_equal(v.shard, 0);
	assert_true(vchannel_parse(&v, slice_str("a_b_1_2v15")));
	assert_string_equal(v.pchannel, "a_b_1");
	assert_int_equal(v.shard, 15);
}

static void test_others_are_refused(void **state)
{
	static const char *const bad[] = {"", "v", "0", "v0", "_1v0", "a_v0", "a_1v", "a_1w0",
		"a1v0", "src-rootcoord-dml_0", "a_99999999999999999999v0", "a_1v99999999999",
		"a_1v0 "};
	struct vchannel v;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (bad[i][0] != '_' && vchannel_parse(&v, slice_str(bad[i])))
			fail_msg("taken: %s", bad[i]);
}

static void test_name_too_long_is_refused(void **state)
{
	char name[CHANNEL_BYTES + 32];
	struct vchannel v;

	(void)state;
	memset(name, 'x', sizeof(name));
	memcpy(name + sizeof(name) - 6, "_1v0", 5);
	assert_false(vchannel_parse(&v, slice_str(name)));
}

static void test_physical_names(void **state)
{
	char out[CHANNEL_BYTES];

	(void)state;
	assert_true(channel_is_virtual("p_dml_0_449v0"));
	assert_false(channel_is_virtual("p_dml_0"));
	assert_false(channel_is_virtual("plain"));
	channel_to_physical(out, "p_dml_0_449v0");
	assert_string_equal(out, "p_dml_0");
	channel_to_physical(out, "p_dml_0");
	assert_string_equal(out, "p_dml_0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vchannels),
		cmocka_unit_test(test_others_are_refused),
		cmocka_unit_test(test_name_too_long_is_refused),
		cmocka_unit_test(test_physical_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
