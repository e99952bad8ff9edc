#include "client/http/http.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "client/http/http_codec.h"
#include "net/sock.h"
#include "net/tls.h"

enum { TIMEOUT_MS = 60000, STEP_MS = 200, PIECE = 64 << 10, REQUEST_MAX = 16 << 20 };

struct conn {
	int fd;
	struct tls *tls;
	struct ssl_st *ssl;
	struct deadline until;
	struct stop *stop;
	const char *address;
};

static void conn_done(struct conn *c)
{
	tls_close(c->ssl);
	tls_free(c->tls);
	if (c->fd >= 0)
		close(c->fd);
}

/* Until the socket is ready; a stop is seen in between. */
static enum err_code await(struct conn *c, short events, struct err *e)
{
	struct pollfd p = {.fd = c->fd, .events = events};

	for (;;) {
		if (stop_is_set(c->stop))
			return stop_err(e);
		if (deadline_passed(c->until))
			return err_set(e, ERR_TIMEOUT, "%s does not answer in time", c->address);
		if (poll(&p, 1, (int)MIN(deadline_left_ms(c->until), (int64_t)STEP_MS)) > 0)
			return ERR_OK;
	}
}

static enum err_code dial_one(struct conn *c, const struct sock_addr *a, struct err *e)
{
	if (sock_connect(a, &c->fd, e))
		return err_ctx(e, "%s", c->address);
	if (await(c, POLLOUT, e))
		return e->code;
	int why = sock_connect_result(c->fd);
	return why ? err_set_origin(
			     e, ERR_UNAVAILABLE, why, "%s: %s", c->address, strerrordesc_np(why))
		   : ERR_OK;
}

static enum err_code dial(struct conn *c, struct err *e)
{
	char host[SOCK_HOST_BYTES], port[SOCK_PORT_BYTES];
	struct sock_addrs l = {.n = 0};

	if (sock_split(c->address, host, port, e) || sock_resolve(host, port, &l, e))
		return e->code;
	for (size_t i = 0; i < l.n; i++) {
		err_clear(e);
		if (c->fd >= 0)
			close(c->fd);
		c->fd = -1;
		if (!dial_one(c, &l.v[i], e) || e->code == ERR_CANCELLED)
			break;
	}
	return e->code;
}

/* What a step of TLS wants before it is repeated; false: it is over, e tells why. */
static bool again(struct conn *c, enum tls_io r, struct err *e)
{
	if (r == TLS_IO_READ)
		return !await(c, POLLIN, e);
	if (r == TLS_IO_WRITE)
		return !await(c, POLLOUT, e);
	if (r == TLS_IO_END)
		err_set(e, ERR_UNAVAILABLE, "%s closed the connection", c->address);
	return false;
}

static enum err_code secure(
	struct conn *c, const struct grpc_tls *o, const char *host, struct err *e)
{
	enum tls_io r;

	if (tls_new(o, host, NULL, &c->tls, e) || tls_open(c->tls, c->fd, &c->ssl, e))
		return e->code;
	do
		r = tls_handshake(c->ssl, e);
	while (r != TLS_IO_OK && again(c, r, e));
	return e->code ? err_ctx(e, "%s", c->address) : ERR_OK;
}

static enum err_code broken(struct conn *c, struct err *e)
{
	return err_set_origin(
		e, ERR_UNAVAILABLE, errno, "%s: %s", c->address, strerrordesc_np(errno));
}

static enum err_code put_some(struct conn *c, struct slice s, size_t *ret_n, struct err *e)
{
	*ret_n = 0;
	if (c->ssl) {
		enum tls_io r = tls_write(c->ssl, s.p, s.n, ret_n, e);
		if (r != TLS_IO_OK)
			(void)again(c, r, e);
		return e->code;
	}
	ssize_t n = send(c->fd, s.p, s.n, MSG_NOSIGNAL);
	if (n >= 0)
		*ret_n = (size_t)n;
	else if (errno != EAGAIN && errno != EINTR)
		return broken(c, e);
	return n < 0 ? await(c, POLLOUT, e) : ERR_OK;
}

static enum err_code put_all(struct conn *c, struct slice s, struct err *e)
{
	size_t n;

	for (; s.n; s = slice_of(s.p + n, s.n - n))
		if (put_some(c, s, &n, e))
			return e->code;
	return ERR_OK;
}

/* *ret_end: the peer closed. */
static enum err_code get_some(struct conn *c, struct buf *to, bool *ret_end, struct err *e)
{
	uint8_t *p = buf_reserve(to, PIECE);
	size_t n = 0;

	if (!p)
		return err_set(e, ERR_LIMIT, "%s: the answer is too large", c->address);
	if (c->ssl) {
		enum tls_io r = tls_read(c->ssl, p, PIECE, &n, e);
		*ret_end = r == TLS_IO_END;
		if (r != TLS_IO_OK && r != TLS_IO_END)
			(void)again(c, r, e);
	} else {
		ssize_t r = recv(c->fd, p, PIECE, 0);
		*ret_end = r == 0;
		if (r > 0)
			n = (size_t)r;
		else if (r < 0 && errno != EAGAIN && errno != EINTR)
			return broken(c, e);
		else if (r < 0)
			(void)await(c, POLLIN, e);
	}
	to->n += n;
	return e->code;
}

static enum err_code talk(struct conn *c, const struct buf *request, struct buf *in, struct err *e)
{
	bool end = false;

	if (put_all(c, buf_slice(request), e))
		return e->code;
	while (!end)
		if (get_some(c, in, &end, e))
			return e->code;
	return ERR_OK;
}

enum err_code http_ask(const struct http_ask *q, struct stop *s, int *ret_status,
	struct buf *ret_body, struct err *e)
{
	CLEANUP(buf_done) struct buf request = BUF_INIT(REQUEST_MAX);
	CLEANUP(buf_done) struct buf in = BUF_INIT(HTTP_ANSWER_MAX);
	struct http_url u;

	if (http_url_parse(&u, q->url, e))
		return e->code;
	CLEANUP(conn_done)
	struct conn c = {.fd = -1,
		.until = deadline_in(q->timeout_ms ? q->timeout_ms : TIMEOUT_MS),
		.stop = s,
		.address = u.address};
	http_put_request(&request, q->method, &u, q->token, q->body);
	if (buf_failed(&request))
		return err_set(e, ERR_LIMIT, "the request is too large");
	if (dial(&c, e) || (u.tls && secure(&c, &q->tls, u.host, e)) || talk(&c, &request, &in, e))
		return e->code;
	buf_reset(ret_body);
	if (http_read_answer(buf_slice(&in), ret_status, ret_body, e))
		return err_ctx(e, "%s", u.address);
	return ERR_OK;
}
