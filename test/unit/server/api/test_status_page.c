/* What a test of the text alone can say of the page; the rest is test/e2e/test_page.py. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "server/api/status_page.h"

enum { MOST_BYTES = 60000 };

static void test_whole_and_small(void **state UNUSED)
{
	size_t n = strlen(status_page_text);

	assert_true(n > 10000 && n < MOST_BYTES);
	assert_int_equal(strncmp(status_page_text, "<!doctype html>", 15), 0);
	assert_string_equal(status_page_text + n - 8, "</html>\n");
	assert_null(strstr(status_page_text, "@CSS@"));
	assert_null(strstr(status_page_text, "@JS@"));
}

/* Nothing of it comes from elsewhere, and nothing that it is told becomes markup or code. */
static void test_forbidden(void **state UNUSED)
{
	static const char *const words[] = {"innerHTML", "outerHTML", "insertAdjacentHTML",
		"document.write", "DOMParser", "eval(", "Function(", "https:", "src=", "@import",
		"url(", "localStorage", "document.cookie", " onclick=", " onload=", " style="};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strstr(status_page_text, words[i]))
			fail_msg("the page has %s", words[i]);
}

static void expect_digest(const char *policy, const char *begin, const char *end)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	const char *from = strstr(status_page_text, begin) + strlen(begin);

	/* one of each: the browser takes the policy for all of them */
	assert_null(strstr(from, begin));
	SHA256((const uint8_t *)from, (size_t)(strstr(from, end) - from), digest);
	CLEANUP(freep) char *text = b64_text(slice_of(digest, sizeof(digest)));
	assert_non_null(strstr(policy, text));
}

static void test_policy(void **state UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(1024);

	status_page_policy(&b);
	const char *policy = buf_cstr(&b);
	assert_int_equal(strncmp(policy, "default-src 'none'; ", 20), 0);
	assert_null(strstr(policy, "unsafe"));
	assert_non_null(strstr(policy, "frame-ancestors 'none'"));
	expect_digest(policy, "<script>", "</script>");
	expect_digest(policy, "<style>", "</style>");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_and_small),
		cmocka_unit_test(test_forbidden),
		cmocka_unit_test(test_policy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
