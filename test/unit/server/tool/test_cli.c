#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/tool/cli.h"

static struct cli cli;

/* words are separated by blanks; the text that was written comes back (heap). */
static char *parse(const char *words, int want)
{
	struct buf b = BUF_INIT(1 << 16);
	char text[256];
	char *argv[16];
	int argc = 0;

	snprintf(text, sizeof(text), "milvus-cdc %s", words);
	for (char *s = text, *word; (word = strsep(&s, " "));)
		if (*word)
			argv[argc++] = word;
	assert_int_equal(cli_parse(argc, argv, "1.2 (abc)", &cli, &b), want);
	cli.word = cli.word ? "given" : NULL; /* text goes away */
	return buf_take(&b);
}

static void expect(const char *words, int code, const char *starts)
{
	CLEANUP(freep)
	char *got = parse(words, code);

	if (strncmp(got, starts, strlen(starts)) != 0 || (!*starts && *got))
		fail_msg("%s: got %s", words, got);
}

static void test_commands(void **state)
{
	(void)state;
	expect("", 0, "");
	assert_int_equal(cli.command, CLI_SERVER);
	expect("server", 0, "");
	assert_int_equal(cli.command, CLI_SERVER);
	expect("check-config --config x", 0, "");
	assert_int_equal(cli.command, CLI_CHECK_CONFIG);
	expect("health --timeout 100", 0, "");
	assert_int_equal(cli.command, CLI_HEALTH);
	expect("print-docs api", 0, "");
	assert_int_equal(cli.command, CLI_PRINT_DOCS);
	assert_non_null(cli.word);
	expect("migrate-store --from a --to b --dry-run", 0, "");
	assert_int_equal(cli.command, CLI_MIGRATE_STORE);
	assert_true(cli_flag(&cli, "--dry-run"));
	assert_false(cli_flag(&cli, "--force"));
	expect("--version", 0, "1.2 (abc)\n");
	assert_int_equal(cli.command, CLI_DONE);
	expect("server -V", 0, "1.2 (abc)\n");
	expect("--help", 0, "Usage: milvus-cdc COMMAND");
	expect("-h", 0, "Usage: milvus-cdc COMMAND");
	assert_int_equal(cli.command, CLI_DONE);
}

static void test_errors(void **state)
{
	(void)state;
	expect("sever", 2, "milvus-cdc: unknown command sever\n");
	expect("server now", 2, "milvus-cdc: unexpected argument now\n");
	expect("--conf x", 2, "milvus-cdc: unknown option --conf\n");
	expect("--config", 2, "milvus-cdc: --config wants a file\n");
	expect("--config=", 2, "milvus-cdc: --config wants a file\n");
	expect("print-docs", 2, "milvus-cdc: print-docs wants a PAGE\n");
	expect("server --config=x --version=2", 2, "milvus-cdc: unknown option --version=2\n");
	expect("print-docs a b", 2, "milvus-cdc: unexpected argument b\n");
}

/* Help of a command names it, its words, and all its options; that of the program all commands. */
static void test_help_is_the_table(void **state)
{
	CLEANUP(freep)
	char *all = parse("--help", 0);

	(void)state;
	for (const struct cli_row *r = cli_rows; r->name; r++) {
		char words[64], head[128];
		snprintf(words, sizeof(words), "%s -h", r->name);
		CLEANUP(freep)
		char *own = parse(words, 0);
		assert_int_equal(cli.command, CLI_DONE);
		snprintf(head, sizeof(head), "Usage: milvus-cdc %s%s%s [OPTION]\n", r->name,
			r->words ? " " : "", r->words ? r->words : "");
		assert_memory_equal(own, head, strlen(head));
		assert_non_null(strstr(own, "--config FILE"));
		for (const struct cli_option *o = r->options; o && o->name; o++)
			assert_non_null(strstr(own, o->name));
		assert_non_null(strstr(all, r->help));
	}
}

static void test_config_option(void **state)
{
	struct buf b = BUF_INIT(1000);
	char *spaced[] = {xstrdup("x"), xstrdup("--config"), xstrdup("a.yaml"), xstrdup("server")};
	char *joined[] = {xstrdup("x"), xstrdup("server"), xstrdup("--config=b.yaml")};

	(void)state;
	assert_int_equal(cli_parse(4, spaced, "", &cli, &b), 0);
	assert_string_equal(cli.config_path, "a.yaml");
	assert_int_equal(cli_parse(3, joined, "", &cli, &b), 0);
	assert_string_equal(cli.config_path, "b.yaml");
	for (size_t i = 0; i < ARRAY_LEN(spaced); i++)
		free(spaced[i]);
	for (size_t i = 0; i < ARRAY_LEN(joined); i++)
		free(joined[i]);
	buf_done(&b);
}

static void touch(const char *path)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
}

static void test_default_places(void **state)
{
	char dir[] = "/tmp/cdc-cli-XXXXXX", old[4096];

	(void)state;
	assert_non_null(getcwd(old, sizeof(old)));
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	expect("server", 0, "");
	assert_string_equal(cli.config_path, "configs/cdc.yaml");
	assert_int_equal(
		mkdir("server", 0700) | mkdir("server/configs", 0700) | mkdir("configs", 0700), 0);
	touch("server/configs/cdc.yaml");
	expect("server", 0, "");
	assert_string_equal(cli.config_path, "server/configs/cdc.yaml");
	touch("configs/cdc.yaml");
	expect("server", 0, "");
	assert_string_equal(cli.config_path, "configs/cdc.yaml");
	unlink("configs/cdc.yaml");
	unlink("server/configs/cdc.yaml");
	rmdir("configs");
	rmdir("server/configs");
	rmdir("server");
	assert_int_equal(chdir(old), 0);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_help_is_the_table),
		cmocka_unit_test(test_config_option),
		cmocka_unit_test(test_default_places),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
