/* A bump allocator: memory lives until arena_reset or arena_done, pointers never move. */
#pragma once

#include "base/bytes.h"
#include "base/defs.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks;
	uint8_t *p, *end;
	size_t bytes; /* allocated from the heap */
};

#define ARENA_INIT                                                                                 \
	{                                                                                          \
		0                                                                                  \
	}

void *arena_alloc(struct arena *a, size_t n); /* 8-byte aligned, not zeroed */
struct slice arena_copy(struct arena *a, struct slice s);
/* Gives back the end of the last allocation: it used only n bytes at p. */
void arena_trim(struct arena *a, void *p, size_t n);
/* Empties it but keeps one chunk for the next use. */
void arena_reset(struct arena *a);
void arena_done(struct arena *a);
