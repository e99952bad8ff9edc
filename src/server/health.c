/* One request over a socket of its own with a deadline. */
#include "server/health.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/time.h"
#include "net/sock.h"
#include "server/address.h"
#include "server/cli.h"
#include "server/config.h"
#include "server/tool.h"

enum { ANSWER_BYTES = 512, DEFAULT_MS = 5000 };

struct asking {
	int fd;
	struct deadline until;
};

static void asking_done(struct asking *a)
{
	if (a->fd >= 0)
		close(a->fd);
}

static enum err_code wait_for(const struct asking *a, short events, struct err *e)
{
	struct pollfd p = {.fd = a->fd, .events = events};
	int r;

	do
		r = poll(&p, 1, (int)MIN(deadline_left_ms(a->until), (int64_t)INT32_MAX));
	while (r < 0 && errno == EINTR);
	return r > 0 ? ERR_OK : err_set(e, ERR_TIMEOUT, "no answer in time");
}

static enum err_code dial(struct asking *a, const char *host, int port, struct err *e)
{
	struct sock_addrs addrs;
	char service[SOCK_PORT_BYTES];

	snprintf(service, sizeof(service), "%d", port);
	if (sock_resolve(host, service, &addrs, e) || sock_connect(&addrs.v[0], &a->fd, e) ||
		wait_for(a, POLLOUT, e))
		return e->code;
	int why = sock_connect_result(a->fd);
	return why ? err_set(e, ERR_UNAVAILABLE, "%s", strerror(why)) : ERR_OK;
}

static enum err_code put(const struct asking *a, const char *text, struct err *e)
{
	size_t n = strlen(text);

	if (send(a->fd, text, n, MSG_NOSIGNAL) != (ssize_t)n)
		return err_set(e, ERR_UNAVAILABLE, "the connection was closed");
	return ERR_OK;
}

/* One piece; *ret_n 0 at the end. */
static enum err_code take(const struct asking *a, char *to, int room, int *ret_n, struct err *e)
{
	if (wait_for(a, POLLIN, e))
		return e->code;
	int n = (int)recv(a->fd, to, (size_t)room, 0);
	*ret_n = MAX(n, 0);
	return ERR_OK;
}

static enum err_code read_answer(const struct asking *a, struct err *e)
{
	char text[ANSWER_BYTES + 1];
	int have = 0, n = 0, status = 0;

	do {
		if (take(a, text + have, ANSWER_BYTES - have, &n, e))
			return e->code;
		have += n;
	} while (n && have < ANSWER_BYTES);
	text[have] = '\0';
	if (sscanf(text, "HTTP/1.%*1[01] %d", &status) != 1)
		return err_set(e, ERR_UNAVAILABLE, "no HTTP answer");
	if (status == 200)
		return ERR_OK;
	const char *body = strstr(text, "\r\n\r\n");
	body = body ? body + 4 : "";
	return err_set(e, ERR_UNAVAILABLE, "HTTP status %d: %.*s", status,
		(int)strcspn(body, "\r\n"), body);
}

/* Where a listener on all interfaces is reached. */
static const char *ask_host(const char *host)
{
	if (!*host || strcmp(host, "0.0.0.0") == 0)
		return "127.0.0.1";
	return strcmp(host, "::") == 0 ? "::1" : host;
}

enum err_code health_ask(const struct config *c, int64_t timeout_ms, struct err *e)
{
	CLEANUP(asking_done)
	struct asking a = {.fd = -1, .until = deadline_in(timeout_ms)};
	char host[ADDRESS_HOST_BYTES];
	int port;

	if (!address_split(c->address, host, &port))
		return err_set(e, ERR_INVALID, "address %s is not host:port", c->address);
	if (dial(&a, ask_host(host), port, e) ||
		put(&a, "GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n", e) ||
		read_answer(&a, e))
		return err_ctx(e, "%s", c->address);
	return ERR_OK;
}

int health_main(const struct cli *c)
{
	struct config *config = NULL;
	struct err e = ERR_INIT;

	if (!tool_config(c->config_path, &config, &e) &&
		!health_ask(config, cli_number(c, "--timeout", DEFAULT_MS), &e))
		puts("OK");
	config_free(config);
	return tool_exit("health", &e);
}
