#include "server/tool/health.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "client/http/http.h"
#include "server/config/address.h"
#include "server/tool/cli.h"
#include "server/config/config.h"
#include "server/tool/tool.h"

enum { DEFAULT_MS = 5000, TEXT_MAX = 4096 };

enum err_code health_ask(const struct config *c, int64_t timeout_ms, struct err *e)
{
	CLEANUP(freep) char *server = address_url(c->address, *c->api_tls_cert);
	CLEANUP(buf_done) struct buf body = BUF_INIT(TEXT_MAX);
	struct stop never;
	int status = 0;

	if (!server)
		return err_set(e, ERR_INVALID, "address %s is not host:port", c->address);
	CLEANUP(freep) char *url = xasprintf("%s/healthz", server);
	/* Asked is whether the process on this machine serves, not who it is. */
	struct http_ask ask = {
		.url = url, .method = "GET", .timeout_ms = timeout_ms, .tls.any_peer = true};
	stop_init(&never, NULL);
	enum err_code code = http_ask(&ask, &never, &status, &body, e);
	stop_done(&never);
	if (code)
		return err_ctx(e, "%s", c->address);
	if (status == 200)
		return ERR_OK;
	struct slice said = buf_slice(&body);
	const void *end = memchr(said.p, '\n', said.n);
	return err_set(e, ERR_UNAVAILABLE, "%s: HTTP status %d: %.*s", c->address, status,
		(int)(end ? (const uint8_t *)end - said.p : (ptrdiff_t)said.n),
		(const char *)said.p);
}

int health_main(const struct cli *c)
{
	struct config *config = NULL;
	struct err e = ERR_INIT;

	if (!tool_config(c->config_path, &config, &e) &&
		!health_ask(config, cli_number(c, "--timeout", DEFAULT_MS), &e))
		puts("OK");
	config_free(config);
	return tool_exit("health", &e);
}
