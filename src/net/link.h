/* A byte stream to a peer: a socket with or without TLS, non-blocking. @thread I/O */
#pragma once

#include "base/defs.h"
#include "base/err.h"
#include "net/wq.h"

struct ssl_st;

enum link_io {
	LINK_OK,
	LINK_AGAIN, /* when the socket is ready (see link_wants_write) */
	LINK_END,   /* closed or broken, e tells why */
};

enum { LINK_RECORD_BYTES = 16 << 10 };

struct link {
	int fd;             /* borrowed */
	struct ssl_st *ssl; /* NULL = plain; owned */
	bool blocked_write; /* the socket did not take all that was offered */
	bool read_needs_write;
	/* One TLS record in the making: small frames leave as one, and OpenSSL sees the same bytes
	 * when a write must be repeated. */
	uint8_t *record;
	size_t record_n, record_off;
};

void link_done(struct link *l);
/* At least one byte, or AGAIN, or END. */
enum link_io link_read(struct link *l, void *p, size_t cap, size_t *ret_n, struct err *e);
/* Writes from q until it is empty (OK) or the socket is full (AGAIN). */
enum link_io link_flush(struct link *l, struct wq *q, struct err *e);
/* TLS has bytes in hand that the socket will not announce. */
bool link_read_pending(const struct link *l);
bool link_wants_write(const struct link *l);
