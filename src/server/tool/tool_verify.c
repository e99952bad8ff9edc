/* milvus-cdc verify: a pass by itself, beside the server. It takes the task and its positions from the
 * metastore, so it needs no server's leave, and a server that hangs hides nothing. */
#include "server/tool/tool_verify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "client/milvus/milvus.h"
#include "server/config/config.h"
#include "server/connect.h"
#include "server/target/target.h"
#include "server/tool/tool.h"
#include "server/tool/tool_api.h"
#include "server/verify/verify.h"
#include "store/store.h"

enum { TEXT_BYTES = 16 << 20, STATE_MS = 1000, BAR_MS = 200, BAR_CELLS = 24, FULL = 100 };
enum { WAIT_INTERVALS = 25 };
enum { IDENTICAL = 0, DIFFERENT = 1, NOT_KNOWN = 2, SECOND_MS = 1000, OWNER_ONLY = 0077 };

struct visit {
	struct tool tool;
	struct task **tasks;
	size_t n;
	struct task *task; /* one of them */
	struct milvus *source, *target;
	struct verify *pass;
	const char *state; /* file; NULL = none */
	bool bar;
	int64_t saved_ms, shown_ms, started_ms;
	struct err trouble; /* the state could not be written */
	struct tool_api api;
	bool repair; /* the api is open */
};

/* ---- what is kept ---- */

static enum err_code save(struct visit *v, struct err *e)
{
	CLEANUP(json_in_freep) json_t *doc = verify_json(v->pass);
	CLEANUP(freep) char *temp = xasprintf("%s.new", v->state);
	mode_t before = umask(OWNER_ONLY); /* it holds keys of rows */
	FILE *f = fopen(temp, "we");

	umask(before);
	if (!f)
		return err_errno(e, errno, "--state: %s", temp);
	bool good = !json_dumpf(doc, f, JSON_INDENT(1) | JSON_PRESERVE_ORDER) && !fflush(f) &&
		    !fsync(fileno(f));
	if (fclose(f) || !good || rename(temp, v->state))
		return err_errno(e, errno, "--state: %s", v->state);
	return ERR_OK;
}

static enum err_code go_on(struct visit *v, struct err *e)
{
	json_error_t why;

	if (!v->state || access(v->state, F_OK))
		return ERR_OK;
	CLEANUP(json_in_freep) json_t *doc = json_load_file(v->state, 0, &why);
	if (!doc)
		return err_set(
			e, ERR_INVALID, "--state: %s: %s, line %d", v->state, why.text, why.line);
	return verify_resume(v->pass, doc, e)
		       ? err_ctx(e, "--state: %s: remove it to begin anew", v->state)
		       : ERR_OK;
}

/* ---- repair ---- */

/* The server does it: only it may write to the target's channels. */
static enum err_code repair(void *arg, int64_t collection_id, const char *partition,
	const char *const *keys, size_t n, struct err *e)
{
	struct visit *v = arg;
	CLEANUP(json_in_freep) json_t *answer = NULL;
	json_t *list = json_array(), *params = json_object(), *data = json_object();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_loads(keys[i], JSON_DECODE_ANY, NULL));
	json_object_set_new(params, "task_id", json_string(v->task->id));
	json_object_set_new(params, "collection_id", json_integer(collection_id));
	if (partition)
		json_object_set_new(params, "partition", json_string(partition));
	json_object_set_new(params, "keys", list);
	json_object_set_new(data, "operation", json_string("repair"));
	json_object_set_new(data, "params", params);
	if (tool_api_ask(&v->api, "maintenance", data, &answer, e))
		return e->code;
	const char *state = tool_text(answer, "State");
	return str_starts(state, "repaired") ? ERR_OK : err_set(e, ERR_INVALID, "%s", state);
}

/* ---- what is shown ---- */

static void show(struct visit *v, int64_t now_ms)
{
	struct verify_progress p;
	char bar[BAR_CELLS + 1];

	verify_progress(v->pass, &p);
	int64_t whole = MAX(p.coll_total, (int64_t)1);
	int64_t part = MIN(p.coll_rows, whole);
	int64_t ms = MAX(now_ms - v->started_ms, (int64_t)1);
	memset(bar, '.', BAR_CELLS);
	bar[BAR_CELLS] = '\0';
	memset(bar, '#', (size_t)(BAR_CELLS * part / whole));
	fprintf(stderr,
		"\r\033[K[%s] %3" PRId64 " %%  collection %zu of %zu  %.40s.%.40s  %" PRId64
		" rows equal, %" PRId64 " differences, %" PRId64 " rows/s",
		bar, FULL * part / whole, MIN(p.done + 1, p.collections), p.collections, p.db,
		p.name, p.rows, p.different, p.rows * SECOND_MS / ms);
	fflush(stderr);
}

static void on_range(void *arg, UNUSED struct verify *pass)
{
	struct visit *v = arg;
	int64_t now_ms = time_mono_ms();

	if (v->bar && now_ms - v->shown_ms >= BAR_MS) {
		show(v, now_ms);
		v->shown_ms = now_ms;
	}
	if (!v->state || v->trouble.code || now_ms - v->saved_ms < STATE_MS)
		return;
	v->saved_ms = now_ms;
	if (save(v, &v->trouble))
		stop_set(&v->tool.stop);
}

static void print(const struct cli *c, struct visit *v)
{
	CLEANUP(buf_done) struct buf text = BUF_INIT(TEXT_BYTES);

	if (v->bar)
		fputs("\r\033[K", stderr);
	if (cli_flag(c, "--json")) {
		CLEANUP(json_in_freep) json_t *doc = verify_json(v->pass);
		tool_print_json(doc);
		return;
	}
	verify_text(v->pass, &text);
	fputs(buf_cstr(&text), stdout);
}

/* ---- the peers ---- */

static enum err_code find_task(struct visit *v, const char *id, struct err *e)
{
	if (store_read_tasks(v->tool.store, &v->tool.stop, &v->tasks, &v->n, e))
		return err_ctx(e, "metastore");
	for (size_t i = 0; i < v->n && !v->task; i++)
		if (strcmp(v->tasks[i]->id, id) == 0)
			v->task = v->tasks[i];
	if (!v->task)
		return err_set(e, ERR_NOT_FOUND, "the metastore has no task %s", id);
	if (*v->task->kafka.address)
		return err_set(e, ERR_UNSUPPORTED,
			"task %s writes to a topic, which holds no rows to compare", id);
	return ERR_OK;
}

static enum err_code open_sides(struct visit *v, struct err *e)
{
	CLEANUP(freep) char *uri = task_target(v->task);
	CLEANUP(freep) char *token = task_token(v->task);
	struct milvus_opts o = target_milvus_opts(v->task, uri, token, false);

	if (connect_source_milvus(v->tool.config, v->tool.grpc, &v->source, e))
		return e->code;
	return milvus_open(v->tool.grpc, &o, &v->target, e) ? err_ctx(e, "target") : ERR_OK;
}

/* Positions of an idle collection are stored every 20 intervals (run_save.c). */
static int64_t wait_ms(const struct visit *v, const struct cli *c)
{
	int64_t usual = MAX(
		v->tool.config->checkpoint_interval_ms * WAIT_INTERVALS, (int64_t)VERIFY_WAIT_MS);

	return MAX(cli_number(c, "--wait", usual / SECOND_MS), (int64_t)0) * SECOND_MS;
}

static enum err_code open_pass(struct visit *v, const struct cli *c, struct err *e)
{
	const char *db = cli_text(c, "--db");
	struct verify_opts o = {.source = v->source,
		.target = v->target,
		.store = v->tool.store,
		.catalog = v->tool.catalog,
		.task = v->task,
		.db = db ? db : "default",
		.replicate_id = v->tool.config->replicate_id,
		.name = cli_text(c, "--collection"),
		.rows_per_second = MAX(cli_number(c, "--rate", 0), (int64_t)0),
		.wait_ms = wait_ms(v, c),
		.stop = &v->tool.stop,
		.on_range = on_range,
		.repair = v->repair ? repair : NULL,
		.arg = v};

	return verify_new(&o, &v->pass, e);
}

static enum err_code open_api(struct visit *v, const struct cli *c, struct err *e)
{
	v->repair = cli_flag(c, "--repair");
	return v->repair ? tool_api_open(&v->api, c, e) : ERR_OK;
}

static enum err_code look(struct visit *v, const struct cli *c, struct err *e)
{
	if (tool_open(&v->tool, c->config_path, TOOL_CATALOG | TOOL_STORE, e) ||
		find_task(v, c->word, e) || open_api(v, c, e) || open_sides(v, e) ||
		open_pass(v, c, e) || go_on(v, e))
		return e->code;
	v->started_ms = time_mono_ms();
	enum err_code code = verify_run(v->pass, e);
	if (v->trouble.code) {
		*e = v->trouble;
		return e->code;
	}
	return code || !v->state ? code : save(v, e);
}

static void visit_done(struct visit *v)
{
	verify_free(v->pass);
	milvus_close(v->source);
	milvus_close(v->target);
	store_tasks_free(v->tasks, v->n);
	if (v->repair)
		tool_api_done(&v->api);
	tool_close(&v->tool);
}

static int exit_code(const struct visit *v)
{
	switch (verify_result(v->pass)) {
	case VERIFY_IDENTICAL:
		return IDENTICAL;
	case VERIFY_DIFFERENT:
		return DIFFERENT;
	case VERIFY_OPEN:
	case VERIFY_UNKNOWN:
		break;
	}
	return NOT_KNOWN;
}

int tool_verify_main(const struct cli *c)
{
	struct visit v = {.state = cli_text(c, "--state"), .bar = isatty(STDERR_FILENO)};
	struct err e = ERR_INIT;
	int code = NOT_KNOWN;

	if (look(&v, c, &e)) {
		(void)tool_exit("verify", &e);
	} else {
		print(c, &v);
		code = exit_code(&v);
	}
	visit_done(&v);
	return code;
}
