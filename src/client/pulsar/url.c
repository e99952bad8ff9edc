#include "client/pulsar/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

enum { PLAIN_PORT = 6650, TLS_PORT = 6651 };

/* host or host:port; IPv6 in brackets. */
static enum err_code add(struct pulsar_url *u, const char *text, struct err *e)
{
	const char *bracket = strchr(text, ']');
	char host[SOCK_HOST_BYTES], port[SOCK_PORT_BYTES];
	bool has_port = strchr(bracket ? bracket : text, ':') != NULL;
	CLEANUP(freep)
	char *address =
		has_port ? xstrdup(text) : xasprintf("%s:%d", text, u->tls ? TLS_PORT : PLAIN_PORT);

	if (u->n == PULSAR_URL_ADDRESSES)
		return err_set(e, ERR_INVALID, "more than %d brokers", PULSAR_URL_ADDRESSES);
	if (sock_split(address, host, port, e))
		return e->code;
	u->addresses[u->n++] = TAKE(address);
	return ERR_OK;
}

static enum err_code parse(struct pulsar_url *u, const char *text, struct err *e)
{
	const char *colon = strstr(text, "://");
	const char *at = colon ? colon + 3 : text;

	if (str_starts(text, "pulsar+ssl://"))
		u->tls = true;
	else if (colon && !str_starts(text, "pulsar://"))
		return err_set(e, ERR_INVALID,
			"\"%s\" is no Pulsar service url: write pulsar://host:6650 or "
			"pulsar+ssl://host:6651",
			text);
	while (*at && *at != '/') {
		size_t n = strcspn(at, ",/");
		CLEANUP(freep) char *one = xstrndup(at, n);
		if (add(u, one, e))
			return e->code;
		at += n;
		at += *at == ',';
	}
	if (!u->n)
		return err_set(
			e, ERR_INVALID, "\"%s\" names no broker: write pulsar://host:6650", text);
	return ERR_OK;
}

enum err_code pulsar_url_parse(struct pulsar_url *u, const char *text, struct err *e)
{
	*u = (struct pulsar_url){.n = 0};
	if (!parse(u, text, e))
		return ERR_OK;
	pulsar_url_done(u);
	return e->code;
}

void pulsar_url_done(struct pulsar_url *u)
{
	for (size_t i = 0; i < u->n; i++)
		free(u->addresses[i]);
	u->n = 0;
}
