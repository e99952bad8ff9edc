/* The payload part: checksum, metadata, compression, batches, pieces. The first byte says how many
 * entries the rest is cut into; checksums are mended, as a broker's bytes have the right ones. */
#include <assert.h>

#include "base/mem.h"
#include "client/pulsar/crc32c.h"
#include "client/pulsar/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_BYTES = 1 << 16, ENTRIES = 4, HEAD = 6 };

static struct pulsar_msg *entry_of(uint64_t id, struct slice in)
{
	struct pulsar_msg *m = xcalloc(1, sizeof(*m) + in.n);

	m->id = (struct pulsar_id){1, id, -1, -1};
	m->n = in.n;
	if (in.n)
		memcpy(m->bytes, in.p, in.n);
	m->payload = slice_of(m->bytes, in.n);
	list_init(&m->link);
	if (in.n >= HEAD && m->bytes[0] == 0x0e && m->bytes[1] == 0x01) {
		uint32_t sum = pulsar_crc32c(slice_of(m->bytes + HEAD, in.n - HEAD));
		for (int i = 0; i < 4; i++)
			m->bytes[2 + i] = (uint8_t)(sum >> (24 - 8 * i));
	}
	return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pulsar_entries es;
	struct pulsar_id from = {1, 0, 0, 1}, id;
	struct pulsar_msg *m;

	if (size < 2 || size > MOST_BYTES)
		return 0;
	size_t n = data[0] % ENTRIES + 1, each = (size - 1) / n;
	pulsar_entries_init(&es);
	for (size_t i = 0; i < n; i++) {
		struct err e = ERR_INIT;
		uint32_t count;
		enum err_code code = pulsar_entries_add(
			&es, entry_of(i, slice_of(data + 1 + i * each, each)), &from, &count, &e);
		assert(code == e.code && count > 0);
		while ((m = pulsar_entries_pop(&es))) {
			assert(m->payload.n <= m->n && m->meta.n <= m->n);
			pulsar_property(m->meta, m->properties, "msg_type");
			pulsar_msg_free(m);
		}
		pulsar_entries_give_up(&es, &(const struct pulsar_end){.seen_ms = 0}, &id);
	}
	pulsar_entries_done(&es);
	return 0;
}
