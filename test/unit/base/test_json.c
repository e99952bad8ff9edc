#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"

static void text_is(const char *bytes, size_t n, const char *want)
{
	struct buf b = BUF_INIT(1000);
	json_out_text(&b, slice_of(bytes, n));
	assert_string_equal(buf_cstr(&b), want);
	buf_done(&b);
}

#define TEXT(bytes, want) text_is(bytes, sizeof(bytes) - 1, want)

/* What Go's encoding/json writes for the same bytes. */
static void test_any_bytes_as_go(void **state)
{
	(void)state;
	TEXT("", "\"\"");
	TEXT("plain", "\"plain\"");
	TEXT("a\"b\\c/d", "\"a\\\"b\\\\c/d\"");
	TEXT("\n\r\t\x01\x1f", "\"\\n\\r\\t\\u0001\\u001f\"");
	TEXT("<a>&", "\"\\u003ca\\u003e\\u0026\"");
	TEXT("a\0b", "\"a\\u0000b\"");
	TEXT("\xc3\xa4\xe4\xb8\xad\xf0\x9f\x98\x80\x7f",
		"\"\xc3\xa4\xe4\xb8\xad\xf0\x9f\x98\x80\x7f\"");
	TEXT("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa", "\"\\u2028\\u2029\xe2\x80\xaa\"");
	TEXT("\xff"
	     "a\xc3",
		"\"\\ufffda\\ufffd\"");
	TEXT("\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"");
	TEXT("\xc0\x80", "\"\\ufffd\\ufffd\"");
	TEXT("\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
	TEXT("\xe4\xb8", "\"\\ufffd\\ufffd\"");
}

static void test_escapes_as_go(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"plain", "\"plain\""},
		{"a<b>&c", "\"a\\u003cb\\u003e\\u0026c\""},
		{"\"\\\n\r\t", "\"\\\"\\\\\\n\\r\\t\""},
		{"\x01\x1f", "\"\\u0001\\u001f\""},
		{"x\xe2\x80\xa8y\xe2\x80\xa9", "\"x\\u2028y\\u2029\""},
		{"\xe2\x80\xaa", "\"\xe2\x80\xaa\""},
		{"\xe2\x80", "\"\\ufffd\\ufffd\""},
		{"a\x8f\xff", "\"a\\ufffd\\ufffd\""},
		{"", "\"\""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(buf_done)
		struct buf b = BUF_INIT(1000);
		json_out_quoted(&b, cases[i].in);
		assert_string_equal(buf_cstr(&b), cases[i].out);
	}
}

static void test_writer_places_commas(void **state)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(1000);
	struct json_out o = {.b = &b};

	(void)state;
	json_out_open(&o, NULL, '{');
	json_out_open(&o, "l", '[');
	json_out_close(&o, ']');
	json_out_open(&o, "m", '[');
	json_out_i64(&o, NULL, INT64_MIN);
	json_out_u64(&o, NULL, UINT64_MAX);
	json_out_open(&o, NULL, '{');
	json_out_close(&o, '}');
	json_out_close(&o, ']');
	json_out_str_if(&o, "none", "");
	json_out_str_if(&o, "some", "x");
	json_out_bool(&o, "t", true);
	json_out_null(&o, "n");
	json_out_raw(&o, "r", "{\"a\":1}");
	json_out_close(&o, '}');
	assert_string_equal(buf_cstr(&b),
		"{\"l\":[],\"m\":[-9223372036854775808,18446744073709551615,{}],\"some\":\"x\","
		"\"t\":true,\"n\":null,\"r\":{\"a\":1}}");
}

static void test_parse(void **state)
{
	json_t *j = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(json_in_parse(slice_str("{\"a\":459000000000000001}"), &j, &e), ERR_OK);
	assert_int_equal(json_integer_value(json_object_get(j, "a")), 459000000000000001);
	json_in_freep(&j);
	assert_null(j);
	assert_int_equal(json_in_parse(slice_str("{\"a\":}"), &j, &e), ERR_MALFORMED);
	assert_non_null(strstr(e.text, "line 1"));
	assert_int_equal(json_in_parse(slice_of(NULL, 0), &j, NULL), ERR_MALFORMED);
}

static void test_too_many_values(void **state)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(4 << 20);
	json_t *j = NULL;
	struct err e = ERR_INIT;

	(void)state;
	buf_put_u8(&b, '[');
	for (int i = 0; i < JSON_IN_VALUES_MAX; i++)
		buf_put_str(&b, "{},");
	buf_put_str(&b, "{}]");
	assert_int_equal(json_in_parse(buf_slice(&b), &j, &e), ERR_MALFORMED);
	assert_string_equal(e.text, "more than 200000 values");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_bytes_as_go),
		cmocka_unit_test(test_escapes_as_go),
		cmocka_unit_test(test_writer_places_commas),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_too_many_values),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
