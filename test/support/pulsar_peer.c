#include "support/pulsar_peer.h"
#include "support/whole.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/stop.h"
#include "base/wire.h"

enum { PRODUCER = 5, SEND = 6, RECEIPT = 7, READY = 17, OPEN_MS = 60000, ROOM = 8192 };

struct pulsar_peer {
	int fd;
	uint64_t sequence;
	struct buf in;
};

static int dial(const char *address)
{
	char host[256];
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
	const char *colon = strrchr(address, ':');

	assert(colon);
	snprintf(host, sizeof(host), "%.*s", (int)(colon - address), address);
	if (getaddrinfo(host, colon + 1, &hints, &found))
		return -1;
	int fd = socket(found->ai_family, SOCK_STREAM, 0);
	if (connect(fd, found->ai_addr, found->ai_addrlen)) {
		close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	return fd;
}

/* The body of the next command of this type; PINGs are answered, others skipped. */
static bool expect(struct pulsar_peer *p, int type, struct slice *ret_body)
{
	for (;;) {
		uint8_t head[8];
		if (!whole_recv(p->fd, head, sizeof(head)))
			return false;
		size_t n = ((size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3]) - 4;
		buf_reset(&p->in);
		uint8_t *to = buf_reserve(&p->in, n);
		if (!to || !whole_recv(p->fd, to, n))
			return false;
		p->in.n = n;
		struct wire w = wire_open(buf_slice(&p->in));
		struct wire_field f;
		uint64_t is = 0;
		while (wire_next(&w, &f)) {
			if (f.num == 1)
				is = f.value;
			else if ((int)f.num == type)
				*ret_body = f.data;
		}
		CLEANUP(buf_done) struct buf pong = BUF_INIT(ROOM);
		pulsar_put_pong(&pong);
		if (is == PULSAR_PING && !whole_send(p->fd, buf_slice(&pong)))
			return false;
		if ((int)is == type)
			return true;
		if (is == PULSAR_ERROR)
			return false;
	}
}

static bool greet(struct pulsar_peer *p, const char *topic)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(ROOM);
	CLEANUP(buf_done) struct buf c = BUF_INIT(ROOM);
	struct slice body;

	pulsar_put_connect(&b, &(const struct pulsar_hello){.version = "test"});
	if (!whole_send(p->fd, buf_slice(&b)) || !expect(p, PULSAR_CONNECTED, &body))
		return false;
	buf_reset(&b);
	/* The lookup makes the broker take the topic. */
	pulsar_put_lookup(&b, topic, 1, false);
	wire_put_str(&c, 1, topic);
	wire_put_u64(&c, 2, 1);
	wire_put_u64(&c, 3, 2);
	if (!whole_send(p->fd, buf_slice(&b)) || !expect(p, PULSAR_LOOKUP_ANSWER, &body))
		return false;
	buf_reset(&b);
	pulsar_make_frame(&b, PRODUCER, buf_slice(&c), slice_of(NULL, 0));
	return whole_send(p->fd, buf_slice(&b)) && expect(p, READY, &body);
}

struct pulsar_peer *pulsar_peer_open(const char *address, const char *topic)
{
	struct pulsar_peer *p = xcalloc(1, sizeof(*p));
	struct deadline d = deadline_in(OPEN_MS);
	struct stop none;

	address = address ? address : getenv("CDC_TEST_PULSAR");
	assert(address);
	stop_init(&none, NULL);
	buf_init(&p->in, LIMIT_MESSAGE);
	for (;;) {
		p->fd = dial(address);
		if (p->fd >= 0 && greet(p, topic))
			break;
		if (p->fd >= 0)
			close(p->fd);
		assert(!deadline_passed(d));
		stop_sleep(&none, 200);
	}
	stop_done(&none);
	return p;
}

void pulsar_peer_close(struct pulsar_peer *p)
{
	if (!p)
		return;
	close(p->fd);
	buf_done(&p->in);
	free(p);
}

static void put_send(
	struct buf *b, uint64_t sequence, const struct pulsar_make *m, struct slice part)
{
	CLEANUP(buf_done) struct buf c = BUF_INIT(ROOM);

	wire_put_u64(&c, 1, 1);
	wire_put_u64(&c, 2, sequence);
	wire_put_u64(&c, 3, m->batch ? m->batch : 1);
	if (m->uuid)
		wire_put_u64(&c, 7, 1);
	pulsar_make_frame(b, SEND, buf_slice(&c), part);
}

struct pulsar_id pulsar_peer_send(
	struct pulsar_peer *p, const struct pulsar_make *m, struct slice body)
{
	CLEANUP(buf_done) struct buf part = BUF_INIT(2 * LIMIT_MESSAGE);
	CLEANUP(buf_done) struct buf b = BUF_INIT(2 * LIMIT_MESSAGE);
	struct pulsar_make made = *m;
	struct pulsar_id id = PULSAR_EARLIEST;
	struct slice receipt = slice_of(NULL, 0);
	struct wire_field f;

	made.sequence = p->sequence;
	pulsar_make_payload(&part, &made, body);
	put_send(&b, p->sequence++, m, buf_slice(&part));
	bool ok = whole_send(p->fd, buf_slice(&b)) && expect(p, RECEIPT, &receipt);
	assert(ok);
	for (struct wire w = wire_open(receipt); wire_next(&w, &f);)
		if (f.num == 3 && pulsar_id_read(&id, f.data, NULL))
			abort();
	return id;
}

int pulsar_admin(const char *method, const char *path, const char *body)
{
	const char *web = getenv("CDC_TEST_PULSAR_WEB");
	char answer[ROOM];
	int status = 0;

	assert(web);
	int fd = dial(web);
	if (fd < 0)
		return 0;
	body = body ? body : "";
	CLEANUP(freep)
	char *request = xasprintf("%s /admin/v2/%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n"
				  "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		method, path, web, strlen(body), body);
	ssize_t n =
		whole_send(fd, slice_str(request)) ? recv(fd, answer, sizeof(answer) - 1, 0) : -1;
	close(fd);
	if (n <= 0)
		return 0;
	answer[n] = '\0';
	return sscanf(answer, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}
