/* Messages of our own making: ticks, drops, and the deletes that make a replay harmless. */
#include <assert.h>

#include "base/limits.h"
#include "base/splice.h"
#include "base/wire.h"
#include "pipeline/translate.h"
#include "pipeline/translate_priv.h"

enum { B_TYPE = 1, B_ID = 2, B_TS = 3, B_SOURCE = 4, F_BASE = 1 };
enum { BASE_BYTES = 64, VARINT_BYTES = 10, FEW_BYTES = 512 };
/* msg.InsertRequest, schema.FieldData, schema.ScalarField */
enum { I_FIELDS = 13, I_VERSION = 15, FD_SCALARS = 3, FD_FIELD_ID = 5, SC_LONG = 3, SC_STRING = 6 };
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
enum { ARRAY_DATA = 1, VERSION_COLUMNS = 1 };

static void put_str(struct splice_out *o, uint32_t num, struct slice s)
{
	if (s.n)
		splice_put_bytes(o, num, s);
}

/* base{type, msgID, timestamp, sourceID}; msgID 0 is left out, and sourceID if it is 0. */
static void put_base(struct splice_out *o, int type, int64_t msg_id, uint64_t ts, int64_t source)
{
	uint8_t base[BASE_BYTES];
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
	splice_put_bytes(o, F_BASE, slice_of(base, n));
}

void translate_tick(uint64_t ts, struct arena *a, struct iov *out)
{
	struct splice_out o;

	splice_begin(&o, a, out, BASE_BYTES);
	put_base(&o, MSG_TIME_TICK, 0, ts, -1);
	splice_end(&o);
}

void translate_drop(int type, const struct translate *t, const char *partition, uint64_t ts,
	struct arena *a, struct iov *out)
{
	struct splice_out o;
	bool whole = type == MSG_DROP_COLLECTION;

	assert(whole || type == MSG_DROP_PARTITION);
	splice_begin(&o, a, out, FEW_BYTES);
	put_base(&o, type, t->msg_id, ts, 0);
	put_str(&o, 2, slice_str(t->db));
	put_str(&o, 3, slice_str(t->collection));
	if (!whole)
		put_str(&o, 4, slice_str(partition));
	splice_put_u64(&o, whole ? 5 : 6, (uint64_t)t->collection_id);
	if (!whole)
		splice_put_u64(&o, 7, (uint64_t)t->partition_id);
	splice_end(&o);
}

/* The primary keys of an insert: an array message that FieldData and IDs share. */
struct keys {
	struct slice array; /* schema.LongArray or StringArray */
	uint64_t count;
	bool found;
};

/* The content of the one field num of raw; false if raw is unreadable or has it twice. */
static bool only_field(struct slice raw, uint32_t num, struct slice *ret_data, bool *ret_found)
{
	struct wire w = wire_open(raw);
	struct wire_field f;
	unsigned seen = 0;

	while (wire_next(&w, &f)) {
		if (f.num != num)
			continue;
		if (f.type != WIRE_LEN)
			return false;
		*ret_data = f.data;
		seen++;
	}
	*ret_found = seen > 0;
	return !w.bad && seen < 2;
}

static bool field_has_id(struct slice field_data, int64_t id)
{
	struct wire w = wire_open(field_data);
	struct wire_field f;
	int64_t found = 0;

	while (wire_next(&w, &f))
		if (f.num == FD_FIELD_ID && f.type == WIRE_VARINT)
			found = (int64_t)f.value;
	return !w.bad && found == id;
}

/* A packed run is counted by its last bytes of numbers, those below 0x80. */
static bool count_keys(struct keys *k, bool varchar)
{
	struct wire w = wire_open(k->array);
	struct wire_field f;

	while (wire_next(&w, &f)) {
		if (f.num != ARRAY_DATA)
			continue;
		if (f.type != WIRE_LEN) {
			if (varchar || f.type != WIRE_VARINT)
				return false;
			k->count++;
		} else if (varchar) {
			k->count++;
		} else {
			uint64_t v;
			struct wire packed = wire_open(f.data);
			while (wire_varint(&packed, &v))
				k->count++;
			if (packed.bad)
				return false;
		}
	}
	return !w.bad;
}

static bool read_keys(struct keys *k, struct slice field_data, bool varchar)
{
	struct slice scalars = {0};
	bool found;

	if (k->found || !only_field(field_data, FD_SCALARS, &scalars, &found) || !found)
		return false;
	if (!only_field(scalars, varchar ? SC_STRING : SC_LONG, &k->array, &k->found) || !k->found)
		return false;
	return count_keys(k, varchar);
}

/* Finds the key column of a column-based insert. */
static enum err_code find_keys(
	struct keys *k, const struct dml *d, int64_t pk_field_id, bool varchar, struct err *e)
{
	struct wire w = wire_open(d->payload);
	struct wire_field f;
	uint64_t version = 0;

	*k = (struct keys){0};
	while (wire_next(&w, &f)) {
		if (f.num == I_VERSION)
			version = f.value;
		else if (f.num == I_FIELDS && field_has_id(f.data, pk_field_id) &&
			 !read_keys(k, f.data, varchar))
			return err_set(
				e, ERR_MALFORMED, "the key column of an Insert can't be read");
	}
	if (w.bad)
		return err_set(
			e, ERR_MALFORMED, "an Insert of %zu bytes can't be read", d->payload.n);
	if (version != VERSION_COLUMNS || !k->found)
		return err_set(e, ERR_UNSUPPORTED,
			"an Insert has no column of its primary key (field %lld, version %llu)",
			(long long)pk_field_id, (unsigned long long)version);
	/* The target trusts that keys and times are equally many. */
	if (k->count != d->rows)
		return err_set(e, ERR_MALFORMED, "an Insert has %llu keys for %llu rows",
			(unsigned long long)k->count, (unsigned long long)d->rows);
	return ERR_OK;
}

enum err_code translate_replay_delete(const struct translate *t, const struct dml *d,
	int64_t pk_field_id, bool pk_is_varchar, uint64_t ts, struct arena *a, struct iov *out,
	struct err *e)
{
	struct splice_out o;
	struct keys k;

	assert(d->type == MSG_INSERT && t->shard);
	if (find_keys(&k, d, pk_field_id, pk_is_varchar, e))
		return e->code;
	if (!k.count || k.count > LIMIT_MESSAGE / VARINT_BYTES)
		return err_set(e, ERR_UNSUPPORTED, "an Insert of %llu rows can't be replayed",
			(unsigned long long)k.count);
	struct slice times = translate_repeat_time(ts, d->rows, a);
	uint32_t ids = pk_is_varchar ? IDS_STRING : IDS_LONG;
	splice_begin(&o, a, out, FEW_BYTES);
	put_base(&o, MSG_DELETE, t->msg_id, ts, 0);
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
