#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/list.h"

struct item {
	int n;
	struct list link;
};

static int sum_in_order(struct list *head)
{
	int n = 0;

	list_foreach (it, head)
		n = n * 10 + LIST_ITEM(it, struct item, link)->n;
	return n;
}

static void test_order_of_pushes(void **state)
{
	struct item i[4] = {{.n = 1}, {.n = 2}, {.n = 3}, {.n = 4}};
	struct list l;

	(void)state;
	list_init(&l);
	assert_true(list_empty(&l));
	assert_null(list_pop(&l));
	list_push(&l, &i[1].link);
	list_push(&l, &i[2].link);
	list_push_front(&l, &i[0].link);
	list_push(&l, &i[3].link);
	assert_int_equal(sum_in_order(&l), 1234);
	assert_ptr_equal(list_pop(&l), &i[0].link);
	assert_int_equal(sum_in_order(&l), 234);
}

static void test_removal_while_walking(void **state)
{
	struct item i[5] = {{.n = 1}, {.n = 2}, {.n = 3}, {.n = 4}, {.n = 5}};
	struct list l;

	(void)state;
	list_init(&l);
	for (int k = 0; k < 5; k++)
		list_push(&l, &i[k].link);
	list_foreach (it, &l)
		if (LIST_ITEM(it, struct item, link)->n % 2)
			list_del(it);
	assert_int_equal(sum_in_order(&l), 24);
	assert_true(list_empty(&i[0].link));
	list_del(&i[0].link); /* not in a list: nothing happens */
	assert_int_equal(sum_in_order(&l), 24);
}

static void test_splice_moves_all_behind(void **state)
{
	struct item i[4] = {{.n = 1}, {.n = 2}, {.n = 3}, {.n = 4}};
	struct list a, b;

	(void)state;
	list_init(&a);
	list_init(&b);
	list_splice(&a, &b);
	assert_true(list_empty(&a));
	list_push(&a, &i[0].link);
	list_push(&a, &i[1].link);
	list_push(&b, &i[2].link);
	list_push(&b, &i[3].link);
	list_splice(&a, &b);
	assert_int_equal(sum_in_order(&a), 1234);
	assert_true(list_empty(&b));
	list_splice(&b, &a);
	assert_int_equal(sum_in_order(&b), 1234);
	assert_true(list_empty(&a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_of_pushes),
		cmocka_unit_test(test_removal_while_walking),
		cmocka_unit_test(test_splice_moves_all_behind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
