#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

enum { N = 5000 };

static int values[N];

static void test_put_get_del(void **state)
{
	struct umap m = {0};
	int a, b;

	(void)state;
	assert_null(umap_get(&m, 0));
	assert_null(umap_del(&m, 0));
	assert_null(umap_put(&m, 0, &a));
	assert_ptr_equal(umap_put(&m, 0, &b), &a);
	assert_int_equal(umap_count(&m), 1);
	assert_ptr_equal(umap_get(&m, 0), &b);
	assert_ptr_equal(umap_del(&m, 0), &b);
	assert_null(umap_get(&m, 0));
	assert_int_equal(umap_count(&m), 0);
	umap_done(&m);
}

static void test_many_come_and_go(void **state)
{
	struct umap m = {0};

	(void)state;
	for (uint64_t i = 0; i < N; i++)
		assert_null(umap_put(&m, i << 40, &values[i]));
	for (uint64_t i = 0; i < N; i += 2)
		assert_ptr_equal(umap_del(&m, i << 40), &values[i]);
	assert_int_equal(umap_count(&m), N / 2);
	for (uint64_t i = 0; i < N; i++)
		assert_ptr_equal(umap_get(&m, i << 40), i % 2 ? &values[i] : NULL);
	umap_done(&m);
}

/* Tombstones must neither fill the table for ever nor make it grow without end. */
static void test_churn_does_not_grow_the_table(void **state)
{
	struct umap m = {0};

	(void)state;
	for (uint64_t i = 0; i < 100000; i++) {
		umap_put(&m, i, &values[i % N]);
		if (i >= 10)
			assert_ptr_equal(umap_del(&m, i - 10), &values[(i - 10) % N]);
	}
	assert_int_equal(umap_count(&m), 10);
	assert_true(m.cap <= 128);
	umap_done(&m);
}

static void test_iteration_sees_each_once(void **state)
{
	static bool seen[N];
	struct umap m = {0};
	size_t pos = 0, n = 0;
	uint64_t key;
	void *value;

	(void)state;
	for (uint64_t i = 0; i < N; i++)
		umap_put(&m, i * 7, &values[i]);
	umap_del(&m, 7 * 100);
	memset(seen, 0, sizeof(seen));
	while (umap_next(&m, &pos, &key, &value)) {
		assert_int_equal(key % 7, 0);
		assert_ptr_equal(value, &values[key / 7]);
		assert_false(seen[key / 7]);
		seen[key / 7] = true;
		n++;
	}
	assert_int_equal(n, N - 1);
	assert_false(seen[100]);
	umap_done(&m);
}

static void test_strings_are_copied(void **state)
{
	struct smap m = {0};
	char key[32];
	size_t pos = 0;
	const char *found;
	void *value;

	(void)state;
	for (int i = 0; i < N; i++) {
		snprintf(key, sizeof(key), "key %d", i);
		assert_null(smap_put(&m, key, &values[i]));
	}
	for (int i = 0; i < N; i++) {
		snprintf(key, sizeof(key), "key %d", i);
		assert_ptr_equal(smap_get(&m, key), &values[i]);
	}
	while (smap_next(&m, &pos, &found, &value))
		assert_int_equal((int *)value - values, strtol(found + 4, NULL, 10));
	assert_ptr_equal(smap_del(&m, "key 17"), &values[17]);
	assert_null(smap_get(&m, "key 17"));
	assert_int_equal(smap_count(&m), N - 1);
	smap_done(&m);
}

static void test_a_prefix_is_another_key(void **state)
{
	struct smap m = {0};
	int a, b, none;

	(void)state;
	smap_put(&m, "ab", &a);
	smap_put(&m, "abc", &b);
	smap_put(&m, "", &none);
	assert_ptr_equal(smap_getn(&m, "abcdef", 2), &a);
	assert_ptr_equal(smap_getn(&m, "abcdef", 3), &b);
	assert_null(smap_getn(&m, "abcdef", 4));
	assert_ptr_equal(smap_getn(&m, "abcdef", 0), &none);
	assert_ptr_equal(smap_getn(&m, NULL, 0), &none);
	smap_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put_get_del),
		cmocka_unit_test(test_many_come_and_go),
		cmocka_unit_test(test_churn_does_not_grow_the_table),
		cmocka_unit_test(test_iteration_sees_each_once),
		cmocka_unit_test(test_strings_are_copied),
		cmocka_unit_test(test_a_prefix_is_another_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
