/* Users and grants read from a real etcd. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "source/rbac_decode.h"
#include "support/etcd_server.h"

enum { TEXT_BYTES = 4096 };

#define BASE "by-dev/meta/root-coord/"

static void test_read_source(void **state)
{
	static const char *const l[][2] = {
		{BASE "credential/grantee-id/1/PrivilegeLoad", "root"},
		{BASE "credential/grantee-privileges/r/Collection/d.c", "1"},
		{BASE "credential/roles/r", ""},
		{BASE "credential/user-role-mapping/u/r", ""},
		{BASE "credential/users/odd", "odd"},
		{BASE "credential/users/u", "{\"encrypted_password\":\"x\"}"},
		{BASE "privilege-group/g", "\x0a\x01g"},
		{"by-dev/meta/root-coord2/credential/users/v", "{\"encrypted_password\":\"x\"}"},
	};
	struct etcd_server server = {.pid = 0};
	CLEANUP(rbac_done) struct rbac r = {.n_grants = 0};
	CLEANUP(buf_done) struct buf left_out = BUF_INIT(TEXT_BYTES);
	struct err e = ERR_INIT;
	struct grpc *grpc = NULL;
	struct etcd *etcd = NULL;
	struct stop stop;
	size_t n = 0;

	(void)state;
	stop_init(&stop, NULL);
	etcd_server_start(&server);
	const char *endpoint = server.address;
	struct etcd_opts o = {.endpoints = &endpoint, .n_endpoints = 1};
	assert_int_equal(grpc_new(&grpc, &e), ERR_OK);
	assert_int_equal(etcd_open(grpc, &o, &etcd, &e), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(l); i++)
		assert_int_equal(etcd_put(etcd, l[i][0], slice_str(l[i][1]), &stop, &e), ERR_OK);
	assert_int_equal(rbac_read_source(etcd, BASE, &stop, &r, &left_out, &n, &e), ERR_OK);
	assert_int_equal(n, 1);
	assert_string_equal(buf_cstr(&left_out), "credential/users/odd: not JSON\n");
	assert_int_equal(r.users.n, 1);
	assert_true(rbac_names_has(&r.users.v[0].holds, "r"));
	assert_int_equal(r.roles.n, 1);
	assert_int_equal(r.n_grants, 1);
	assert_int_equal(r.groups.n, 1);
	etcd_close(etcd);
	grpc_free(grpc);
	etcd_server_stop(&server);
	stop_done(&stop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_source),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
