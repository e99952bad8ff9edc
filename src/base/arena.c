#include "base/arena.h"

#include <stdlib.h>

#include "base/mem.h"

enum { CHUNK_BYTES = 64 << 10, ALIGN = 8 };

struct arena_chunk {
	struct arena_chunk *next;
	size_t size;
	uint8_t data[];
};

static void add_chunk(struct arena *a, size_t n)
{
	size_t size = MAX(n, (size_t)CHUNK_BYTES - sizeof(struct arena_chunk));
	struct arena_chunk *c = xmalloc(sizeof(*c) + size);
	c->next = a->chunks;
	c->size = size;
	a->chunks = c;
	a->p = c->data;
	a->end = c->data + size;
	a->bytes += size;
}

void *arena_alloc(struct arena *a, size_t n)
{
	n = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (!a->p || (size_t)(a->end - a->p) < n)
		add_chunk(a, n);
	void *p = a->p;
	a->p += n;
	return p;
}

struct slice arena_copy(struct arena *a, struct slice s)
{
	void *p = arena_alloc(a, s.n);
	if (s.n)
		memcpy(p, s.p, s.n);
	return slice_of(p, s.n);
}

void arena_trim(struct arena *a, void *p, size_t n)
{
	n = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	a->p = (uint8_t *)p + n;
}

void arena_reset(struct arena *a)
{
	struct arena_chunk *c = a->chunks;
	if (!c)
		return;
	while (c->next) {
		struct arena_chunk *next = c->next;
		a->bytes -= c->size;
		free(c);
		c = next;
	}
	a->chunks = c;
	a->p = c->data;
	a->end = c->data + c->size;
}

void arena_done(struct arena *a)
{
	for (struct arena_chunk *c = a->chunks; c;) {
		struct arena_chunk *next = c->next;
		free(c);
		c = next;
	}
	*a = (struct arena)ARENA_INIT;
}
