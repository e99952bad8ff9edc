/* A connection's write queue: bytes of its own and borrowed slices, in order, to be gathered by one
 * sendmsg. A borrowed slice names its owner, who gets it back with wq_disown: what is still
 * unsent is copied then, so that a half-written frame can be finished without the owner's memory.
 * @thread I/O */
#pragma once

#include <sys/uio.h>

#include "base/bytes.h"
#include "base/defs.h"

enum { WQ_INLINE_BYTES = 16 };

struct wq_item {
	const uint8_t *p; /* NULL: the bytes are in inl */
	size_t n, off;
	const void *owner; /* of p; NULL: heap */
	uint8_t *heap;     /* freed with the item */
	uint8_t inl[WQ_INLINE_BYTES];
};

struct wq {
	struct wq_item *v;
	size_t cap, head, tail;
	size_t bytes;       /* waiting */
	uint64_t put, sent; /* ever */
};

void wq_done(struct wq *q);
void wq_put_copy(struct wq *q, struct slice s);
void wq_put_ref(struct wq *q, struct slice s, const void *owner);
/* After it no slice of owner is in the queue. */
void wq_disown(struct wq *q, const void *owner);
/* The first bytes as at most cap pieces. */
size_t wq_peek(const struct wq *q, struct iovec *ret_v, size_t cap);
void wq_advance(struct wq *q, size_t n);
/* Enough is queued: more would only hold memory. */
bool wq_full(const struct wq *q);
