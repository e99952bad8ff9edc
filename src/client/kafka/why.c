/* librdkafka's reports of a lost or refused connection, as a cause and what to do about it. They
 * look like "sasl_ssl://host:9093/bootstrap: <text> (after 3ms in state AUTH_REQ)". */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "client/kafka/kafka_priv.h"

enum { OWN_WORDS = 90 };

static const struct {
	const char *part, *meaning;
} known[] = {
	{"invalid credentials", "wrong user name or password"},
	{"Invalid username or password", "wrong user name or password"},
	{"supported mechanisms", "the port does not offer this SASL mechanism"},
	{"certificate verify failed",
		"the broker's certificate can't be trusted: its signer is not in ssl.ca.location, "
		"it has ended, or it is for another name"},
	{"alert", "TLS alert from the broker: it wants a client certificate that it accepts "
		  "(ssl.certificate.location, ssl.key.location)"},
	{"unexpected eof", "closed during the TLS handshake: does the port speak TLS "
			   "(securityProtocol)?"},
	{"wrong version number", "closed during the TLS handshake: does the port speak TLS "
				 "(securityProtocol)?"},
	{"brokers are down", "no broker answers: are they running, and does the port want TLS or a "
			     "login (securityProtocol)?"},
};

static const char *meaning_of(const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strstr(text, known[i].part))
			return known[i].meaning;
	return NULL;
}

/* The broker's host and port, n = 0 if the text does not begin with it; *ret_rest is what follows. */
static struct slice broker_of(const char *text, const char **ret_rest)
{
	const char *host = strstr(text, "://");
	const char *end = host ? strstr(host, ": ") : NULL;

	*ret_rest = text;
	if (!end || strcspn(text, " ") < (size_t)(host - text))
		return slice_of("", 0);
	host += 3;
	*ret_rest = end + 2;
	return slice_of(host, strcspn(host, "/ "));
}

void kafka_why(const char *text, char *out, size_t cap)
{
	const char *rest;
	struct slice broker = broker_of(text, &rest);
	const char *state = strstr(rest, " (after ");
	size_t n = state ? (size_t)(state - rest) : strlen(rest);
	const char *meaning = meaning_of(rest);
	const char *colon = broker.n ? ": " : "";

	if (meaning)
		snprintf(out, cap, "%.*s%s%s (%.*s)", (int)broker.n, (const char *)broker.p, colon,
			meaning, (int)MIN(n, (size_t)OWN_WORDS), rest);
	else
		snprintf(out, cap, "%.*s%s%.*s", (int)broker.n, (const char *)broker.p, colon,
			(int)n, rest);
}
