/* A growing list of slices that together are one message; nothing is copied. */
#pragma once

#include "base/bytes.h"
#include "base/mem.h"

struct iov {
	struct slice *v;
	size_t n, cap;
	size_t bytes; /* sum of all slices */
};

static inline void iov_put(struct iov *o, struct slice s)
{
	if (!s.n)
		return;
	o->bytes += s.n;
	/* Neighbours in memory become one slice. */
	if (o->n && o->v[o->n - 1].p + o->v[o->n - 1].n == s.p) {
		o->v[o->n - 1].n += s.n;
		return;
	}
	mem_grow(&o->v, &o->cap, o->n + 1, sizeof(*o->v));
	o->v[o->n++] = s;
}

static inline void iov_reset(struct iov *o)
{
	o->n = 0;
	o->bytes = 0;
}

static inline void iov_done(struct iov *o)
{
	freep(&o->v);
	*o = (struct iov){0};
}
