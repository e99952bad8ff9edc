/* task create, list, get, pause, resume, delete, position, watch. */
#include "server/tool/tool_task.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/str.h"
#include "server/tool/tool_api.h"
#include "server/tool/tool_status.h"
#include "server/tool/tool_table.h"

enum { TIME_BYTES = 32, WATCH_S = 2, SECOND_MS = 1000 };

static json_t *by_id(const struct cli *c)
{
	json_t *o = json_object();

	if (c->word)
		json_object_set_new(o, "task_id", json_string(c->word));
	return o;
}

/* ---- create ---- */

static enum err_code read_request(const char *path, json_t **ret, struct err *e)
{
	bool standard = strcmp(path, "-") == 0;
	FILE *f = standard ? stdin : fopen(path, "re");
	json_error_t why;

	if (!f)
		return err_errno(e, errno, "%s", path);
	json_t *j = json_loadf(f, 0, &why);
	if (!standard)
		fclose(f);
	if (!j || !json_is_object(j)) {
		json_decref(j);
		return err_set(e, ERR_INVALID, "%s: no JSON object: %s, line %d", path,
			j ? "another value" : why.text, j ? 1 : why.line);
	}
	/* a whole request is fine, too */
	json_t *data = json_object_get(j, "request_data");
	*ret = json_is_object(data) ? json_incref(data) : json_incref(j);
	json_decref(j);
	return ERR_OK;
}

/* "db.name", "db.*", "name", "*": one word of --collections. */
static void add_collection(json_t *dbs, struct slice word)
{
	const uint8_t *dot = word.n ? memchr(word.p, '.', word.n) : NULL;
	size_t n_db = dot ? (size_t)(dot - word.p) : 0;
	bool all = slice_eq_str(word, "*");
	CLEANUP(freep)
	char *db = dot ? xstrndup((const char *)word.p, n_db) : xstrdup(all ? "*" : "default");
	const char *name = (const char *)word.p + (dot ? n_db + 1 : 0);
	size_t n_name = word.n - (dot ? n_db + 1 : 0);

	json_t *list = json_object_get(dbs, db);
	if (!list) {
		list = json_array();
		json_object_set_new(dbs, db, list);
	}
	json_t *one = json_object();
	json_object_set_new(one, "name", json_stringn(name, n_name));
	json_array_append_new(list, one);
}

static json_t *collections(const char *text)
{
	json_t *dbs = json_object();

	while (*text) {
		size_t n = strcspn(text, ",");
		add_collection(dbs, slice_of(text, n));
		text += n + (text[n] == ',');
	}
	return dbs;
}

static json_t *from_options(const struct cli *c)
{
	json_t *o = json_object(), *target = json_object();
	const char *token = cli_text(c, "--target-token"), *wanted = cli_text(c, "--collections");

	if (!token)
		token = getenv("MILVUS_CDC_TARGET_TOKEN");
	json_object_set_new(target, "uri", json_string(cli_text(c, "--target")));
	if (token && *token)
		json_object_set_new(target, "token", json_string(token));
	json_object_set_new(o, "milvus_connect_param", target);
	json_object_set_new(o, "db_collections", collections(wanted ? wanted : "*"));
	return o;
}

static enum err_code request_of(const struct cli *c, json_t **ret, struct err *e)
{
	const char *file = cli_text(c, "--request");

	if (!file == !cli_text(c, "--target"))
		return err_set(e, ERR_INVALID, "give either --request FILE or --target URI");
	if (!file)
		*ret = from_options(c);
	else if (read_request(file, ret, e))
		return e->code;
	if (cli_text(c, "--id"))
		json_object_set_new(*ret, "task_id", json_string(cli_text(c, "--id")));
	return ERR_OK;
}

static void say_created(const json_t *data)
{
	const json_t *one;
	size_t i;

	printf("%s\n", tool_text(data, "task_id"));
	json_array_foreach (json_object_get(data, "warnings"), i, one) {
		fprintf(stderr, "warning: %s\n", json_string_value(one));
	}
	json_array_foreach (json_object_get(data, "findings"), i, one) {
		fprintf(stderr, "%s: %s %s: %s\n  fix: %s\n", tool_text(one, "severity"),
			tool_text(one, "code"), tool_text(one, "subject"), tool_text(one, "seen"),
			tool_text(one, "fix"));
	}
}

/* ---- position ---- */

static void time_text(int64_t ms, char out[TIME_BYTES])
{
	time_t s = (time_t)(ms / SECOND_MS);
	struct tm tm;

	strftime(out, TIME_BYTES, "%Y-%m-%d %H:%M:%S", gmtime_r(&s, &tm));
}

static void say_positions(const json_t *data)
{
	static const char *const heads[] = {"CHANNEL", "COLLECTION", "TIME (UTC)", "MESSAGE"};
	CLEANUP(tool_table_done)
	struct tool_table t = {.heads = heads, .n_columns = ARRAY_LEN(heads)};
	const json_t *one;
	size_t i;

	json_array_foreach (json_object_get(data, "positions"), i, one) {
		char when[TIME_BYTES];
		time_text(tool_number(one, "time"), when);
		tool_table_put(&t, "%s", tool_text(one, "channel_name"));
		tool_table_put(&t, "%" PRId64, tool_number(one, "collection_id"));
		tool_table_put(&t, "%s", when);
		tool_table_put(&t, "%s", tool_text(one, "msg_id"));
	}
	tool_table_print(&t, stdout);
}

/* ---- watch ---- */

struct watch {
	int64_t until_lag_ms; /* -1 = for ever */
	struct deadline end;
	int64_t pause_ms;
	bool json;
};

static bool reached(const struct watch *w, const json_t *task)
{
	const json_t *detail = json_object_get(task, "detail");
	const json_t *lag = json_object_get(detail, "lag_ms"); /* null: not known */

	return w->until_lag_ms >= 0 && strcmp(tool_text(task, "state"), "Running") == 0 &&
	       !*tool_text(detail, "waits_for") && json_is_integer(lag) &&
	       json_integer_value(lag) <= w->until_lag_ms;
}

static enum err_code not_reached(const json_t *task, struct err *e)
{
	const json_t *detail = json_object_get(task, "detail");
	const json_t *lag = json_object_get(detail, "lag_ms");
	const char *waits = tool_text(detail, "waits_for");

	if (!json_is_integer(lag))
		return err_set(e, ERR_INVALID, "the lag is not known yet%s%s",
			*waits ? "; the task waits for: " : "", waits);
	return err_set(e, ERR_INVALID, "the lag is still %lld ms%s%s",
		(long long)json_integer_value(lag), *waits ? "; the task waits for: " : "", waits);
}

static enum err_code watch(struct tool_api *a, const struct cli *c, struct err *e)
{
	struct watch w = {.until_lag_ms = cli_number(c, "--until-lag", -1),
		.end = cli_text(c, "--timeout")
			       ? deadline_in(cli_number(c, "--timeout", 0) * SECOND_MS)
			       : DEADLINE_NEVER,
		.pause_ms = MAX(cli_number(c, "--interval", WATCH_S), (int64_t)1) * SECOND_MS,
		.json = cli_flag(c, "--json")};

	for (;;) {
		CLEANUP(json_in_freep) json_t *data = NULL;
		if (tool_api_ask(a, "get", by_id(c), &data, e))
			return e->code;
		const json_t *task = json_object_get(data, "task");
		if (w.json)
			tool_print_json(task);
		else
			tool_status_line(task, stdout);
		fflush(stdout);
		if (reached(&w, task))
			return ERR_OK;
		if (deadline_passed(w.end))
			return not_reached(task, e);
		stop_sleep(&a->stop, MIN(w.pause_ms, deadline_left_ms(w.end)));
	}
}

/* ---- the verbs ---- */

static void say_tasks(const json_t *data)
{
	tool_status_table(json_object_get(data, "tasks"), NULL, 0, stdout);
}

static void say_task(const json_t *data)
{
	tool_status_task(json_object_get(data, "task"), stdout);
}

static void say_done(const json_t *data)
{
	(void)data;
	puts("done");
}

static enum err_code data_of(const struct cli *c, json_t **ret, struct err *e)
{
	if (c->command == CLI_TASK_CREATE)
		return request_of(c, ret, e);
	*ret = by_id(c);
	if (c->command == CLI_TASK_DELETE && cli_flag(c, "--ignore-not-found"))
		json_object_set_new(*ret, "ignore_not_found", json_true());
	return ERR_OK;
}

static const struct verb {
	enum cli_command command;
	const char *request;
	void (*say)(const json_t *data);
} verbs[] = {
	{CLI_TASK_CREATE, "create", say_created},
	{CLI_TASK_LIST, "list", say_tasks},
	{CLI_TASK_GET, "get", say_task},
	{CLI_TASK_PAUSE, "pause", say_done},
	{CLI_TASK_RESUME, "resume", say_done},
	{CLI_TASK_DELETE, "delete", say_done},
	{CLI_TASK_POSITION, "position", say_positions},
};

static enum err_code run(struct tool_api *a, const struct cli *c, struct err *e)
{
	CLEANUP(json_in_freep) json_t *answer = NULL;
	const struct verb *v = verbs;
	json_t *data = NULL;

	if (c->command == CLI_TASK_WATCH)
		return watch(a, c, e);
	while (v->command != c->command)
		v++;
	if (data_of(c, &data, e) || tool_api_ask(a, v->request, data, &answer, e))
		return e->code;
	if (cli_flag(c, "--json"))
		tool_print_json(answer);
	else
		v->say(answer);
	return ERR_OK;
}

int tool_task_main(const struct cli *c)
{
	struct tool_api a;
	struct err e = ERR_INIT;

	if (!tool_api_open(&a, c, &e))
		(void)run(&a, c, &e);
	tool_api_done(&a);
	return tool_api_exit(c, &e);
}
