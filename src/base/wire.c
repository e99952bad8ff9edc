#include "base/wire.h"

enum { VARINT_MAX_BYTES = 10 };

bool wire_varint(struct wire *w, uint64_t *ret_value)
{
	uint64_t v = 0;
	const uint8_t *p = w->p;

	if (w->bad || p >= w->end)
		return false;
	for (int i = 0; i < VARINT_MAX_BYTES && p < w->end; i++) {
		uint8_t c = *p++;
		v |= (uint64_t)(c & 0x7f) << (7 * i);
		if (c < 0x80) {
			w->p = p;
			*ret_value = v;
			return true;
		}
	}
	w->bad = true;
	return false;
}

static bool take_fixed(struct wire *w, size_t n, uint64_t *ret_value)
{
	if ((size_t)(w->end - w->p) < n)
		return false;
	uint64_t v = 0;
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)w->p[i] << (8 * i);
	w->p += n;
	*ret_value = v;
	return true;
}

static bool take_value(struct wire *w, struct wire_field *f)
{
	switch (f->type) {
	case WIRE_VARINT:
		return wire_varint(w, &f->value);
	case WIRE_I64:
		return take_fixed(w, 8, &f->value);
	case WIRE_I32:
		return take_fixed(w, 4, &f->value);
	case WIRE_LEN:
		if (!wire_varint(w, &f->value) || f->value > (size_t)(w->end - w->p))
			return false;
		f->data = slice_of(w->p, (size_t)f->value);
		w->p += f->value;
		return true;
	}
	return false; /* groups and types that do not exist */
}

bool wire_next(struct wire *w, struct wire_field *f)
{
	const uint8_t *start = w->p;
	uint64_t tag;

	if (w->bad || w->p >= w->end)
		return false;
	*f = (struct wire_field){0};
	if (!wire_varint(w, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX >> 3) {
		w->bad = true;
		return false;
	}
	f->num = (uint32_t)(tag >> 3);
	f->type = (enum wire_type)(tag & 7);
	if (!take_value(w, f)) {
		w->bad = true;
		return false;
	}
	f->raw = slice_of(start, (size_t)(w->p - start));
	return true;
}

size_t wire_varint_size(uint64_t v)
{
	size_t n = 1;
	while (v >= 0x80) {
		v >>= 7;
		n++;
	}
	return n;
}

size_t wire_varint_put(uint8_t *p, uint64_t v)
{
	size_t n = 0;
	while (v >= 0x80) {
		p[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	p[n++] = (uint8_t)v;
	return n;
}

void wire_put_varint(struct buf *b, uint64_t v)
{
	uint8_t *p = buf_reserve(b, VARINT_MAX_BYTES);
	if (p)
		b->n += wire_varint_put(p, v);
}

void wire_put_tag(struct buf *b, uint32_t num, enum wire_type type)
{
	wire_put_varint(b, (uint64_t)num << 3 | (uint64_t)type);
}

void wire_put_u64(struct buf *b, uint32_t num, uint64_t v)
{
	wire_put_tag(b, num, WIRE_VARINT);
	wire_put_varint(b, v);
}

void wire_put_i64(struct buf *b, uint32_t num, int64_t v)
{
	wire_put_u64(b, num, (uint64_t)v);
}

void wire_put_bytes(struct buf *b, uint32_t num, struct slice s)
{
	wire_put_tag(b, num, WIRE_LEN);
	wire_put_varint(b, s.n);
	buf_put(b, s.p, s.n);
}

void wire_put_str(struct buf *b, uint32_t num, const char *s)
{
	wire_put_bytes(b, num, slice_str(s));
}

void wire_put_str_opt(struct buf *b, uint32_t num, const char *s)
{
	if (*s)
		wire_put_str(b, num, s);
}
