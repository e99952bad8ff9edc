/* The wire reader over any bytes: what it hands out lies inside the input, the fields' raw bytes
 * join to what was read, a reader that has failed stays failed, and fields written again read the
 * same. */
#include <assert.h>
#include <stdint.h>

#include "base/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool inside(struct slice part, struct slice whole)
{
	return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void write_again(struct buf *b, const struct wire_field *f)
{
	switch (f->type) {
	case WIRE_VARINT:
		wire_put_u64(b, f->num, f->value);
		break;
	case WIRE_LEN:
		wire_put_bytes(b, f->num, f->data);
		break;
	case WIRE_I64:
	case WIRE_I32:
		buf_put(b, f->raw.p, f->raw.n);
		break;
	}
}

static void read_packed(struct slice in)
{
	struct wire w = wire_open(in);
	uint64_t v;
	size_t n = 0;

	while (wire_varint(&w, &v))
		n++;
	assert(n <= in.n);
	assert(w.bad || w.p == w.end);
	assert(!wire_varint(&w, &v));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size);
	struct wire w = wire_open(in), again;
	struct wire_field f, g;
	struct buf out = BUF_INIT(16 * size + 64);
	size_t joined = 0, fields = 0;

	while (wire_next(&w, &f)) {
		assert(inside(f.raw, in) && inside(f.data, f.raw) && f.raw.n > 1);
		assert(f.raw.p == data + joined);
		joined += f.raw.n;
		fields++;
		write_again(&out, &f);
		if (f.type == WIRE_LEN)
			read_packed(f.data);
	}
	assert(w.bad || joined == size);
	assert(!wire_next(&w, &g));
	assert(!buf_failed(&out));

	struct wire first = wire_open(in);
	again = wire_open(buf_slice(&out));
	for (; fields; fields--) {
		bool a = wire_next(&first, &f), b = wire_next(&again, &g);
		assert(a && b && f.num == g.num && f.type == g.type);
		assert(f.type == WIRE_LEN ? slice_eq(f.data, g.data) : f.value == g.value);
	}
	assert(!wire_next(&again, &g) && !again.bad);
	buf_done(&out);
	return 0;
}
