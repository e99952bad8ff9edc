#include "server/tool/tool_doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/etcd/etcd.h"
#include "net/grpc.h"
#include "server/api/api_schema.h"
#include "server/config/config.h"
#include "server/connect.h"
#include "server/doctor/doctor.h"
#include "server/tool/tool.h"
#include "source/catalog.h"
#include "store/store.h"

enum { TEXT_BYTES = 4 << 20, UNITS = 4 };

struct visit {
	struct doctor_env env;
	struct config *config;
	struct etcd *store_etcd;
	struct task **tasks;
	size_t n;
	bool tasks_known; /* the metastore was read, or there is none yet */
	struct stop stop;
};

/* ---- arguments ---- */

/* "90", "90s", "15m", "24h", "3d" */
static bool read_span(const char *text, int64_t *ret_ms)
{
	static const struct {
		char unit;
		int64_t ms;
	} units[UNITS] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
	size_t n = strlen(text);
	int64_t factor = 1000, v;

	for (size_t i = 0; n && i < UNITS; i++)
		if (text[n - 1] == units[i].unit) {
			factor = units[i].ms;
			n--;
			break;
		}
	if (!slice_to_i64(slice_of(text, n), &v) || v < 0 || v > INT32_MAX)
		return false;
	*ret_ms = v * factor;
	return true;
}

/* request_data, or a whole request with it. */
static enum err_code read_request(const char *path, struct task **ret, struct err *e)
{
	CLEANUP(buf_done) struct buf text = BUF_INIT(LIMIT_HTTP_BODY);
	CLEANUP(buf_done) struct buf problems = BUF_INIT(TEXT_BYTES);
	CLEANUP(json_in_freep) json_t *j = NULL;
	CLEANUP(task_freep) struct task *t = task_new();

	if (file_read(path, &text, e))
		return e->code;
	if (json_in_parse(buf_slice(&text), &j, e))
		return err_ctx(e, "%s", path);
	const json_t *data = json_is_object(j) ? api_member(j, "request_data") : NULL;
	if (api_decode(api_requests[API_CREATE].fields, data ? data : j, t, &problems))
		return err_set(e, ERR_INVALID, "%s: %s", path, buf_cstr(&problems));
	*ret = TAKE(t);
	return ERR_OK;
}

/* ---- peers ---- */

static void add_lines(struct doctor *d, enum doctor_code code, const char *path, struct buf *lines)
{
	for (const char *line = buf_cstr(lines); *line;) {
		size_t n = strcspn(line, "\n");
		if (n)
			doctor_note(d, code, path, "%.*s", (int)n, line);
		line += n + (line[n] == '\n');
	}
}

static bool open_config(struct visit *v, const char *path, struct doctor *d)
{
	CLEANUP(buf_done) struct buf problems = BUF_INIT(TEXT_BYTES);
	CLEANUP(buf_done) struct buf warnings = BUF_INIT(TEXT_BYTES);
	struct err e = ERR_INIT;

	enum err_code code = config_load(path, &v->config, &problems, &warnings, &e);
	add_lines(d, DOCTOR_CODE_CONFIG_WARNING, path, &warnings);
	add_lines(d, DOCTOR_CODE_CONFIG_INVALID, path, &problems);
	if (code && !problems.n)
		doctor_note(d, DOCTOR_CODE_CONFIG_INVALID, path, "%s", e.text);
	if (!code)
		doctor_fact(d, path, "can be used");
	return !code;
}

static void open_source(struct visit *v, struct doctor *d)
{
	const struct config *c = v->config;
	struct err e = ERR_INIT;

	if (connect_etcd(v->env.grpc, &c->source_etcd, &v->env.etcd, &e))
		doctor_note(d, DOCTOR_CODE_ETCD_UNREACHABLE, "source etcd", "%s", e.text);
	err_clear(&e);
	if (connect_mq(c, &v->env.mq, &e))
		doctor_note(d, DOCTOR_CODE_QUEUE_UNREACHABLE, "source queue", "%s", e.text);
}

static void open_store(struct visit *v, struct doctor *d)
{
	struct err e = ERR_INIT;

	v->tasks_known = connect_store_is_missing(v->config);
	if (v->tasks_known)
		return;
	if (connect_store_read(v->config, v->env.grpc, &v->store_etcd, &v->env.store, &e)) {
		doctor_note(d, DOCTOR_CODE_STORE_UNREACHABLE, "metastore", "%s", e.text);
		return;
	}
	/* What can't be read is doctor_store's to say. */
	v->tasks_known = !store_read_tasks(v->env.store, &v->stop, &v->tasks, &v->n, &e);
	if (!v->tasks_known)
		v->n = 0;
}

/* Only the one asked for. Whether a metastore that is away has it is not known. */
static enum err_code choose(struct visit *v, const char *id, struct err *e)
{
	size_t kept = 0;

	for (size_t i = 0; i < v->n; i++) {
		if (strcmp(v->tasks[i]->id, id) == 0)
			v->tasks[kept++] = v->tasks[i];
		else
			task_free(v->tasks[i]);
	}
	v->n = kept;
	if (kept || !v->tasks_known)
		return ERR_OK;
	return err_set(e, ERR_NOT_FOUND, "the metastore has no task %s", id);
}

static void visit_done(struct visit *v)
{
	store_tasks_free(v->tasks, v->n);
	connect_mq_free(v->env.mq);
	catalog_free(v->env.catalog);
	store_close(v->env.store);
	etcd_close(v->env.etcd);
	etcd_close(v->store_etcd);
	grpc_free(v->env.grpc);
	config_free(v->config);
	stop_done(&v->stop);
}

/* ---- the whole ---- */

static void print(const struct cli *c, const struct doctor *d)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(TEXT_BYTES);
	struct json_out o = {.b = &b};

	if (cli_flag(c, "--json")) {
		json_out_open(&o, NULL, '{');
		doctor_write_json(d, true, &o);
		json_out_close(&o, '}');
		buf_put_u8(&b, '\n');
	} else {
		doctor_write_text(d, &b);
	}
	fputs(buf_cstr(&b), stdout);
}

static enum err_code pick_tasks(struct visit *v, const struct cli *c, struct err *e)
{
	const char *id = cli_text(c, "--task"), *file = cli_text(c, "--request");
	struct task *t = NULL;

	if (id)
		return choose(v, id, e);
	if (!file)
		return ERR_OK;
	if (read_request(file, &t, e))
		return e->code;
	store_tasks_free(v->tasks, v->n);
	v->tasks = xcalloc(1, sizeof(struct task *));
	v->tasks[0] = t;
	v->n = 1;
	return ERR_OK;
}

static enum err_code look(struct visit *v, const struct cli *c, struct doctor *d, struct err *e)
{
	if (grpc_new(&v->env.grpc, e))
		return e->code;
	if (!open_config(v, c->config_path, d))
		return ERR_OK;
	v->env.config = v->config;
	v->env.stop = &v->stop;
	open_store(v, d);
	if (pick_tasks(v, c, e))
		return e->code;
	doctor_port(v->config, d);
	open_source(v, d);
	doctor_all(&v->env, v->tasks, v->n, d);
	return ERR_OK;
}

int tool_doctor_main(const struct cli *c)
{
	CLEANUP(doctor_done) struct doctor d = {.n = 0};
	struct visit v = {.env = {.outage_ms = DOCTOR_OUTAGE_MS}};
	const char *outage = cli_text(c, "--outage");
	struct err e = ERR_INIT;

	if (outage && !read_span(outage, &v.env.outage_ms)) {
		fputs("milvus-cdc doctor: --outage wants a time: 90s, 15m, 24h or 3d\n", stderr);
		return CLI_USAGE_ERROR;
	}
	if (cli_text(c, "--task") && cli_text(c, "--request")) {
		fputs("milvus-cdc doctor: --task and --request exclude each other\n", stderr);
		return CLI_USAGE_ERROR;
	}
	stop_init(&v.stop, NULL);
	log_set_level(LOG_OFF); /* what matters is a finding */
	enum err_code code = look(&v, c, &d, &e);
	visit_done(&v);
	if (code) {
		(void)tool_exit("doctor", &e);
		return CLI_USAGE_ERROR;
	}
	print(c, &d);
	return doctor_exit(&d);
}
