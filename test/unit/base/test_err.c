#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

static void test_first_error_wins(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(err_set(&e, ERR_BUSY, "the %s is %d", "first", 1), ERR_BUSY);
	assert_int_equal(err_set_origin(&e, ERR_INVALID, 7, "second"), ERR_INVALID);
	assert_int_equal(err_errno(&e, ENOENT, "third"), ERR_SYSTEM);
	assert_int_equal(e.code, ERR_BUSY);
	assert_int_equal(e.origin, 0);
	assert_string_equal(e.text, "the first is 1");
}

static void test_context_goes_before_the_text(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	err_set_origin(&e, ERR_DENIED, 42, "no");
	assert_int_equal(err_ctx(&e, "task %s", "t1"), ERR_DENIED);
	assert_int_equal(err_ctx(&e, "server"), ERR_DENIED);
	assert_string_equal(e.text, "server: task t1: no");
	assert_int_equal(e.origin, 42);
}

static void test_errno_is_origin_and_text(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(err_errno(&e, ENOENT, "open %s", "x"), ERR_SYSTEM);
	assert_int_equal(e.origin, ENOENT);
	assert_string_equal(e.text, "open x: No such file or directory");
}

static void test_text_is_cut_not_overrun(void **state)
{
	char longer[2 * ERR_TEXT_BYTES];
	struct err e = ERR_INIT;

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	err_set(&e, ERR_LIMIT, "%s", longer);
	assert_int_equal(strlen(e.text), ERR_TEXT_BYTES - 1);
	err_ctx(&e, "%s", longer);
	assert_int_equal(strlen(e.text), ERR_TEXT_BYTES - 1);
	err_clear(&e);
	err_errno(&e, EIO, "%s", longer);
	assert_int_equal(strlen(e.text), ERR_TEXT_BYTES - 1);
}

static void test_clear_makes_room_for_the_next(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	err_set_origin(&e, ERR_BUSY, 3, "one");
	err_clear(&e);
	assert_int_equal(e.code, ERR_OK);
	assert_int_equal(e.origin, 0);
	assert_string_equal(e.text, "");
	err_set(&e, ERR_GONE, "two");
	assert_string_equal(e.text, "two");
}

static void test_no_struct_still_returns_the_code(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, ERR_BUSY, "x"), ERR_BUSY);
	assert_int_equal(err_set_origin(NULL, ERR_GONE, 1, "x"), ERR_GONE);
	assert_int_equal(err_errno(NULL, EIO, "x"), ERR_SYSTEM);
}

static void test_every_code_has_a_label_and_a_meaning(void **state)
{
	(void)state;
	for (int c = 0; c < ERR_COUNT; c++) {
		assert_true(strlen(err_name(c)) > 0);
		assert_true(strlen(err_meaning(c)) > 0);
		assert_true(err_http(c) == 200 || err_http(c) == 400 || err_http(c) == 500);
		for (int d = 0; d < c; d++)
			assert_string_not_equal(err_name(c), err_name(d));
	}
	assert_int_equal(err_http(ERR_OK), 200);
	assert_int_equal(err_retry_class(ERR_UNCERTAIN), ERR_RETRY_IDEM);
	assert_int_equal(err_retry_class(ERR_UNAVAILABLE), ERR_RETRY_YES);
	assert_int_equal(err_retry_class(ERR_DENIED), ERR_RETRY_NO);
}

/* The test runs in the source's folder. Heap. */
static char *read_page(const char *path)
{
	enum { MOST = 1 << 20 };
	char *text = calloc(1, MOST);
	FILE *f = fopen(path, "r");

	assert_non_null(text);
	assert_non_null(f);
	assert_true(fread(text, 1, MOST - 1, f) > 0);
	fclose(f);
	return text;
}

/* Every code but OK says what to do, in a row of its own, in a whole sentence. */
static void test_each_code_says_what_to_do(void **state)
{
#define NAME_OF(name, retry, http, label, text) #name,
	static const char *const names[] = {ERR_TABLE(NAME_OF)};
#undef NAME_OF
	enum { LEAST = 30 };
	char *page = read_page("docs/errors.md"), row[64];
	const char *section = strstr(page, "## What to do");

	(void)state;
	assert_non_null(section);
	for (size_t i = 1; i < ERR_COUNT; i++) {
		snprintf(row, sizeof(row), "\n| `%s` | ", names[i]);
		const char *at = strstr(section, row);
		const char *end = at ? strstr(at + strlen(row), " |\n") : NULL;
		if (!end || end - at < (ptrdiff_t)strlen(row) + LEAST || end[-1] != '.')
			fail_msg("docs/errors.md does not say what to do about %s", names[i]);
	}
	free(page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_error_wins),
		cmocka_unit_test(test_context_goes_before_the_text),
		cmocka_unit_test(test_errno_is_origin_and_text),
		cmocka_unit_test(test_each_code_says_what_to_do),
		cmocka_unit_test(test_text_is_cut_not_overrun),
		cmocka_unit_test(test_clear_makes_room_for_the_next),
		cmocka_unit_test(test_no_struct_still_returns_the_code),
		cmocka_unit_test(test_every_code_has_a_label_and_a_meaning),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
