#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "server/status_page.h"

static void expect(const char *json, const char *const *parts, size_t n)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(1 << 20);

	status_page_write(&b, json);
	for (size_t i = 0; i < n; i++)
		if (!strstr(buf_cstr(&b), parts[i]))
			fail_msg("no %s in\n%s", parts[i], buf_cstr(&b));
	assert_null(strstr(buf_cstr(&b), "<b>"));
	assert_null(strstr(buf_cstr(&b), "onload="));
	assert_non_null(strstr(buf_cstr(&b), "</html>\n"));
}

static void test_tasks(void **state)
{
	static const char *const parts[] = {"<h1>Milvus-CDC 1.0&lt;b&gt;</h1>", "Up for 2.0 h",
		"<p>Source: h:1, ok</p>", "<td>t&quot;1&#39;<br><small>http://x&amp;y</small></td>",
		"<td class=\"Running\">Running</td><td>why<br>the target<br><small>2",
		" skipped operations:<br>a<br>&lt;b&gt;</small></td>", ">1.5 s</td>", ">12</td>",
		">459000000000000001</td>"};

	(void)state;
	expect("{\"version\":\"1.0<b>\",\"uptime_s\":7200,\"source\":{\"address\":\"h:1\","
	       "\"status\":\"ok\"},"
	       "\"tasks\":[{\"task_id\":\"t\\\"1'\",\"target\":\"http://"
	       "x&y\",\"state\":\"Running\",\"reason\":"
	       "\"why\",\"waits_for\":\"the "
	       "target\",\"lag_ms\":1500,\"collections\":12,\"rows_written\":"
	       "459000000000000001,\"skipped_operations\":[\"a\",{\"text\":\"<b>\"}]}]}",
		parts, ARRAY_LEN(parts));
}

/* A state that is none of ours must not become markup. */
static void test_foreign_state(void **state)
{
	static const char *const shown[] = {"<td class=\"\">x&quot; onload</td>"};
	static const char *const none[] = {"No tasks. A task is made"};

	(void)state;
	expect("{\"tasks\":[{\"state\":\"x\\\" onload\"}]}", shown, 1);
	expect("{\"tasks\":[]}", none, 1);
}

static void test_no_json(void **state)
{
	static const char *const parts[] = {"The status can't be read."};

	(void)state;
	expect("", parts, 1);
	expect("[1]", parts, 1);
	expect("{\"tasks\":", parts, 1);
}

/* Wrong types are left out, not trusted. */
static void test_wrong_types(void **state)
{
	static const char *const parts[] = {"<td><br><small></small></td>"};

	(void)state;
	expect("{\"version\":1,\"uptime_s\":\"x\",\"source\":[],\"store\":3,\"tasks\":[3,{\"lag_"
	       "ms\":\"<b>\","
	       "\"skipped_operations\":7}]}",
		parts, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tasks),
		cmocka_unit_test(test_foreign_state),
		cmocka_unit_test(test_no_json),
		cmocka_unit_test(test_wrong_types),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
