/* A borrowed run of bytes. Who owns the bytes is said where a slice is handed out. */
#pragma once

#include <string.h>

#include "base/defs.h"

struct slice {
	const uint8_t *p;
	size_t n;
};

static inline struct slice slice_of(const void *p, size_t n)
{
	return (struct slice){.p = p, .n = n};
}

static inline struct slice slice_str(const char *s)
{
	return (struct slice){.p = (const uint8_t *)s, .n = strlen(s)};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool slice_eq_str(struct slice a, const char *s)
{
	return slice_eq(a, slice_str(s));
}
