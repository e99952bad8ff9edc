/* Subscribing a consumer to a topic and ending it, on a caller's thread. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "client/pulsar/pulsar_priv.h"

char *pulsar_topic(const struct pulsar *p, const char *topic)
{
	if (strstr(topic, "://"))
		return xstrdup(topic);
	return xasprintf("persistent://%s/%s/%s", p->tenant, p->ns, topic);
}

void pulsar_consumer_init(struct pulsar *p, struct pulsar_consumer *cs)
{
	*cs = (struct pulsar_consumer){.id = 0};
	list_init(&cs->queue);
	cond_init(&cs->cond);
	mutex_lock(&p->loop.mtx);
	cs->id = ++p->last_consumer;
	mutex_unlock(&p->loop.mtx);
}

void pulsar_consumer_done(struct pulsar_consumer *cs)
{
	cond_done(&cs->cond);
}

static enum err_code ask_subscribe(struct pulsar_conn *c, const struct pulsar_consumer *cs,
	const char *topic, const struct pulsar_id *start, struct deadline d, struct stop *s,
	struct err *e)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(PULSAR_COMMAND_MOST);
	struct pulsar_call k = {.request = pulsar_conn_next_request(c->p)};
	char name[64] = "milvus-cdc-";

	str_random_id(name + strlen(name));
	const struct pulsar_subscribe sub = {.topic = topic,
		.name = name,
		.consumer = cs->id,
		.request = k.request,
		.start = {start->ledger, start->entry, -1, -1}};
	pulsar_put_subscribe(&b, &sub);
	enum err_code code = pulsar_conn_call(c, &b, &k, d, s, e);
	pulsar_call_done(&k);
	return code;
}

static enum err_code ask_last(struct pulsar_conn *c, const struct pulsar_consumer *cs,
	struct deadline d, struct stop *s, struct pulsar_id *ret_last, struct err *e)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(PULSAR_COMMAND_MOST);
	struct pulsar_call k = {.request = pulsar_conn_next_request(c->p)};

	pulsar_put_last_id(&b, cs->id, k.request);
	enum err_code code = pulsar_conn_call(c, &b, &k, d, s, e);
	if (!code && k.answer.type != PULSAR_LAST_ID_ANSWER)
		code = err_set(e, ERR_MALFORMED, "answer %d to GetLastMessageId", k.answer.type);
	if (!code)
		*ret_last = k.answer.id;
	pulsar_call_done(&k);
	return code;
}

void pulsar_ask(struct pulsar_ask *a, struct pulsar_consumer *cs)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(PULSAR_COMMAND_MOST);
	struct pulsar *p = cs->conn->p;
	int64_t now = time_mono_ms();

	if (now - a->asked_ms < (a->conn ? PULSAR_CALL_MS : p->ask_ms))
		return;
	pulsar_ask_drop(a);
	a->call = (struct pulsar_call){.request = pulsar_conn_next_request(p)};
	a->conn = cs->conn;
	a->asked_ms = now;
	pulsar_put_last_id(&b, cs->id, a->call.request);
	pulsar_call_begin(a->conn, &b, &a->call);
}

bool pulsar_ask_answer(struct pulsar_ask *a, struct pulsar_id *ret_last)
{
	if (!a->conn || !pulsar_call_answered(a->conn, &a->call))
		return false;
	bool good = !a->call.err.code && a->call.answer.type == PULSAR_LAST_ID_ANSWER;
	if (good)
		*ret_last = a->call.answer.id;
	pulsar_ask_drop(a);
	return good;
}

void pulsar_ask_drop(struct pulsar_ask *a)
{
	struct pulsar_conn *c = TAKE(a->conn);

	if (c)
		pulsar_call_end(c, &a->call);
}

/* Without waiting for the answer: it changes nothing. */
static void say_close(struct pulsar *p, const struct pulsar_consumer *cs)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(PULSAR_COMMAND_MOST);

	pulsar_put_close_consumer(&b, cs->id, pulsar_conn_next_request(p));
	pulsar_conn_send(cs->conn, &b);
}

void pulsar_unsubscribe(struct pulsar *p, struct pulsar_consumer *cs)
{
	if (!cs->conn)
		return;
	say_close(p, cs);
	pulsar_consumer_unregister(p, cs);
}

/* A broker knows a partitioned topic only by its partitions' names. */
static enum err_code tell_missing(
	struct pulsar_conn *c, const char *topic, struct deadline d, struct stop *s, struct err *e)
{
	struct err why = ERR_INIT;

	if (pulsar_check_partitions(c, topic, d, s, &why) == ERR_UNSUPPORTED)
		*e = why;
	return e->code;
}

enum err_code pulsar_subscribe(struct pulsar *p, struct pulsar_consumer *cs, const char *topic,
	const struct pulsar_id *start, struct stop *s, struct pulsar_id *ret_last, struct err *e)
{
	struct deadline d = deadline_in(PULSAR_OPEN_MS);
	struct pulsar_conn *c = NULL;

	if (pulsar_lookup(p, topic, d, s, &c, e))
		return e->code;
	pulsar_consumer_register(c, cs);
	enum err_code code = ask_subscribe(c, cs, topic, start, d, s, e);
	if (code == ERR_NOT_FOUND)
		code = tell_missing(c, topic, d, s, e);
	if (!code)
		code = ask_last(c, cs, d, s, ret_last, e);
	pulsar_conn_put(c);
	if (!code)
		return ERR_OK;
	pulsar_unsubscribe(p, cs);
	return err_ctx(e, "topic %s", topic);
}
