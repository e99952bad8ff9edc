#include "server/tool/tool_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/http/http.h"
#include "server/config/address.h"
#include "server/config/config.h"
#include "server/tool/tool.h"

enum { TOKEN_BYTES = 4096, STATUS_OK = 200, STATUS_LOGIN = 401, STATUS_RIGHTS = 403 };

#define DEFAULT_SERVER "http://127.0.0.1:8444"

/* ---- where ---- */

/* A configuration that can't be used is no matter here. */
static char *of_config(const char *path)
{
	struct config *conf = NULL;
	struct err e = ERR_INIT;

	if (access(path, R_OK) || tool_config(path, &conf, &e))
		return xstrdup(DEFAULT_SERVER);
	char *url = address_url(conf->address, *conf->api_tls_cert);
	config_free(conf);
	return url ? url : xstrdup(DEFAULT_SERVER);
}

static char *server_of(const struct cli *c)
{
	const char *given = cli_text(c, "--server");

	if (!given)
		given = getenv("MILVUS_CDC_SERVER");
	if (!given || !*given)
		return of_config(c->config_path);
	size_t n = strlen(given);
	while (n && given[n - 1] == '/')
		n--;
	return xasprintf("%s%.*s", strstr(given, "://") ? "" : "http://", (int)n, given);
}

/* ---- who ---- */

static enum err_code read_token(const char *path, char **ret, struct err *e)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(TOKEN_BYTES);

	if (file_read(path, &b, e))
		return err_ctx(e, "--token-file");
	char *text = *ret = xstrdup(buf_cstr(&b));
	text[strcspn(text, "\r\n")] = '\0';
	return *text ? ERR_OK : err_set(e, ERR_INVALID, "--token-file %s is empty", path);
}

static enum err_code token_of(const struct cli *c, char **ret, struct err *e)
{
	const char *given = cli_text(c, "--token"), *file = cli_text(c, "--token-file");

	if (!given && file)
		return read_token(file, ret, e);
	if (!given)
		given = getenv("MILVUS_CDC_TOKEN");
	*ret = xstrdup(given ? given : "");
	if (strpbrk(*ret, "\r\n"))
		return err_set(e, ERR_INVALID, "the token holds a line end");
	return ERR_OK;
}

enum err_code tool_api_open(struct tool_api *a, const struct cli *c, struct err *e)
{
	*a = (struct tool_api){.url = server_of(c),
		.tls = {.ca_path = cli_text(c, "--ca"),
			.cert_path = cli_text(c, "--cert"),
			.key_path = cli_text(c, "--key")}};
	stop_init(&a->stop, NULL);
	return token_of(c, &a->token, e);
}

void tool_api_done(struct tool_api *a)
{
	free(a->url);
	free(a->token);
	stop_done(&a->stop);
}

/* ---- a request ---- */

/* "fail to handle the pause request, error: <why>": people want the why. */
static const char *why_of(const char *message)
{
	static const char mark[] = " request, error: ";
	const char *at = strstr(message, mark);

	return at && str_starts(message, "fail to ") ? at + strlen(mark) : message;
}

static enum err_code read_answer(
	struct tool_api *a, int status, struct slice body, json_t **ret_data, struct err *e)
{
	CLEANUP(json_in_freep) json_t *answer = NULL;
	struct err unread = ERR_INIT;

	if (status == STATUS_LOGIN || status == STATUS_RIGHTS)
		return err_set(e, ERR_DENIED, "%s refuses: %s", a->url,
			status == STATUS_LOGIN ? "it wants another token (--token, --token-file or "
						 "MILVUS_CDC_TOKEN)"
					       : "the token does not allow this");
	if (json_in_parse(body, &answer, &unread) || !json_is_object(answer) ||
		!json_is_integer(json_object_get(answer, "code")))
		return err_set(e, ERR_UNAVAILABLE,
			"%s answers HTTP %d, but not as a milvus-cdc server; check --server",
			a->url, status);
	if (tool_number(answer, "code") != STATUS_OK)
		return err_set(e, ERR_INVALID, "%s", why_of(tool_text(answer, "message")));
	json_t *data = json_object_get(answer, "data");
	*ret_data = json_is_object(data) ? json_incref(data) : json_object();
	return ERR_OK;
}

enum err_code tool_api_ask(
	struct tool_api *a, const char *type, json_t *data, json_t **ret_data, struct err *e)
{
	CLEANUP(buf_done) struct buf answer = BUF_INIT(HTTP_ANSWER_MAX);
	CLEANUP(json_in_freep) json_t *request = json_object();
	CLEANUP(freep) char *url = xasprintf("%s/cdc", a->url);
	int status = 0;

	json_object_set_new(request, "request_type", json_string(type));
	json_object_set_new(request, "request_data", data ? data : json_object());
	CLEANUP(freep) char *body = json_dumps(request, JSON_COMPACT);
	struct http_ask q = {.url = url,
		.method = "POST",
		.token = a->token,
		.body = slice_str(body),
		.tls = a->tls};
	if (http_ask(&q, &a->stop, &status, &answer, e))
		return e->code;
	return read_answer(a, status, buf_slice(&answer), ret_data, e);
}

int tool_api_exit(const struct cli *c, const struct err *e)
{
	bool not_reached = e->code == ERR_UNAVAILABLE || e->code == ERR_TIMEOUT ||
			   e->code == ERR_DENIED || e->code == ERR_MALFORMED;

	if (!e->code)
		return 0;
	fprintf(stderr, "milvus-cdc %s: %s\n", c->row->name, e->text);
	return not_reached ? TOOL_NOT_REACHED : 1;
}

/* ---- JSON ---- */

const char *tool_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

int64_t tool_number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

void tool_print_json(const json_t *j)
{
	json_dumpf(j, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	fputs("\n", stdout);
}
