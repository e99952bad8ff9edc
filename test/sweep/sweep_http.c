/* The server's HTTP listener: every call on its threads fails once, while our own client, exempt, asks. What
 * the client sees then is a cut connection; the listener lives on. */
#include <string.h>

#include "base/mem.h"
#include "client/http/http.h"
#include "metrics/metrics.h"
#include "server/api/api.h"
#include "server/config/config.h"
#include "server/api/http.h"
#include "sweep/fault_io.h"
#include "sweep/sweep.h"

enum { ASKS = 4, ASK_MS = 5000 };

static char replicate_channel[] = "c";
static struct config conf = {
	.max_task_num = 100, .max_name_length = 256, .replicate_channel = replicate_channel};

static unsigned page(void *arg, const char *path, struct buf *ret, const char **ret_type)
{
	(void)arg;
	if (strcmp(path, "/healthz") != 0)
		return 0;
	buf_put_str(ret, "ok\n");
	*ret_type = "text/plain";
	return 200;
}

static enum err_code ask(int port, struct sweep_run *r, struct err *e)
{
	CLEANUP(freep) char *url = xasprintf("http://127.0.0.1:%d/healthz", port);
	CLEANUP(buf_done) struct buf body = BUF_INIT(4096);
	struct http_ask q = {.url = url, .method = "GET", .timeout_ms = ASK_MS};
	int status = 0;

	if (http_ask(&q, &r->stop, &status, &body, e))
		return e->code;
	if (status != 200 || !slice_eq_str(buf_slice(&body), "ok\n"))
		sweep_wrong("answer %d: %s", status, buf_cstr(&body));
	return ERR_OK;
}

/* One fault costs one answer at most, and the listener takes the next connection. */
static void ask_all(int port, struct sweep_run *r, struct err *e)
{
	bool was = fault_io_exempt(true);
	unsigned lost = 0;

	for (int i = 0; i < ASKS; i++) {
		struct err one = ERR_INIT;
		if (ask(port, r, &one) && !lost++)
			err_set(e, one.code, "%s", one.text);
	}
	if (lost == ASKS)
		err_ctx(e, "all of them");
	fault_io_exempt(was);
}

static enum err_code run(struct sweep_run *r, struct err *e)
{
	static const struct api_engine vt = {0};
	struct http_opts o = {.address = "127.0.0.1:0", .get = page, .idle_s = 1};
	struct http *http = NULL;

	if (api_new(&conf, &vt, &o.api, e))
		return e->code;
	if (!http_start(&o, &http, e)) {
		ask_all(http_port(http), r, e);
		http_stop(http);
	}
	api_free(o.api);
	metrics_done();
	return e->code;
}

int main(int argc, char **argv)
{
	static const char *const words[] = {"127.0.0.1:", "HTTP", "thread", NULL};
	static const struct sweep s = {.name = "http", .words = words, .slow = true, .run = run};

	return sweep_main(argc, argv, &s);
}
