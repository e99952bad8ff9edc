#include "server/tool/tool_status.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/time.h"
#include "server/tool/tool_api.h"
#include "server/tool/tool_table.h"
#include "server/tool/tool_task.h"

enum { INTERVAL_S = 2, SECOND_MS = 1000 };

#define CLEAR_SCREEN "\033[H\033[2J"

static void lag_of(const json_t *task, char out[TIME_SPAN_BYTES])
{
	const json_t *lag = json_object_get(json_object_get(task, "detail"), "lag_ms");

	if (json_is_integer(lag))
		time_span_text(json_integer_value(lag), out);
	else
		snprintf(out, TIME_SPAN_BYTES, "-");
}

static const char *target_of(const json_t *task)
{
	const char *uri = tool_text(json_object_get(task, "milvus_connect_param"), "uri");

	return *uri ? uri : tool_text(json_object_get(task, "kafka_connect_param"), "address");
}

static const char *trouble_of(const json_t *task)
{
	const char *reason = tool_text(task, "reason");
	return *reason ? reason : tool_text(json_object_get(task, "detail"), "waits_for");
}

void tool_status_line(const json_t *task, FILE *out)
{
	char lag[TIME_SPAN_BYTES], when[TIME_SPAN_BYTES];
	time_t now = time(NULL);
	struct tm tm;
	const char *trouble = trouble_of(task);

	lag_of(task, lag);
	strftime(when, sizeof(when), "%H:%M:%S", localtime_r(&now, &tm));
	fprintf(out, "%s  %s  lag %s  rows %" PRId64 "%s%s\n", when, tool_text(task, "state"), lag,
		tool_number(json_object_get(task, "detail"), "rows_written"), *trouble ? "  " : "",
		trouble);
}

static void put_list(FILE *out, const char *head, const json_t *list)
{
	const json_t *one;
	size_t i;

	json_array_foreach (list, i, one) {
		CLEANUP(freep)
		char *text = json_is_string(one) ? xstrdup(json_string_value(one))
						 : json_dumps(one, JSON_COMPACT);
		fprintf(out, "%-18s %s\n", i ? "" : head, text);
	}
}

static void put_findings(FILE *out, const json_t *list)
{
	const json_t *one;
	size_t i;

	json_array_foreach (list, i, one) {
		fprintf(out, "%-18s %s %s: %s\n%-18s fix: %s\n", i ? "" : "findings",
			tool_text(one, "code"), tool_text(one, "subject"), tool_text(one, "seen"),
			"", tool_text(one, "fix"));
	}
}

void tool_status_task(const json_t *task, FILE *out)
{
	const json_t *detail = json_object_get(task, "detail");
	const json_t *states = json_object_get(detail, "collection_states"), *n;
	char lag[TIME_SPAN_BYTES];
	const char *key;

	lag_of(task, lag);
	fprintf(out, "%-18s %s\n", "task", tool_text(task, "task_id"));
	fprintf(out, "%-18s %s\n", "target", target_of(task));
	fprintf(out, "%-18s %s\n", "state", tool_text(task, "state"));
	if (*tool_text(task, "reason"))
		fprintf(out, "%-18s %s\n", "reason", tool_text(task, "reason"));
	fprintf(out, "%-18s %s\n", "lag", lag);
	fprintf(out, "%-18s %" PRId64 "\n", "rows written", tool_number(detail, "rows_written"));
	fprintf(out, "%-18s %" PRId64, "collections", tool_number(detail, "collections"));
	/* jansson's macro takes no const */
	json_object_foreach ((json_t *)(uintptr_t)states, key, n) {
		fprintf(out, ", %s %" PRId64, key, (int64_t)json_integer_value(n));
	}
	fprintf(out, "\n");
	if (*tool_text(detail, "waits_for"))
		fprintf(out, "%-18s %s\n", "waits for", tool_text(detail, "waits_for"));
	put_list(out, "operations waiting", json_object_get(detail, "waiting_operations"));
	put_list(out, "operations skipped", json_object_get(detail, "skipped_operations"));
	put_list(out, "left to others", json_object_get(detail, "excluded"));
	put_findings(out, json_object_get(detail, "findings"));
}

/* ---- the table ---- */

static int64_t rows_of(const json_t *tasks, const char *id)
{
	const json_t *one;
	size_t i;

	json_array_foreach (tasks, i, one) {
		if (strcmp(tool_text(one, "task_id"), id) == 0)
			return tool_number(json_object_get(one, "detail"), "rows_written");
	}
	return -1;
}

static void put_task(
	struct tool_table *t, const json_t *task, const json_t *before, int64_t since_ms)
{
	const json_t *detail = json_object_get(task, "detail");
	int64_t rows = tool_number(detail, "rows_written");
	int64_t earlier = rows_of(before, tool_text(task, "task_id"));
	char lag[TIME_SPAN_BYTES];

	lag_of(task, lag);
	tool_table_put(t, "%s", tool_text(task, "task_id"));
	tool_table_put(t, "%s", tool_text(task, "state"));
	tool_table_put(t, "%s", lag);
	tool_table_put(t, "%" PRId64, rows);
	if (earlier >= 0 && since_ms > 0)
		tool_table_put(
			t, "%" PRId64, MAX(rows - earlier, (int64_t)0) * SECOND_MS / since_ms);
	else
		tool_table_put(t, "-");
	tool_table_put(t, "%" PRId64, tool_number(detail, "collections"));
	tool_table_put(t, "%s", target_of(task));
	tool_table_put(t, "%s", trouble_of(task));
}

void tool_status_table(const json_t *tasks, const json_t *before, int64_t ms, FILE *out)
{
	static const char *const heads[] = {
		"TASK", "STATE", "LAG", "ROWS", "ROWS/S", "COLLECTIONS", "TARGET", "WAITS FOR"};
	CLEANUP(tool_table_done)
	struct tool_table t = {.heads = heads, .n_columns = ARRAY_LEN(heads)};
	const json_t *one;
	size_t i;

	if (!json_array_size(tasks)) {
		fputs("no tasks\n", out);
		return;
	}
	json_array_foreach (tasks, i, one) {
		put_task(&t, one, before, ms);
	}
	tool_table_print(&t, out);
}

/* ---- the command ---- */

static void show(
	const struct tool_api *a, const json_t *tasks, const json_t *before, int64_t ms, bool live)
{
	if (live)
		fputs(CLEAR_SCREEN, stdout);
	printf("%s\n\n", a->url);
	tool_status_table(tasks, before, ms, stdout);
	fflush(stdout);
}

/* An outage of the server is shown and waited out; without a screen it is the end. */
static enum err_code follow(struct tool_api *a, const struct cli *c, bool live, struct err *e)
{
	int64_t pause_ms = MAX(cli_number(c, "--interval", INTERVAL_S), (int64_t)1) * SECOND_MS;
	bool once = cli_flag(c, "--once"), json = cli_flag(c, "--json");
	CLEANUP(json_in_freep) json_t *before = NULL;
	int64_t at_ms = 0;

	for (;;) {
		CLEANUP(json_in_freep) json_t *data = NULL;
		int64_t now_ms = time_mono_ms();
		err_clear(e);
		enum err_code code = tool_api_ask(a, "list", NULL, &data, e);
		if (code && (once || !live))
			return code;
		json_t *tasks = json_object_get(data, "tasks");
		if (code)
			printf(CLEAR_SCREEN "%s\n", e->text);
		else if (json)
			tool_print_json(data);
		else
			show(a, tasks, before, now_ms - at_ms, live && !once);
		fflush(stdout);
		if (once)
			return ERR_OK;
		json_decref(before);
		before = json_incref(tasks);
		at_ms = now_ms;
		stop_sleep(&a->stop, pause_ms);
	}
}

int tool_status_main(const struct cli *c)
{
	struct tool_api a;
	struct err e = ERR_INIT;

	if (!tool_api_open(&a, c, &e))
		(void)follow(&a, c, isatty(STDOUT_FILENO), &e);
	tool_api_done(&a);
	return tool_api_exit(c, &e);
}
