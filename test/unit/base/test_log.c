#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* The log goes to a file of the test's own besides standard error. */
struct fixture {
	char path[64];
	char text[20000];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err e = ERR_INIT;

	snprintf(f->path, sizeof(f->path), "/tmp/test_log.XXXXXX");
	int fd = f ? mkstemp(f->path) : -1;
	if (fd < 0)
		return -1;
	close(fd);
	*state = f;
	return log_open(f->path, &e);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	log_close();
	log_set_level(LOG_INFO);
	unlink(f->path);
	free(f);
	return 0;
}

static const char *written(struct fixture *f)
{
	int fd = open(f->path, O_RDONLY);
	ssize_t n = read(fd, f->text, sizeof(f->text) - 1);

	close(fd);
	f->text[n > 0 ? n : 0] = '\0';
	return f->text;
}

static void test_a_line_has_the_fields_of_its_context(void **state)
{
	const struct log_ctx server = {.comp = LOG_server};
	const struct log_ctx task = {.parent = &server, .comp = LOG_task, .fields = "task=t1"};
	const struct log_ctx chan = {.parent = &task, .comp = LOG_channel, .fields = "chan=c2 a=b"};

	log_info(&chan, "went %s after %d", "on", 3);
	const char *line = written(*state);
	assert_ptr_equal(strstr(line, "time="), line);
	assert_non_null(strstr(line, "Z level=info comp=channel task=t1 chan=c2 a=b "
				     "msg=\"went on after 3\"\n"));
}

static void test_a_line_stays_a_line(void **state)
{
	const struct log_ctx server = {.comp = LOG_server};

	log_error(&server, "%s", "a\"b\\c\nd\x01\x7f \xc3\xa9 \x8f");
	const char *line = written(*state);
	assert_non_null(strstr(line, "msg=\"a\\\"b\\\\c\\x0ad\\x01\\x7f \xc3\xa9 \\x8f\"\n"));
	assert_int_equal(strchr(line, '\n') - line, strlen(line) - 1);
}

static void test_too_long_is_cut(void **state)
{
	struct fixture *f = *state;
	static char longer[10000];
	const struct log_ctx server = {.comp = LOG_server};
	const struct log_ctx task = {.parent = &server, .comp = LOG_task, .fields = longer};

	memset(longer, '\n', sizeof(longer) - 1);
	log_warn(&server, "%s", longer);
	memset(longer, 'x', sizeof(longer) - 1);
	log_warn(&task, "%s", longer);
	const char *line = written(f);
	assert_true(strlen(line) < 2 * 4096 + 1);
	assert_int_equal(line[strlen(line) - 1], '\n');
}

static void test_levels_a_component(void **state)
{
	const struct log_ctx store = {.comp = LOG_store}, kafka = {.comp = LOG_kafka};

	log_set_comp_level(LOG_kafka, LOG_DEBUG);
	log_set_comp_level(LOG_store, LOG_ERROR);
	log_debug(&kafka, "seen");
	log_warn(&store, "hidden");
	log_error(&store, "shown");
	log_set_level(LOG_OFF);
	log_error(&store, "silence");
	const char *text = written(*state);
	assert_non_null(strstr(text, "seen"));
	assert_non_null(strstr(text, "shown"));
	assert_null(strstr(text, "hidden"));
	assert_null(strstr(text, "silence"));
}

static void test_names(void **state)
{
	enum log_level l = LOG_OFF;

	(void)state;
	assert_true(log_level_parse("WARN", &l) && l == LOG_WARN);
	assert_true(log_level_parse("fatal", &l) && l == LOG_ERROR);
	assert_false(log_level_parse("loud", &l));
	assert_string_equal(log_level_name(LOG_DEBUG), "debug");
	assert_string_equal(log_comp_name(LOG_checkpoint), "checkpoint");
}

static void test_a_file_that_cannot_be_opened(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(log_open("/no/such/folder/log", &e), ERR_SYSTEM);
	assert_non_null(strstr(e.text, "/no/such/folder/log"));
	assert_int_equal(log_open("", &e), ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_a_line_has_the_fields_of_its_context, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_line_stays_a_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_long_is_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_levels_a_component, setup, teardown),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_a_file_that_cannot_be_opened),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
