#include "client/pulsar/payload.h"

#include "base/limits.h"
#include "base/wire.h"
#include "client/pulsar/crc32c.h"

enum { MAGIC_BYTES = 2, SIZE_BYTES = 4, MAGIC_CHECKSUM = 0x0e01, MAGIC_BROKER = 0x0e02 };

/* Field numbers. */
enum {
	META_PRODUCER = 1,
	META_SEQUENCE,
	META_PUBLISH_TIME,
	META_COMPRESSION = 8,
	META_INFLATED,
	META_BATCH = 11,
	META_KEYS = 13,
	META_NULL_VALUE = 25,
	META_UUID,
	META_CHUNKS,
	META_CHUNKED_BYTES,
	META_CHUNK_ID
};
enum { SINGLE_SIZE = 3, SINGLE_COMPACTED, SINGLE_NULL_VALUE = 9 };
enum { PAIR_KEY = 1, PAIR_VALUE };

/* ---- numbers before the parts ---- */

static bool take_number(struct slice *in, size_t bytes, uint32_t *ret_v)
{
	uint32_t v = 0;

	if (in->n < bytes)
		return false;
	for (size_t i = 0; i < bytes; i++)
		v = v << 8 | in->p[i];
	*in = slice_of(in->p + bytes, in->n - bytes);
	*ret_v = v;
	return true;
}

static bool take_sized(struct slice *in, struct slice *ret_part)
{
	uint32_t n;

	if (!take_number(in, SIZE_BYTES, &n) || n > in->n)
		return false;
	*ret_part = slice_of(in->p, n);
	*in = slice_of(in->p + n, in->n - n);
	return true;
}

static bool take_magic(struct slice *in, uint32_t magic)
{
	struct slice at = *in;
	uint32_t v;

	if (!take_number(&at, MAGIC_BYTES, &v) || v != magic)
		return false;
	*in = at;
	return true;
}

/* ---- metadata ---- */

static void read_chunk(struct pulsar_meta *m, const struct wire_field *f)
{
	if (f->num == META_UUID)
		m->uuid = f->data;
	else if (f->num == META_CHUNKS)
		m->chunks = (uint32_t)f->value;
	else if (f->num == META_CHUNKED_BYTES)
		m->chunked_bytes = (size_t)f->value;
	else
		m->chunk_id = (uint32_t)f->value;
}

static enum err_code read_field(
	struct pulsar_meta *m, const struct wire_field *f, uint32_t *seen, struct err *e)
{
	switch (f->num) {
	case META_PRODUCER:
		m->producer = f->data;
		break;
	case META_SEQUENCE:
		m->sequence = f->value;
		break;
	case META_PUBLISH_TIME:
		m->publish_ms = f->value;
		break;
	case META_COMPRESSION:
		m->compression = f->value;
		break;
	case META_INFLATED:
		m->inflated = (size_t)f->value;
		break;
	case META_BATCH:
		m->batch = true;
		m->n = (uint32_t)f->value;
		break;
	case META_KEYS:
		return err_set(e, ERR_UNSUPPORTED,
			"the message is encrypted by its producer, which Milvus never does");
	case META_NULL_VALUE:
		m->null_value = f->value != 0;
		break;
	case META_UUID:
	case META_CHUNKS:
	case META_CHUNKED_BYTES:
	case META_CHUNK_ID:
		read_chunk(m, f);
		break;
	default:
		break;
	}
	if (f->num <= META_PUBLISH_TIME)
		*seen |= 1U << f->num;
	return ERR_OK;
}

/* The sizes decide what will be allocated. */
static enum err_code check_sizes(struct pulsar_meta *m, size_t payload_n, struct err *e)
{
	m->chunk = m->uuid.n && m->chunks > 1;
	if (!m->compression)
		m->inflated = payload_n;
	if (m->inflated > LIMIT_MESSAGE || (m->chunk && m->chunked_bytes > LIMIT_MESSAGE))
		return err_set(e, ERR_LIMIT, "a message of %zu bytes; at most %d are taken",
			m->chunk ? m->chunked_bytes : m->inflated, LIMIT_MESSAGE);
	if (m->batch && (!m->n || m->n > m->inflated))
		return err_set(
			e, ERR_MALFORMED, "a batch of %u messages in %zu bytes", m->n, m->inflated);
	if (m->chunk && (m->batch || m->chunk_id >= m->chunks || payload_n > m->chunked_bytes))
		return err_set(e, ERR_MALFORMED, "piece %u of %u of a message of %zu bytes",
			m->chunk_id, m->chunks, m->chunked_bytes);
	return ERR_OK;
}

static enum err_code read_meta(
	struct pulsar_meta *m, struct slice bytes, size_t payload_n, struct err *e)
{
	enum { REQUIRED = 1 << META_PRODUCER | 1 << META_SEQUENCE | 1 << META_PUBLISH_TIME };
	struct wire w = wire_open(bytes);
	struct wire_field f;
	uint32_t seen = 0;

	*m = (struct pulsar_meta){.bytes = bytes, .n = 1};
	while (wire_next(&w, &f))
		if (read_field(m, &f, &seen, e))
			return e->code;
	if (w.bad || seen != REQUIRED)
		return err_set(e, ERR_MALFORMED, "message metadata that can't be read");
	return check_sizes(m, payload_n, e);
}

enum err_code pulsar_payload_read(
	struct slice in, struct pulsar_meta *m, struct slice *ret_payload, struct err *e)
{
	struct slice part;
	uint32_t sum;

	if (take_magic(&in, MAGIC_BROKER) && !take_sized(&in, &part))
		return err_set(e, ERR_MALFORMED, "the broker's metadata of the entry is cut short");
	if (take_magic(&in, MAGIC_CHECKSUM)) {
		if (!take_number(&in, SIZE_BYTES, &sum))
			return err_set(e, ERR_MALFORMED, "the checksum is cut short");
		uint32_t is = pulsar_crc32c(in);
		if (is != sum)
			return err_set(e, ERR_MALFORMED,
				"the checksum is %08x and should be %08x: bytes were damaged", is,
				sum);
	}
	if (!take_sized(&in, &part))
		return err_set(e, ERR_MALFORMED, "the message's metadata is cut short");
	*ret_payload = in;
	return read_meta(m, part, in.n, e);
}

/* ---- batches ---- */

enum err_code pulsar_batch_next(
	struct pulsar_batch *b, struct pulsar_single *s, bool *ret_end, struct err *e)
{
	struct wire_field f;
	uint64_t size = UINT64_MAX;

	*ret_end = b->index == b->n;
	if (*ret_end)
		return ERR_OK;
	*s = (struct pulsar_single){.index = b->index++};
	if (!take_sized(&b->rest, &s->bytes))
		return err_set(e, ERR_MALFORMED, "message %u of a batch is cut short", s->index);
	struct wire w = wire_open(s->bytes);
	while (wire_next(&w, &f)) {
		if (f.num == SINGLE_SIZE)
			size = f.value;
		else if (f.num == SINGLE_COMPACTED)
			s->compacted_out = f.value != 0;
		else if (f.num == SINGLE_NULL_VALUE)
			s->null_value = f.value != 0;
	}
	if (w.bad || size > b->rest.n)
		return err_set(e, ERR_MALFORMED, "message %u of a batch can't be read", s->index);
	s->payload = slice_of(b->rest.p, (size_t)size);
	b->rest = slice_of(b->rest.p + size, b->rest.n - (size_t)size);
	return ERR_OK;
}

/* ---- properties ---- */

struct slice pulsar_property(struct slice meta, enum pulsar_properties field, const char *key)
{
	struct wire w = wire_open(meta);
	struct slice found = slice_of(NULL, 0);
	struct wire_field f;

	while (wire_next(&w, &f)) {
		if (f.num != (uint32_t)field || f.type != WIRE_LEN)
			continue;
		struct wire pair = wire_open(f.data);
		struct slice name = slice_of(NULL, 0), value = slice_of("", 0);
		for (struct wire_field p; wire_next(&pair, &p);) {
			if (p.num == PAIR_KEY)
				name = p.data;
			else if (p.num == PAIR_VALUE)
				value = p.data;
		}
		if (slice_eq_str(name, key))
			found = value;
	}
	return found;
}
