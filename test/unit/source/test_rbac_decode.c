/* The source's records of users and grants, as Milvus 2.5 writes them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "source/rbac_decode.h"

enum { TEXT_BYTES = 4096 };

struct bed {
	struct rbac r;
	struct buf left_out;
	size_t n_left_out;
};

static void decode(struct bed *b, const char *const (*l)[2], size_t n)
{
	struct rbac_record records[16];

	*b = (struct bed){.left_out = BUF_INIT(TEXT_BYTES)};
	assert_true(n <= ARRAY_LEN(records));
	for (size_t i = 0; i < n; i++)
		records[i] = (struct rbac_record){.key = l[i][0], .value = slice_str(l[i][1])};
	b->n_left_out = rbac_decode(records, n, &b->r, &b->left_out);
}

static void done(struct bed *b)
{
	rbac_done(&b->r);
	buf_done(&b->left_out);
}

static void test_everything(void **state)
{
	static const char *const l[][2] = {
		{"credential/grantee-id/0af1/PrivilegeLoad", "root"},
		{"credential/grantee-id/0af1/PrivilegeGroupMine", "root"},
		{"credential/grantee-id/77/*", "boss"},
		{"credential/grantee-privileges/reader/Collection/shop.item", "0af1"},
		{"credential/grantee-privileges/reader/Global/*", "77"},
		{"credential/roles/reader", ""},
		{"credential/user-role-mapping/ann/reader", ""},
		{"credential/users/ann", "{\"username\":\"ann\",\"encrypted_password\":\"$2a$10$"
					 "x\",\"tenant\":\"\"}"},
		{"privilege-group/Mine", "\x0a\x04Mine\x12\x07\x0a\x05Query"},
		{"database/db-info/1", "not ours"},
	};
	struct bed b;

	(void)state;
	decode(&b, l, ARRAY_LEN(l));
	assert_int_equal(b.n_left_out, 0);
	assert_int_equal(b.r.users.n, 1);
	assert_string_equal(b.r.users.v[0].name, "ann");
	assert_string_equal(b.r.users.v[0].password, "$2a$10$x");
	assert_true(rbac_names_has(&b.r.users.v[0].holds, "reader"));
	assert_true(rbac_names_has(&b.r.roles, "reader"));
	assert_int_equal(b.r.groups.n, 1);
	assert_true(rbac_names_has(&b.r.groups.v[0].holds, "Query"));
	assert_int_equal(b.r.n_grants, 3);
	struct rbac_grant g = {
		.role = "reader", .object = "Collection", .object_name = "item", .db = "shop"};
	g.privilege = "Load";
	assert_true(rbac_has_grant(&b.r, &g));
	g.privilege = "Mine";
	assert_true(rbac_has_grant(&b.r, &g));
	g = (struct rbac_grant){.role = "reader",
		.object = "Global",
		.object_name = "*",
		.db = "default", /* before there were databases */
		.privilege = "*"};
	assert_true(rbac_has_grant(&b.r, &g));
	assert_string_equal(b.r.grants[2].grantor, "boss");
	done(&b);
}

static void test_unreadable_ones_are_named(void **state)
{
	static const char *const l[][2] = {
		{"credential/users/a", "secret, not JSON"},
		{"credential/users/b", "{\"username\":\"b\"}"},
		{"credential/users/c/d", "{\"encrypted_password\":\"x\"}"},
		{"credential/users/gone", "\xe2\x9b\xbc"},
		{"credential/users/good", "{\"encrypted_password\":\"x\"}"},
		{"credential/user-role-mapping/nobody/r", ""},
		{"credential/roles/", ""},
		{"credential/grantee-id/1/Odd", "root"},
		{"credential/grantee-privileges/r/Collection/d.c", "1"},
		{"credential/grantee-privileges/r/Collection", "1"},
		{"credential/grantee-privileges/r/Collection/dbID:1.colID:5", "1"},
		{"privilege-group/g", "\x0a\x01g\x12\x02\x0a"},
	};
	static const char *const named[] = {"users/a: not JSON\n", "users/b: no encrypted_password",
		"users/c/d: not a user's key", "nobody/r: its user is not there", "roles/: not",
		"grantee-id/1/Odd: an unknown privilege", "r/Collection: not a grant's key",
		"colID:5: names its collection by id", "group/g: not a privilege group"};
	struct bed b;

	(void)state;
	decode(&b, l, ARRAY_LEN(l));
	for (size_t i = 0; i < ARRAY_LEN(named); i++)
		if (!strstr(buf_cstr(&b.left_out), named[i]))
			fail_msg("\"%s\" is not in \"%s\"", named[i], buf_cstr(&b.left_out));
	assert_int_equal(b.n_left_out, ARRAY_LEN(named));
	assert_null(strstr(buf_cstr(&b.left_out), "secret"));
	assert_int_equal(b.r.users.n, 1);
	assert_string_equal(b.r.users.v[0].name, "good");
	assert_int_equal(b.r.n_grants + b.r.groups.n + b.r.roles.n, 0);
	done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_unreadable_ones_are_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
