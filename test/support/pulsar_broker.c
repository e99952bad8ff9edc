#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/pulsar_broker.h"

#include "support/whole.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "base/wire.h"

enum { CONNS = 64, CONSUMERS = 8, TYPES = 64, ROOM = 64 << 10, HEAD = 8, NO_ID = 1 << 30 };

struct entry {
	struct pulsar_id id;
	uint8_t *payload;
	size_t n;
	uint32_t messages;
};

struct consumer {
	uint64_t id; /* 0: none */
	size_t next; /* in entries */
	int64_t permits;
};

struct broker_conn {
	struct pulsar_broker *b;
	struct thread thread;
	int fd;
	struct consumer consumers[CONSUMERS];
};

struct pulsar_broker {
	struct broker_script script;
	int listener;
	char address[32];
	struct thread thread;
	struct mutex mtx; /* of all below and of what the connections' threads do with a command */
	bool stopping;
	struct broker_conn *conns[CONNS];
	int accepted;
	int received[TYPES];
	struct entry *entries;
	size_t n, cap;
	size_t first; /* entries before it are trimmed */
};

/* ---- sending ---- */

void broker_send(struct broker_conn *c, struct slice s)
{
	(void)whole_send(c->fd, s);
}

void broker_cut(struct broker_conn *c)
{
	shutdown(c->fd, SHUT_RDWR);
}

/* body is emptied. */
static void send_command(struct broker_conn *c, int type, struct buf *body)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(ROOM);

	pulsar_make_frame(&b, type, buf_slice(body), slice_of(NULL, 0));
	broker_send(c, buf_slice(&b));
	buf_done(body);
}

void broker_error(struct broker_conn *c, uint64_t request, int error, const char *text)
{
	struct buf b = BUF_INIT(ROOM);

	wire_put_u64(&b, 1, request);
	wire_put_u64(&b, 2, (uint64_t)error);
	wire_put_str(&b, 3, text);
	send_command(c, PULSAR_ERROR, &b);
}

void broker_lookup(struct broker_conn *c, const struct broker_request *r, enum pulsar_lookup how,
	const char *url, bool authoritative, bool through)
{
	struct buf b = BUF_INIT(ROOM);
	CLEANUP(freep) char *own = xasprintf("pulsar://%s", c->b->address);

	wire_put_str(&b, 1, url ? url : own);
	wire_put_u64(&b, 3, (uint64_t)how);
	wire_put_u64(&b, 4, r->request);
	wire_put_u64(&b, 5, authoritative);
	wire_put_u64(&b, 8, through);
	send_command(c, PULSAR_LOOKUP_ANSWER, &b);
}

void broker_partitions(struct broker_conn *c, uint64_t request, uint32_t n)
{
	struct buf b = BUF_INIT(ROOM);

	wire_put_u64(&b, 1, n);
	wire_put_u64(&b, 2, request);
	wire_put_u64(&b, 3, 0);
	send_command(c, PULSAR_PARTITIONS_ANSWER, &b);
}

static void send_success(struct broker_conn *c, uint64_t request)
{
	struct buf b = BUF_INIT(ROOM);

	wire_put_u64(&b, 1, request);
	send_command(c, PULSAR_SUCCESS, &b);
}

static void send_connected(struct broker_conn *c)
{
	struct buf b = BUF_INIT(ROOM);

	wire_put_str(&b, 1, "fake");
	wire_put_u64(&b, 2, PULSAR_PROTOCOL);
	if (c->b->script.max_message_bytes)
		wire_put_u64(&b, 3, c->b->script.max_message_bytes);
	send_command(c, PULSAR_CONNECTED, &b);
}

/* ---- the topic ---- */

static void send_entry(struct broker_conn *c, const struct consumer *cs, const struct entry *en)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(2 * LIMIT_MESSAGE);

	pulsar_make_message(&b, cs->id, &en->id, slice_of(en->payload, en->n));
	broker_send(c, buf_slice(&b));
}

static void send_entries(struct broker_conn *c)
{
	struct pulsar_broker *b = c->b;

	for (size_t i = 0; i < CONSUMERS; i++) {
		struct consumer *cs = &c->consumers[i];
		cs->next = MAX(cs->next, b->first);
		while (cs->id && cs->next < b->n && (cs->permits > 0 || b->script.greedy)) {
			cs->permits -= b->entries[cs->next].messages;
			send_entry(c, cs, &b->entries[cs->next++]);
		}
	}
}

static struct consumer *consumer_of(struct broker_conn *c, uint64_t id)
{
	for (size_t i = 0; i < CONSUMERS; i++)
		if (c->consumers[i].id == id)
			return &c->consumers[i];
	return NULL;
}

static void subscribe(struct broker_conn *c, const struct broker_request *r)
{
	struct pulsar_broker *b = c->b;
	struct consumer *cs = consumer_of(c, 0);
	size_t next = b->first;

	if (!cs)
		abort();
	while (next < b->n && pulsar_id_cmp(&b->entries[next].id, &r->start) < 0)
		next++;
	*cs = (struct consumer){.id = r->consumer, .next = next};
	send_success(c, r->request);
}

static void send_last_id(struct broker_conn *c, const struct broker_request *r)
{
	struct pulsar_broker *b = c->b;
	CLEANUP(buf_done) struct buf id = BUF_INIT(ROOM);
	struct buf body = BUF_INIT(ROOM);
	struct pulsar_id last = {b->n ? b->entries[b->n - 1].id.ledger + 1 : 0, UINT64_MAX, -1, -1};

	if (b->first < b->n)
		last = b->entries[b->n - 1].id;
	pulsar_id_put(&id, &last);
	wire_put_bytes(&body, 1, buf_slice(&id));
	wire_put_u64(&body, 2, r->request);
	send_command(c, PULSAR_LAST_ID_ANSWER, &body);
}

void broker_close_consumer(struct broker_conn *c, uint64_t consumer)
{
	struct consumer *cs = consumer_of(c, consumer);
	struct buf b = BUF_INIT(ROOM);

	if (cs)
		*cs = (struct consumer){.id = 0};
	wire_put_u64(&b, 1, consumer);
	wire_put_u64(&b, 2, UINT64_MAX); /* as brokers do */
	send_command(c, PULSAR_CLOSE_CONSUMER, &b);
}

static void flow(struct broker_conn *c, const struct broker_request *r)
{
	struct consumer *cs = consumer_of(c, r->consumer);

	if (cs)
		cs->permits += r->permits;
	send_entries(c);
}

static void send_pong(struct broker_conn *c)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(ROOM);

	pulsar_put_pong(&b);
	broker_send(c, buf_slice(&b));
}

void broker_serve(struct broker_conn *c, const struct broker_request *r)
{
	struct consumer *cs = consumer_of(c, r->consumer);

	switch (r->type) {
	case PULSAR_CONNECT:
		send_connected(c);
		break;
	case PULSAR_LOOKUP:
		broker_lookup(c, r, PULSAR_GO, NULL, true, true);
		break;
	case PULSAR_PARTITIONS:
		broker_partitions(c, r->request, 0);
		break;
	case PULSAR_SUBSCRIBE:
		subscribe(c, r);
		break;
	case PULSAR_LAST_ID:
		send_last_id(c, r);
		break;
	case PULSAR_FLOW:
		flow(c, r);
		break;
	case PULSAR_CLOSE_CONSUMER:
		if (cs)
			*cs = (struct consumer){.id = 0};
		send_success(c, r->request);
		break;
	case PULSAR_PING:
		send_pong(c);
		break;
	default:
		break;
	}
}

/* ---- receiving ---- */

static void read_numbers(struct broker_request *r, const struct wire_field *f)
{
	static const struct {
		int type;
		uint32_t consumer, request;
	} where[] = {{PULSAR_SUBSCRIBE, 4, 5}, {PULSAR_FLOW, 1, NO_ID}, {PULSAR_LOOKUP, NO_ID, 2},
		{PULSAR_PARTITIONS, NO_ID, 2}, {PULSAR_LAST_ID, 1, 2},
		{PULSAR_CLOSE_CONSUMER, 1, 2}};

	for (size_t i = 0; i < ARRAY_LEN(where); i++) {
		if (where[i].type != r->type)
			continue;
		if (f->num == where[i].consumer)
			r->consumer = f->value;
		else if (f->num == where[i].request)
			r->request = f->value;
	}
}

static void read_auth(struct broker_request *r, struct slice data)
{
	struct wire_field f;

	for (struct wire w = wire_open(data); wire_next(&w, &f);)
		if (f.num == 2)
			r->auth_data = f.data;
}

static void read_field(struct broker_request *r, const struct wire_field *f)
{
	read_numbers(r, f);
	if (r->type == PULSAR_CONNECT && f->num == 3)
		r->auth_data = f->data;
	else if (r->type == PULSAR_CONNECT && f->num == 6)
		r->proxy_to = f->data;
	else if (r->type == PULSAR_CHALLENGE_ANSWER && f->num == 2)
		read_auth(r, f->data);
	else if (r->type == PULSAR_FLOW && f->num == 2)
		r->permits = (uint32_t)f->value;
	else if (r->type == PULSAR_LOOKUP && f->num == 3)
		r->authoritative = f->value != 0;
	else if (r->type == PULSAR_SUBSCRIBE && f->num == 9 &&
		 pulsar_id_read(&r->start, f->data, NULL))
		abort();
	else if (f->num == 1 && f->type == WIRE_LEN)
		r->topic = f->data;
}

static struct broker_request read_request(struct slice command)
{
	struct broker_request r = {.type = 0};
	struct slice body = slice_of(NULL, 0);
	struct wire_field f;

	for (struct wire w = wire_open(command); wire_next(&w, &f);) {
		if (f.num == 1)
			r.type = (int)f.value;
		else if ((int)f.num == r.type)
			body = f.data;
	}
	for (struct wire w = wire_open(body); wire_next(&w, &f);)
		read_field(&r, &f);
	return r;
}

static void on_command(struct broker_conn *c, struct slice command)
{
	struct pulsar_broker *b = c->b;
	struct broker_request r = read_request(command);

	mutex_lock(&b->mtx);
	r.seen = b->received[r.type % TYPES]++;
	if (!b->script.hook || !b->script.hook(b->script.arg, c, &r))
		broker_serve(c, &r);
	mutex_unlock(&b->mtx);
}

static void conn_main(void *arg)
{
	struct broker_conn *c = arg;
	uint8_t head[HEAD], *body = xmalloc(ROOM);

	while (whole_recv(c->fd, head, sizeof(head))) {
		size_t n = ((size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3]) - 4;
		if (n > ROOM || !whole_recv(c->fd, body, n))
			break;
		on_command(c, slice_of(body, n));
	}
	shutdown(c->fd, SHUT_RDWR);
	free(body);
}

/* ---- the broker ---- */

static void accept_one(struct pulsar_broker *b, int fd)
{
	struct broker_conn *c = xcalloc(1, sizeof(*c));
	struct err e = ERR_INIT;

	c->b = b;
	c->fd = fd;
	mutex_lock(&b->mtx);
	if (b->accepted >= CONNS || thread_start(&c->thread, "conn", conn_main, c, &e))
		abort();
	b->conns[b->accepted++] = c;
	mutex_unlock(&b->mtx);
}

static void accept_all(void *arg)
{
	struct pulsar_broker *b = arg;

	for (int fd; (fd = accept4(b->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;)
		accept_one(b, fd);
}

struct pulsar_broker *pulsar_broker_start(const struct broker_script *s)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct pulsar_broker *b = xcalloc(1, sizeof(*b));
	socklen_t n = sizeof(a);
	struct err e = ERR_INIT;

	b->script = *s;
	mutex_init(&b->mtx, "fake broker");
	b->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(b->listener >= 0);
	assert_int_equal(bind(b->listener, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(b->listener, CONNS), 0);
	assert_int_equal(getsockname(b->listener, (struct sockaddr *)&a, &n), 0);
	snprintf(b->address, sizeof(b->address), "127.0.0.1:%d", ntohs(a.sin_port));
	assert_int_equal(thread_start(&b->thread, "accept", accept_all, b, &e), ERR_OK);
	return b;
}

void pulsar_broker_stop(struct pulsar_broker *b)
{
	shutdown(b->listener, SHUT_RDWR);
	thread_join(&b->thread);
	close(b->listener);
	for (int i = 0; i < b->accepted; i++) {
		shutdown(b->conns[i]->fd, SHUT_RDWR);
		thread_join(&b->conns[i]->thread);
		close(b->conns[i]->fd);
		free(b->conns[i]);
	}
	for (size_t i = 0; i < b->n; i++)
		free(b->entries[i].payload);
	free(b->entries);
	mutex_done(&b->mtx);
	free(b);
}

const char *pulsar_broker_address(const struct pulsar_broker *b)
{
	return b->address;
}

static void send_all_locked(struct pulsar_broker *b) REQUIRES(b->mtx)
{
	for (int i = 0; i < b->accepted; i++)
		send_entries(b->conns[i]);
}

void pulsar_broker_put(struct pulsar_broker *b, struct pulsar_id id, const struct pulsar_make *m,
	struct slice body)
{
	struct buf payload = BUF_INIT(2 * LIMIT_MESSAGE);

	pulsar_make_payload(&payload, m, body);
	mutex_lock(&b->mtx);
	mem_grow(&b->entries, &b->cap, b->n + 1, sizeof(*b->entries));
	b->entries[b->n++] = (struct entry){
		.id = id, .payload = payload.p, .n = payload.n, .messages = MAX(m->batch, 1U)};
	send_all_locked(b);
	mutex_unlock(&b->mtx);
}

void pulsar_broker_trim(struct pulsar_broker *b, uint64_t ledger)
{
	mutex_lock(&b->mtx);
	while (b->first < b->n && b->entries[b->first].id.ledger < ledger)
		b->first++;
	mutex_unlock(&b->mtx);
}

void pulsar_broker_expire(struct pulsar_broker *b, size_t n)
{
	mutex_lock(&b->mtx);
	for (int i = 0; i < b->accepted; i++)
		for (size_t k = 0; k < CONSUMERS; k++)
			b->conns[i]->consumers[k].next += n;
	mutex_unlock(&b->mtx);
}

void pulsar_broker_permit(struct pulsar_broker *b, uint32_t n)
{
	mutex_lock(&b->mtx);
	for (int i = 0; i < b->accepted; i++)
		for (size_t k = 0; k < CONSUMERS; k++)
			b->conns[i]->consumers[k].permits += n;
	send_all_locked(b);
	mutex_unlock(&b->mtx);
}

static int read_int(struct pulsar_broker *b, const int *v)
{
	mutex_lock(&b->mtx);
	int n = *v;
	mutex_unlock(&b->mtx);
	return n;
}

int pulsar_broker_accepted(struct pulsar_broker *b)
{
	return read_int(b, &b->accepted);
}

int pulsar_broker_received(struct pulsar_broker *b, int type)
{
	return read_int(b, &b->received[type % TYPES]);
}
