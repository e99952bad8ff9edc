/* The protobuf wire format, read and written field by field without copies: for the hot path and
 * for messages whose unknown fields must survive. Source of the format:
 * protobuf.dev/programming-guides/encoding. */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/defs.h"

enum wire_type { WIRE_VARINT = 0, WIRE_I64 = 1, WIRE_LEN = 2, WIRE_I32 = 5 };

/* One field. raw is the whole field with its tag, data the content of a LEN field, value the number
 * of the other types. Slices point into the reader's input. */
struct wire_field {
	uint32_t num;
	enum wire_type type;
	uint64_t value;
	struct slice data;
	struct slice raw;
};

/* A reader that remembers its first failure: after the loop check bad. */
struct wire {
	const uint8_t *p, *end;
	bool bad;
};

static inline struct wire wire_open(struct slice in)
{
	return (struct wire){.p = in.p, .end = in.n ? in.p + in.n : in.p};
}

/* The next field; false at the end or on malformed input (then w->bad). Groups are malformed. */
bool wire_next(struct wire *w, struct wire_field *f);
/* A bare varint, as in packed fields; false at the end or on malformed input (then w->bad). */
bool wire_varint(struct wire *w, uint64_t *ret_value);

size_t wire_varint_size(uint64_t v);
/* Writes v to p (room for 10 bytes) and returns how many bytes it took. */
size_t wire_varint_put(uint8_t *p, uint64_t v);

/* Writers: put a field whatever its value (no proto3 default suppression). */
void wire_put_varint(struct buf *b, uint64_t v);
void wire_put_tag(struct buf *b, uint32_t num, enum wire_type type);
void wire_put_u64(struct buf *b, uint32_t num, uint64_t v);
void wire_put_i64(struct buf *b, uint32_t num, int64_t v);
void wire_put_bytes(struct buf *b, uint32_t num, struct slice s);
void wire_put_str(struct buf *b, uint32_t num, const char *s);
/* As wire_put_str, but nothing for "" (proto3's default). */
void wire_put_str_opt(struct buf *b, uint32_t num, const char *s);
