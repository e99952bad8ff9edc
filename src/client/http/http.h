/* One HTTP/1.1 request on a connection of its own: what our command line asks of a server.
 *   http_codec.c    urls, requests, answers; no I/O
 *   http_client.c   the connection
 * @thread any; calls block */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/stop.h"
#include "net/grpc.h"

enum { HTTP_ANSWER_MAX = 256 << 20 };

/* All is borrowed. tls.enable follows the url. */
struct http_ask {
	const char *url;    /* http(s)://host[:port][/path] */
	const char *method; /* "GET" "POST" */
	const char *token;  /* sent as a bearer token; NULL or "" = none */
	struct slice body;  /* JSON */
	struct grpc_tls tls;
	int64_t timeout_ms; /* of the whole; 0 = 60000 */
};

/* *ret_status is the answer's, whatever it is; its body replaces what ret_body holds and is cut by
 * no more than ret_body's cap (LIMIT then). UNAVAILABLE: not reached or cut off; TIMEOUT;
 * MALFORMED: the answer is not HTTP. */
NODISCARD enum err_code http_ask(const struct http_ask *q, struct stop *s, int *ret_status,
	struct buf *ret_body, struct err *e);
