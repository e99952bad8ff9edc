#include "net/link.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "net/tls.h"

enum { IOVECS = 256 };

void link_done(struct link *l)
{
	tls_close(l->ssl);
	l->ssl = NULL;
	freep(&l->record);
}

static enum link_io broken(int errnum, struct err *e)
{
	err_set_origin(e, ERR_UNAVAILABLE, errnum, "%s", strerrordesc_np(errnum));
	return LINK_END;
}

static enum link_io closed(struct err *e)
{
	err_set(e, ERR_UNAVAILABLE, "closed by the peer");
	return LINK_END;
}

enum link_io link_read(struct link *l, void *p, size_t cap, size_t *ret_n, struct err *e)
{
	if (!l->ssl) {
		ssize_t r = recv(l->fd, p, cap, 0);
		if (r > 0) {
			*ret_n = (size_t)r;
			return LINK_OK;
		}
		if (r == 0)
			return closed(e);
		return errno == EAGAIN || errno == EINTR ? LINK_AGAIN : broken(errno, e);
	}
	l->read_needs_write = false;
	switch (tls_read(l->ssl, p, cap, ret_n, e)) {
	case TLS_IO_OK:
		return LINK_OK;
	case TLS_IO_WRITE:
		l->read_needs_write = true;
		return LINK_AGAIN;
	case TLS_IO_READ:
		return LINK_AGAIN;
	case TLS_IO_END:
		return closed(e);
	case TLS_IO_FAIL:
		break;
	}
	return LINK_END;
}

static enum link_io flush_plain(struct link *l, struct wq *q, struct err *e)
{
	struct iovec v[IOVECS];

	while (q->bytes) {
		struct msghdr m = {.msg_iov = v, .msg_iovlen = wq_peek(q, v, IOVECS)};
		ssize_t r = sendmsg(l->fd, &m, MSG_NOSIGNAL);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && errno == EAGAIN) {
			l->blocked_write = true;
			return LINK_AGAIN;
		}
		if (r < 0)
			return broken(errno, e);
		wq_advance(q, (size_t)r);
	}
	return LINK_OK;
}

static void fill_record(struct link *l, struct wq *q)
{
	struct iovec v[IOVECS];
	size_t n = wq_peek(q, v, IOVECS);

	if (!l->record)
		l->record = xmalloc(LINK_RECORD_BYTES);
	l->record_n = l->record_off = 0;
	for (size_t i = 0; i < n && l->record_n < LINK_RECORD_BYTES; i++) {
		size_t part = MIN(v[i].iov_len, LINK_RECORD_BYTES - l->record_n);
		memcpy(l->record + l->record_n, v[i].iov_base, part);
		l->record_n += part;
	}
	wq_advance(q, l->record_n);
}

static enum link_io flush_tls(struct link *l, struct wq *q, struct err *e)
{
	while (l->record_off < l->record_n || q->bytes) {
		size_t n = 0;
		if (l->record_off == l->record_n)
			fill_record(l, q);
		switch (tls_write(
			l->ssl, l->record + l->record_off, l->record_n - l->record_off, &n, e)) {
		case TLS_IO_OK:
			l->record_off += n;
			break;
		case TLS_IO_WRITE:
			l->blocked_write = true;
			return LINK_AGAIN;
		case TLS_IO_READ:
			return LINK_AGAIN;
		case TLS_IO_END:
			return closed(e);
		case TLS_IO_FAIL:
			return LINK_END;
		}
	}
	return LINK_OK;
}

enum link_io link_flush(struct link *l, struct wq *q, struct err *e)
{
	l->blocked_write = false;
	return l->ssl ? flush_tls(l, q, e) : flush_plain(l, q, e);
}

bool link_read_pending(const struct link *l)
{
	return l->ssl && SSL_pending(l->ssl) > 0;
}

bool link_wants_write(const struct link *l)
{
	return l->blocked_write || l->read_needs_write;
}
