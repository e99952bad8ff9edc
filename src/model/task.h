/* A task as it is stored and as the API shows it: the reference's record with its field names.
 * Strings are never NULL; everything is owned by the record. */
#pragma once

#include "base/defs.h"
#include "base/err.h"
#include "model/position.h"

enum task_state { TASK_INITIAL = 0, TASK_RUNNING = 1, TASK_PAUSED = 2 };

const char *task_state_name(enum task_state s); /* "Initial" "Running" "Paused" */

struct task_pair { /* a string map's entry */
	char *key, *value;
};

struct task_collection { /* CollectionInfo */
	char *name;
	struct task_pair *positions; /* vchannel -> base64; NULL and 0 = null */
	size_t n_positions;
	bool use_start_position;
};

struct task_db { /* an entry of db_collections */
	char *db;
	struct task_collection *collections;
	size_t n_collections;
};

struct task_mapping { /* an entry of name_mapping */
	char *source_db, *target_db;
	struct task_pair *collections;
	size_t n_collections;
};

struct task_milvus {
	char *uri, *token, *host, *username, *password;
	int64_t port, channel_num, connect_timeout;
	bool enable_tls, ignore_partition;
	char *server_name, *server_pem_path, *ca_pem_path, *client_pem_path, *client_key_path;
};

struct task_kafka {
	char *address, *topic;
	bool enable_sasl;
	char *sasl_username, *sasl_password, *sasl_mechanisms, *security_protocol;
	/* Ours: additional JSON fields */
	char *format;               /* "" and "milvus", or "debezium" */
	struct task_pair *settings; /* of librdkafka */
	size_t n_settings;
};

struct task {
	char *id;
	struct task_milvus milvus;
	struct task_kafka kafka;
	int64_t cache_period, cache_size; /* buffer_config */
	struct task_collection *collection_infos;
	size_t n_collection_infos;
	bool has_collection_infos; /* false = null */
	struct task_db *dbs;
	size_t n_dbs;
	bool has_dbs;
	struct task_mapping *mappings;
	size_t n_mappings;
	char *rpc_channel, *rpc_position;
	bool enable_user_role;
	char **excludes; /* "db.collection" */
	size_t n_excludes;
	bool disable_auto_start;
	enum task_state state;
	char *reason;
	/* Ours, additional JSON fields: what the user wants, apart from what is. */
	bool user_paused;
	bool at_least_once;   /* a window is sent again without deletes of its keys */
	bool no_keep_alive;   /* its target gets no ticks while nothing is replicated */
	char *on_unsupported; /* "hold", else skip: operations that can't be replicated */
};

struct task *task_new(void); /* all strings "" */
void task_free(struct task *t);
void task_freep(struct task **t);
struct task *task_copy(const struct task *t);

/* The target's address as one string: uri, or what host, port and enable_tls make of it; or the
 * Kafka address. Heap. */
char *task_target(const struct task *t);
/* token, or username:password ("" when both are empty). Heap. */
char *task_token(const struct task *t);

/* Do operations that can't be replicated stop those behind them, until a person decides? */
bool task_holds_operations(const struct task *t);
/* Does the task replicate collection `name` of database `db`? ret_info (may be NULL) is the
 * matching entry, borrowed. */
bool task_selects(const struct task *t, const char *db, const char *name,
	const struct task_collection **ret_info);
/* Does the task leave the collection to others? Both parts of an exclude may be "*". */
bool task_excludes(const struct task *t, const char *db, const char *name);
/* Does any entry cover the database? */
bool task_covers_db(const struct task *t, const char *db);
/* Names on the target; exact pair > database pair > identity. out have cap bytes each. ret_name may
 * be NULL for database operations, which follow database pairs only. A mapping without a source
 * database maps nothing (the reference stores such and never applies them); one without a target
 * database leads to "default". */
void task_map_name(const struct task *t, const char *db, const char *name, char *ret_db,
	char *ret_name, size_t cap);
