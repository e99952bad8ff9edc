#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>

#include "fuzz/translate_diff.h"
#include "support/hex.h"

#define TS 470648418537308162ULL

enum { VECTOR_BYTES = 4096 };

static const struct translate to_target = {.db = "target",
	.collection = "renamed",
	.shard = "by-dev-rootcoord-dml_5_900v0",
	.collection_id = 900,
	.partition_id = 901};

struct fixture {
	uint8_t bytes[VECTOR_BYTES];
	char text[2 * VECTOR_BYTES];
	struct arena arena;
	struct iov out;
	struct slice flat;
	struct dml d;
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
	diff_free(&x->flat);
	iov_done(&x->out);
	arena_done(&x->arena);
	free(x);
	return 0;
}

/* Reads the vector, translates it, and leaves the flat result in x->flat. */
static enum err_code run(struct fixture *x, const char *hex, const struct translate *t)
{
	struct slice in = hex_bytes(hex, x->bytes, sizeof(x->bytes));

	err_clear(&x->e);
	iov_reset(&x->out);
	assert_int_equal(dml_read(&x->d, in, &x->e), ERR_OK);
	enum err_code code = translate_dml(t, &x->d, &x->arena, &x->out, &x->e);
	diff_free(&x->flat);
	x->flat = diff_flatten(&x->out);
	return code;
}

static void expect(struct fixture *x, const char *hex)
{
	char want[2 * VECTOR_BYTES];
	uint8_t bytes[VECTOR_BYTES];

	hex_text(hex_bytes(hex, bytes, sizeof(bytes)), want, sizeof(want));
	assert_string_equal(hex_text(x->flat, x->text, sizeof(x->text)), want);
}

/* the minimal insert. Shard, db and names are added, partition 0 stays absent. */
static void test_minimal_insert(void **state)
{
	struct fixture *x = *state;
	struct translate t = {.db = "d", .collection = "n", .shard = "s", .collection_id = 7};

	assert_int_equal(run(x,
				 "0a0f 089003 104d 18828090c8e38785c406 2a085f64656661756c74"
				 "38c103 5209828090c8e38785c406",
				 &t),
		ERR_OK);
	expect(x, "0a0f 089003 104d 18828090c8e38785c406 120173 1a0164 22016e"
		  "2a085f64656661756c74 3807 5209828090c8e38785c406");
	assert_int_equal(x->out.n, 1);
}

static void test_restamp_changes_rows_and_base(void **state)
{
	struct fixture *x = *state;
	const uint64_t rows[] = {300, 200, 200};
	struct translate t = {.db = "d",
		.collection = "n",
		.shard = "s",
		.collection_id = 7,
		.partition_id = 9,
		.msg_id = 5,
		.stamps = {.change = true, .rows = rows}};

	/* packed 1, 2 and an unpacked 3; the base has no id */
	assert_int_equal(run(x, "0a05 089003 1802 3803 4004 52020102 5003 7003", &t), ERR_OK);
	assert_int_equal(x->d.rows, 3);
	expect(x, "0a08 089003 1005 18c801 120173 1a0164 22016e 3807 4009"
		  "5206 ac02 c801 c801 7003");
	t.stamps = (struct stamps){.change = true, .one = 300};
	assert_int_equal(run(x, "0a05 089003 1802 3803 4004 52020102 5003 7003", &t), ERR_OK);
	expect(x, "0a08 089003 1005 18ac02 120173 1a0164 22016e 3807 4009"
		  "5206 ac02 ac02 ac02 7003");
}

static void test_partition_minus_one_stays(void **state)
{
	struct fixture *x = *state;
	struct translate t = {
		.db = "", .collection = "n", .shard = "s", .collection_id = 7, .partition_id = 9};

	assert_int_equal(
		run(x, "0a03 089103 1201 61 3803 40ffffffffffffffffff01 520105", &t), ERR_OK);
	expect(x, "0a03 089103 120173 22016e 3807 40ffffffffffffffffff01 520105");
}

static void test_replicate_info_goes(void **state)
{
	struct fixture *x = *state;
	struct translate t = {.db = "d", .collection = "n", .shard = "s", .collection_id = 7};

	/* base{type, replicateInfo{true, "r"}, properties, unknown 9} */
	assert_int_equal(
		run(x, "0a11 089003 3a05 0801 1a0172 3203 0a016b 4801 3803 520105", &t), ERR_OK);
	expect(x, "0a0a 089003 3203 0a016b 4801 120173 1a0164 22016e 3807 520105");
}

static void test_repeated_base_is_merged(void **state)
{
	struct fixture *x = *state;
	struct translate t = {.db = "d",
		.collection = "n",
		.shard = "s",
		.collection_id = 7,
		.stamps = {.change = true, .one = 6}};

	assert_int_equal(run(x, "0a05 089003 1001 3803 0a04 1002 2003 520105", &t), ERR_OK);
	expect(x, "0a0b 089003 1001 1002 1806 2003 120173 1a0164 22016e 3807 520106");
	/* the second base says it is a Delete */
	assert_int_equal(run(x, "0a05 089003 1001 3803 0a03 089103 520105", &t), ERR_MALFORMED);
	assert_int_equal(x->out.n, 0);
	assert_int_equal(x->out.bytes, 0);
}

static void test_last_of_repeated_scalars_counts(void **state)
{
	struct fixture *x = *state;
	struct translate t = {
		.db = "d", .collection = "n", .shard = "s", .collection_id = 7, .partition_id = 9};

	/* partition id 4, then -1; fields out of order; unknown field 1000 between */
	assert_int_equal(run(x,
				 "0a03 089003 4004 2201 61 c03e05 2201 62"
				 "40ffffffffffffffffff01 520105",
				 &t),
		ERR_OK);
	expect(x, "0a03 089003 120173 1a0164 22016e 3807 4004 c03e05"
		  "40ffffffffffffffffff01 520105");
}

/* DropCollection and DropPartition; the drop's time is the base's. */
static void test_drops(void **state)
{
	struct fixture *x = *state;
	struct translate t = {.db = "d", .collection = "n", .collection_id = 7, .partition_id = 9};

	assert_int_equal(run(x, "0a0e 0865 188480d08ef28785c406 2001 1a0163 28c103", &t), ERR_OK);
	expect(x, "0a0e 0865 188480d08ef28785c406 2001 120164 1a016e 2807");
	t.stamps = (struct stamps){.change = true, .one = 300};
	t.msg_id = 5;
	assert_int_equal(
		run(x, "0a0f 08c901 188480d08ef28785c406 2001 22027031 30c103 38c203", &t), ERR_OK);
	expect(x, "0a0a 08c901 1005 18ac02 2001 120164 1a016e 22027031 3007 3809");
}

static void test_import_of_one_partition(void **state)
{
	struct fixture *x = *state;
	struct translate t = {.db = "d", .collection = "n", .collection_id = 7, .partition_id = 9};

	assert_int_equal(run(x, "0a03 089803 1a0163 2003 2a0104 4805", &t), ERR_OK);
	expect(x, "0a03 089803 120164 1a016e 2007 2a0109 4805");
	assert_int_equal(run(x, "0a03 089803 1a0163 2003 2a020405", &t), ERR_UNSUPPORTED);
	assert_int_equal(x->out.n, 0);
}

static void test_wrong_wire_type_is_refused(void **state)
{
	struct fixture *x = *state;
	struct translate t = {.db = "d", .collection = "n", .shard = "s", .collection_id = 7};

	iov_put(&x->out, slice_str("before"));
	struct slice in = hex_bytes("0a03089003 2205 520105", x->bytes, sizeof(x->bytes));
	assert_int_equal(dml_read(&x->d, slice_of(in.p, in.n), &x->e), ERR_MALFORMED);
	err_clear(&x->e);
	in = hex_bytes("0a03089003 3a0107 520105", x->bytes, sizeof(x->bytes));
	assert_int_equal(dml_read(&x->d, in, &x->e), ERR_OK);
	assert_int_equal(translate_dml(&t, &x->d, &x->arena, &x->out, &x->e), ERR_MALFORMED);
	assert_int_equal(x->out.n, 1);
	assert_int_equal(x->out.bytes, 6);
	assert_int_equal(x->out.v[0].n, 6);
}

static void test_row_times(void **state)
{
	struct fixture *x = *state;
	uint64_t times[4];

	struct slice in =
		hex_bytes("0a03089003 520201ac02 520103 5004", x->bytes, sizeof(x->bytes));
	assert_int_equal(dml_read(&x->d, in, &x->e), ERR_MALFORMED); /* 52 02 01 ac: cut number */
	err_clear(&x->e);
	in = hex_bytes("0a03089003 520301ac02 520103 5004", x->bytes, sizeof(x->bytes));
	assert_int_equal(dml_read(&x->d, in, &x->e), ERR_OK);
	assert_int_equal(x->d.rows, 4);
	assert_int_equal(translate_row_times(&x->d, times, &x->e), ERR_OK);
	const uint64_t want[] = {1, 300, 3, 4};
	assert_memory_equal(times, want, sizeof(want));
	x->d.rows = 5;
	assert_int_equal(translate_row_times(&x->d, times, &x->e), ERR_MALFORMED);
}

/* An ordinary insert stays few slices, and its rows are the source's own bytes. */
static void test_rows_are_not_copied(void **state)
{
	struct fixture *x = *state;
	size_t n = 300000;
	uint8_t *payload = xmalloc(n + 64);
	static const uint8_t head[] = {0x0a, 3, 8, 0x90, 3, 0x38, 3, 0x40, 4, 0x52, 1, 5, 0x6a};
	size_t at = sizeof(head);
	struct translate t = to_target;

	memcpy(payload, head, at);
	at += wire_varint_put(payload + at, n);
	memset(payload + at, 0x5a, n);
	uint8_t *rows = payload + at;
	assert_int_equal(dml_read(&x->d, slice_of(payload, at + n), &x->e), ERR_OK);
	assert_int_equal(translate_dml(&t, &x->d, &x->arena, &x->out, &x->e), ERR_OK);
	assert_int_equal(x->out.n, 2);
	assert_true(x->out.v[1].p <= rows && x->out.v[1].p > payload);
	t.stamps = (struct stamps){.change = true, .one = TS};
	iov_reset(&x->out);
	assert_int_equal(translate_dml(&t, &x->d, &x->arena, &x->out, &x->e), ERR_OK);
	assert_int_equal(x->out.n, 2);
	assert_true(x->arena.bytes < 100000);
	free(payload);
}

/* Every vector of the fuzzer's corpus against decode, change, encode. */
static void check_file(struct fixture *x, const char *path)
{
	uint8_t raw[VECTOR_BYTES];
	FILE *f = fopen(path, "rb");

	assert_non_null(f);
	size_t n = fread(raw, 1, sizeof(raw), f);
	fclose(f);
	err_clear(&x->e);
	iov_reset(&x->out);
	struct slice in = slice_of(raw + 2, n - 2);
	if (dml_read(&x->d, in, &x->e) || !diff_descriptor(x->d.type) || strstr(path, "base_twice"))
		return;
	struct translate t = to_target;
	t.stamps = (struct stamps){.change = raw[0] & 1, .one = TS + 1};
	assert_int_equal(translate_dml(&t, &x->d, &x->arena, &x->out, &x->e), ERR_OK);
	struct slice got = diff_flatten(&x->out);
	struct slice want = diff_canonical(x->d.type, in, &t);
	struct slice again = diff_canonical(x->d.type, got, NULL);
	assert_non_null(want.p);
	assert_int_equal(again.n, want.n);
	assert_memory_equal(again.p, want.p, want.n);
	diff_free(&got);
	diff_free(&want);
	diff_free(&again);
}

static void test_corpus_against_protobuf(void **state)
{
	static const char folder[] = "test/fuzz/corpus/translate";
	DIR *dir = opendir(folder);
	int files = 0;

	assert_non_null(dir);
	for (struct dirent *at; (at = readdir(dir));) {
		char path[512];
		if (at->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, at->d_name);
		check_file(*state, path);
		files++;
	}
	closedir(dir);
	assert_true(files >= 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
		T(minimal_insert),
		T(restamp_changes_rows_and_base),
		T(partition_minus_one_stays),
		T(replicate_info_goes),
		T(repeated_base_is_merged),
		T(last_of_repeated_scalars_counts),
		T(drops),
		T(import_of_one_partition),
		T(wrong_wire_type_is_refused),
		T(row_times),
		T(rows_are_not_copied),
		T(corpus_against_protobuf),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
