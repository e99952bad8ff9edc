/* Runs test/data/api_cases.jsonl against the API before a fake engine; test/e2e/test_api.py runs the
 * same file against a server. A line is a case: what is sent ("send" as it is, or "type" and "data"),
 * and the answer's code with its "message", the beginning of it ("like"), or its data ("answer").
 * "fake": what the fake engine answers, not a server. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "support/fake_engine.h"

static const char path[] = "test/data/api_cases.jsonl";

/* Heap; the placeholders' values hold nothing that JSON would escape. */
static char *fill(const char *text)
{
	static const struct {
		const char *mark, *value;
	} marks[] = {{"@URI@", "http://h:19530"}, {"@CHANNEL@", FAKE_CHANNEL}};
	struct buf b = BUF_INIT(1 << 20);

	while (*text) {
		size_t i = 0;
		while (i < ARRAY_LEN(marks) && !str_starts(text, marks[i].mark))
			i++;
		if (i < ARRAY_LEN(marks)) {
			buf_put_str(&b, marks[i].value);
			text += strlen(marks[i].mark);
		} else {
			buf_put_u8(&b, (uint8_t)*text++);
		}
	}
	return buf_take(&b);
}

static char *ask_case(const json_t *one)
{
	const char *send = json_string_value(json_object_get(one, "send"));
	const char *type = json_string_value(json_object_get(one, "type"));
	const char *data = json_string_value(json_object_get(one, "data"));
	const char *method = json_string_value(json_object_get(one, "method"));
	CLEANUP(freep)
	char *raw = send ? xstrdup(send)
			 : xasprintf("{\"request_type\":\"%s\",\"request_data\":%s}", type, data);
	CLEANUP(freep) char *body = fill(raw);

	return ask_as(method ? method : "POST", body);
}

static bool same(const json_t *a, const json_t *b)
{
	return (!a && !b) || json_equal(a, b);
}

static bool fits(const json_t *one, const json_t *answer)
{
	const char *like = json_string_value(json_object_get(one, "like"));
	const json_t *data = json_object_get(one, "answer");
	const char *text = json_string_value(json_object_get(answer, "message"));

	if (!same(json_object_get(one, "code"), json_object_get(answer, "code")))
		return false;
	if (like)
		return text && str_starts(text, like);
	return same(json_object_get(one, "message"), json_object_get(answer, "message")) &&
	       same(data, json_object_get(answer, "data"));
}

static bool run_case(const json_t *one, const char *line)
{
	CLEANUP(freep) char *got = ask_case(one);
	json_t *answer = json_loads(got, 0, NULL);
	bool good = answer && fits(one, answer);

	json_decref(answer);
	if (!good)
		print_error("%sgot %s", line, got);
	return good;
}

static void test_table(void **state)
{
	FILE *f = fopen(path, "r");
	char *line = NULL;
	size_t cap = 0;
	int cases = 0, wrong = 0;

	(void)state;
	assert_non_null(f);
	while (getline(&line, &cap, f) > 0) {
		json_t *one = json_loads(line, 0, NULL);
		assert_non_null(one);
		if (!json_object_get(one, "title")) {
			cases++;
			wrong += !run_case(one, line);
		}
		json_decref(one);
	}
	free(line);
	assert_int_equal(fclose(f), 0);
	log_set_level(LOG_OFF);
	assert_int_equal(wrong, 0);
	assert_true(cases > 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_table, fake_engine_setup, fake_engine_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
