#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "fuzz/translate_diff.h"
#include "support/hex.h"

#define TS 445644800000262144ULL

enum { VECTOR_BYTES = 1024 };

struct fixture {
	uint8_t bytes[VECTOR_BYTES];
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
	free(x);
	return 0;
}

static void expect(struct fixture *x, const char *hex)
{
	char want[2 * VECTOR_BYTES], got[2 * VECTOR_BYTES];
	struct slice flat = diff_flatten(&x->out);

	hex_text(hex_bytes(hex, x->bytes, sizeof(x->bytes)), want, sizeof(want));
	hex_text(flat, got, sizeof(got));
	diff_free(&flat);
	assert_string_equal(got, want);
}

static void test_tick_vectors(void **state)
{
	struct fixture *x = *state;

	translate_tick(TS, NULL, &x->arena, &x->out);
	expect(x, "0a1808b0091880809080daf2cf970620ffffffffffffffffff01");
	iov_reset(&x->out);
	translate_tick(470648416820264965ULL, NULL, &x->arena, &x->out);
	expect(x, "0a18 08b009 188580b095dd8785c406 20ffffffffffffffffff01");
	assert_int_equal(x->out.n, 1);
}

/* In data migration a Replicate message stands for the tick, and all we make carries the id. */
static void test_migration_vectors(void **state)
{
	struct fixture *x = *state;
	struct translate t = {.db = "d",
		.collection = "c",
		.collection_id = 449,
		.partition_id = 450,
		.replicate_id = "r1"};

	translate_tick(TS, "r1", &x->arena, &x->out);
	expect(x, "0a1508bc091880809080daf2cf97063a0608011a027231");
	iov_reset(&x->out);
	translate_tick(TS, "", &x->arena, &x->out);
	expect(x, "0a1808b0091880809080daf2cf970620ffffffffffffffffff01");
	iov_reset(&x->out);
	translate_drop(MSG_DROP_PARTITION, &t, "p1", 300, &x->arena, &x->out);
	expect(x, "0a0e 08c901 18ac02 3a06 0801 1a027231 120164 1a0163 22027031 30c103 38c203");
}

static void test_request_vector(void **state)
{
	struct fixture *x = *state;
	struct iov tick = {0};
	static const uint8_t id[] = {0x08, 0x01, 0x10, 0x02};
	struct replicate_request r = {.channel = "c0",
		.begin_ts = TS,
		.end_ts = TS,
		.start_id = slice_of(id, 4),
		.end_id = slice_of(id, 4),
		.msgs = &tick,
		.n_msgs = 1};

	translate_tick(TS, NULL, &x->arena, &tick);
	translate_request(&r, &x->arena, &x->out);
	expect(x, "0a043a020801120263301880809080daf2cf97062080809080daf2cf9706"
		  "2a1a0a1808b0091880809080daf2cf970620ffffffffffffffffff01"
		  "32140a0263301204080110022080809080daf2cf9706"
		  "3a140a0263301204080110022080809080daf2cf9706");
	assert_int_equal(x->out.n, 1);
	iov_done(&tick);
}

/* Long messages keep their own bytes; heads and short messages share one slice. */
static void test_request_slices(void **state)
{
	struct fixture *x = *state;
	struct iov msgs[3] = {0};
	uint8_t *rows = xcalloc(1, 200000);
	struct replicate_request r = {
		.channel = "channel", .begin_ts = 1, .end_ts = 2, .msgs = msgs, .n_msgs = 3};

	iov_put(&msgs[0], slice_str("0123456789"));
	iov_put(&msgs[0], slice_of(rows, 200000));
	translate_tick(TS, NULL, &x->arena, &msgs[1]);
	translate_tick(TS + 1, NULL, &x->arena, &msgs[2]);
	translate_request(&r, &x->arena, &x->out);
	assert_int_equal(x->out.n, 3);
	assert_ptr_equal(x->out.v[1].p, rows);
	struct slice flat = diff_flatten(&x->out);
	Cdcmsg__ReplicateMessageRequest *m =
		cdcmsg__replicate_message_request__unpack(NULL, flat.n, flat.p);
	assert_non_null(m);
	assert_int_equal(m->n_msgs, 3);
	assert_int_equal(m->msgs[0].len, 200010);
	assert_memory_equal(m->msgs[0].data, "0123456789", 10);
	assert_int_equal(m->msgs[2].len, 26);
	assert_string_equal(m->end_positions[0]->channel_name, "channel");
	assert_int_equal(m->end_positions[0]->timestamp, 2);
	assert_int_equal(m->start_positions[0]->timestamp, 1);
	cdcmsg__replicate_message_request__free_unpacked(m, NULL);
	diff_free(&flat);
	for (int i = 0; i < 3; i++)
		iov_done(&msgs[i]);
	free(rows);
}

static void test_drop_messages(void **state)
{
	struct fixture *x = *state;
	struct translate t = {.db = "default",
		.collection = "c",
		.collection_id = 449,
		.partition_id = 450,
		.msg_id = 3};

	translate_drop(MSG_DROP_COLLECTION, &t, NULL, 300, &x->arena, &x->out);
	expect(x, "0a07 0865 1003 18ac02 120764656661756c74 1a0163 28c103");
	iov_reset(&x->out);
	t.msg_id = 0;
	translate_drop(MSG_DROP_PARTITION, &t, "p1", 300, &x->arena, &x->out);
	expect(x, "0a06 08c901 18ac02 120764656661756c74 1a0163 22027031 30c103 38c203");
}

static enum err_code replay(struct fixture *x, const char *hex, int64_t pk, bool varchar)
{
	struct translate t = {.db = "d",
		.collection = "n",
		.shard = "s",
		.collection_id = 7,
		.partition_id = 9,
		.msg_id = 5};
	struct dml d;

	err_clear(&x->e);
	iov_reset(&x->out);
	assert_int_equal(dml_read(&d, hex_bytes(hex, x->bytes, sizeof(x->bytes)), &x->e), ERR_OK);
	return translate_replay_delete(&t, &d, pk, varchar, 300, &x->arena, &x->out, &x->e);
}

#define INSERT_HEAD "0a03 089003 2a0170 3803 4004 52020102"
#define DELETE_HEAD                                                                                \
	"0a08 089103 1005 18ac02 120173 1a0164 22016e 2a0170 3807 4009 5204 ac02ac02 5802"

/* FieldData{type 5, "id", scalars{long_data{[1,300]}}, field_id 100} */
static void test_delete_of_int64_keys(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(replay(x,
				 INSERT_HEAD "6a11 0805 12026964 1a07 1a05 0a03 01ac02 2864 7802"
					     "7801",
				 100, false),
		ERR_OK);
	expect(x, DELETE_HEAD "6207 0a05 0a03 01ac02");
	/* the keys unpacked */
	assert_int_equal(
		replay(x, INSERT_HEAD "6a0b 1a07 1a05 0801 08ac02 2864 7801", 100, false), ERR_OK);
	expect(x, DELETE_HEAD "6207 0a05 0801 08ac02");
}

static void test_delete_of_varchar_keys(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(
		replay(x, INSERT_HEAD "6a10 0815 1a0a 3208 0a0161 0a03626262 2865 7801", 101, true),
		ERR_OK);
	expect(x, DELETE_HEAD "620a 1208 0a0161 0a03626262");
}

static void test_delete_needs_the_key_column(void **state)
{
	struct fixture *x = *state;

	/* row based; no such column; the wrong kind of key; three keys for two rows; two columns */
	assert_int_equal(replay(x, INSERT_HEAD "6a0a 1a06 1a04 0a02 0102 2864", 100, false),
		ERR_UNSUPPORTED);
	assert_int_equal(replay(x, INSERT_HEAD "6a0a 1a06 1a04 0a02 0102 2864 7801", 99, false),
		ERR_UNSUPPORTED);
	assert_int_equal(replay(x, INSERT_HEAD "6a0a 1a06 1a04 0a02 0102 2864 7801", 100, true),
		ERR_MALFORMED);
	assert_int_equal(replay(x, INSERT_HEAD "6a0b 1a07 1a05 0a03 010203 2864 7801", 100, false),
		ERR_MALFORMED);
	assert_int_equal(replay(x,
				 INSERT_HEAD "6a0a 1a06 1a04 0a02 0102 2864"
					     "6a0a 1a06 1a04 0a02 0102 2864 7801",
				 100, false),
		ERR_MALFORMED);
	assert_int_equal(x->out.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
		T(tick_vectors),
		T(migration_vectors),
		T(request_vector),
		T(request_slices),
		T(drop_messages),
		T(delete_of_int64_keys),
		T(delete_of_varchar_keys),
		T(delete_needs_the_key_column),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
