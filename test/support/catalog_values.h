/* Values as Milvus writes them to etcd, for tests of the catalog. All append to b. */
#pragma once

#include "base/buf.h"

#define CV_TOMBSTONE slice_of("\xe2\x9b\xbc", 3)

struct cv_collection {
	int64_t id;
	const char *name;
	int state;
	uint64_t create_ts;
	int shards; /* 0 = 1 */
};

void cv_collection(struct buf *b, const struct cv_collection *c);
/* An int64 primary key if id is 100, else a float vector. */
void cv_field(struct buf *b, int64_t id, const char *name);
void cv_partition(struct buf *b, int64_t collection_id, int64_t id, const char *name, int state);
/* state as in etcd: 1 = Created */
void cv_database(struct buf *b, int64_t id, const char *name, int state);
