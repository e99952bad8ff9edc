#include "server/config/config_table.h"

#define AT(member) offsetof(struct config, member)
#define TEXT(p, a, member, fl, d, s, text)                                                         \
	{                                                                                          \
		.path = p, .alias = a, .type = CONFIG_STRING, .flags = fl, .offset = AT(member),   \
		.def = d, .sample = s, .doc = text                                                 \
	}
#define FLAG(p, member, d, text)                                                                   \
	{                                                                                          \
		.path = p, .type = CONFIG_BOOL, .offset = AT(member), .def = d, .doc = text        \
	}
#define NUMBER(p, member, fl, d, lo, hi, sc, text)                                                 \
	{                                                                                          \
		.path = p, .type = CONFIG_INT, .flags = fl, .offset = AT(member), .def = d,        \
		.min = lo, .max = hi, .scale = sc, .doc = text                                     \
	}
#define NOTHING(p, text)                                                                           \
	{                                                                                          \
		.path = p, .type = CONFIG_NOTHING, .def = "", .doc = text                          \
	}
#define ETCD_LIST(p, a, etcd, fl, d, s, text)                                                      \
	{                                                                                          \
		.path = p, .alias = a, .type = CONFIG_LIST, .flags = fl,                           \
		.offset = AT(etcd.endpoints), .count_offset = AT(etcd.n_endpoints), .def = d,      \
		.sample = s, .doc = text                                                           \
	}

/* Authentication and TLS of an etcd block; the same for both. */
#define ETCD_ACCESS(p, etcd)                                                                       \
	FLAG(p ".enableAuth", etcd.enable_auth, "false", "etcd asks for a user and a password"),   \
		TEXT(p ".username", NULL, etcd.username, 0, "", "root", "etcd user"),              \
		TEXT(p ".password", NULL, etcd.password, CONFIG_SECRET, "", "secret",              \
			"password of the user"),                                                   \
		FLAG(p ".enableTLS", etcd.enable_tls, "false", "speak TLS to etcd"),               \
		TEXT(p ".tlsCertPath", NULL, etcd.tls_cert_path, CONFIG_FILE, "",                  \
			"/certs/client.pem",                                                       \
			"our certificate (PEM) for mutual TLS; needs `tlsKeyPath`"),               \
		TEXT(p ".tlsKeyPath", NULL, etcd.tls_key_path, CONFIG_FILE, "",                    \
			"/certs/client.key", "key of our certificate (PEM)"),                      \
		TEXT(p ".tlsCACertPath", NULL, etcd.tls_ca_path, CONFIG_FILE, "", "/certs/ca.pem", \
			"certificates (PEM) that etcd's must be signed by; empty: those of the "   \
			"system"),                                                                 \
		TEXT(p ".tlsMinVersion", NULL, etcd.tls_min_version, 0, "1.2", NULL,               \
			"lowest TLS version: 1.0, 1.1, 1.2 or 1.3")

#define SRC "sourceConfig."
#define META "metaStoreConfig."

const struct config_row config_rows[] = {
	TEXT("address", NULL, address, CONFIG_ACTIVE, "0.0.0.0:8444", NULL,
		"where the HTTP API listens, `host:port`; see `api` for who may use it"),
	TEXT("api.writeToken", NULL, api_write_token, CONFIG_SECRET, "",
		"a-long-random-text-of-yours",
		"requests need it (`Authorization: Bearer TOKEN`, or as a password); at least 16 "
		"characters. Empty: everybody who reaches the port may do everything"),
	TEXT("api.readToken", NULL, api_read_token, CONFIG_SECRET, "", "another-long-random-text",
		"a second token that may only look: get, list, position, metrics, status page; "
		"needs `api.writeToken`"),
	TEXT("api.tlsCertPath", NULL, api_tls_cert, CONFIG_FILE, "", "/certs/server.pem",
		"certificate (PEM, with its chain) of the API, which then speaks TLS; needs "
		"`api.tlsKeyPath`"),
	TEXT("api.tlsKeyPath", NULL, api_tls_key, CONFIG_FILE, "", "/certs/server.key",
		"key of the certificate (PEM)"),
	TEXT("api.tlsClientCAPath", NULL, api_tls_client_ca, CONFIG_FILE, "", "/certs/ca.pem",
		"clients need a certificate signed by one of these (PEM)"),
	NUMBER("api.rateLimit", api_rate_limit, 0, "200", 0, 1000000, 1,
		"requests a second of one client address, twice as many at once; more are "
		"answered with 429. 0: no limit"),
	NUMBER("maxTaskNum", max_task_num, CONFIG_ACTIVE | CONFIG_ZERO_DEF, "100", 1, 100000, 1,
		"most tasks; 0 is read as the default"),
	NUMBER("maxNameLength", max_name_length, CONFIG_ACTIVE | CONFIG_ZERO_DEF, "256", 1, 65535,
		1, "longest database or collection name in bytes; 0 is read as the default"),
	{.path = "logLevel",
		.type = CONFIG_LEVEL,
		.flags = CONFIG_ACTIVE,
		.offset = AT(log_level),
		.def = "info",
		.doc = "debug, info, warn, error, dpanic, panic or fatal"},
	TEXT("logFile", NULL, log_file, 0, "", "/var/log/milvus-cdc.log",
		"a file that gets the log besides standard error"),
	{.path = "detectDeadLock",
		.type = CONFIG_BOOL,
		.flags = CONFIG_NO_EFFECT,
		.offset = AT(detect_dead_lock),
		.def = "false",
		.doc = "accepted, without effect: locks are checked when the server is built"},
	FLAG("dryRun", dry_run, "false",
		"read everything and log what would be written; nothing is written to targets, no "
		"position is stored. Tasks themselves are"),
	{.path = "batchMode",
		.type = CONFIG_BOOL,
		.flags = CONFIG_NO_EFFECT,
		.offset = AT(batch_mode),
		.def = "true",
		.doc = "accepted, without effect: calls are merged whenever the target is slower"},
	TEXT("replicateID", NULL, replicate_id, 0, "", NULL,
		"data migration mode: the target takes what carries this id and stays a normal "
		"Milvus otherwise; needs 2.5 with common.collectionReplicateEnable and "
		"ttMsgEnabled true"),
	NUMBER("memoryBudget", memory_budget_bytes, 0, "128", 16, 1 << 20, 1 << 20,
		"MiB of messages held between broker and acknowledgement"),
	NUMBER("checkpointInterval", checkpoint_interval_ms, 0, "1000", 50, 60000, 1,
		"ms between two writes of positions"),
	NUMBER("keepaliveTick", keepalive_tick_ms, 0, "2000", 0, 10000, 1,
		"ms after which a target channel whose sources stand still, or whose tasks are "
		"paused, gets a tick, so that the target goes on answering; 0: never"),
	NUMBER("lateBound", late_bound_ms, 0, "1000", 100, 60000, 1,
		"ms that one lagging collection may hold its channel back"),

	NUMBER("verify.interval", verify_interval_ms, 0, "0", 0, 31536000, 1000,
		"seconds from the end of one rolling check of all tasks (verify.md) to the next; "
		"0: none. Needs `sourceConfig.milvus.uri`"),
	NUMBER("verify.rowsPerSecond", verify_rows_per_second, 0, "1000", 1, 10000000, 1,
		"rows that the rolling check compares in a second"),

	{.path = META "storeType",
		.type = CONFIG_STORE,
		.flags = CONFIG_ACTIVE,
		.offset = AT(store_kind),
		.def = "sqlite",
		.doc = "where tasks and positions are kept: sqlite (a file), etcd or mysql"},
	TEXT(META "sqlitePath", NULL, sqlite_path, 0, "milvus-cdc.db", NULL,
		"file of the sqlite store; a relative path starts at the folder of this file, or "
		"at "
		"/var/lib/milvus-cdc if this file is /etc/milvus-cdc/cdc.yaml"),
	ETCD_LIST(META "etcd.address", META "etcdEndpoints", store_etcd, 0, "", "127.0.0.1:2379",
		"members of the etcd store"),
	TEXT(META "etcd.rootPath", NULL, store_etcd.root_path, 0, "", "",
		"read for compatibility; `metaStoreConfig.rootPath` is the prefix"),
	TEXT(META "etcd.metaSubPath", NULL, store_etcd.meta_sub_path, 0, "", "",
		"read for compatibility"),
	ETCD_ACCESS(META "etcd", store_etcd),
	TEXT(META "mysqlSourceUrl", NULL, mysql_url, CONFIG_SECRET, "",
		"user:password@tcp(127.0.0.1:3306)/milvuscdc",
		"the database of the mysql store as Go's MySQL driver writes it: "
		"`user:password@tcp(host:port)/database?timeout=5s&tls=true`, or "
		"`unix(/path)` for tcp; `tls` is false, true, skip-verify or preferred"),
	TEXT(META "rootPath", NULL, store_root_path, CONFIG_ACTIVE, "", "cdc",
		"prefix of our keys; services that share a store use different ones"),
	TEXT(META "encryptionKeyFile", NULL, store_key_file, CONFIG_FILE, "", "/certs/store.keys",
		"keys that encrypt the credentials in task records, one a line (`openssl rand "
		"-base64 32`); the first encrypts, all decrypt. Empty: they are stored as they "
		"are"),

	ETCD_LIST(SRC "etcd.address", SRC "etcdAddress", source_etcd, CONFIG_ACTIVE,
		"127.0.0.1:2379", NULL, "members of the source Milvus' etcd"),
	TEXT(SRC "etcd.rootPath", SRC "etcdRootPath", source_etcd.root_path, CONFIG_ACTIVE,
		"by-dev", NULL,
		"the source's `etcd.rootPath`; helm, compose: by-dev; operator: the release name"),
	TEXT(SRC "etcd.metaSubPath", SRC "etcdMetaSubPath", source_etcd.meta_sub_path,
		CONFIG_ACTIVE, "meta", NULL, "the source's `etcd.metaSubPath`"),
	ETCD_ACCESS(SRC "etcd", source_etcd),
	NUMBER(SRC "readChanLen", read_chan_len, CONFIG_NO_EFFECT, "10", 0, 1 << 20, 1,
		"accepted, without effect: what is read ahead is bounded in bytes "
		"(`memoryBudget`)"),
	NUMBER(SRC "channelNum", channel_num, CONFIG_NO_EFFECT, "0", 0, 65536, 1,
		"accepted, without effect: channels are paired by collection and shard"),
	NUMBER(SRC "timeTickInterval", tick_interval_ms, CONFIG_ZERO_DEF | CONFIG_NO_EFFECT, "500",
		10, 60000, 1, "accepted, without effect: every tick of the source is sent on"),
	TEXT(SRC "defaultPartitionName", NULL, default_partition, 0, "_default", NULL,
		"name of the partition that every collection is born with"),
	TEXT(SRC "replicateChan", NULL, replicate_channel, CONFIG_ACTIVE, "",
		"by-dev-replicate-msg",
		"topic of the source's operations: "
		"`<chanNamePrefix.cluster>-<chanNamePrefix.replicateMsg>`"),
	TEXT(SRC "pulsar.address", NULL, pulsar_address, 0, "", "pulsar://127.0.0.1:6650",
		"service url of the source's Pulsar: `pulsar://` or `pulsar+ssl://`, `host:port`, "
		"commas between several; if kafka is given as well, this one is read"),
	NOTHING(SRC "pulsar.webAddress", "all that is needed comes over the service url"),
	NOTHING(SRC "pulsar.webPort", "as above"),
	NUMBER(SRC "pulsar.maxMessageSize", pulsar_max_message_size, CONFIG_ZERO_DEF, "5242880",
		1024, 1 << 30, 1,
		"biggest entry in bytes; a broker that tells its own, as all since 2.4 do, is "
		"believed if that is more"),
	TEXT(SRC "pulsar.tenant", NULL, pulsar_tenant, 0, "public", NULL, "tenant of the topics"),
	TEXT(SRC "pulsar.namespace", NULL, pulsar_namespace, 0, "default", NULL,
		"namespace of the topics"),
	TEXT(SRC "pulsar.authPlugin", NULL, pulsar_auth_plugin, 0, "",
		"org.apache.pulsar.client.impl.auth.AuthenticationToken",
		"empty, that class, or org.apache.pulsar.client.impl.auth.AuthenticationTls"),
	TEXT(SRC "pulsar.authParams", NULL, pulsar_auth_params, CONFIG_SECRET, "", "token:secret",
		"token:..., {\"token\":\"...\"} or file:///path, which is read at every connect; "
		"for "
		"TLS tlsCertFile:...,tlsKeyFile:..."),
	TEXT(SRC "pulsar.tlsTrustCertsFilePath", NULL, pulsar_ca_path, CONFIG_FILE, "",
		"/certs/ca.pem",
		"certificates (PEM) that the brokers' must be signed by; empty: those of the "
		"system"),
	FLAG(SRC "pulsar.tlsHostnameVerification", pulsar_verify_host, "true",
		"the brokers' certificates must name their hosts"),
	TEXT(SRC "kafka.address", NULL, kafka_address, CONFIG_ACTIVE, "", "127.0.0.1:9092",
		"brokers of the source, `host:port`, commas between them"),
	TEXT(SRC "kafka.saslUsername", NULL, kafka_sasl_username, 0, "", "user", "SASL user"),
	TEXT(SRC "kafka.saslPassword", NULL, kafka_sasl_password, CONFIG_SECRET, "", "secret",
		"SASL password"),
	TEXT(SRC "kafka.saslMechanisms", NULL, kafka_sasl_mechanisms, 0, "", "PLAIN",
		"PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, GSSAPI or OAUTHBEARER"),
	TEXT(SRC "kafka.securityProtocol", NULL, kafka_security_protocol, 0, "", "SASL_PLAINTEXT",
		"PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"),
	{.path = SRC "kafka.consumer",
		.type = CONFIG_PAIRS,
		.flags = CONFIG_SECRET,
		.offset = AT(kafka_extra),
		.def = "",
		.sample = "{fetch.wait.max.ms: 10}",
		.doc = "more settings of librdkafka's consumer, a map"},
	NOTHING(SRC "kafka.producer", "nothing is written to the source's queue"),
	TEXT(SRC "milvus.uri", NULL, source_milvus.uri, 0, "", "http://127.0.0.1:19530",
		"address of the source Milvus itself, `http(s)://host:port`; only verify asks it"),
	TEXT(SRC "milvus.token", NULL, source_milvus.token, CONFIG_SECRET, "", "user:password",
		"`user:password` or API key, if the source checks who asks"),
	TEXT(SRC "milvus.tlsServerName", NULL, source_milvus.tls_server_name, 0, "",
		"milvus.example.com", "name in the source's certificate, if it is not the host's"),
	TEXT(SRC "milvus.tlsCACertPath", NULL, source_milvus.tls_ca_path, CONFIG_FILE, "",
		"/certs/ca.pem", "certificates (PEM) that the source's must be signed by"),
	TEXT(SRC "milvus.tlsCertPath", NULL, source_milvus.tls_cert_path, CONFIG_FILE, "",
		"/certs/client.pem",
		"our certificate (PEM) for mutual TLS; needs `tlsKeyPath` and `tlsCACertPath`"),
	TEXT(SRC "milvus.tlsKeyPath", NULL, source_milvus.tls_key_path, CONFIG_FILE, "",
		"/certs/client.key", "key of our certificate (PEM)"),

	NOTHING("retry.retryTimes", "what may pass is retried for ever"),
	NUMBER("retry.initBackOff", retry_first_ms, 0, "0", 0, 3600, 1000,
		"seconds before the first repetition of a call to the target; 0: 0.2 s"),
	NUMBER("retry.maxBackOff", retry_most_ms, 0, "0", 0, 3600, 1000,
		"seconds between repetitions at most; 0: 5 s for rows, 10 s for the rest. If one "
		"of "
		"the three is written as 0, all are"),
	NOTHING("packer.timerInterval", "nothing waits for a batch to fill"),
	NOTHING("packer.maxCount", "nothing waits for a batch to fill"),
	NUMBER("packer.maxMsgSize", packer_max_bytes, CONFIG_ZERO_DEF, "524288", 1, INT32_MAX, 1024,
		"KiB that one call to the target holds at most; 64 to 16384 are in force, whatever "
		"is written. A larger message goes alone"),
	NOTHING("packer.memoryLimit", "see `memoryBudget`"),
	NOTHING("enableReverse", "replication back is a second service"),
	NOTHING("reverseMilvus", "replication back is a second service"),
	NOTHING("currentMilvus", "replication back is a second service"),
};
const size_t config_rows_count = ARRAY_LEN(config_rows);
