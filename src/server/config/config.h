/* The configuration: configs/cdc.yaml, read once, checked whole, immutable afterwards. Keys, both
 * spellings and defaults: docs/config.md, which is generated from config_table.h. */
#pragma once

#include "base/buf.h"
#include "base/defs.h"
#include "base/err.h"
#include "base/log.h"

/* Where a package puts the configuration, and what a server with one from there writes. */
#define CONFIG_SYSTEM_FOLDER "/etc/milvus-cdc"
#define CONFIG_STATE_FOLDER "/var/lib/milvus-cdc"

struct config_etcd {
	char **endpoints;
	size_t n_endpoints;
	char *root_path, *meta_sub_path;
	bool enable_auth;
	char *username, *password;
	bool enable_tls;
	char *tls_cert_path, *tls_key_path, *tls_ca_path, *tls_min_version;
};

/* A Milvus to be asked by gRPC; uri "" = none. */
struct config_milvus {
	char *uri, *token, *tls_server_name, *tls_ca_path, *tls_cert_path, *tls_key_path;
};

enum config_store { CONFIG_STORE_SQLITE, CONFIG_STORE_ETCD, CONFIG_STORE_MYSQL };

struct config {
	char *path;      /* of the file */
	char *no_effect; /* settings given that change nothing, ", " between; "" = none */
	char *address;   /* HTTP listener */
	char *api_write_token, *api_read_token; /* "" = none */
	char *api_tls_cert, *api_tls_key, *api_tls_client_ca;
	int64_t api_rate_limit; /* requests a second of one client address, 0 = no limit */
	int64_t max_task_num, max_name_length;
	enum log_level log_level;
	char *log_file; /* "" = standard error only */
	bool detect_dead_lock, dry_run, batch_mode;
	char *replicate_id;
	int64_t retry_first_ms, retry_most_ms; /* 0: each place's own */
	int64_t packer_max_bytes;
	enum config_store store_kind;
	char *store_root_path;
	char *sqlite_path; /* metaStoreConfig.sqlitePath; relative: see place_sqlite */
	char *mysql_url;
	char *store_key_file; /* "" = stored credentials are not encrypted */
	struct config_etcd store_etcd;
	struct config_etcd source_etcd;
	struct config_milvus source_milvus;
	char *default_partition; /* _default */
	char *replicate_channel;
	int64_t read_chan_len, channel_num, tick_interval_ms;
	bool has_pulsar, has_kafka;
	char *pulsar_address, *pulsar_tenant, *pulsar_namespace;
	char *pulsar_auth_plugin, *pulsar_auth_params, *pulsar_ca_path;
	bool pulsar_verify_host;
	int64_t pulsar_max_message_size;
	char *kafka_address, *kafka_sasl_username, *kafka_sasl_password, *kafka_sasl_mechanisms;
	char *kafka_security_protocol;
	char **kafka_extra; /* key, value, ..., NULL: consumer map */
	/* Ours */
	int64_t memory_budget_bytes;    /* memoryBudget, MiB in the file; default 128 */
	int64_t checkpoint_interval_ms; /* checkpointInterval; default 1000 */
	int64_t keepalive_tick_ms;      /* keepaliveTick; default 2000 */
	int64_t late_bound_ms;          /* lateBound; default 1000 */
	int64_t verify_interval_ms;     /* verify.interval, s in the file; 0 = off */
	int64_t verify_rows_per_second; /* verify.rowsPerSecond */
};

/* Reads and checks path. ALL problems are appended to problems, one line each: file:line, the
 * setting's path, its value, what is wrong and how to mend it; warnings (unknown keys, deprecated
 * spellings, wide permissions) to warnings. INVALID if there is any problem; *ret_c is set only on
 * OK. */
NODISCARD enum err_code config_load(const char *path, struct config **ret_c, struct buf *problems,
	struct buf *warnings, struct err *e);
void config_free(struct config *c);
