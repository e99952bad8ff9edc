/* Tokens and rates: who may do what, and how often. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "server/api/access.h"
#include "server/api/rate.h"

static const char write_token[] = "the-token-that-writes";
static const char read_token[] = "the-token-that-reads";

static enum access basic(const struct access_rules *a, const char *pair)
{
	CLEANUP(freep) char *b64 = b64_text(slice_str(pair));
	CLEANUP(freep) char *header = xasprintf("Basic %s", b64);
	bool bearer;

	enum access got = access_of(a, header, &bearer);
	assert_false(bearer);
	return got;
}

static void test_tokens(void **state)
{
	struct access_rules a;
	bool b;

	(void)state;
	access_init(&a, read_token, write_token);
	assert_int_equal(access_of(&a, NULL, &b), ACCESS_NONE);
	assert_int_equal(access_of(&a, "", &b), ACCESS_NONE);
	assert_int_equal(access_of(&a, "Bearer the-token-that-writes", &b), ACCESS_WRITE);
	assert_int_equal(access_of(&a, "bearer  the-token-that-reads", &b), ACCESS_READ);
	assert_true(b);
	assert_int_equal(access_of(&a, "Bearer the-token-that-writes ", &b), ACCESS_NONE);
	assert_false(b);
	assert_int_equal(access_of(&a, "Bearer the-token-that-write", &b), ACCESS_NONE);
	assert_int_equal(access_of(&a, "Bearer ", &b), ACCESS_NONE);
	assert_int_equal(access_of(&a, "the-token-that-writes", &b), ACCESS_NONE);
	assert_int_equal(basic(&a, "anyone:the-token-that-writes"), ACCESS_WRITE);
	assert_int_equal(basic(&a, ":the-token-that-reads"), ACCESS_READ);
	assert_int_equal(basic(&a, "the-token-that-reads"), ACCESS_NONE);
	assert_int_equal(basic(&a, "a:b"), ACCESS_NONE);
	assert_int_equal(access_of(&a, "Basic !!!", &b), ACCESS_NONE);
	assert_int_equal(access_of(&a, "Basic ", &b), ACCESS_NONE);
}

static void test_no_tokens(void **state)
{
	struct access_rules a;
	bool b;

	(void)state;
	access_init(&a, "", NULL);
	assert_int_equal(access_of(&a, NULL, &b), ACCESS_WRITE);
	assert_int_equal(access_of(&a, "Bearer any", &b), ACCESS_WRITE);
	assert_false(b); /* it was not looked at */
	access_init(&a, NULL, write_token);
	assert_int_equal(access_of(&a, NULL, &b), ACCESS_NONE);
	assert_int_equal(access_of(&a, "Bearer ", &b), ACCESS_NONE);
}

static struct sockaddr_storage address(const char *text)
{
	struct sockaddr_storage ss = {.ss_family = AF_INET};

	if (strchr(text, ':')) {
		ss.ss_family = AF_INET6;
		inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)(void *)&ss)->sin6_addr);
	} else {
		inet_pton(AF_INET, text, &((struct sockaddr_in *)(void *)&ss)->sin_addr);
	}
	return ss;
}

static bool take(struct rate *r, const char *text, int64_t now_ms)
{
	struct sockaddr_storage ss = address(text);
	return rate_take(r, (const struct sockaddr *)(const void *)&ss, now_ms);
}

static void test_rate(void **state)
{
	struct rate *r = rate_new(10);

	(void)state;
	for (int i = 0; i < 20; i++)
		assert_true(take(r, "10.0.0.1", 1000));
	assert_false(take(r, "10.0.0.1", 1000));
	assert_false(take(r, "::ffff:10.0.0.1", 1000));
	assert_true(take(r, "10.0.0.2", 1000));
	assert_false(take(r, "10.0.0.1", 1099));
	assert_true(take(r, "10.0.0.1", 1100)); /* ten a second */
	assert_false(take(r, "10.0.0.1", 1100));
	for (int i = 0; i < 20; i++)
		assert_true(take(r, "10.0.0.1", 1000000));
	assert_false(take(r, "10.0.0.1", 1000000));
	rate_free(r);
}

static void test_rate_of_networks(void **state)
{
	struct rate *r = rate_new(1);

	(void)state;
	assert_true(take(r, "2001:db8:1:1::1", 0));
	assert_true(take(r, "2001:db8:1:1::2", 0));
	assert_false(take(r, "2001:db8:1:1::3", 0));
	assert_true(take(r, "2001:db8:1:2::3", 0));
	rate_free(r);
	assert_null(rate_new(0));
	assert_true(take(NULL, "10.0.0.1", 0));
	rate_free(NULL);
}

/* More clients than there are buckets: who has used up its own is not forgotten for them. */
static void test_rate_with_many_clients(void **state)
{
	struct rate *r = rate_new(1);
	char text[32];

	(void)state;
	assert_true(take(r, "192.168.0.1", 0));
	assert_true(take(r, "192.168.0.1", 0));
	for (int i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "10.1.%d.%d", i / 250, i % 250);
		assert_true(take(r, text, 0));
	}
	assert_false(take(r, "192.168.0.1", 0));
	rate_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_no_tokens),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_rate_of_networks),
		cmocka_unit_test(test_rate_with_many_clients),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
