#include "client/pulsar/pulsar.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "client/pulsar/pulsar_priv.h"
#include "net/tls.h"

enum { CHECK_MS = 5000 };

static void on_end(struct loop_job *j, unsigned ops UNUSED)
{
	struct pulsar *p = CONTAINER_OF(j, struct pulsar, job);
	struct err why = ERR_INIT;

	err_set(&why, ERR_CANCELLED, "the client is closed");
	while (!list_empty(&p->conns))
		pulsar_conn_die(LIST_ITEM(p->conns.next, struct pulsar_conn, link), &why);
}

static void pulsar_done(struct pulsar *p)
{
	pulsar_url_done(&p->url);
	pulsar_auth_done(&p->auth);
	free(p->tenant);
	free(p->ns);
	free(p->ca_path);
	free(p);
}

static const char *or_default(const char *text, const char *def)
{
	return text && *text ? text : def;
}

/* Certificates are read anew by each connection; that they can be is seen here. */
static enum err_code check_tls(const struct pulsar *p, struct err *e)
{
	const struct grpc_tls o = {.enable = true,
		.ca_path = p->ca_path,
		.cert_path = p->auth.cert_path,
		.key_path = p->auth.key_path};
	struct tls *t = NULL;

	if (!p->url.tls)
		return p->auth.kind == PULSAR_AUTH_TLS
			       ? err_set(e, ERR_INVALID,
					 "authPlugin AuthenticationTls needs a TLS address: write "
					 "pulsar+ssl://host:6651")
			       : ERR_OK;
	if (tls_new(&o, "localhost", NULL, &t, e))
		return e->code;
	tls_free(t);
	return ERR_OK;
}

enum err_code pulsar_new(const struct pulsar_opts *o, struct pulsar **ret_p, struct err *e)
{
	struct pulsar *p = xcalloc(1, sizeof(*p));

	p->log = (struct log_ctx){.comp = LOG_pulsar};
	p->job.run = on_end;
	p->tenant = xstrdup(or_default(o->tenant, "public"));
	p->ns = xstrdup(or_default(o->ns, "default"));
	p->ca_path = xstrdup(or_default(o->ca_path, ""));
	p->any_host_name = o->any_host_name;
	p->quiet_ms = PULSAR_QUIET_MS;
	p->pong_ms = PULSAR_PONG_MS;
	p->calm_ms = PULSAR_CALM_MS;
	p->ask_ms = PULSAR_ASK_MS;
	p->stuck_ms = PULSAR_STUCK_MS;
	p->max_message_bytes = MIN(o->max_message_bytes, (size_t)LIMIT_MESSAGE);
	list_init(&p->conns);
	enum err_code code = pulsar_url_parse(&p->url, o->url ? o->url : "", e);
	if (!code)
		code = pulsar_auth_parse(&p->auth, o->auth_plugin, o->auth_params, e);
	if (!code)
		code = check_tls(p, e);
	if (!code)
		code = loop_start(&p->loop, "pulsar-io", e);
	if (code) {
		pulsar_done(p);
		return code;
	}
	*ret_p = p;
	return ERR_OK;
}

void pulsar_free(struct pulsar *p)
{
	if (!p)
		return;
	loop_post(&p->loop, &p->job, 1);
	loop_stop(&p->loop);
	pulsar_done(p);
}

void pulsar_msg_free(struct pulsar_msg *m)
{
	free(m);
}

enum err_code pulsar_check(struct pulsar *p, struct stop *s, struct err *e)
{
	struct pulsar_conn *c;

	if (pulsar_any(p, deadline_in(CHECK_MS), s, &c, e))
		return e->code;
	pulsar_conn_put(c);
	return ERR_OK;
}

/* Behind the last message. A broker that has none to name, because there never was one or because
 * all are trimmed, answers with an entry or a ledger below 0. */
static struct pulsar_id behind(struct pulsar_id last)
{
	if ((int64_t)last.ledger < 0 || (int64_t)last.entry < 0)
		return PULSAR_EARLIEST;
	return pulsar_id_behind(&last);
}

enum err_code pulsar_latest(struct pulsar *p, const char *topic, struct stop *s,
	struct pulsar_id *ret_id, struct err *e)
{
	struct pulsar_consumer cs;
	struct pulsar_id last;
	char *full = pulsar_topic(p, topic);

	pulsar_consumer_init(p, &cs);
	enum err_code code = pulsar_subscribe(p, &cs, full, &PULSAR_LATEST, s, &last, e);
	if (!code)
		*ret_id = behind(last);
	pulsar_unsubscribe(p, &cs);
	pulsar_consumer_done(&cs);
	free(full);
	return code;
}
