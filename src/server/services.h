/* What the parts of a running task share: borrowed from the server, alive as long as it runs. */
#pragma once

struct services {
	const struct config *config;
	const struct log_ctx *log;
	const char *version;
	struct grpc *grpc;
	struct catalog *catalog;
	struct etcd *source_etcd;
	struct hub *hub;
	struct mq *mq;
	struct store *store;
	struct writer *writer;
	struct targets *targets;
};
