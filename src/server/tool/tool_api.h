/* What the commands over the API share: where the server is, who we are, one request. @thread main
 * only */
#pragma once

#include "base/err.h"
#include "base/json.h"
#include "base/stop.h"
#include "net/grpc.h"
#include "server/tool/cli.h"

enum { TOOL_NOT_REACHED = 3 }; /* exit code: no server answers, or it does not let us in */

struct tool_api {
	char *url; /* http(s)://host:port */
	char *token;
	struct grpc_tls tls;
	struct stop stop;
};

/* --server, else MILVUS_CDC_SERVER, else the address of the configuration if there is one, else
 * http://127.0.0.1:8444. --token, --token-file, else MILVUS_CDC_TOKEN. INVALID; no network. */
NODISCARD enum err_code tool_api_open(struct tool_api *a, const struct cli *c, struct err *e);
void tool_api_done(struct tool_api *a);

/* One request of POST /cdc. Takes data (NULL: {}). *ret_data, a new reference, is an object, empty
 * if the answer has no data. UNAVAILABLE, TIMEOUT, DENIED: not reached or not let in; INVALID: the
 * server's own words. */
NODISCARD enum err_code tool_api_ask(
	struct tool_api *a, const char *type, json_t *data, json_t **ret_data, struct err *e);
/* Prints e, if it is one; the exit code. */
int tool_api_exit(const struct cli *c, const struct err *e);

/* Text, or "" if it is none; the number, or 0. */
const char *tool_text(const json_t *o, const char *key);
int64_t tool_number(const json_t *o, const char *key);
/* The document and a line end. */
void tool_print_json(const json_t *j);
