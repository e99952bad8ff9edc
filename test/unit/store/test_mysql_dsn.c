/* Go's MySQL driver's addresses: what its users have in their configurations. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "store/mysql_dsn.h"

static void expect(const char *text, const char *user, const char *password, const char *address,
	const char *database)
{
	struct mysql_dsn d;
	struct err e = ERR_INIT;

	if (mysql_dsn_parse(text, &d, NULL, &e))
		fail_msg("%s: %s", text, e.text);
	char *where = mysql_dsn_address(&d);
	assert_string_equal(d.user, user);
	assert_string_equal(d.password, password);
	assert_string_equal(where, address);
	assert_string_equal(d.database, database);
	free(where);
	mysql_dsn_done(&d);
}

static void expect_error(const char *text, const char *want)
{
	struct mysql_dsn d;
	struct err e = ERR_INIT;

	assert_int_equal(mysql_dsn_parse(text, &d, NULL, &e), ERR_INVALID);
	if (!strstr(e.text, want))
		fail_msg("%s: \"%s\" does not say \"%s\"", text, e.text, want);
	assert_null(strstr(e.text, "hush"));
}

static void test_addresses(void **state UNUSED)
{
	expect("root:root@tcp(127.0.0.1:3306)/milvuscdc?charset=utf8", "root", "root",
		"127.0.0.1:3306", "milvuscdc");
	expect("root:root@tcp(127.0.0.1:3306)/milvus-cdc?charset=utf8", "root", "root",
		"127.0.0.1:3306", "milvus-cdc");
	expect("u@tcp(db.example)/d", "u", "", "db.example:3306", "d");
	expect("u:@tcp/d", "u", "", "127.0.0.1:3306", "d");
	expect("u:p@/d", "u", "p", "127.0.0.1:3306", "d");
	expect("/d", "", "", "127.0.0.1:3306", "d");
	expect("u:p@tcp([::1]:33)/d", "u", "p", "[::1]:33", "d");
	expect("u:p@tcp([de:ad::])/d", "u", "p", "[de:ad::]:3306", "d");
}

static void test_passwords_of_any_kind(void **state UNUSED)
{
	expect("u:p@w:/x@tcp(h:1)/d", "u", "p@w:/x", "h:1", "d");
	expect("u:@@tcp(x)/y@tcp(h:1)/d", "u", "@@tcp(x)/y", "h:1", "d");
	expect("u:a%2Fb?c&d=e@tcp(h:1)/d", "u", "a%2Fb?c&d=e", "h:1", "d");
}

static void test_sockets_and_names(void **state UNUSED)
{
	expect("u:p@unix(/run/mysqld/mysqld.sock)/d", "u", "p", "/run/mysqld/mysqld.sock", "d");
	expect("u:p@unix/d", "u", "p", "/tmp/mysql.sock", "d");
	expect("u:p@tcp(h:1)/a%2Fb", "u", "p", "h:1", "a/b");
}

static void test_settings(void **state UNUSED)
{
	struct mysql_dsn d;
	struct buf unknown = BUF_INIT(1000);
	struct err e = ERR_INIT;

	assert_int_equal(
		mysql_dsn_parse("u:p@tcp(h)/d?charset=utf8mb4,utf8&parseTime=true&loc=Local"
				"&timeout=1m1.5s&readTimeout=500ms&writeTimeout=0&foo&bar=1"
				"&tls=skip-verify&wait%20=3&allowCleartextPasswords=true",
			&d, &unknown, &e),
		ERR_OK);
	assert_int_equal(d.connect_ms, 61500);
	assert_int_equal(d.read_ms, 500);
	assert_int_equal(d.write_ms, 0);
	assert_int_equal(d.tls, MYSQL_TLS_NO_VERIFY);
	assert_true(d.clear_password);
	assert_string_equal(buf_cstr(&unknown), "bar, wait%20");
	mysql_dsn_done(&d);
	buf_done(&unknown);
}

static enum mysql_tls tls_of(const char *text)
{
	struct mysql_dsn d;
	struct err e = ERR_INIT;

	assert_int_equal(mysql_dsn_parse(text, &d, NULL, &e), ERR_OK);
	enum mysql_tls tls = d.tls;
	mysql_dsn_done(&d);
	return tls;
}

static void test_tls(void **state UNUSED)
{
	assert_int_equal(tls_of("u@/d"), MYSQL_TLS_OFF);
	assert_int_equal(tls_of("u@/d?tls=false"), MYSQL_TLS_OFF);
	assert_int_equal(tls_of("u@/d?tls=true"), MYSQL_TLS_VERIFY);
	assert_int_equal(tls_of("u@/d?tls=1"), MYSQL_TLS_VERIFY);
	assert_int_equal(tls_of("u@/d?tls=preferred"), MYSQL_TLS_PREFERRED);
	expect_error("u:hush@/d?tls=custom", "write true, skip-verify, preferred or false");
}

static void test_mistakes_are_named(void **state UNUSED)
{
	expect_error("", "no '/'");
	expect_error("u:hush@tcp(h:1)", "no '/' before the database");
	expect_error("u:hush@tcp(h:1)/", "no database is named");
	expect_error("u:hush@tcp(h:1/d", "no ')'");
	expect_error("u:hush@tcp(h:1)/d?loc=US/Pacific", "must be written %2F");
	expect_error("u:hush@tcp(h:0)/d", "port is not 1 to 65535");
	expect_error("u:hush@tcp(h:99999)/d", "port is not 1 to 65535");
	expect_error("u:hush@tcp(::1)/d", "in brackets");
	expect_error("u:hush@tcp([::1:3)/d", "no ']'");
	expect_error("u:hush@tcp([::1]x:3)/d", "behind ']'");
	expect_error("u:hush@udp(h:1)/d", "network \"udp\" is unknown");
	expect_error("u:hush@tcp(h:1)/d%zz", "bad %-escape");
	expect_error("u:hush@tcp(h:1)/d?timeout=5", "timeout=5 is not a duration");
	expect_error("u:hush@tcp(h:1)/d?timeout=", "is not a duration");
	expect_error("u:hush@tcp(h:1)/d?timeout=%0", "bad %-escape");
	expect_error("u:hush@tcp(h:1)/d?allowCleartextPasswords=maybe", "true or false");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_passwords_of_any_kind),
		cmocka_unit_test(test_sockets_and_names),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_mistakes_are_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
