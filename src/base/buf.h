/* A growing buffer with a cap. A put beyond the cap is not done and is remembered (buf_failed), so
 * an encoder checks once at its end. */
#pragma once

#include "base/bytes.h"
#include "base/defs.h"

struct buf {
	uint8_t *p;
	size_t n, cap, max;
	bool failed;
};

#define BUF_INIT(max_bytes)                                                                        \
	{                                                                                          \
		.max = (max_bytes)                                                                 \
	}

void buf_init(struct buf *b, size_t max_bytes);
void buf_done(struct buf *b); /* frees; b may be used again */
void buf_reset(struct buf *b);
void buf_put(struct buf *b, const void *p, size_t n);
void buf_put_u8(struct buf *b, uint8_t c);
void buf_put_str(struct buf *b, const char *s);
void buf_putf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
/* Space for n more bytes, or NULL beyond the cap; the caller adds what it wrote to b->n. */
uint8_t *buf_reserve(struct buf *b, size_t n);
/* The text with a 0 behind it (not counted). Valid until the next put. */
const char *buf_cstr(struct buf *b);
/* Gives the heap memory (0-terminated) to the caller, who frees it; b is empty then. */
char *buf_take(struct buf *b);

static inline struct slice buf_slice(const struct buf *b)
{
	return (struct slice){.p = b->p, .n = b->n};
}

static inline bool buf_failed(const struct buf *b)
{
	return b->failed;
}
