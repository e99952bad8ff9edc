#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

void buf_init(struct buf *b, size_t max_bytes)
{
	*b = (struct buf)BUF_INIT(max_bytes);
}

void buf_done(struct buf *b)
{
	free(b->p);
	*b = (struct buf)BUF_INIT(b->max);
}

void buf_reset(struct buf *b)
{
	b->n = 0;
	b->failed = false;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
	if (b->failed || n > b->max || b->n > b->max - n) {
		b->failed = true;
		return NULL;
	}
	if (b->n + n + 1 > b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 128;
		if (cap < b->n + n + 1)
			cap = b->n + n + 1;
		b->p = xrealloc(b->p, cap);
		b->cap = cap;
	}
	return b->p + b->n;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
	uint8_t *to = buf_reserve(b, n);
	if (to && n) {
		memcpy(to, p, n);
		b->n += n;
	}
}

void buf_put_u8(struct buf *b, uint8_t c)
{
	buf_put(b, &c, 1);
}

void buf_put_str(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

void buf_putf(struct buf *b, const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	int n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	buf_put(b, s, (size_t)n);
	free(s);
}

const char *buf_cstr(struct buf *b)
{
	if (!buf_reserve(b, 0))
		return "";
	b->p[b->n] = '\0';
	return (const char *)b->p;
}

char *buf_take(struct buf *b)
{
	buf_cstr(b);
	char *s = (char *)b->p;
	*b = (struct buf)BUF_INIT(b->max);
	return s ? s : xstrdup("");
}
