#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/wire.h"

static bool parse_all(struct slice in, size_t *fields)
{
	struct wire w = wire_open(in);
	struct wire_field f;

	*fields = 0;
	while (wire_next(&w, &f))
		(*fields)++;
	return !w.bad;
}

static void test_what_is_written_is_read(void **state)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(1000);
	struct wire_field f;

	(void)state;
	wire_put_u64(&b, 1, 300);
	wire_put_i64(&b, 2, -1);
	wire_put_bytes(&b, 3, slice_of("\x00\x01", 2));
	wire_put_str(&b, 4, "");
	wire_put_str_opt(&b, 5, "");
	wire_put_str_opt(&b, 500, "x");
	wire_put_u64(&b, 536870911, UINT64_MAX);
	struct wire w = wire_open(buf_slice(&b));
	assert_true(wire_next(&w, &f));
	assert_true(f.num == 1 && f.type == WIRE_VARINT && f.value == 300);
	assert_int_equal(f.raw.n, 3);
	assert_true(wire_next(&w, &f));
	assert_true(f.num == 2 && f.value == UINT64_MAX && f.raw.n == 11);
	assert_true(wire_next(&w, &f));
	assert_true(f.num == 3 && f.type == WIRE_LEN && slice_eq(f.data, slice_of("\x00\x01", 2)));
	assert_true(wire_next(&w, &f));
	assert_true(f.num == 4 && f.type == WIRE_LEN && f.data.n == 0);
	assert_true(wire_next(&w, &f));
	assert_true(f.num == 500 && slice_eq_str(f.data, "x"));
	assert_true(wire_next(&w, &f));
	assert_true(f.num == 536870911 && f.value == UINT64_MAX);
	assert_false(wire_next(&w, &f));
	assert_false(w.bad);
}

static void test_fixed_numbers_are_little_endian(void **state)
{
	static const uint8_t in[] = {0x0d, 1, 2, 3, 4, 0x11, 1, 2, 3, 4, 5, 6, 7, 8};
	struct wire w = wire_open(slice_of(in, sizeof(in)));
	struct wire_field f;

	(void)state;
	assert_true(wire_next(&w, &f));
	assert_true(f.type == WIRE_I32 && f.value == 0x04030201);
	assert_true(wire_next(&w, &f));
	assert_true(f.type == WIRE_I64 && f.value == 0x0807060504030201);
	assert_false(wire_next(&w, &f));
	assert_false(w.bad);
}

static void test_malformed_is_bad_and_stays_so(void **state)
{
	static const struct {
		const char *what, *bytes;
		size_t n;
	} cases[] = {
		{"field number 0", "\x00\x01", 2},
		{"group", "\x0b", 1},
		{"end of group", "\x0c", 1},
		{"type 6", "\x0e\x00", 2},
		{"type 7", "\x0f\x00", 2},
		{"no value", "\x08", 1},
		{"unfinished varint", "\x08\xff", 2},
		{"varint of 11 bytes", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12},
		{"length beyond the end", "\x0a\x02x", 3},
		{"length of 2^64 - 1", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x", 12},
		{"short fixed 32", "\x0d\x01\x02\x03", 4},
		{"short fixed 64", "\x09\x01\x02\x03\x04\x05\x06\x07", 8},
		{"number above 2^29", "\x80\x80\x80\x80\x10\x00", 6},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct wire w = wire_open(slice_of(cases[i].bytes, cases[i].n));
		struct wire_field f;
		if (wire_next(&w, &f) || !w.bad)
			fail_msg("accepted: %s", cases[i].what);
		assert_false(wire_next(&w, &f));
	}
}

static void test_nothing_is_a_message_without_fields(void **state)
{
	size_t fields;

	(void)state;
	assert_true(parse_all((struct slice){0}, &fields));
	assert_int_equal(fields, 0);
}

static void test_every_cut_is_seen_or_ends_between_fields(void **state)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(1000);
	bool edge[64] = {false};

	(void)state;
	for (uint32_t num = 1; num < 6; num++) {
		edge[b.n] = true;
		if (num & 1)
			wire_put_u64(&b, num, 1000000);
		else
			wire_put_str(&b, num, "abc");
	}
	edge[b.n] = true;
	for (size_t n = 0; n <= b.n; n++) {
		size_t fields;
		assert_int_equal(parse_all(slice_of(b.p, n), &fields), edge[n]);
	}
}

static void test_varint_size_is_what_put_takes(void **state)
{
	uint8_t p[10];

	(void)state;
	for (unsigned bit = 0; bit < 64; bit++) {
		uint64_t v = 1ULL << bit, back = 0;
		for (uint64_t x = v - 1; x <= v; x++) {
			size_t n = wire_varint_put(p, x);
			assert_int_equal(n, wire_varint_size(x));
			struct wire w = wire_open(slice_of(p, n));
			assert_true(wire_varint(&w, &back));
			assert_true(back == x);
			assert_false(wire_varint(&w, &back));
			assert_false(w.bad);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_written_is_read),
		cmocka_unit_test(test_fixed_numbers_are_little_endian),
		cmocka_unit_test(test_malformed_is_bad_and_stays_so),
		cmocka_unit_test(test_nothing_is_a_message_without_fields),
		cmocka_unit_test(test_every_cut_is_seen_or_ends_between_fields),
		cmocka_unit_test(test_varint_size_is_what_put_takes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
