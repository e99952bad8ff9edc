#include "support/catalog_values.h"

#include <stdio.h>

#include "base/wire.h"

void cv_collection(struct buf *b, const struct cv_collection *c)
{
	CLEANUP(buf_done) struct buf schema = BUF_INIT(1024);
	char text[128];

	wire_put_i64(b, 1, c->id);
	wire_put_str(&schema, 1, c->name);
	wire_put_bytes(b, 2, buf_slice(&schema));
	wire_put_u64(b, 3, c->create_ts);
	int shards = c->shards ? c->shards : 1;
	for (int i = 0; i < shards; i++) {
		snprintf(text, sizeof(text), "by-dev-rootcoord-dml_%d_%lldv%d", i, (long long)c->id,
			i);
		wire_put_str(b, 7, text);
	}
	for (int i = 0; i < shards; i++) {
		snprintf(text, sizeof(text), "by-dev-rootcoord-dml_%d", i);
		wire_put_str(b, 8, text);
	}
	wire_put_i64(b, 10, shards);
	wire_put_u64(b, 12, 2);
	if (c->state)
		wire_put_i64(b, 13, c->state);
}

void cv_field(struct buf *b, int64_t id, const char *name)
{
	enum { INT64 = 5, FLOAT_VECTOR = 101 };

	wire_put_i64(b, 1, id);
	wire_put_str(b, 2, name);
	if (id == 100)
		wire_put_u64(b, 3, 1);
	wire_put_u64(b, 5, id <= 100 ? INT64 : FLOAT_VECTOR);
}

void cv_partition(struct buf *b, int64_t collection_id, int64_t id, const char *name, int state)
{
	wire_put_i64(b, 1, id);
	wire_put_str(b, 2, name);
	wire_put_i64(b, 4, collection_id);
	if (state)
		wire_put_i64(b, 5, state);
}

void cv_database(struct buf *b, int64_t id, const char *name, int state)
{
	wire_put_str(b, 2, name);
	wire_put_i64(b, 3, id);
	wire_put_i64(b, 4, state);
}
