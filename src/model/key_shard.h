/* Which shard of a collection a primary key belongs to, as Milvus' proxy chooses it: a row anywhere else
 * is not found by later deletes. @thread any */
#pragma once

#include "base/bytes.h"
#include "base/defs.h"

/* shards > 0. The number of the shard, as in the ending of its vchannel. */
uint32_t key_shard_number(int64_t key, uint32_t shards);
uint32_t key_shard_text(struct slice key, uint32_t shards);
