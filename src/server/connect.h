/* The peers that the configuration names, opened alike for the server and the tools. Nothing is sent
 * yet, except that the metastore's file is opened. @thread any */
#pragma once

#include "base/err.h"

struct config;
struct config_etcd;
struct etcd;
struct grpc;
struct milvus;
struct mq;
struct store;

NODISCARD enum err_code connect_etcd(
	struct grpc *g, const struct config_etcd *c, struct etcd **ret_etcd, struct err *e);
/* *ret_etcd is what an etcd metastore stands on, to be closed after the store; else untouched. */
NODISCARD enum err_code connect_store(const struct config *c, struct grpc *g,
	struct etcd **ret_etcd, struct store **ret_store, struct err *e);
/* The same for reading only, beside a server that uses it. */
NODISCARD enum err_code connect_store_read(const struct config *c, struct grpc *g,
	struct etcd **ret_etcd, struct store **ret_store, struct err *e);
/* Is it an SQLite file that is not there yet? Opening for writing would make it. */
bool connect_store_is_missing(const struct config *c);
/* The source Milvus itself. INVALID if the configuration does not name it. */
NODISCARD enum err_code connect_source_milvus(
	const struct config *c, struct grpc *g, struct milvus **ret_m, struct err *e);
/* The source's message queue. */
NODISCARD enum err_code connect_mq(const struct config *c, struct mq **ret_q, struct err *e);
/* NULL is fine. */
void connect_mq_free(struct mq *q);
