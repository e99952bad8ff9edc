#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"

enum { BYTES = 10000 };

static char path[] = "/tmp/cdc-file-XXXXXX";

static int up(void **state)
{
	FILE *f = fdopen(mkstemp(path), "w");

	(void)state;
	for (int i = 0; i < BYTES; i++)
		fputc('a' + i % 26, f);
	return fclose(f);
}

static int down(void **state)
{
	(void)state;
	return unlink(path);
}

static void test_all_of_it_behind_what_is_there(void **state)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(BYTES + 1);
	struct err e = ERR_INIT;

	(void)state;
	buf_put_str(&b, ">");
	assert_int_equal(file_read(path, &b, &e), ERR_OK);
	assert_int_equal(b.n, BYTES + 1);
	for (int i = 0; i < BYTES; i++)
		assert_int_equal(b.p[i + 1], 'a' + i % 26);
	assert_int_equal(file_read("/dev/null", &b, &e), ERR_OK);
}

static void test_no_more_than_the_cap(void **state)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(BYTES - 1);
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(file_read(path, &b, &e), ERR_LIMIT);
	assert_non_null(strstr(e.text, path));
	assert_non_null(strstr(e.text, "larger than 9999 bytes"));
}

static void test_what_can_not_be_read(void **state)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(BYTES);
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(file_read("/tmp/cdc/no/such", &b, &e), ERR_SYSTEM);
	assert_int_equal(e.origin, ENOENT);
	err_clear(&e);
	assert_int_equal(file_read("/tmp", &b, &e), ERR_SYSTEM);
	assert_int_equal(e.origin, EISDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_of_it_behind_what_is_there),
		cmocka_unit_test(test_no_more_than_the_cap),
		cmocka_unit_test(test_what_can_not_be_read),
	};
	return cmocka_run_group_tests(tests, up, down);
}
