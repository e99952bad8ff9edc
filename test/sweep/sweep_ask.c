/* Our HTTP client, which the command line uses, against our listener, which is exempt. */
#include <stdlib.h>

#include "base/mem.h"
#include "client/http/http.h"
#include "metrics/metrics.h"
#include "server/api/api.h"
#include "server/config/config.h"
#include "server/api/http.h"
#include "sweep/sweep.h"

enum { ASK_MS = 5000, PAGE_BYTES = 100000 };

struct peer {
	struct api *api;
	struct http *http;
};

static char replicate_channel[] = "c";
static struct config conf = {
	.max_task_num = 100, .max_name_length = 256, .replicate_channel = replicate_channel};

static unsigned page(void *arg, const char *path, struct buf *ret, const char **ret_type)
{
	(void)arg;
	(void)path;
	for (int i = 0; i < PAGE_BYTES; i++)
		buf_put_u8(ret, 'x');
	*ret_type = "text/plain";
	return 200;
}

static void *prepare(void)
{
	static const struct api_engine vt = {0};
	struct peer *p = xcalloc(1, sizeof(*p));
	struct http_opts o = {.address = "127.0.0.1:0", .get = page, .idle_s = 1};
	struct err e = ERR_INIT;

	if (api_new(&conf, &vt, &p->api, &e))
		sweep_wrong("the peer: %s", e.text);
	o.api = p->api;
	if (http_start(&o, &p->http, &e))
		sweep_wrong("the peer: %s", e.text);
	return p;
}

static void release(void *arg)
{
	struct peer *p = arg;

	http_stop(p->http);
	api_free(p->api);
	metrics_done();
	free(p);
}

static enum err_code run(struct sweep_run *r, struct err *e)
{
	const struct peer *p = r->peer;
	CLEANUP(freep) char *url = xasprintf("http://127.0.0.1:%d/any", http_port(p->http));
	CLEANUP(buf_done) struct buf body = BUF_INIT(1 << 20);
	struct http_ask q = {.url = url, .method = "GET", .timeout_ms = ASK_MS};
	int status = 0;

	if (http_ask(&q, &r->stop, &status, &body, e))
		return e->code;
	if (status != 200 || body.n != PAGE_BYTES)
		sweep_wrong("answer %d of %zu bytes", status, body.n);
	return ERR_OK;
}

int main(int argc, char **argv)
{
	static const char *const words[] = {"127.0.0.1:", NULL};
	static const struct sweep s = {
		.name = "ask", .words = words, .prepare = prepare, .release = release, .run = run};

	return sweep_main(argc, argv, &s);
}
