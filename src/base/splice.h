/* Rewrites a protobuf message without decoding it: the named fields get new values, every other
 * byte, unknown fields included, passes as a slice of the source. Runs shorter than
 * SPLICE_COPY_BYTES are copied next to the new bytes, so that a message stays a few slices long. */
#pragma once

#include "base/arena.h"
#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"
#include "base/iov.h"

enum { SPLICE_COPY_BYTES = 128 };

enum splice_kind {
	SPLICE_U64,   /* value, as a varint; 0 is left out, as proto3 does */
	SPLICE_BYTES, /* one field with the content of list[0]; left out when empty */
	SPLICE_LIST,  /* n fields */
	SPLICE_DROP,
};

/* What becomes of one field number. All its occurrences in the source go; the new value stands
 * where the first one was, or in numeric order when the source has none. */
struct splice_field {
	uint32_t num;
	enum splice_kind kind;
	bool packed; /* BYTES: numbers that the source may also carry unpacked */
	uint64_t value;
	const struct slice *list;
	size_t n;
};

/* Appends the rewritten src to out. fields are in ascending order of num. out points into src, into
 * the fields' own bytes and into the arena. MALFORMED, with out as it was, when src can't be read
 * or one of the named fields has another wire type. */
NODISCARD enum err_code splice_message(struct slice src, const struct splice_field *fields,
	size_t n, struct arena *a, struct iov *out, struct err *e);

/* The same into one run of bytes in the arena. */
NODISCARD enum err_code splice_flat(struct slice src, const struct splice_field *fields, size_t n,
	struct arena *a, struct slice *ret_flat, struct err *e);

/* A writer of messages made of new bytes and of slices. No other use of the arena between begin and
 * end. */
struct splice_out {
	struct arena *arena;
	struct iov *out; /* NULL: flat */
	uint8_t *chunk, *p, *end;
	size_t copy_below;
};

void splice_begin(struct splice_out *o, struct arena *a, struct iov *out, size_t expected_bytes);
void splice_end(struct splice_out *o);
/* Short: copied. Else by reference. */
void splice_put(struct splice_out *o, struct slice s);
void splice_put_u64(struct splice_out *o, uint32_t num, uint64_t v);
/* Tag and length of a LEN field whose n bytes of content follow. */
void splice_put_head(struct splice_out *o, uint32_t num, size_t n);
void splice_put_bytes(struct splice_out *o, uint32_t num, struct slice s);
