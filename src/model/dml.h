/* A look into a message of a DML topic without decoding it: the few top-level fields that routing
 * and ordering need. Slices point into the payload. */
#pragma once

#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"

enum msg_type {
	MSG_UNDEFINED = 0,
	MSG_CREATE_COLLECTION = 100,
	MSG_DROP_COLLECTION = 101,
	MSG_LOAD_COLLECTION = 106,
	MSG_RELEASE_COLLECTION = 107,
	MSG_CREATE_ALIAS = 108,
	MSG_DROP_ALIAS = 109,
	MSG_ALTER_ALIAS = 110,
	MSG_ALTER_COLLECTION = 111,
	MSG_RENAME_COLLECTION = 112,
	MSG_ALTER_COLLECTION_FIELD = 115,
	MSG_CREATE_PARTITION = 200,
	MSG_DROP_PARTITION = 201,
	MSG_LOAD_PARTITIONS = 205,
	MSG_RELEASE_PARTITIONS = 206,
	MSG_CREATE_INDEX = 300,
	MSG_DROP_INDEX = 302,
	MSG_ALTER_INDEX = 304,
	MSG_INSERT = 400,
	MSG_DELETE = 401,
	MSG_FLUSH = 402,
	MSG_IMPORT = 408,
	MSG_TIME_TICK = 1200,
	MSG_REPLICATE = 1212,
	MSG_CREATE_CREDENTIAL = 1500,
	MSG_DELETE_CREDENTIAL = 1502,
	MSG_UPDATE_CREDENTIAL = 1503,
	MSG_CREATE_ROLE = 1600,
	MSG_DROP_ROLE = 1601,
	MSG_OPERATE_USER_ROLE = 1602,
	MSG_OPERATE_PRIVILEGE = 1606,
	MSG_CREATE_PRIVILEGE_GROUP = 1610,
	MSG_DROP_PRIVILEGE_GROUP = 1611,
	MSG_OPERATE_PRIVILEGE_GROUP = 1613,
	MSG_OPERATE_PRIVILEGE_V2 = 1614,
	MSG_CREATE_RESOURCE_GROUP = 1700,
	MSG_DROP_RESOURCE_GROUP = 1701,
	MSG_TRANSFER_NODE = 1704,
	MSG_TRANSFER_REPLICA = 1705,
	MSG_UPDATE_RESOURCE_GROUPS = 1706,
	MSG_CREATE_DATABASE = 1801,
	MSG_DROP_DATABASE = 1802,
	MSG_ALTER_DATABASE = 1804,
	MSG_ADD_COLLECTION_FIELD = 1900,
};

/* "Insert", "Delete", ... as the proto enum spells them; NULL if unknown. */
const char *msg_type_name(int type);
/* The number for such a name, MSG_UNDEFINED if unknown. */
int msg_type_parse(struct slice name);

/* MsgBase, field 1 of every message. raw is its content. */
struct msg_base {
	struct slice raw;
	int type;
	int64_t msg_id;
	uint64_t ts;
	int64_t source_id;
	bool is_replicate;         /* written by a replicator, not by a user */
	struct slice replicate_id; /* replicateInfo.replicateID; empty = none */
	uint64_t replicate_ts;
};

struct dml {
	struct msg_base base;
	int type; /* base.type, or the header's when the message carries one */
	struct slice payload;
	struct slice shard; /* insert, delete */
	struct slice collection_name, partition_name;
	int64_t collection_id; /* 0 if the message has none */
	int64_t partition_id;
	struct slice timestamps; /* packed varints of field 10; empty if they came unpacked */
	uint64_t min_ts, max_ts; /* of the rows (insert, delete), base.ts of all others */
	uint64_t rows;           /* number of row timestamps */
	bool one_ts;             /* all rows have the same time */
};

NODISCARD enum err_code msg_base_read(struct msg_base *b, struct slice raw, struct err *e);
/* MALFORMED names what is wrong. Types without rows of their own need only field 1. */
NODISCARD enum err_code dml_read(struct dml *d, struct slice payload, struct err *e);
/* The same with the type from the message's header; MSG_UNDEFINED: the base's own. */
NODISCARD enum err_code dml_read_as(struct dml *d, struct slice payload, int type, struct err *e);
