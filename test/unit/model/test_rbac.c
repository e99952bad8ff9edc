/* RBACMeta on the wire. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "model/rbac.h"

enum { MESSAGE_BYTES = 4096 };

#define USER "\x0a\x0c\x0a\x01u\x12\x02pw\x1a\x03\x0a\x01r"
#define ROLE "\x12\x03\x0a\x01r"
#define GRANT                                                                                      \
	"\x1a\x2a\x0a\x03\x0a\x01r\x12\x0c\x0a\x0a"                                                \
	"Collection\x1a\x01"                                                                       \
	"c\x22\x0e\x0a\x04\x0a\x02me\x12\x06\x0a\x04Load\x2a\x02"                                  \
	"db"
#define GROUP "\x22\x09\x0a\x01g\x12\x04\x0a\x02op"

static const char vector[] = USER ROLE GRANT GROUP;

static void test_read_and_put(void **state)
{
	CLEANUP(rbac_done) struct rbac r = {.n_grants = 0};
	CLEANUP(buf_done) struct buf b = BUF_INIT(MESSAGE_BYTES);
	struct slice in = slice_of(vector, sizeof(vector) - 1);
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(rbac_read(&r, in, &e), ERR_OK);
	assert_string_equal(rbac_holders_find(&r.users, "u")->password, "pw");
	assert_true(rbac_names_has(&r.users.v[0].holds, "r"));
	assert_true(rbac_names_has(&r.roles, "r"));
	assert_true(rbac_names_has(&rbac_holders_find(&r.groups, "g")->holds, "op"));
	assert_int_equal(r.n_grants, 1);
	assert_string_equal(r.grants[0].role, "r");
	assert_string_equal(r.grants[0].object, "Collection");
	assert_string_equal(r.grants[0].object_name, "c");
	assert_string_equal(r.grants[0].grantor, "me");
	assert_string_equal(r.grants[0].privilege, "Load");
	assert_string_equal(r.grants[0].db, "db");
	rbac_put(&b, &r);
	assert_true(slice_eq(buf_slice(&b), in));
}

static void test_malformed(void **state)
{
	static const struct slice bad[] = {
		{(const uint8_t *)"\x0a\x0c\x0a", 3},             /* cut */
		{(const uint8_t *)"\x08\x01", 2},                 /* a user that is a number */
		{(const uint8_t *)"\x0a\x00", 2},                 /* without a name */
		{(const uint8_t *)"\x12\x04\x0a\x02\x61\x00", 6}, /* a 0 in a name */
		{(const uint8_t *)"\x1a\x04\x0a\x02\x08\x01", 6}, /* a role's name in a number */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CLEANUP(rbac_done) struct rbac r = {.n_grants = 0};
		struct err e = ERR_INIT;
		assert_int_equal(rbac_read(&r, bad[i], &e), ERR_MALFORMED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_and_put),
		cmocka_unit_test(test_malformed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
