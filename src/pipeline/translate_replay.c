/* Messages of our own making: ticks, drops, and the deletes that make a replay harmless. */
#include <assert.h>

#include "base/limits.h"
#include "base/splice.h"
#include "base/wire.h"
#include "model/dml_keys.h"
#include "model/msg_base.h"
#include "pipeline/translate.h"
#include "pipeline/translate_priv.h"

enum { B_TYPE = 1, B_ID = 2, B_TS = 3, B_SOURCE = 4, B_REPLICATE = 7, F_BASE = 1 };
enum { BASE_BYTES = 64, MOST_ID_BYTES = 512, VARINT_BYTES = 10, FEW_BYTES = 512 };
/* msg.DeleteRequest, schema.IDs */
enum {
	D_SHARD = 2,
	D_DB = 3,
	D_COLLECTION = 4,
	D_PARTITION = 5,
	D_COLLECTION_ID = 7,
	D_PARTITION_ID = 8,
	D_TIMESTAMPS = 10,
	D_ROWS = 11,
	D_KEYS = 12,
	IDS_LONG = 1,
	IDS_STRING = 2
};

static void put_str(struct splice_out *o, uint32_t num, struct slice s)
{
	if (s.n)
		splice_put_bytes(o, num, s);
}

/* base{type, msgID, timestamp, sourceID, replicateInfo}; what is 0 or empty is left out. */
static void put_base(struct splice_out *o, int type, int64_t msg_id, uint64_t ts, int64_t source,
	struct slice info)
{
	uint8_t base[BASE_BYTES + MOST_ID_BYTES];
	size_t n = 0;
	const struct {
		uint32_t num;
		uint64_t value;
	} fields[] = {{B_TYPE, (uint64_t)type}, {B_ID, (uint64_t)msg_id}, {B_TS, ts},
		{B_SOURCE, (uint64_t)source}};

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		if (!fields[i].value)
			continue;
		base[n++] = (uint8_t)(fields[i].num << 3);
		n += wire_varint_put(base + n, fields[i].value);
	}
	assert(info.n <= MOST_ID_BYTES);
	if (info.n) {
		base[n++] = B_REPLICATE << 3 | WIRE_LEN;
		n += wire_varint_put(base + n, info.n);
		memcpy(base + n, info.p, info.n);
		n += info.n;
	}
	splice_put_bytes(o, F_BASE, slice_of(base, n));
}

/* Before splice_begin: both use the arena. */
static struct slice info_of(const char *replicate_id, struct arena *a)
{
	return replicate_id && *replicate_id ? msg_base_replicate_info(0, replicate_id, a)
					     : (struct slice){0};
}

void translate_tick(uint64_t ts, const char *replicate_id, struct arena *a, struct iov *out)
{
	struct slice info = info_of(replicate_id, a);
	struct splice_out o;

	splice_begin(&o, a, out, BASE_BYTES + info.n);
	put_base(&o, info.n ? MSG_REPLICATE : MSG_TIME_TICK, 0, ts, info.n ? 0 : -1, info);
	splice_end(&o);
}

void translate_drop(int type, const struct translate *t, const char *partition, uint64_t ts,
	struct arena *a, struct iov *out)
{
	struct slice info = info_of(t->replicate_id, a);
	struct splice_out o;
	bool whole = type == MSG_DROP_COLLECTION;

	assert(whole || type == MSG_DROP_PARTITION);
	splice_begin(&o, a, out, FEW_BYTES);
	put_base(&o, type, t->msg_id, ts, 0, info);
	put_str(&o, 2, slice_str(t->db));
	put_str(&o, 3, slice_str(t->collection));
	if (!whole)
		put_str(&o, 4, slice_str(partition));
	splice_put_u64(&o, whole ? 5 : 6, (uint64_t)t->collection_id);
	if (!whole)
		splice_put_u64(&o, 7, (uint64_t)t->partition_id);
	splice_end(&o);
}

enum err_code translate_replay_delete(const struct translate *t, const struct dml *d,
	int64_t pk_field_id, bool pk_is_varchar, uint64_t ts, struct arena *a, struct iov *out,
	struct err *e)
{
	struct splice_out o;
	struct dml_keys k;

	assert(d->type == MSG_INSERT && t->shard);
	if (dml_keys_of_insert(&k, d, pk_field_id, pk_is_varchar, e))
		return e->code;
	if (!k.count || k.count > LIMIT_MESSAGE / VARINT_BYTES)
		return err_set(e, ERR_UNSUPPORTED, "an Insert of %llu rows can't be replayed",
			(unsigned long long)k.count);
	struct slice times = translate_repeat_time(ts, d->rows, a);
	struct slice info = info_of(t->replicate_id, a);
	uint32_t ids = pk_is_varchar ? IDS_STRING : IDS_LONG;
	splice_begin(&o, a, out, FEW_BYTES);
	put_base(&o, MSG_DELETE, t->msg_id, ts, 0, info);
	put_str(&o, D_SHARD, slice_str(t->shard));
	put_str(&o, D_DB, slice_str(t->db));
	put_str(&o, D_COLLECTION, slice_str(t->collection));
	put_str(&o, D_PARTITION, d->partition_name);
	splice_put_u64(&o, D_COLLECTION_ID, (uint64_t)t->collection_id);
	splice_put_u64(&o, D_PARTITION_ID, (uint64_t)t->partition_id);
	splice_put_bytes(&o, D_TIMESTAMPS, times);
	splice_put_u64(&o, D_ROWS, d->rows);
	splice_put_head(&o, D_KEYS, 1 + wire_varint_size(k.array.n) + k.array.n);
	splice_put_bytes(&o, ids, k.array);
	splice_end(&o);
	return ERR_OK;
}
