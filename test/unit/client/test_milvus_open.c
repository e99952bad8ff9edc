#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "client/milvus/milvus.h"

static struct grpc *g;

static int setup(void **state)
{
	struct err e = ERR_INIT;
	(void)state;
	return grpc_new(&g, &e);
}

static int teardown(void **state)
{
	(void)state;
	grpc_free(g);
	return 0;
}

static enum err_code try_open(const struct milvus_opts *o, struct err *e)
{
	struct milvus *m = NULL;

	err_clear(e);
	enum err_code code = milvus_open(g, o, &m, e);
	milvus_close(m);
	return code;
}

static void test_addresses(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(try_open(&(struct milvus_opts){.uri = "http://127.0.0.1:1/"}, &e), ERR_OK);
	assert_int_equal(
		try_open(&(struct milvus_opts){.uri = "https://h", .token = "u:p"}, &e), ERR_OK);
	assert_int_equal(try_open(&(struct milvus_opts){.uri = "h:x"}, &e), ERR_INVALID);
	assert_int_equal(try_open(&(struct milvus_opts){0}, &e), ERR_INVALID);
}

/* Mutual TLS needs all three files; a file that can't be read is named. */
static void test_certificates(void **state)
{
	struct milvus_opts o = {.uri = "h:1", .ca_pem_path = "/nowhere/ca.pem"};
	struct err e;

	(void)state;
	assert_int_equal(try_open(&o, &e), ERR_INVALID);
	assert_non_null(strstr(e.text, "client_key_path"));
	o.client_pem_path = "/nowhere/client.pem";
	o.client_key_path = "/nowhere/client.key";
	assert_int_not_equal(try_open(&o, &e), ERR_OK);
	assert_non_null(strstr(e.text, "/nowhere/"));
	o = (struct milvus_opts){.uri = "h:1", .server_pem_path = "/nowhere/server.pem"};
	assert_int_not_equal(try_open(&o, &e), ERR_OK);
	assert_non_null(strstr(e.text, "/nowhere/server.pem"));
}

static void test_a_call_is_cancelled(void **state)
{
	struct milvus_opts o = {.uri = "127.0.0.1:1", .connect_timeout_ms = 60000};
	struct milvus *m;
	struct milvus_info info;
	struct stop s;
	struct err e = ERR_INIT;

	(void)state;
	stop_init(&s, NULL);
	stop_set(&s);
	assert_int_equal(milvus_open(g, &o, &m, &e), ERR_OK);
	assert_int_equal(milvus_connect(m, &s, &info, &e), ERR_CANCELLED);
	milvus_close(m);
	stop_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_a_call_is_cancelled),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
