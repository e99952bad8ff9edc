#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/buf.h"
#include "base/yaml.h"

static struct yml_node *parse(const char *text)
{
	struct yml_node *root = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(yml_parse(slice_str(text), &root, &e), ERR_OK);
	return root;
}

static void test_tree(void **state)
{
	struct yml_node *r =
		parse("a: 1\nb:\n  - x\n  - {c: 'true', d: }\nE: ~\n# end\nf: \"~\"\n");

	(void)state;
	assert_int_equal(r->kind, YML_MAP);
	assert_int_equal(r->n_children, 4);
	assert_string_equal(yml_get(r, "A")->text, "1");
	const struct yml_node *b = yml_get(r, "b");
	assert_int_equal(b->kind, YML_LIST);
	assert_int_equal(b->line, 2);
	assert_int_equal(b->children[1].line, 4);
	assert_true(yml_get(&b->children[1], "c")->quoted);
	assert_int_equal(yml_get(&b->children[1], "d")->kind, YML_NULL);
	assert_int_equal(yml_get(r, "e")->kind, YML_NULL);
	assert_int_equal(yml_get(r, "f")->kind, YML_SCALAR);
	assert_int_equal(yml_get(r, "f")->line, 7);
	assert_null(yml_get(r, "g"));
	assert_null(yml_get(b, "x"));
	assert_null(yml_get(NULL, "x"));
	yml_free(r);
}

static void test_later_key_wins(void **state)
{
	struct yml_node *r = parse("a: 1\nb: 2\nA: 3\n");

	(void)state;
	assert_string_equal(yml_get(r, "a")->text, "3");
	assert_int_equal(r->children[0].other_line, 3);
	assert_int_equal(r->children[1].other_line, 0);
	assert_int_equal(r->children[2].other_line, 0);
	yml_free(r);
}

static void test_empty(void **state)
{
	static const char *const texts[] = {"", "\n", "# only words\n", "---\n", "~"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct yml_node *r = parse(texts[i]);
		assert_int_equal(r->kind, YML_NULL);
		assert_string_equal(r->text, "");
		yml_free(r);
	}
}

static void expect_error(struct slice text, const char *starts)
{
	struct yml_node *root = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(yml_parse(text, &root, &e), ERR_INVALID);
	assert_null(root);
	e.text[strlen(starts) < sizeof(e.text) ? strlen(starts) : 0] = '\0';
	assert_string_equal(e.text, starts);
}

static void test_refused(void **state)
{
	(void)state;
	expect_error(slice_str("a: 1\nb: [1\nc: 2\n"), "line ");
	expect_error(slice_str("a: 1\n b: 2\n"), "line 2: ");
	expect_error(slice_str("a:\tb\n\tc"), "line ");
	expect_error(slice_str("a: &x 1\nb: *x\n"), "line 1: anchors and aliases");
	expect_error(slice_str("a: 1\nb: *x\n"), "line 2: anchors and aliases");
	expect_error(slice_str("a: 1\n---\nb: 2\n"), "line 2: a second document");
	expect_error(slice_str("? [a]\n: 1\n"), "line 1: a key must be a plain word");
	expect_error(slice_str("a: \"x\\0y\"\n"), "line 1: a zero byte");
	expect_error(slice_str("\"a\\0\": 1\n"), "line 1: a zero byte");
	expect_error(slice_of("a: \xff\xfe\n", 6), "line ");
}

static void test_bounds(void **state)
{
	CLEANUP(buf_done)
	struct buf deep = BUF_INIT(1 << 20);
	CLEANUP(buf_done)
	struct buf wide = BUF_INIT(1 << 20);

	(void)state;
	for (int i = 0; i < 1000; i++)
		buf_put_u8(&deep, '[');
	expect_error(buf_slice(&deep), "line 1: more than 16 levels deep");
	for (int i = 0; i < 5000; i++)
		buf_putf(&wide, "k%d: 1\n", i);
	expect_error(buf_slice(&wide), "line 2000: more than 4000 values");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_later_key_wins),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
