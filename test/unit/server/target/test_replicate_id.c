#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/wire.h"
#include "server/target/replicate_id.h"

enum { BYTES = 4096 };

static void put_pair(struct buf *b, const char *key, const char *value)
{
	CLEANUP(buf_done) struct buf pair = BUF_INIT(BYTES);

	wire_put_str(&pair, 1, key);
	wire_put_str(&pair, 2, value);
	wire_put_bytes(b, 7, buf_slice(&pair));
}

/* The source's own id says who feeds the source; the target gets ours, or none. */
static void test_properties(void **state)
{
	CLEANUP(buf_done) struct buf in = BUF_INIT(BYTES);
	CLEANUP(buf_done) struct buf plain = BUF_INIT(BYTES);
	CLEANUP(buf_done) struct buf out = BUF_INIT(BYTES);
	CLEANUP(buf_done) struct buf want = BUF_INIT(BYTES);

	(void)state;
	put_pair(&plain, "collection.ttl.seconds", "60");
	put_pair(&in, "replicate.id", "theirs");
	buf_put(&in, plain.p, plain.n);
	assert_true(slice_eq_str(replicate_id_of(buf_slice(&in)), "theirs"));
	assert_int_equal(replicate_id_of(buf_slice(&plain)).n, 0);
	replicate_id_properties(buf_slice(&in), "", &out);
	assert_true(slice_eq(buf_slice(&out), buf_slice(&plain)));
	buf_reset(&out);
	replicate_id_properties(buf_slice(&in), "ours", &out);
	buf_put(&want, plain.p, plain.n);
	put_pair(&want, "replicate.id", "ours");
	assert_true(slice_eq(buf_slice(&out), buf_slice(&want)));
}

static void expect_advice(int origin, const char *id, const char *part)
{
	struct err e = {.code = ERR_DENIED, .origin = origin};
	const char *text = replicate_id_advice(&e, id);

	if (*part ? !strstr(text, part) : *text != '\0')
		fail_msg("%d with '%s': %s", origin, id, text);
}

static void test_advice_names_the_setting(void **state)
{
	(void)state;
	expect_advice(1900, "", "set common.ttMsgEnabled to false on the target");
	expect_advice(1900, "r1",
		"common.collectionReplicateEnable and common.ttMsgEnabled must both be true");
	expect_advice(108, "r1", "the property replicate.id");
	expect_advice(108, "", "");
	expect_advice(1901, "r1", "needs Milvus 2.5");
	expect_advice(1901, "", "");
	expect_advice(0, "r1", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_properties),
		cmocka_unit_test(test_advice_names_the_setting),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
