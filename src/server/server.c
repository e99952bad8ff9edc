#include "server/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "client/etcd/etcd.h"
#include "metrics/metrics.h"
#include "metrics/process.h"
#include "model/ts.h"
#include "net/grpc.h"
#include "server/config/address.h"
#include "server/api/api.h"
#include "server/task/coll.h"
#include "server/config/config.h"
#include "server/connect.h"
#include "server/engine/engine.h"
#include "server/msglog.h"
#include "server/services.h"
#include "server/api/http.h"
#include "server/api/status_page.h"
#include "server/supervise.h"
#include "server/target/target.h"
#include "source/catalog.h"
#include "source/reader.h"
#include "store/store.h"
#include "store/writer.h"

/* Calls that block a thread end by their own limits after a minute at most. */
enum { STOP_MS = 5000, PROBLEM_BYTES = 1 << 20, POLICY_BYTES = 1024 };

static const struct log_ctx log_server = {.comp = LOG_server, .fields = ""};

struct server {
	const char *version;
	struct config *config;
	struct grpc *grpc;
	struct etcd *source_etcd, *store_etcd;
	struct catalog *catalog;
	struct mq *mq;
	struct hub *hub;
	struct store *store;
	struct writer *writer;
	struct targets *targets;
	struct engine *engine;
	struct api *api;
	struct http *http;
	struct buf page_policy;
};

static void print_lines(FILE *to, const char *head, struct buf *lines)
{
	if (!lines->n)
		return;
	fprintf(to, "%s\n%s", head, buf_cstr(lines));
}

static struct config *load(const char *path, bool quiet_if_good)
{
	CLEANUP(buf_done) struct buf problems = BUF_INIT(PROBLEM_BYTES);
	CLEANUP(buf_done) struct buf warnings = BUF_INIT(PROBLEM_BYTES);
	struct err e = ERR_INIT;
	struct config *c = NULL;

	enum err_code code = config_load(path, &c, &problems, &warnings, &e);
	print_lines(stderr, "warnings:", &warnings);
	if (code && !problems.n)
		fprintf(stderr, "%s: %s\n", path, e.text);
	print_lines(stderr, "the configuration can't be used:", &problems);
	if (!code && !quiet_if_good)
		printf("%s is in order\n", path);
	return code ? NULL : c;
}

int server_check_config(const char *config_path)
{
	struct config *c = load(config_path, false);
	config_free(c);
	return c ? 0 : 1;
}

/* ---- parts ---- */

static void count_read(void *arg, const struct sub *sub, const struct dml *d, size_t bytes)
{
	struct server *s = arg;
	coll_count_read(sub, d, bytes);
	msglog_note(engine_msglog(s->engine), &log_server, d);
}

static enum err_code open_source(struct server *s, struct err *e)
{
	const struct config *c = s->config;
	struct catalog_opts co = {.root_path = c->source_etcd.root_path,
		.meta_sub_path = c->source_etcd.meta_sub_path};

	if (connect_etcd(s->grpc, &c->source_etcd, &s->source_etcd, e))
		return err_ctx(e, "sourceConfig.etcd");
	if (catalog_new(s->source_etcd, &co, &s->catalog, e) || catalog_start(s->catalog, e))
		return e->code;
	if (connect_mq(c, &s->mq, e))
		return e->code;
	struct hub_opts ho = {.mq = s->mq,
		.budget_bytes = (size_t)c->memory_budget_bytes,
		.on_read = count_read,
		.arg = s};
	return hub_new(&ho, &s->hub, e);
}

static enum err_code open_engine(struct server *s, struct err *e)
{
	struct targets_opts to = {.grpc = s->grpc,
		.writer = s->writer,
		.store = s->store,
		.late_bound_ms = s->config->late_bound_ms,
		.keepalive_ms = s->config->keepalive_tick_ms,
		.retry_first_ms = s->config->retry_first_ms,
		.retry_most_ms = s->config->retry_most_ms,
		.call_bytes = (size_t)s->config->packer_max_bytes,
		.dry_run = s->config->dry_run,
		.replicate_id = s->config->replicate_id,
		.log = &log_server};
	if (targets_new(&to, &s->targets, e))
		return e->code;
	struct services sv = {.config = s->config,
		.log = &log_server,
		.version = s->version,
		.grpc = s->grpc,
		.catalog = s->catalog,
		.source_etcd = s->source_etcd,
		.hub = s->hub,
		.mq = s->mq,
		.store = s->store,
		.writer = s->writer,
		.targets = s->targets};
	if (engine_new(&sv, &s->engine, e))
		return e->code;
	struct api_engine api = engine_api(s->engine);
	return api_new(s->config, &api, &s->api, e);
}

/* A thread that hangs is not mended by waiting: the answer tells whoever may restart us. */
static unsigned put_health(struct buf *ret)
{
	char role[16];

	if (thread_stuck(SUPERVISE_STUCK_MS, role)) {
		buf_putf(ret, "thread %s has hung for more than %d s\n", role,
			SUPERVISE_STUCK_MS / 1000);
		return 503;
	}
	buf_put_str(ret, "OK\n");
	return 200;
}

static unsigned get_page(void *arg, const char *path, struct buf *ret, const char **ret_type)
{
	struct server *s = arg;

	*ret_type = "text/plain; version=0.0.4; charset=utf-8";
	if (strcmp(path, "/cdc/metrics") == 0) {
		engine_refresh_metrics(s->engine);
		metrics_write(ret);
	} else if (strcmp(path, "/cdc/metrics_default") == 0) {
		process_metrics_write(ret);
	} else if (strcmp(path, "/cdc/status.json") == 0) {
		*ret_type = "application/json";
		engine_status(s->engine, ret);
	} else if (strcmp(path, "/") == 0) {
		*ret_type = "text/html; charset=utf-8";
		buf_put_str(ret, status_page_text);
	} else if (strcmp(path, "/healthz") == 0) {
		return put_health(ret);
	} else if (strcmp(path, "/readyz") == 0) {
		bool ready = engine_ready(s->engine, ret);
		if (ready)
			buf_put_str(ret, "OK\n");
		return ready ? 200 : 503;
	} else {
		return 0;
	}
	return 200;
}

static void say_modes(const struct config *c)
{
	if (*c->no_effect)
		log_info(&log_server, "these settings have no effect: %s (docs/config.md says why)",
			c->no_effect);
	if (c->dry_run)
		log_warn(&log_server, "dryRun: everything is read, nothing is written to any "
				      "target and no position is stored");
}

static void say_who_may(const struct config *c)
{
	if (address_is_local(c->address))
		return;
	if (!*c->api_write_token && !*c->api_tls_client_ca)
		log_warn(&log_server,
			"everybody who reaches %s may create and delete tasks; set api.writeToken "
			"or api.tlsClientCAPath, or listen on 127.0.0.1",
			c->address);
	else if (!*c->api_tls_cert)
		log_warn(&log_server,
			"tokens and what requests hold go to %s as plain text; set "
			"api.tlsCertPath, or let something in front of it speak TLS",
			c->address);
}

/* Whether our file's tasks can be read: a key that is missing is said at once. A store that is away is
 * waited for, and says it then. */
static enum err_code try_store(struct server *s, struct err *e)
{
	struct task **list = NULL;
	struct stop none;
	size_t n = 0;

	if (s->config->store_kind != CONFIG_STORE_SQLITE)
		return ERR_OK;
	stop_init(&none, NULL);
	enum err_code code = store_read_tasks(s->store, &none, &list, &n, e);
	stop_done(&none);
	if (!code)
		store_tasks_free(list, n);
	return code;
}

static enum err_code start(struct server *s, struct err *e)
{
	const struct config *c = s->config;
	struct http_opts ho = {.address = c->address,
		.get = get_page,
		.get_arg = s,
		.guard = {.read_token = c->api_read_token,
			.write_token = c->api_write_token,
			.tls_cert = c->api_tls_cert,
			.tls_key = c->api_tls_key,
			.tls_client_ca = c->api_tls_client_ca,
			.rate_per_s = c->api_rate_limit}};

	if (grpc_new(&s->grpc, e) ||
		connect_store(s->config, s->grpc, &s->store_etcd, &s->store, e) ||
		try_store(s, e) ||
		writer_new(s->store, s->config->checkpoint_interval_ms, &s->writer, e))
		return e->code;
	if (s->config->dry_run)
		writer_discard(s->writer);
	if (open_source(s, e) || open_engine(s, e))
		return e->code;
	/* The API listens before any task starts. */
	ho.api = s->api;
	status_page_policy(&s->page_policy);
	ho.page_policy = buf_cstr(&s->page_policy);
	if (http_start(&ho, &s->http, e))
		return e->code;
	return engine_start(s->engine, e);
}

/* Tasks first, with their positions stored; then everything below them. */
static void take_down(struct server *s)
{
	struct err e = ERR_INIT;
	struct stop none;

	/* Requests that wait for a peer are not waited for; the listener joins their threads. */
	if (s->engine)
		engine_cancel(s->engine);
	http_stop(s->http);
	if (s->engine)
		engine_stop(s->engine, STOP_MS);
	api_free(s->api);
	engine_free(s->engine);
	targets_free(s->targets, STOP_MS);
	stop_init(&none, NULL);
	if (s->writer && writer_flush(s->writer, deadline_in(STOP_MS), &none, &e))
		log_error(&log_server, "not everything is stored: %s", e.text);
	stop_done(&none);
	hub_free(s->hub);
	connect_mq_free(s->mq);
	catalog_free(s->catalog);
	writer_free(s->writer);
	store_close(s->store);
	etcd_close(s->source_etcd);
	etcd_close(s->store_etcd);
	grpc_free(s->grpc);
	config_free(s->config);
	buf_done(&s->page_policy);
	metrics_done();
}

int server_main(const char *config_path, const char *version)
{
	struct server s = {.version = version, .page_policy = BUF_INIT(POLICY_BYTES)};
	struct err e = ERR_INIT;

	s.config = load(config_path, true);
	if (!s.config)
		return 1;
	log_set_level(s.config->log_level);
	if (log_open(s.config->log_file, &e))
		log_warn(&log_server, "%s; logging to standard error only", e.text);
	err_clear(&e);
	log_info(&log_server, "milvus-cdc %s starts with %s", version, config_path);
	say_modes(s.config);
	say_who_may(s.config);
	int code = start(&s, &e) ? 1 : 0;
	if (code) {
		log_error(&log_server, "the server can't start: %s", e.text);
	} else {
		log_info(&log_server, "the API listens on port %d", http_port(s.http));
		log_info(&log_server, "signal %d: stopping",
			supervise(s.config, s.http, &log_server));
	}
	take_down(&s);
	log_info(&log_server, "stopped");
	log_close();
	return code;
}
