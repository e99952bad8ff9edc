#include "base/splice.h"

#include "base/wire.h"

enum { CHUNK_BYTES = 512, VARINT_BYTES = 10 };

/* Room for n bytes in the arena, behind what was written last if it fits. */
static uint8_t *reserve(struct splice_out *o, size_t n)
{
	if ((size_t)(o->end - o->p) < n) {
		size_t size = MAX(n, (size_t)CHUNK_BYTES);
		splice_end(o);
		o->chunk = o->p = arena_alloc(o->arena, size);
		o->end = o->p + size;
	}
	return o->p;
}

static void commit(struct splice_out *o, size_t n)
{
	if (o->out)
		iov_put(o->out, slice_of(o->p, n));
	o->p += n;
}

void splice_begin(struct splice_out *o, struct arena *a, struct iov *out, size_t expected_bytes)
{
	*o = (struct splice_out){.arena = a, .out = out, .copy_below = SPLICE_COPY_BYTES};
	o->chunk = o->p = arena_alloc(a, expected_bytes);
	o->end = o->p + expected_bytes;
}

void splice_end(struct splice_out *o)
{
	arena_trim(o->arena, o->chunk, (size_t)(o->p - o->chunk));
}

void splice_put(struct splice_out *o, struct slice s)
{
	if (s.n >= o->copy_below) {
		iov_put(o->out, s);
	} else if (s.n) {
		memcpy(reserve(o, s.n), s.p, s.n);
		commit(o, s.n);
	}
}

static void put_tag_and_varint(struct splice_out *o, uint32_t num, enum wire_type type, uint64_t v)
{
	uint8_t *p = reserve(o, 2 * VARINT_BYTES);
	size_t n = wire_varint_put(p, (uint64_t)num << 3 | (uint64_t)type);

	commit(o, n + wire_varint_put(p + n, v));
}

void splice_put_u64(struct splice_out *o, uint32_t num, uint64_t v)
{
	put_tag_and_varint(o, num, WIRE_VARINT, v);
}

void splice_put_head(struct splice_out *o, uint32_t num, size_t n)
{
	put_tag_and_varint(o, num, WIRE_LEN, n);
}

void splice_put_bytes(struct splice_out *o, uint32_t num, struct slice s)
{
	splice_put_head(o, num, s.n);
	splice_put(o, s);
}

static void put_field(struct splice_out *o, const struct splice_field *f)
{
	switch (f->kind) {
	case SPLICE_U64:
		if (f->value)
			splice_put_u64(o, f->num, f->value);
		return;
	case SPLICE_BYTES:
		if (f->list->n)
			splice_put_bytes(o, f->num, *f->list);
		return;
	case SPLICE_LIST:
		for (size_t i = 0; i < f->n; i++)
			splice_put_bytes(o, f->num, f->list[i]);
		return;
	case SPLICE_DROP:
		return;
	}
}

static bool type_fits(const struct splice_field *f, enum wire_type type)
{
	switch (f->kind) {
	case SPLICE_U64:
		return type == WIRE_VARINT;
	case SPLICE_BYTES:
	case SPLICE_LIST:
		return type == WIRE_LEN || (f->packed && type == WIRE_VARINT);
	case SPLICE_DROP:
		return true;
	}
	return false;
}

/* A run of source bytes that pass; it grows while fields lie side by side. */
struct run {
	struct slice s;
};

static void run_flush(struct run *r, struct splice_out *o)
{
	splice_put(o, r->s);
	r->s.n = 0;
}

static void run_add(struct run *r, struct splice_out *o, struct slice raw)
{
	if (r->s.n && r->s.p + r->s.n == raw.p) {
		r->s.n += raw.n;
		return;
	}
	run_flush(r, o);
	r->s = raw;
}

/* fields[0..k) are written already: k only grows, because everything that belongs before a source
 * field is written when that field comes. */
static bool rewrite(
	struct splice_out *o, struct slice src, const struct splice_field *fields, size_t n)
{
	struct wire w = wire_open(src);
	struct wire_field f;
	struct run run = {0};
	size_t k = 0;

	while (wire_next(&w, &f)) {
		const struct splice_field *hit = NULL;
		for (size_t i = 0; i < n && fields[i].num <= f.num; i++)
			if (fields[i].num == f.num)
				hit = &fields[i];
		if (hit && !type_fits(hit, f.type))
			return false;
		if (k < n && fields[k].num <= f.num)
			run_flush(&run, o);
		while (k < n && fields[k].num <= f.num)
			put_field(o, &fields[k++]);
		if (!hit)
			run_add(&run, o, f.raw);
	}
	run_flush(&run, o);
	while (k < n)
		put_field(o, &fields[k++]);
	return !w.bad;
}

/* What the new values may take in the arena, and a bit for short runs. */
static size_t expected(const struct splice_field *fields, size_t n, size_t copy_below)
{
	size_t bytes = 2 * SPLICE_COPY_BYTES;

	for (size_t i = 0; i < n; i++) {
		size_t items = fields[i].kind == SPLICE_LIST    ? fields[i].n
			       : fields[i].kind == SPLICE_BYTES ? 1
								: 0;
		bytes += 2 * VARINT_BYTES;
		for (size_t j = 0; j < items; j++)
			bytes += 2 * VARINT_BYTES +
				 (fields[i].list[j].n < copy_below ? fields[i].list[j].n : 0);
	}
	return bytes;
}

static enum err_code malformed(size_t n, struct err *e)
{
	return err_set(e, ERR_MALFORMED, "a message of %zu bytes can't be rewritten", n);
}

enum err_code splice_message(struct slice src, const struct splice_field *fields, size_t n,
	struct arena *a, struct iov *out, struct err *e)
{
	struct splice_out o;
	size_t slices = out->n, bytes = out->bytes;
	size_t last = slices ? out->v[slices - 1].n : 0;

	splice_begin(&o, a, out, expected(fields, n, SPLICE_COPY_BYTES));
	bool good = rewrite(&o, src, fields, n);
	splice_end(&o);
	if (good)
		return ERR_OK;
	out->n = slices;
	out->bytes = bytes;
	if (slices)
		out->v[slices - 1].n = last;
	return malformed(src.n, e);
}

enum err_code splice_flat(struct slice src, const struct splice_field *fields, size_t n,
	struct arena *a, struct slice *ret_flat, struct err *e)
{
	struct splice_out o;

	splice_begin(&o, a, NULL, src.n + expected(fields, n, SIZE_MAX));
	o.copy_below = SIZE_MAX;
	bool good = rewrite(&o, src, fields, n);
	splice_end(&o);
	*ret_flat = slice_of(o.chunk, (size_t)(o.p - o.chunk));
	return good ? ERR_OK : malformed(src.n, e);
}
