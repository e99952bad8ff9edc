/* What the tests against a real Milvus share: the connection (address in CDC_TEST_MILVUS), a small
 * schema, and ticks. A test without the address is skipped. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "base/iov.h"
#include "base/str.h"
#include "base/wire.h"
#include "client/milvus/milvus.h"
#include "pipeline/translate.h"

enum { REAL_MAX_BYTES = 1 << 20, REAL_DIM = 4, REAL_WAIT_MS = 100000 };

struct real {
	struct grpc *grpc;
	struct milvus *m;
	struct stop stop;
	struct err e;
	char name[64]; /* a collection name nobody else has */
	struct arena arena;
	struct iov out;
};

/* NULL when there is no server to test with. */
static inline struct real *real_open(void)
{
	const char *uri = getenv("CDC_TEST_MILVUS");
	const char *token = getenv("CDC_TEST_MILVUS_TOKEN");
	char id[33];

	if (!uri)
		return NULL;
	struct real *r = xcalloc(1, sizeof(*r));
	struct milvus_opts o = {.uri = uri, .token = token ? token : ""};
	struct milvus_info info;
	stop_init(&r->stop, NULL);
	str_random_id(id);
	snprintf(r->name, sizeof(r->name), "real_%s", id);
	if (grpc_new(&r->grpc, &r->e) || milvus_open(r->grpc, &o, &r->m, &r->e) ||
		milvus_connect(r->m, &r->stop, &info, &r->e)) {
		fprintf(stderr, "%s: %s\n", uri, r->e.text);
		abort();
	}
	return r;
}

static inline void real_close(struct real *r)
{
	if (!r)
		return;
	milvus_close(r->m);
	grpc_free(r->grpc);
	stop_done(&r->stop);
	iov_done(&r->out);
	arena_done(&r->arena);
	free(r);
}

static inline void real_field(struct buf *schema, int64_t id, const char *name, int type,
	const char *param, const char *value)
{
	CLEANUP(buf_done)
	struct buf field = BUF_INIT(1024), pair = BUF_INIT(256);

	wire_put_i64(&field, 1, id);
	wire_put_str(&field, 2, name);
	if (id == 100)
		wire_put_u64(&field, 3, 1);
	wire_put_i64(&field, 5, type);
	if (param) {
		wire_put_str(&pair, 1, param);
		wire_put_str(&pair, 2, value);
		wire_put_bytes(&field, 6, buf_slice(&pair));
	}
	wire_put_bytes(schema, 4, buf_slice(&field));
}

/* {100 key: int64 or varchar, 101 v: float vector} with a field no server knows. */
static inline void real_schema(struct buf *schema, bool varchar)
{
	wire_put_str(schema, 1, "name_at_the_source");
	real_field(schema, 100, "key", varchar ? 21 : 5, varchar ? "max_length" : NULL, "64");
	real_field(schema, 101, "v", 101, "dim", "4");
	wire_put_str(schema, 900, "from a newer source");
}

/* One ReplicateMessage of msgs to a channel. */
static inline enum err_code real_send(struct real *r, const char *channel, const struct iov *msgs,
	size_t n, uint64_t begin, uint64_t end)
{
	struct replicate_request q = {
		.channel = channel, .begin_ts = begin, .end_ts = end, .msgs = msgs, .n_msgs = n};
	uint8_t id[64];
	size_t id_n;

	err_clear(&r->e);
	iov_reset(&r->out);
	translate_request(&q, &r->arena, &r->out);
	return milvus_replicate(
		r->m, r->out.v, r->out.n, 0, &r->stop, id, sizeof(id), &id_n, &r->e);
}

static inline enum err_code real_tick(struct real *r, const char *channel, uint64_t ts)
{
	struct iov tick = {0};

	translate_tick(ts, NULL, &r->arena, &tick);
	enum err_code code = real_send(r, channel, &tick, 1, ts, ts);
	iov_done(&tick);
	return code;
}

static inline uint64_t real_clock(struct real *r)
{
	uint64_t ts = 0;
	return milvus_clock(r->m, &r->stop, &ts, &r->e) ? 0 : ts;
}
