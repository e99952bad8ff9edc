/* etcd's keys and values of the source's catalog to model/collection.h; no I/O.
 * For this folder and its tests. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "model/collection.h"

enum catalog_key_kind {
	CATALOG_KEY_OTHER, /* not ours: users, ... */
	CATALOG_KEY_DATABASE,
	CATALOG_KEY_COLLECTION,
	CATALOG_KEY_FIELD,
	CATALOG_KEY_FUNCTION,
	CATALOG_KEY_STRUCT, /* a struct array field */
	CATALOG_KEY_PARTITION,
	CATALOG_KEY_ALIAS,
	CATALOG_KEY_BAD, /* below one of our prefixes, but not of its form */
};

/* parent is the database of a collection or alias, the collection of all below it. An alias has no
 * id but its name, which is the rest of the key. */
struct catalog_key {
	enum catalog_key_kind kind;
	int64_t parent, id;
};

/* Reads what stands behind "<root>/<meta>/root-coord/". */
struct catalog_key catalog_key_parse(const char *tail);

/* The three bytes that Milvus writes in place of a deletion. */
bool catalog_is_tombstone(struct slice value);

/* MALFORMED unless the value is a message with the key's id. */
NODISCARD enum err_code catalog_decode_database(
	struct slice value, int64_t id, struct database *ret_db, struct err *e);
NODISCARD enum err_code catalog_decode_partition(struct slice value, int64_t collection_id,
	int64_t id, struct partition *ret_p, struct err *e);
/* All but schema, its derived members and the revision; ret_schema points into value: the stored
 * schema message. */
NODISCARD enum err_code catalog_decode_collection(struct slice value, int64_t db_id, int64_t id,
	struct collection **ret_c, struct slice *ret_schema, struct err *e);

/* The collection an alias points to; 0 when it is being dropped. */
NODISCARD enum err_code catalog_decode_alias(
	struct slice value, int64_t *ret_collection_id, struct err *e);

struct catalog_field {
	int64_t id;
	struct slice name; /* in the value */
	int data_type;
	bool is_pk, is_partition_key, is_dynamic;
};

NODISCARD enum err_code catalog_decode_field(
	struct slice value, struct catalog_field *ret_f, struct err *e);
