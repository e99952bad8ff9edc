#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "sink/gojson.h"

static void test_numbers(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(1000);
	struct gojson o = {.b = &b};
	gojson_open(&o, NULL, '[');
	gojson_f32(&o, NULL, 0.1f);
	gojson_f32(&o, NULL, 16777217.0f);
	gojson_f32(&o, NULL, 1e-45f);
	gojson_f32(&o, NULL, -0.0f);
	gojson_f32(&o, NULL, NAN);
	gojson_f64(&o, NULL, 0.1);
	gojson_f64(&o, NULL, 1.7976931348623157e308);
	gojson_f64(&o, NULL, -INFINITY);
	gojson_i64(&o, NULL, INT64_MIN);
	gojson_u64(&o, NULL, UINT64_MAX);
	gojson_close(&o, ']');
	assert_string_equal(buf_cstr(&b),
		"[0.1,16777216,1.401298e-45,-0.0,\"NaN\",0.1,1.7976931348623157e+308,\"-Infinity\","
		"-9223372036854775808,18446744073709551615]");
	buf_done(&b);
}

static void test_nesting(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(1000);
	struct gojson o = {.b = &b};
	gojson_open(&o, NULL, '{');
	gojson_open(&o, "a", '{');
	gojson_close(&o, '}');
	gojson_open(&o, "l", '[');
	gojson_null(&o, NULL);
	gojson_bool(&o, NULL, true);
	gojson_b64(&o, NULL, slice_of("\x01\x02", 2));
	gojson_close(&o, ']');
	gojson_cstr(&o, "k\"", "v");
	gojson_close(&o, '}');
	assert_string_equal(buf_cstr(&b), "{\"a\":{},\"l\":[null,true,\"AQI=\"],\"k\\\"\":\"v\"}");
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_nesting)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
