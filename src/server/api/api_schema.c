#include "server/api/api_schema.h"

#include "model/task.h"

#define FIELD(n, ty, st, member, text)                                                             \
	{                                                                                          \
		.name = n, .type = ty, .offset = offsetof(st, member), .doc = text                 \
	}
#define SECRET(n, st, member, text)                                                                \
	{                                                                                          \
		.name = n, .type = API_STRING, .flags = API_SECRET,                                \
		.offset = offsetof(st, member), .doc = text                                        \
	}
#define PART(n, st, member, s, text)                                                               \
	{                                                                                          \
		.name = n, .type = API_STRUCT, .offset = offsetof(st, member), .sub = s,           \
		.doc = text                                                                        \
	}
/* A part whose fields lie in the same struct. */
#define FLAT(n, s, text)                                                                           \
	{                                                                                          \
		.name = n, .type = API_STRUCT, .offset = 0, .sub = s, .doc = text                  \
	}
#define MANY(n, ty, st, member, count, s, text)                                                    \
	{                                                                                          \
		.name = n, .type = ty, .offset = offsetof(st, member),                             \
		.count_offset = offsetof(st, count), .sub = s, .doc = text                         \
	}
/* Texts that may hold passwords: no value of the wrong type is shown. */
#define SECRETS(n, st, member, count, text)                                                        \
	{                                                                                          \
		.name = n, .type = API_STRINGS, .flags = API_SECRET,                               \
		.offset = offsetof(st, member), .count_offset = offsetof(st, count), .doc = text   \
	}
#define MANY_HAS(n, ty, member, s, text)                                                           \
	{                                                                                          \
		.name = n, .type = ty, .offset = offsetof(struct task, member),                    \
		.count_offset = offsetof(struct task, n_##member),                                 \
		.has_offset = offsetof(struct task, has_##member), .sub = s, .doc = text           \
	}
#define STRUCT(fs, sz)                                                                             \
	{                                                                                          \
		.size = sz, .fields = fs, .n = ARRAY_LEN(fs)                                       \
	}

static const struct api_field dial_fields[] = {
	FIELD("server_name", API_STRING, struct task_milvus, server_name,
		"name to expect in the target's certificate"),
	FIELD("server_pem_path", API_STRING, struct task_milvus, server_pem_path,
		"one-way TLS: the target's certificate or its signer (PEM)"),
	FIELD("ca_pem_path", API_STRING, struct task_milvus, ca_pem_path,
		"mutual TLS: the signer of the target's certificate; all three files are needed"),
	FIELD("client_pem_path", API_STRING, struct task_milvus, client_pem_path,
		"mutual TLS: our certificate"),
	FIELD("client_key_path", API_STRING, struct task_milvus, client_key_path,
		"mutual TLS: our key"),
};
static const struct api_struct dial = STRUCT(dial_fields, 0);

static const struct api_field milvus_fields[] = {
	FIELD("uri", API_STRING, struct task_milvus, uri,
		"target: `http://host:port`, `https://host:port` or `host:port`"),
	SECRET("token", struct task_milvus, token, "API key or `user:password`"),
	FIELD("host", API_STRING, struct task_milvus, host, "older form of `uri`"),
	FIELD("port", API_INT, struct task_milvus, port, "older form of `uri`"),
	FIELD("enable_tls", API_BOOL, struct task_milvus, enable_tls, "older form of `https://`"),
	SECRET("username", struct task_milvus, username, "older form of `token`"),
	SECRET("password", struct task_milvus, password, "older form of `token`"),
	FLAT("dial_config", &dial, "TLS"),
	FIELD("channel_num", API_INT, struct task_milvus, channel_num,
		"number of the target's DML channels; without effect"),
	FIELD("ignore_partition", API_BOOL, struct task_milvus, ignore_partition,
		"do not create or drop partitions; rows of one the target lacks go to `_default`"),
	FIELD("connect_timeout", API_INT, struct task_milvus, connect_timeout,
		"seconds for the first connection; 0: 5"),
};
static const struct api_struct milvus = STRUCT(milvus_fields, 0);

static const struct api_field sasl_fields[] = {
	SECRET("username", struct task_kafka, sasl_username, "SASL user"),
	SECRET("password", struct task_kafka, sasl_password, "SASL password"),
	FIELD("mechanisms", API_STRING, struct task_kafka, sasl_mechanisms, "e.g. PLAIN"),
	FIELD("security_protocol", API_STRING, struct task_kafka, security_protocol,
		"e.g. SASL_SSL"),
};
static const struct api_struct sasl = STRUCT(sasl_fields, 0);

static const struct api_field kafka_fields[] = {
	FIELD("address", API_STRING, struct task_kafka, address, "brokers of a Kafka target"),
	FIELD("topic", API_STRING, struct task_kafka, topic, "topic of a Kafka target"),
	FIELD("enable_sasl", API_BOOL, struct task_kafka, enable_sasl, "use SASL"),
	FLAT("sasl", &sasl, "SASL settings"),
	FIELD("format", API_STRING, struct task_kafka, format,
		"`milvus` (default): the envelope `{\"data\",\"info\"}` with Milvus' own messages; "
		"`debezium`: one JSON event a row"),
	SECRETS("settings", struct task_kafka, settings, n_settings,
		"more settings of librdkafka's producer, e.g. `compression.type`, "
		"`ssl.ca.location`"),
};
static const struct api_struct kafka = STRUCT(kafka_fields, 0);

static const struct api_field collection_fields[] = {
	FIELD("name", API_STRING, struct task_collection, name, "collection, or `*` for all"),
	MANY("positions", API_STRINGS, struct task_collection, positions, n_positions, NULL,
		"map of vchannel to start position (base64 of a MsgPosition)"),
	FIELD("use_start_position", API_BOOL, struct task_collection, use_start_position,
		"start an existing collection where it was created, not at the latest message"),
};
static const struct api_struct collection =
	STRUCT(collection_fields, sizeof(struct task_collection));

static const struct api_field mapping_fields[] = {
	FIELD("source_db", API_STRING, struct task_mapping, source_db, "database of the source"),
	FIELD("target_db", API_STRING, struct task_mapping, target_db, "its name on the target"),
	MANY("collection_mapping", API_STRINGS, struct task_mapping, collections, n_collections,
		NULL, "map of source to target collection; empty: the whole database"),
};
static const struct api_struct mapping = STRUCT(mapping_fields, sizeof(struct task_mapping));

static const struct api_field rpc_fields[] = {
	FIELD("name", API_STRING, struct task, rpc_channel,
		"the source's replicate channel; empty or the one of the configuration"),
	FIELD("position", API_STRING, struct task, rpc_position,
		"start position (base64), used once"),
};
static const struct api_struct rpc = STRUCT(rpc_fields, 0);

static const struct api_field extra_fields[] = {
	FIELD("enable_user_role", API_BOOL, struct task, enable_user_role,
		"replicate users, roles and privileges"),
	FIELD("on_unsupported_operation", API_STRING, struct task, on_unsupported,
		"an operation that can't be replicated: `skip` (the default) lists it and goes on, "
		"`hold` "
		"waits until it is skipped by hand"),
	FIELD("at_least_once", API_BOOL, struct task, at_least_once,
		"after a crash rows are sent again without deleting copies of their keys first: "
		"for "
		"collections that hold one key several times"),
	FIELD("no_keep_alive", API_BOOL, struct task, no_keep_alive,
		"the target gets no ticks while the task is paused or its source is away: queries "
		"there wait until it goes on, and rows keep the source's times over the pause. "
		"Counts when all tasks to the target ask for it"),
};
static const struct api_struct extra = STRUCT(extra_fields, 0);

static const struct api_field buffer_fields[] = {
	FIELD("period", API_INT, struct task, cache_period, "without effect"),
	FIELD("size", API_INT, struct task, cache_size, "without effect"),
};
static const struct api_struct buffer = STRUCT(buffer_fields, 0);

static const struct api_field create_fields[] = {
	FIELD("task_id", API_STRING, struct task, id,
		"the caller's id: a second create with it changes nothing; empty: made up"),
	PART("milvus_connect_param", struct task, milvus, &milvus, "a Milvus target"),
	PART("kafka_connect_param", struct task, kafka, &kafka, "a Kafka target"),
	MANY_HAS("collection_infos", API_LIST, collection_infos, &collection,
		"what to replicate of the database `default`"),
	MANY_HAS("db_collections", API_LISTS, dbs, &collection,
		"what to replicate, by database; `*` is every database without an entry of its "
		"own"),
	FLAT("rpc_channel_info", &rpc, "where to start with operations"),
	FLAT("extra_info", &extra, "more to replicate"),
	FLAT("buffer_config", &buffer, "older setting"),
	MANY("name_mapping", API_LIST, struct task, mappings, n_mappings, &mapping,
		"other names on the target"),
	FIELD("disable_auto_start", API_BOOL, struct task, disable_auto_start,
		"do not start the task when the server starts"),
	{.name = "positions", .type = API_IGNORED, .doc = "older field"},
};
static const struct api_struct create = STRUCT(create_fields, sizeof(struct task));

static const struct api_field id_fields[] = {
	FIELD("task_id", API_STRING, struct api_args, task_id, "the task"),
};
static const struct api_struct by_id = STRUCT(id_fields, sizeof(struct api_args));

static const struct api_field delete_fields[] = {
	FIELD("task_id", API_STRING, struct api_args, task_id, "the task"),
	FIELD("ignore_not_found", API_BOOL, struct api_args, ignore_not_found,
		"an unknown task is no error"),
};
static const struct api_struct delete = STRUCT(delete_fields, sizeof(struct api_args));

static const struct api_field maintenance_fields[] = {
	FIELD("operation", API_STRING, struct api_args, operation,
		"set_log_level, set_force_log_msg, reset_log_msg, skip_operation or repair"),
	FIELD("params", API_ANY, struct api_args, params, "map, see below"),
};
static const struct api_struct maintenance = STRUCT(maintenance_fields, sizeof(struct api_args));
static const struct api_struct nothing = {.size = sizeof(struct api_args)};

const struct api_request_row api_requests[API_REQUEST_COUNT] = {
	[API_CREATE] = {"create", &create, "Makes a task and starts it.", false},
	[API_DELETE] = {"delete", &delete, "Stops a task and forgets it and its positions.", false},
	[API_PAUSE] = {"pause", &by_id, "Stops a task; it stays stopped over a restart.", false},
	[API_RESUME] = {"resume", &by_id, "Starts a stopped task where it was.", false},
	[API_GET] = {"get", &by_id, "Shows a task.", true},
	[API_POSITION] = {"position", &by_id,
		"Shows positions of a task, or of all with an empty id.", true},
	[API_LIST_TASKS] = {"list", &nothing, "Shows all tasks.", true},
	[API_MAINTENANCE] = {"maintenance", &maintenance, "Changes log levels and the message log.",
		false},
	[API_DOCTOR] = {"doctor", &create,
		"Looks at the source, the metastore, this machine and the tasks, and says what is "
		"wrong ([doctor.md](doctor.md)). Without data: all tasks; with `task_id`: that "
		"one; with "
		"the data of a create: the task that it would make.",
		false},
};
