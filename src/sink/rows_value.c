/* The value of a column in a form to be hashed: equal values give equal bytes, however the peer packed
 * them. Floats and vectors count bit by bit, JSON byte by byte, as they are stored. */
#include "base/wire.h"
#include "sink/rows_type.h"

enum { V_NULL = 0, V_NUMBER = 1, V_BYTES = 2, V_ARRAY = 3, V_END = 4, ARRAY_DATA = 1 };

static void put_u64(struct buf *b, uint8_t kind, uint64_t v)
{
	uint8_t raw[9] = {kind};

	for (size_t i = 1; i < sizeof(raw); i++, v >>= 8)
		raw[i] = (uint8_t)v;
	buf_put(b, raw, sizeof(raw));
}

static void put_bytes(struct buf *b, struct slice s)
{
	put_u64(b, V_BYTES, s.n);
	buf_put(b, s.p, s.n);
}

/* How a member of ScalarField codes its values; false if we do not know it. */
static bool coding_of(uint32_t num, enum rows_coding *ret)
{
	static const enum rows_coding codings[] = {ROWS_VARINT, ROWS_VARINT, ROWS_VARINT, ROWS_F32,
		ROWS_F64, ROWS_BYTES, ROWS_BYTES, ROWS_BYTES, ROWS_BYTES};

	if (num < 1 || num > ARRAY_LEN(codings))
		return false;
	*ret = codings[num - 1];
	return true;
}

/* Which member holds the elements does not count for an empty one: some write it, some don't. */
static bool put_array(struct buf *b, struct slice raw)
{
	struct wire w = wire_open(raw);
	struct wire_field f;
	enum rows_coding coding;

	buf_put_u8(b, V_ARRAY);
	while (wire_next(&w, &f)) {
		if (f.type != WIRE_LEN || !coding_of(f.num, &coding))
			return false;
		struct rows_values v = rows_values_of(f.data, ARRAY_DATA, coding);
		uint64_t number = 0;
		struct slice bytes = {0};
		while (rows_values_next(&v, &number, &bytes)) {
			if (coding == ROWS_BYTES)
				put_bytes(b, bytes);
			else
				put_u64(b, V_NUMBER, number);
		}
		if (v.w.bad || v.run.bad)
			return false;
	}
	buf_put_u8(b, V_END);
	return !w.bad;
}

enum err_code rows_put_value(struct buf *b, const struct rows_column *c, struct err *e)
{
	const struct rows_type *t = rows_type_of(c->type);

	if (c->is_null) {
		buf_put_u8(b, V_NULL);
	} else if (c->row_bytes || (t->coding == ROWS_BYTES && t->form != ROWS_ARRAY)) {
		put_bytes(b, c->bytes);
	} else if (t->form != ROWS_ARRAY) {
		put_u64(b, V_NUMBER, c->number);
	} else if (!put_array(b, c->bytes)) {
		return err_set(e, ERR_MALFORMED, "field %.*s: an array can't be read",
			(int)MIN(c->name.n, 80), c->name.n ? (const char *)c->name.p : "");
	}
	return ERR_OK;
}
