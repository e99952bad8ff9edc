/* The HTTP listener: POST /cdc to the API, GET /cdc/metrics (and /cdc/metrics_default), GET / the
 * status page, GET /healthz. libmicrohttpd, a thread a connection, LIMIT_HTTP_CONNECTIONS of
 * them, LIMIT_HTTP_CONNECTIONS_EACH to a client address. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "server/api/http_guard.h"

struct api;
struct http;

struct http_opts {
	const char *address; /* "host:port", ":port" */
	struct api *api;
	/* Appends the body of GET path and returns the HTTP status; 0 = no such page. */
	unsigned (*get)(
		void *arg, const char *path, struct buf *ret, const char **ret_content_type);
	void *get_arg;
	const char *page_policy;      /* Content-Security-Policy of answers in HTML; must stay */
	struct http_guard_opts guard; /* all 0: open to everybody, plain text */
	unsigned idle_s; /* a connection without a request is closed after it; 0 = 30 */
};

NODISCARD enum err_code http_start(const struct http_opts *o, struct http **ret_h, struct err *e);
/* The port it listens on (for address port 0). */
int http_port(const struct http *h);
/* So many connections are open that one more may find no room, also one of ours. @thread any */
bool http_is_crowded(const struct http *h);
/* Lets running requests end (5 s), closes, frees. */
void http_stop(struct http *h);
