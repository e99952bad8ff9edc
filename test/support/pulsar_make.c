#include "support/pulsar_make.h"

#include <assert.h>
#include <lz4.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#include "base/limits.h"
#include "base/wire.h"
#include "client/pulsar/crc32c.h"
#include "client/pulsar/inflate.h"

enum { ROOM = 4096 };

static void put_be(struct buf *b, size_t v, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--)
		buf_put_u8(b, (uint8_t)(v >> (8 * i)));
}

static void put_properties(struct buf *b, uint32_t field, const char *const *properties)
{
	for (; properties && properties[0]; properties += 2) {
		CLEANUP(buf_done) struct buf pair = BUF_INIT(ROOM);
		wire_put_str(&pair, 1, properties[0]);
		wire_put_str(&pair, 2, properties[1]);
		wire_put_bytes(b, field, buf_slice(&pair));
	}
}

void pulsar_make_compressed(struct buf *b, int compression, struct slice body)
{
	size_t room = body.n + body.n / 4 + ROOM, n = 0; /* of an unknown kind: nothing */
	uint8_t *p = buf_reserve(b, room);
	uLongf zn = room;

	assert(p);
	switch ((enum pulsar_compression)compression) {
	case PULSAR_LZ4:
		n = (size_t)LZ4_compress_default(
			(const char *)body.p, (char *)p, (int)body.n, (int)room);
		break;
	case PULSAR_ZLIB:
		n = compress(p, &zn, body.p, body.n) == Z_OK ? zn : 0;
		break;
	case PULSAR_ZSTD:
		n = ZSTD_compress(p, room, body.p, body.n, 1);
		break;
	case PULSAR_SNAPPY:
		n = room;
		if (snappy_compress((const char *)body.p, body.n, (char *)p, &n) != SNAPPY_OK)
			n = 0;
		break;
	case PULSAR_NONE:
	case PULSAR_COMPRESSIONS:
		memcpy(p, body.p, body.n);
		n = body.n;
		break;
	}
	b->n += n;
}

static void put_meta(struct buf *b, const struct pulsar_make *m, size_t inflated)
{
	wire_put_str(b, 1, m->producer ? m->producer : "p");
	wire_put_u64(b, 2, m->sequence);
	wire_put_u64(b, 3, 1700000000000);
	put_properties(b, 4, m->properties);
	if (m->compression) {
		wire_put_u64(b, 8, (uint64_t)m->compression);
		wire_put_u64(b, 9, m->inflated ? m->inflated : inflated);
	}
	if (m->batch)
		wire_put_u64(b, 11, m->batch);
	if (m->encrypted)
		wire_put_str(b, 13, "\n\1k\22\1v");
	if (m->null_value)
		wire_put_u64(b, 25, 1);
	if (!m->uuid)
		return;
	wire_put_str(b, 26, m->uuid);
	wire_put_u64(b, 27, m->chunks);
	wire_put_u64(b, 28, m->chunked);
	wire_put_u64(b, 29, m->chunk);
}

void pulsar_make_payload(struct buf *b, const struct pulsar_make *m, struct slice body)
{
	CLEANUP(buf_done) struct buf meta = BUF_INIT(LIMIT_MESSAGE);
	CLEANUP(buf_done) struct buf sum = BUF_INIT(2 * LIMIT_MESSAGE);

	put_meta(&meta, m, body.n);
	put_be(&sum, meta.n, 4);
	buf_put(&sum, meta.p, meta.n);
	pulsar_make_compressed(&sum, m->uuid ? PULSAR_NONE : m->compression, body);
	if (m->broker_metadata) {
		put_be(b, 0x0e02, 2);
		put_be(b, 2, 4);
		wire_put_u64(b, 2, 7);
	}
	if (!m->no_checksum) {
		put_be(b, 0x0e01, 2);
		put_be(b, pulsar_crc32c(buf_slice(&sum)), 4);
	}
	if (m->damaged)
		sum.p[sum.n - 1] ^= 1;
	buf_put(b, sum.p, sum.n);
}

void pulsar_make_single(struct buf *b, struct slice body, const char *const *properties)
{
	CLEANUP(buf_done) struct buf meta = BUF_INIT(ROOM);

	put_properties(&meta, 1, properties);
	wire_put_u64(&meta, 3, body.n);
	put_be(b, meta.n, 4);
	buf_put(b, meta.p, meta.n);
	buf_put(b, body.p, body.n);
}

void pulsar_make_frame(struct buf *b, int type, struct slice body, struct slice payload)
{
	CLEANUP(buf_done) struct buf c = BUF_INIT(LIMIT_MESSAGE);

	wire_put_u64(&c, 1, (uint64_t)type);
	wire_put_bytes(&c, (uint32_t)type, body);
	put_be(b, 4 + c.n + payload.n, 4);
	put_be(b, c.n, 4);
	buf_put(b, c.p, c.n);
	buf_put(b, payload.p, payload.n);
}

void pulsar_make_message(
	struct buf *b, uint64_t consumer, const struct pulsar_id *id, struct slice payload)
{
	CLEANUP(buf_done) struct buf c = BUF_INIT(ROOM);
	CLEANUP(buf_done) struct buf i = BUF_INIT(ROOM);

	wire_put_u64(&i, 1, id->ledger);
	wire_put_u64(&i, 2, id->entry);
	wire_put_u64(&c, 1, consumer);
	wire_put_bytes(&c, 2, buf_slice(&i));
	pulsar_make_frame(b, PULSAR_MESSAGE, buf_slice(&c), payload);
}
