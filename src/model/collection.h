/* What the source says of its databases, collections and partitions: immutable snapshots shared by
 * reference count. Bytes of messages we don't need to understand stay as they are. */
#pragma once

#include "base/bytes.h"
#include "base/defs.h"
#include "model/position.h"

enum { COLLECTION_SHARDS_MAX = 256 };

/* Numbers of etcd's CollectionState and PartitionState; GONE is ours: tombstone or deleted key. */
enum object_state {
	OBJECT_CREATED = 0,
	OBJECT_CREATING = 1,
	OBJECT_DROPPING = 2,
	OBJECT_DROPPED = 3,
	OBJECT_GONE = 4
};

struct shard {
	char *vchannel;
	char *pchannel;
	struct mq_id start; /* id of the CreateCollection message on pchannel; n 0 if unknown */
};

struct database {
	int64_t id;
	char *name;
	/* field 5; nanoseconds of a TSO for the default database: a hint only */
	uint64_t create_ts;
	struct slice properties; /* raw repeated KeyValuePair fields, tag 3 as CreateDatabaseRequest
	                          * wants them, owned */
	enum object_state state;
};

struct partition {
	int64_t id;
	int64_t collection_id;
	char *name;
	uint64_t create_ts;
	enum object_state state;
};

/* One collection as of one etcd revision. schema is a whole schema.CollectionSchema made of the
 * stored schema's bytes and the stored field and function values: user fields (id >= 100) but the
 * dynamic one ($meta), unknown fields included. */
struct collection {
	int ref; /* collection_ref/unref, atomic */
	int64_t id;
	int64_t db_id;
	char *name;
	uint64_t create_ts;
	enum object_state state;
	int shards_num;
	struct shard *shards; /* shards_num of them, in shard order */
	int consistency_level;
	struct slice schema; /* owned */
	struct slice
		properties; /* raw repeated KeyValuePair fields, tag 7 as CreateCollectionRequest
	                          * wants them, owned */
	int64_t pk_field_id;
	bool pk_is_varchar;
	bool has_partition_key;
	int64_t revision; /* etcd mod revision of the collection key */
};

struct collection *collection_ref(struct collection *c);
/* Frees at the last one; NULL is fine; returns NULL. */
struct collection *collection_unref(struct collection *c);
