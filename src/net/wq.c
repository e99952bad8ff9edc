#include "net/wq.h"

#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"

enum { MAX_ITEMS = 8192 };

void wq_done(struct wq *q)
{
	for (size_t i = q->head; i < q->tail; i++)
		free(q->v[i].heap);
	free(q->v);
	q->v = NULL;
	q->cap = q->head = q->tail = q->bytes = 0;
}

static struct wq_item *item_new(struct wq *q, size_t n)
{
	if (q->tail == q->cap && q->head > q->cap / 2) {
		memmove(q->v, q->v + q->head, (q->tail - q->head) * sizeof(*q->v));
		q->tail -= q->head;
		q->head = 0;
	}
	mem_grow(&q->v, &q->cap, q->tail + 1, sizeof(*q->v));
	struct wq_item *it = &q->v[q->tail++];
	it->n = n;
	it->off = 0;
	it->p = NULL;
	it->owner = NULL;
	it->heap = NULL;
	q->bytes += n;
	q->put += n;
	return it;
}

void wq_put_copy(struct wq *q, struct slice s)
{
	if (!s.n)
		return;
	struct wq_item *it = item_new(q, s.n);
	if (s.n <= WQ_INLINE_BYTES) {
		memcpy(it->inl, s.p, s.n);
		return;
	}
	it->heap = xmemdup(s.p, s.n);
	it->p = it->heap;
}

void wq_put_ref(struct wq *q, struct slice s, const void *owner)
{
	if (!s.n)
		return;
	struct wq_item *it = item_new(q, s.n);
	it->p = s.p;
	it->owner = owner;
}

void wq_disown(struct wq *q, const void *owner)
{
	for (size_t i = q->head; i < q->tail; i++) {
		struct wq_item *it = &q->v[i];
		if (it->owner != owner)
			continue;
		it->n -= it->off;
		it->heap = xmemdup(it->p + it->off, it->n);
		it->p = it->heap;
		it->off = 0;
		it->owner = NULL;
	}
}

size_t wq_peek(const struct wq *q, struct iovec *ret_v, size_t cap)
{
	size_t n = 0;
	for (size_t i = q->head; i < q->tail && n < cap; i++) {
		const struct wq_item *it = &q->v[i];
		const uint8_t *p = it->p ? it->p : it->inl;
		/* iovec is not const-correct; sendmsg only reads. */
		union {
			const uint8_t *in;
			void *out;
		} cast = {.in = p + it->off};
		ret_v[n++] = (struct iovec){.iov_base = cast.out, .iov_len = it->n - it->off};
	}
	return n;
}

void wq_advance(struct wq *q, size_t n)
{
	assert(n <= q->bytes);
	q->bytes -= n;
	q->sent += n;
	while (n) {
		struct wq_item *it = &q->v[q->head];
		size_t part = MIN(n, it->n - it->off);
		it->off += part;
		n -= part;
		if (it->off < it->n)
			return;
		free(it->heap);
		q->head++;
	}
	if (q->head == q->tail)
		q->head = q->tail = 0;
}

bool wq_full(const struct wq *q)
{
	return q->bytes >= LIMIT_GRPC_WRITE_QUEUE || q->tail - q->head >= MAX_ITEMS;
}
