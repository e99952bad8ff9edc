/* Makes messages of DML topics as a Milvus source writes them, for unit tests. */
#pragma once

#include "base/buf.h"
#include "model/pack.h"

enum { DML_MAKE_KEY_FIELD = 100 };

/* An InsertRequest or DeleteRequest with rows of the given times; int64 keys count up from
 * first_key. */
void dml_make_rows(struct buf *b, int type, int64_t msg_id, const char *shard, int64_t collection,
	int64_t partition, const uint64_t *ts, size_t n_ts, int64_t first_key);
/* A DropCollection or DropPartition message. */
void dml_make_drop(struct buf *b, int type, uint64_t ts, int64_t collection, int64_t partition);

/* A pack owned by the test: dml_pack_add copies payloads into it, release frees it. */
struct pack *dml_pack_new(uint64_t begin_ts, uint64_t end_ts, uint8_t id);
void dml_pack_add(struct pack *pk, void *user, struct slice payload);
/* Messages in packs that are not released yet. */
int dml_msgs_alive(void);
