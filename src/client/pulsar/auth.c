#include "client/pulsar/auth.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

enum { TOKEN_BYTES = 32 << 10 };

static const struct {
	const char *name;
	enum pulsar_auth_kind kind;
} plugins[] = {
	{"org.apache.pulsar.client.impl.auth.AuthenticationToken", PULSAR_AUTH_TOKEN},
	{"token", PULSAR_AUTH_TOKEN},
	{"org.apache.pulsar.client.impl.auth.AuthenticationTls", PULSAR_AUTH_TLS},
	{"tls", PULSAR_AUTH_TLS},
};

static enum err_code find_plugin(struct pulsar_auth *a, const char *plugin, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(plugins); i++)
		if (strcmp(plugins[i].name, plugin) == 0) {
			a->kind = plugins[i].kind;
			return ERR_OK;
		}
	return err_set(e, ERR_UNSUPPORTED,
		"authPlugin \"%s\" is not known: write "
		"org.apache.pulsar.client.impl.auth.AuthenticationToken or "
		"org.apache.pulsar.client.impl.auth.AuthenticationTls",
		plugin);
}

/* ---- parameters: a JSON object, or key:value,key:value ---- */

static void set_text(char **to, const char *value, size_t n)
{
	free(*to);
	*to = xstrndup(value, n);
}

static const char *file_path(const char *url)
{
	if (str_starts(url, "file://"))
		return url + strlen("file://");
	return str_starts(url, "file:") ? url + strlen("file:") : url;
}

static void set_param(struct pulsar_auth *a, const char *key, const char *value)
{
	if (strcmp(key, "token") == 0)
		set_text(&a->token, value, strlen(value));
	else if (strcmp(key, "file") == 0)
		set_text(&a->token_file, value, strlen(value));
	else if (strcmp(key, "tlsCertFile") == 0)
		set_text(&a->cert_path, file_path(value), strlen(file_path(value)));
	else if (strcmp(key, "tlsKeyFile") == 0)
		set_text(&a->key_path, file_path(value), strlen(file_path(value)));
}

static enum err_code read_json(struct pulsar_auth *a, const char *params, struct err *e)
{
	CLEANUP(json_in_freep) json_t *j = NULL;
	struct err why = ERR_INIT;
	const char *key;
	json_t *value;

	if (json_in_parse(slice_str(params), &j, &why) || !json_is_object(j))
		return err_set(e, ERR_INVALID,
			"authParams is no JSON object: write "
			"{\"token\":\"...\"} or token:...");
	json_object_foreach (j, key, value)
		if (json_is_string(value))
			set_param(a, key, json_string_value(value));
	return ERR_OK;
}

static void read_pairs(struct pulsar_auth *a, const char *params)
{
	while (*params) {
		size_t n = strcspn(params, ",");
		CLEANUP(freep) char *pair = xstrndup(params, n);
		char *colon = strchr(pair, ':');
		if (colon) {
			*colon = '\0';
			set_param(a, pair, colon + 1);
		}
		params += n;
		params += *params == ',';
	}
}

static enum err_code read_params(struct pulsar_auth *a, const char *params, struct err *e)
{
	while (isspace((unsigned char)*params))
		params++;
	if (*params == '{')
		return read_json(a, params, e);
	/* file:///path is a key and a value, and a path at once. */
	if (str_starts(params, "file:"))
		set_text(&a->token_file, params, strlen(params));
	else if (strchr(params, ':'))
		read_pairs(a, params);
	else
		set_text(&a->token, params, strlen(params));
	return ERR_OK;
}

/* {"token":"file:///path"} and token:file:///path name a file, too. */
static void settle_file(struct pulsar_auth *a)
{
	if (a->token && str_starts(a->token, "file:"))
		set_text(&a->token_file, a->token, strlen(a->token));
	if (!a->token_file)
		return;
	CLEANUP(freep) char *path = xstrdup(file_path(a->token_file));
	set_text(&a->token_file, path, strlen(path));
	free(a->token);
	a->token = NULL;
}

static enum err_code check(const struct pulsar_auth *a, struct err *e)
{
	if (a->kind == PULSAR_AUTH_TOKEN && !a->token_file && (!a->token || !*a->token))
		return err_set(e, ERR_INVALID,
			"authParams holds no token: write token:..., "
			"{\"token\":\"...\"} or file:///path");
	if (a->kind == PULSAR_AUTH_TLS && (!a->cert_path || !a->key_path))
		return err_set(e, ERR_INVALID,
			"authParams of AuthenticationTls needs both: write "
			"tlsCertFile:/path/client.pem,tlsKeyFile:/path/client.key");
	return ERR_OK;
}

enum err_code pulsar_auth_parse(
	struct pulsar_auth *a, const char *plugin, const char *params, struct err *e)
{
	*a = (struct pulsar_auth){.kind = PULSAR_AUTH_NONE};
	if (!plugin || !*plugin)
		return ERR_OK;
	if (find_plugin(a, plugin, e) || read_params(a, params ? params : "", e)) {
		pulsar_auth_done(a);
		return e->code;
	}
	if (a->kind == PULSAR_AUTH_TOKEN)
		settle_file(a);
	if (check(a, e))
		pulsar_auth_done(a);
	return e ? e->code : ERR_OK;
}

void pulsar_auth_done(struct pulsar_auth *a)
{
	free(a->token);
	free(a->token_file);
	free(a->cert_path);
	free(a->key_path);
	*a = (struct pulsar_auth){.kind = PULSAR_AUTH_NONE};
}

const char *pulsar_auth_method(const struct pulsar_auth *a)
{
	switch (a->kind) {
	case PULSAR_AUTH_NONE:
		return NULL;
	case PULSAR_AUTH_TOKEN:
		return "token";
	case PULSAR_AUTH_TLS:
		return "tls";
	}
	return NULL;
}

static enum err_code read_file(const char *path, struct buf *ret, struct err *e)
{
	FILE *f = fopen(path, "re");

	if (!f)
		return err_errno(e, errno, "the token file %s", path);
	uint8_t *p = buf_reserve(ret, TOKEN_BYTES);
	size_t n = p ? fread(p, 1, TOKEN_BYTES, f) : 0;
	bool bad = ferror(f) != 0;
	fclose(f);
	while (n && isspace(p[n - 1]))
		n--;
	if (bad || !n)
		return err_set(e, ERR_SYSTEM, "the token file %s is empty or can't be read", path);
	ret->n += n;
	return ERR_OK;
}

enum err_code pulsar_auth_data(const struct pulsar_auth *a, struct buf *ret, struct err *e)
{
	if (a->token_file)
		return read_file(a->token_file, ret, e);
	if (a->token)
		buf_put_str(ret, a->token);
	return ERR_OK;
}
