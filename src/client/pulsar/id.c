#include "client/pulsar/id.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/wire.h"

enum { F_LEDGER = 1, F_ENTRY, F_PARTITION, F_BATCH };

enum err_code pulsar_id_read(struct pulsar_id *id, struct slice in, struct err *e)
{
	struct wire w = wire_open(in);
	struct wire_field f;
	bool ledger = false, entry = false;

	*id = (struct pulsar_id){.partition = -1, .batch = -1};
	while (wire_next(&w, &f)) {
		if (f.type != WIRE_VARINT)
			continue;
		if (f.num == F_LEDGER) {
			id->ledger = f.value;
			ledger = true;
		} else if (f.num == F_ENTRY) {
			id->entry = f.value;
			entry = true;
		} else if (f.num == F_PARTITION) {
			id->partition = (int32_t)f.value;
		} else if (f.num == F_BATCH) {
			id->batch = (int32_t)f.value;
		}
	}
	if (w.bad || !ledger || !entry)
		return err_set(e, ERR_MALFORMED, "not a Pulsar message id");
	return ERR_OK;
}

void pulsar_id_put(struct buf *b, const struct pulsar_id *id)
{
	wire_put_u64(b, F_LEDGER, id->ledger);
	wire_put_u64(b, F_ENTRY, id->entry);
	wire_put_i64(b, F_PARTITION, id->partition);
	wire_put_i64(b, F_BATCH, id->batch);
}

/* Ledgers and entries are signed in the broker: an empty ledger's last entry is -1. */
static int cmp_i64(uint64_t a, uint64_t b)
{
	int64_t x = (int64_t)a, y = (int64_t)b;
	return (x > y) - (x < y);
}

int pulsar_id_cmp(const struct pulsar_id *a, const struct pulsar_id *b)
{
	int32_t x = MAX(a->batch, 0), y = MAX(b->batch, 0);

	if (a->ledger != b->ledger)
		return cmp_i64(a->ledger, b->ledger);
	if (a->entry != b->entry)
		return cmp_i64(a->entry, b->entry);
	return (x > y) - (x < y);
}

bool pulsar_id_same_entry(const struct pulsar_id *a, const struct pulsar_id *b)
{
	return a->ledger == b->ledger && a->entry == b->entry;
}

bool pulsar_id_is_earliest(const struct pulsar_id *id)
{
	return (int64_t)id->ledger < 0;
}

struct pulsar_id pulsar_id_behind(const struct pulsar_id *id)
{
	struct pulsar_id to = *id;

	to.partition = 0;
	to.batch = MIN(MAX(id->batch, 0), INT32_MAX - 1) + 1;
	return to;
}

void pulsar_id_text(const struct pulsar_id *id, char out[PULSAR_ID_TEXT])
{
	if (pulsar_id_is_earliest(id)) {
		snprintf(out, PULSAR_ID_TEXT, "earliest");
		return;
	}
	int n = snprintf(out, PULSAR_ID_TEXT, "%" PRId64 ":%" PRId64, (int64_t)id->ledger,
		(int64_t)id->entry);
	if (id->batch > 0)
		snprintf(out + n, (size_t)(PULSAR_ID_TEXT - n), ":%" PRId32, id->batch);
}
