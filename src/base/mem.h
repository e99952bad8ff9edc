/* Allocation that aborts when memory is out: sizes a peer decides are capped before they get here,
 * and a restart resumes from the checkpoint. */
#pragma once

#include "base/defs.h"

void *xmalloc(size_t n) __attribute__((returns_nonnull, malloc));
void *xcalloc(size_t count, size_t size) __attribute__((returns_nonnull, malloc));
void *xrealloc(void *p, size_t n) __attribute__((returns_nonnull));
void *xmemdup(const void *p, size_t n) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((returns_nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((returns_nonnull));
char *xasprintf(const char *fmt, ...) PRINTF(1, 2) __attribute__((returns_nonnull));

/* For CLEANUP on any heap pointer: CLEANUP(freep) char *s = ... */
void freep(void *pp);

/* Grows *arr (items of size bytes) so that it holds at least need items; *cap is its capacity. */
void mem_grow(void *arr, size_t *cap, size_t need, size_t size);
