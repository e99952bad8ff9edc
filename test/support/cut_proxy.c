#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/cut_proxy.h"

#include "support/whole.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One connection at a time is served; that is all the stores need. */
enum { POLL_MS = 20, CHUNK = 64 << 10 };

struct pair {
	int client, peer;
	bool cut_answer; /* the next bytes of the peer are the answer to be lost */
};

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int dial(int port)
{
	struct sockaddr_in a = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static void pair_close(struct pair *c)
{
	if (c->client >= 0)
		close(c->client);
	if (c->peer >= 0)
		close(c->peer);
	*c = (struct pair){.client = -1, .peer = -1};
}

/* Whether this request is to be cut. */
static bool fires(struct cut_proxy *p, const char *bytes, size_t n, enum cut_how *how)
{
	mutex_lock(&p->mtx);
	bool yes = p->at && memmem(bytes, n, p->at, strlen(p->at));
	if (yes) {
		p->at = NULL;
		p->fired = true;
		p->closed = p->how == CUT_ANSWER_AND_DOOR;
	}
	*how = p->how;
	mutex_unlock(&p->mtx);
	return yes;
}

/* False: the connection has ended, or was cut. */
static bool from_client(struct cut_proxy *p, struct pair *c)
{
	static char bytes[CHUNK];
	enum cut_how how;
	ssize_t n = recv(c->client, bytes, sizeof(bytes), 0);

	if (n <= 0)
		return false;
	if (fires(p, bytes, (size_t)n, &how)) {
		if (how == CUT_REQUEST)
			return false;
		c->cut_answer = true;
	}
	return whole_send(c->peer, slice_of(bytes, (size_t)n));
}

static bool from_peer(struct pair *c)
{
	static char bytes[CHUNK];
	ssize_t n = recv(c->peer, bytes, sizeof(bytes), 0);

	return n > 0 && !c->cut_answer && whole_send(c->client, slice_of(bytes, (size_t)n));
}

static void take_client(struct cut_proxy *p, struct pair *c)
{
	int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);

	mutex_lock(&p->mtx);
	bool closed = p->closed;
	mutex_unlock(&p->mtx);
	if (fd < 0)
		return;
	if (closed) {
		close(fd);
		return;
	}
	pair_close(c);
	c->client = fd;
	c->peer = dial(p->peer_port);
	if (c->peer < 0)
		pair_close(c);
}

static void proxy_main(void *arg)
{
	struct cut_proxy *p = arg;
	struct pair c = {.client = -1, .peer = -1};

	while (!stop_is_set(&p->stop)) {
		struct pollfd fds[] = {{.fd = p->listener, .events = POLLIN},
			{.fd = c.client, .events = POLLIN}, {.fd = c.peer, .events = POLLIN}};
		if (poll(fds, ARRAY_LEN(fds), POLL_MS) <= 0)
			continue;
		if (fds[1].revents && !from_client(p, &c))
			pair_close(&c);
		else if (fds[2].revents && !from_peer(&c))
			pair_close(&c);
		else if (fds[0].revents)
			take_client(p, &c);
	}
	pair_close(&c);
}

void cut_proxy_start(struct cut_proxy *p, int peer_port)
{
	struct sockaddr_in a = loopback(0);
	socklen_t n = sizeof(a);
	struct err e = ERR_INIT;

	*p = (struct cut_proxy){.peer_port = peer_port};
	p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(p->listener, (struct sockaddr *)&a, n) || listen(p->listener, 16) ||
		getsockname(p->listener, (struct sockaddr *)&a, &n))
		fail_msg("proxy: %s", strerror(errno));
	p->port = ntohs(a.sin_port);
	mutex_init(&p->mtx, "cut proxy");
	stop_init(&p->stop, NULL);
	assert_int_equal(thread_start(&p->thread, "cut proxy", proxy_main, p, &e), ERR_OK);
}

void cut_proxy_stop(struct cut_proxy *p)
{
	stop_set(&p->stop);
	thread_join(&p->thread);
	close(p->listener);
	stop_done(&p->stop);
	mutex_done(&p->mtx);
}

void cut_proxy_arm(struct cut_proxy *p, const char *at, enum cut_how how)
{
	mutex_lock(&p->mtx);
	p->at = at;
	p->how = how;
	p->fired = false;
	mutex_unlock(&p->mtx);
}

bool cut_proxy_fired(struct cut_proxy *p)
{
	mutex_lock(&p->mtx);
	bool fired = p->fired;
	mutex_unlock(&p->mtx);
	return fired;
}

void cut_proxy_open(struct cut_proxy *p)
{
	mutex_lock(&p->mtx);
	p->closed = false;
	mutex_unlock(&p->mtx);
}
