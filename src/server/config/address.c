#include "server/config/address.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "client/milvus/milvus_codec.h"

static const char *skip_scheme(const char *text)
{
	if (strncmp(text, "http://", 7) == 0)
		return text + 7;
	return strncmp(text, "https://", 8) == 0 ? text + 8 : text;
}

static bool host_ok(const char *host, size_t n, bool bracketed)
{
	if (n >= ADDRESS_HOST_BYTES)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)host[i] <= ' ' || strchr("/[]@,", host[i]) ||
			(host[i] == ':' && !bracketed))
			return false;
	return true;
}

static bool port_ok(struct slice s, int *ret_port)
{
	int64_t port;

	if (s.n && s.p[s.n - 1] == '/')
		s.n--;
	if (!s.n || s.p[0] == '-' || !slice_to_i64(s, &port) || port > 65535)
		return false;
	*ret_port = (int)port;
	return true;
}

bool address_split(const char *text, char host[ADDRESS_HOST_BYTES], int *ret_port)
{
	text = skip_scheme(text);
	const char *colon = strrchr(text, ':');
	if (!colon || !port_ok(slice_str(colon + 1), ret_port))
		return false;
	size_t n = (size_t)(colon - text);
	bool bracketed = n >= 2 && text[0] == '[' && colon[-1] == ']';
	text += bracketed;
	n -= bracketed ? 2 : 0;
	if (!host_ok(text, n, bracketed))
		return false;
	memcpy(host, text, n);
	host[n] = '\0';
	return true;
}

char *address_url(const char *address, bool tls)
{
	char host[ADDRESS_HOST_BYTES];
	int port;

	if (!address_split(address, host, &port))
		return NULL;
	const char *scheme = tls ? "https" : "http";
	if (!*host || strcmp(host, "0.0.0.0") == 0)
		return xasprintf("%s://127.0.0.1:%d", scheme, port);
	if (strcmp(host, "::") == 0)
		return xasprintf("%s://[::1]:%d", scheme, port);
	bool v6 = strchr(host, ':');
	return xasprintf("%s://%s%s%s:%d", scheme, v6 ? "[" : "", host, v6 ? "]" : "", port);
}

bool address_is_local(const char *address)
{
	char host[ADDRESS_HOST_BYTES];
	int port;

	return address_split(address, host, &port) &&
	       (str_starts(host, "127.") || strcmp(host, "::1") == 0 ||
		       strcmp(host, "localhost") == 0);
}

void address_of_target(const char *uri, char out[ADDRESS_TARGET_BYTES])
{
	static const char local[] = "localhost:";
	struct milvus_address a;
	struct err none = ERR_INIT;

	snprintf(out, ADDRESS_TARGET_BYTES, "%.255s",
		milvus_address_parse(&a, uri, &none) ? uri : a.host_port);
	for (char *p = out; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	if (str_starts(out, local)) {
		char port[sizeof(":65535")];
		snprintf(port, sizeof(port), "%s", out + strlen(local));
		snprintf(out, ADDRESS_TARGET_BYTES, "127.0.0.1:%s", port);
	}
}
