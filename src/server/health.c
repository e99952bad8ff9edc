/* One request over a socket of its own with a deadline. With TLS the certificate is not looked at:
 * what is asked is whether the process on this machine serves, not who it is. */
#include "server/health.h"

#include <errno.h>
#include <openssl/ssl.h>
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
	SSL *ssl; /* NULL = plain */
	struct deadline until;
};

static void asking_done(struct asking *a)
{
	SSL_free(a->ssl);
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

/* After a call of OpenSSL that did not end: waits for what it wants; anything else is a failure. */
static enum err_code wait_tls(const struct asking *a, int r, struct err *e)
{
	switch (SSL_get_error(a->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		return wait_for(a, POLLIN, e);
	case SSL_ERROR_WANT_WRITE:
		return wait_for(a, POLLOUT, e);
	default:
		return err_set(e, ERR_UNAVAILABLE, "the port does not speak TLS");
	}
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

static enum err_code start_tls(struct asking *a, struct err *e)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int r;

	a->ssl = ctx ? SSL_new(ctx) : NULL;
	SSL_CTX_free(ctx);
	if (!a->ssl || !SSL_set_fd(a->ssl, a->fd))
		return err_set(e, ERR_SYSTEM, "TLS can't be set up");
	while ((r = SSL_connect(a->ssl)) != 1)
		if (wait_tls(a, r, e))
			return e->code;
	return ERR_OK;
}

static enum err_code put(const struct asking *a, const char *text, struct err *e)
{
	int n = (int)strlen(text), r;

	if (!a->ssl)
		return send(a->fd, text, (size_t)n, MSG_NOSIGNAL) == n
			       ? ERR_OK
			       : err_set(e, ERR_UNAVAILABLE, "the connection was closed");
	while ((r = SSL_write(a->ssl, text, n)) <= 0)
		if (wait_tls(a, r, e))
			return e->code;
	return ERR_OK;
}

/* One piece; *ret_n 0 at the end. */
static enum err_code take(const struct asking *a, char *to, int room, int *ret_n, struct err *e)
{
	int r;

	if (!a->ssl) {
		if (wait_for(a, POLLIN, e))
			return e->code;
		r = (int)recv(a->fd, to, (size_t)room, 0);
		*ret_n = MAX(r, 0);
		return ERR_OK;
	}
	while ((r = SSL_read(a->ssl, to, room)) <= 0) {
		int what = SSL_get_error(a->ssl, r);
		if (what != SSL_ERROR_WANT_READ && what != SSL_ERROR_WANT_WRITE)
			break;
		if (wait_tls(a, r, e))
			return e->code;
	}
	*ret_n = MAX(r, 0);
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
		return err_set(e, ERR_UNAVAILABLE, "no HTTP answer; does it want TLS?");
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
	if (dial(&a, ask_host(host), port, e) || (*c->api_tls_cert && start_tls(&a, e)) ||
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
