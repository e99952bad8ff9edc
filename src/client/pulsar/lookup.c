/* Which broker owns a topic: asked of any broker of the service url, which answers, sends us on to
 * another one, or (a proxy) says that it relays. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "client/pulsar/pulsar_priv.h"

enum { URL_BYTES = SOCK_HOST_BYTES + 32 };

static unsigned next_turn(struct pulsar *p)
{
	mutex_lock(&p->loop.mtx);
	unsigned turn = p->turn++;
	mutex_unlock(&p->loop.mtx);
	return turn;
}

/* The refusals that another address would not change. */
static bool is_final(enum err_code code)
{
	return code == ERR_CANCELLED || code == ERR_DENIED;
}

enum err_code pulsar_any(struct pulsar *p, struct deadline d, struct stop *s,
	struct pulsar_conn **ret_c, struct err *e)
{
	enum err_code code = ERR_UNAVAILABLE;

	for (size_t i = 0; i < p->url.n; i++) {
		err_clear(e);
		code = pulsar_conn_get(
			p, p->url.addresses[next_turn(p) % p->url.n], NULL, d, s, ret_c, e);
		if (!code || is_final(code))
			break;
	}
	return code;
}

/* "pulsar://host:port" to host:port. */
static enum err_code address_of(struct slice url, char out[URL_BYTES], struct err *e)
{
	char text[URL_BYTES];
	struct pulsar_url u;

	snprintf(text, sizeof(text), "%.*s", (int)MIN(url.n, sizeof(text) - 1),
		url.n ? (const char *)url.p : "");
	if (pulsar_url_parse(&u, text, e)) {
		e->code = ERR_MALFORMED;
		return err_ctx(e, "the broker's answer to a lookup");
	}
	snprintf(out, URL_BYTES, "%s", u.addresses[0]);
	pulsar_url_done(&u);
	return ERR_OK;
}

struct lookup {
	struct pulsar *p;
	const char *topic;
	struct deadline until;
	struct stop *stop;
	struct pulsar_conn *conn; /* who is asked */
	bool authoritative;
	bool found;
};

/* From the broker asked to the one it names, which is the owner or knows more. */
static enum err_code follow(struct lookup *l, const struct pulsar_cmd *answer, struct err *e)
{
	struct slice url = l->p->url.tls ? answer->url_tls : answer->url;
	char address[URL_BYTES];

	if (address_of(url, address, e))
		return e->code;
	l->found = answer->lookup == PULSAR_GO;
	l->authoritative = answer->authoritative;
	struct pulsar_conn *asked = l->conn, *next = NULL;
	/* A broker without a proxy says so, too, and means itself. */
	bool relayed = answer->through_service_url && strcmp(asked->address, address) != 0;
	if (pulsar_conn_get(l->p, relayed ? asked->address : address, relayed ? address : NULL,
		    l->until, l->stop, &next, e))
		return e->code;
	l->conn = next;
	pulsar_conn_put(asked);
	return ERR_OK;
}

static enum err_code ask(struct lookup *l, struct err *e)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(PULSAR_COMMAND_MOST);
	struct pulsar_call k = {.request = pulsar_conn_next_request(l->p)};

	pulsar_put_lookup(&b, l->topic, k.request, l->authoritative);
	enum err_code code = pulsar_conn_call(l->conn, &b, &k, l->until, l->stop, e);
	if (!code && k.answer.type != PULSAR_LOOKUP_ANSWER)
		code = err_set(e, ERR_MALFORMED, "answer %d to a lookup", k.answer.type);
	if (!code)
		code = follow(l, &k.answer, e);
	pulsar_call_done(&k);
	return code;
}

enum err_code pulsar_lookup(struct pulsar *p, const char *topic, struct deadline d, struct stop *s,
	struct pulsar_conn **ret_c, struct err *e)
{
	struct lookup l = {.p = p, .topic = topic, .until = d, .stop = s};

	enum err_code code = pulsar_any(p, d, s, &l.conn, e);
	for (int i = 0; !code && !l.found; i++)
		code = i < PULSAR_REDIRECTS
			       ? ask(&l, e)
			       : err_set(e, ERR_UNAVAILABLE, "sent on %d times without an end", i);
	if (!code) {
		*ret_c = l.conn;
		return ERR_OK;
	}
	if (l.conn)
		pulsar_conn_put(l.conn);
	return err_ctx(e, "lookup of topic %s", topic);
}

enum err_code pulsar_check_partitions(
	struct pulsar_conn *c, const char *topic, struct deadline d, struct stop *s, struct err *e)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(PULSAR_COMMAND_MOST);
	struct pulsar_call k = {.request = pulsar_conn_next_request(c->p)};

	pulsar_put_partitions(&b, topic, k.request);
	enum err_code code = pulsar_conn_call(c, &b, &k, d, s, e);
	if (!code && k.answer.partitions)
		code = err_set(e, ERR_UNSUPPORTED,
			"topic %s has %u partitions; Milvus makes topics without partitions", topic,
			k.answer.partitions);
	pulsar_call_done(&k);
	return code;
}
