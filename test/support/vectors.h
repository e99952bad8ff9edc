/* The vectors of newer Milvus releases, test/vectors/<release>/<name>; tests run in the source
 * tree's root. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/mem.h"

static const char *const vector_releases[] = {"2.4.9", "2.5.10", "2.6.2"};

/* Heap bytes, for vector_free; p is NULL if there is no such file. */
static inline struct slice vector_load(const char *release, const char *name)
{
	CLEANUP(freep) char *path = xasprintf("test/vectors/%s/%s", release, name);
	FILE *f = fopen(path, "rb");

	if (!f)
		return (struct slice){0};
	uint8_t *p = xmalloc(64 << 10);
	size_t n = fread(p, 1, 64 << 10, f);
	fclose(f);
	return slice_of(p, n);
}

static inline void vector_free(struct slice *s)
{
	free((void *)(uintptr_t)s->p);
	*s = (struct slice){0};
}
