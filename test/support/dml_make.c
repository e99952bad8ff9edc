#include "support/dml_make.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/wire.h"

static int alive;

static void put_base(struct buf *b, int type, int64_t msg_id, uint64_t ts)
{
	struct buf base = BUF_INIT(256);
	wire_put_u64(&base, 1, (uint64_t)type);
	if (msg_id)
		wire_put_i64(&base, 2, msg_id);
	wire_put_u64(&base, 3, ts);
	wire_put_u64(&base, 4, 1);
	wire_put_bytes(b, 1, buf_slice(&base));
	buf_done(&base);
}

/* schema.FieldData{type Int64, name, scalars{long_data{packed}}, field_id} of the primary key. */
static void put_keys(struct buf *b, int64_t first, size_t n)
{
	struct buf data = BUF_INIT(1 << 20), longs = BUF_INIT(1 << 20), scalars = BUF_INIT(1 << 20);
	struct buf field = BUF_INIT(1 << 20);

	for (size_t i = 0; i < n; i++)
		wire_put_varint(&data, (uint64_t)first + i);
	wire_put_bytes(&longs, 1, buf_slice(&data));
	wire_put_bytes(&scalars, 3, buf_slice(&longs));
	wire_put_u64(&field, 1, 5);
	wire_put_str(&field, 2, "pk");
	wire_put_bytes(&field, 3, buf_slice(&scalars));
	wire_put_u64(&field, 5, DML_MAKE_KEY_FIELD);
	wire_put_bytes(b, 13, buf_slice(&field));
	wire_put_u64(b, 15, 1); /* column based */
	buf_done(&data);
	buf_done(&longs);
	buf_done(&scalars);
	buf_done(&field);
}

/* num_rows and primary_keys{int_id{packed}} of a delete. */
static void put_ids(struct buf *b, int64_t first, size_t n)
{
	struct buf data = BUF_INIT(1 << 20), longs = BUF_INIT(1 << 20), ids = BUF_INIT(1 << 20);

	for (size_t i = 0; i < n; i++)
		wire_put_varint(&data, (uint64_t)first + i);
	wire_put_bytes(&longs, 1, buf_slice(&data));
	wire_put_bytes(&ids, 1, buf_slice(&longs));
	wire_put_i64(b, 11, (int64_t)n);
	wire_put_bytes(b, 12, buf_slice(&ids));
	buf_done(&data);
	buf_done(&longs);
	buf_done(&ids);
}

void dml_make_rows(struct buf *b, int type, int64_t msg_id, const char *shard, int64_t collection,
	int64_t partition, const uint64_t *ts, size_t n_ts, int64_t first_key)
{
	struct buf times = BUF_INIT(1 << 20);

	put_base(b, type, msg_id, n_ts ? ts[0] : 0);
	wire_put_str(b, 2, shard);
	wire_put_str(b, 4, "c");
	wire_put_str_opt(b, 5, partition == -1 ? "" : "_default");
	wire_put_i64(b, 7, collection);
	wire_put_i64(b, 8, partition);
	for (size_t i = 0; i < n_ts; i++)
		wire_put_varint(&times, ts[i]);
	wire_put_bytes(b, 10, buf_slice(&times));
	buf_done(&times);
	if (type == 400) {
		put_keys(b, first_key, n_ts);
		wire_put_i64(b, 14, (int64_t)n_ts);
	} else {
		put_ids(b, first_key, n_ts);
	}
}

void dml_make_drop(struct buf *b, int type, uint64_t ts, int64_t collection, int64_t partition)
{
	put_base(b, type, 0, ts);
	wire_put_str(b, 3, "c");
	if (type == 201)
		wire_put_str(b, 4, "p");
	wire_put_i64(b, type == 201 ? 6 : 5, collection);
	if (type == 201)
		wire_put_i64(b, 7, partition);
}

static void release(struct pack *pk)
{
	for (struct pack_msg *m = pk->msgs, *next; m; m = next) {
		next = m->next;
		free((void *)(uintptr_t)m->dml.payload.p);
		free(m);
		__atomic_sub_fetch(&alive, 1, __ATOMIC_RELAXED);
	}
	free(pk);
}

struct pack *dml_pack_new(uint64_t begin_ts, uint64_t end_ts, uint8_t id)
{
	struct pack *pk = xcalloc(1, sizeof(*pk));
	list_init(&pk->link);
	pk->begin_ts = begin_ts;
	pk->end_ts = end_ts;
	pk->end.ts = end_ts;
	pk->end.id = (struct mq_id){.n = 1, .b = {id}};
	pk->release = release;
	return pk;
}

void dml_pack_add(struct pack *pk, void *user, struct slice payload)
{
	struct pack_msg *m = xcalloc(1, sizeof(*m)), **at = &pk->msgs;
	struct err e = ERR_INIT;

	if (dml_read(&m->dml, slice_of(xmemdup(payload.p, payload.n), payload.n), &e))
		abort();
	__atomic_add_fetch(&alive, 1, __ATOMIC_RELAXED);
	m->user = user;
	m->cost_bytes = payload.n;
	while (*at)
		at = &(*at)->next;
	*at = m;
	pk->n_msgs++;
	pk->cost_bytes += payload.n;
}

int dml_msgs_alive(void)
{
	return __atomic_load_n(&alive, __ATOMIC_RELAXED);
}
