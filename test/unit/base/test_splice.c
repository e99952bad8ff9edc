#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/splice.h"
#include "support/hex.h"

enum { VECTOR_BYTES = 8192 };

struct fixture {
	struct arena arena;
	struct iov out;
	struct err e;
};

static int setup(void **state)
{
	*state = xcalloc(1, sizeof(struct fixture));
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;
	iov_done(&x->out);
	arena_done(&x->arena);
	freep(state);
	return 0;
}

static void expect(struct fixture *x, const char *hex)
{
	char want[2 * VECTOR_BYTES], got[2 * VECTOR_BYTES];
	uint8_t bytes[VECTOR_BYTES], all[VECTOR_BYTES];
	size_t n = 0;

	for (size_t i = 0; i < x->out.n; i++) {
		memcpy(all + n, x->out.v[i].p, x->out.v[i].n);
		n += x->out.v[i].n;
	}
	assert_int_equal(n, x->out.bytes);
	hex_text(hex_bytes(hex, bytes, sizeof(bytes)), want, sizeof(want));
	assert_string_equal(hex_text(slice_of(all, n), got, sizeof(got)), want);
}

static void test_each_kind(void **state)
{
	struct fixture *x = *state;
	uint8_t src[64];
	struct slice one = slice_str("one"),
		     list[] = {slice_str("a"), slice_str(""), slice_str("b")};
	const struct splice_field f[] = {{.num = 1, .value = 300},
		{.num = 2, .kind = SPLICE_BYTES, .list = &one, .n = 1},
		{.num = 3, .kind = SPLICE_LIST, .list = list, .n = 3},
		{.num = 4, .kind = SPLICE_DROP}, {.num = 9, .value = 7}};
	struct slice in =
		hex_bytes("0805 120178 1a0179 1a017a 2001 2802 0806 4a00", src, sizeof(src));

	assert_int_equal(
		splice_message(slice_of(in.p, in.n - 2), f, 5, &x->arena, &x->out, &x->e), 0);
	expect(x, "08ac02 12036f6e65 1a0161 1a00 1a0162 2802 4807");
	/* field 9 is a number for the caller, but bytes in the source */
	assert_int_equal(splice_message(in, f, 5, &x->arena, &x->out, &x->e), ERR_MALFORMED);
	expect(x, "08ac02 12036f6e65 1a0161 1a00 1a0162 2802 4807");
}

static void test_missing_fields_stand_in_order(void **state)
{
	struct fixture *x = *state;
	uint8_t src[16];
	const struct splice_field f[] = {
		{.num = 1, .value = 1}, {.num = 3, .value = 0}, {.num = 5, .value = 5}};

	assert_int_equal(splice_message(hex_bytes("1002 2004", src, sizeof(src)), f, 3, &x->arena,
				 &x->out, &x->e),
		ERR_OK);
	expect(x, "0801 1002 2004 2805");
	iov_reset(&x->out);
	assert_int_equal(
		splice_message((struct slice){0}, f, 3, &x->arena, &x->out, &x->e), ERR_OK);
	expect(x, "0801 2805");
}

/* Many short runs: more than one chunk of the arena, still the same bytes. */
static void test_many_short_runs(void **state)
{
	struct fixture *x = *state;
	uint8_t src[4000], want[2000];
	const struct splice_field drop = {.num = 1, .kind = SPLICE_DROP};
	struct slice flat;

	for (size_t i = 0; i < sizeof(src); i += 4) {
		src[i] = 0x08;
		src[i + 1] = 1;
		src[i + 2] = want[i / 2] = 0x10;
		src[i + 3] = want[i / 2 + 1] = (uint8_t)(i % 100);
	}
	assert_int_equal(
		splice_message(slice_of(src, sizeof(src)), &drop, 1, &x->arena, &x->out, &x->e),
		ERR_OK);
	assert_int_equal(x->out.bytes, sizeof(want));
	for (size_t i = 0, n = 0; i < x->out.n; n += x->out.v[i++].n)
		assert_memory_equal(x->out.v[i].p, want + n, x->out.v[i].n);
	assert_int_equal(
		splice_flat(slice_of(src, sizeof(src)), &drop, 1, &x->arena, &flat, &x->e), ERR_OK);
	assert_int_equal(flat.n, sizeof(want));
	assert_memory_equal(flat.p, want, sizeof(want));
}

static void test_long_runs_are_not_copied(void **state)
{
	struct fixture *x = *state;
	uint8_t src[2 + 3 + 500] = {0x08, 5, 0x12, 0xf4, 0x03};
	const struct splice_field f = {.num = 1, .value = 6};

	assert_int_equal(
		splice_message(slice_of(src, sizeof(src)), &f, 1, &x->arena, &x->out, &x->e),
		ERR_OK);
	assert_int_equal(x->out.n, 2);
	assert_ptr_equal(x->out.v[1].p, src + 2);
	assert_int_equal(x->out.v[1].n, sizeof(src) - 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
		T(each_kind),
		T(missing_fields_stand_in_order),
		T(many_short_runs),
		T(long_runs_are_not_copied),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
