#include "server/connect.h"

#include <unistd.h>

#include "client/etcd/etcd.h"
#include "client/milvus/milvus.h"
#include "server/config/config.h"
#include "source/mq_kafka.h"
#include "source/mq_pulsar.h"
#include "store/store_etcd.h"
#include "store/store_mysql.h"
#include "store/store_sqlite.h"
#include "store/vault.h"

enum err_code connect_etcd(
	struct grpc *g, const struct config_etcd *c, struct etcd **ret_etcd, struct err *e)
{
	struct etcd_opts o = {.endpoints = (const char *const *)c->endpoints,
		.n_endpoints = c->n_endpoints,
		.username = c->enable_auth ? c->username : "",
		.password = c->enable_auth ? c->password : "",
		.tls = {.enable = c->enable_tls,
			.ca_path = c->tls_ca_path,
			.cert_path = c->tls_cert_path,
			.key_path = c->tls_key_path,
			.min_version = c->tls_min_version}};
	return etcd_open(g, &o, ret_etcd, e);
}

static enum err_code open_mysql(const struct config *c, struct store **ret_store, struct err *e)
{
	struct mysql_dsn d;

	if (mysql_dsn_parse(c->mysql_url, &d, NULL, e))
		return err_ctx(e, "metaStoreConfig.mysqlSourceUrl");
	*ret_store = store_mysql_open(&d, c->store_root_path);
	return ERR_OK;
}

static enum err_code open_store(const struct config *c, struct grpc *g, struct etcd **ret_etcd,
	struct store **ret_store, struct err *e)
{
	switch (c->store_kind) {
	case CONFIG_STORE_SQLITE:
		return store_sqlite_open(c->sqlite_path, c->store_root_path, ret_store, e);
	case CONFIG_STORE_ETCD:
		if (connect_etcd(g, &c->store_etcd, ret_etcd, e))
			return err_ctx(e, "metaStoreConfig.etcd");
		return store_etcd_open(*ret_etcd, c->store_root_path, ret_store, e);
	case CONFIG_STORE_MYSQL:
		break;
	}
	return open_mysql(c, ret_store, e);
}

/* Closes the store on failure. */
static enum err_code add_vault(const struct config *c, struct store **ret_store, struct err *e)
{
	struct vault *v = NULL;

	if (!*c->store_key_file)
		return ERR_OK;
	if (vault_open(c->store_key_file, &v, e)) {
		store_close(TAKE(*ret_store));
		return err_ctx(e, "metaStoreConfig.encryptionKeyFile");
	}
	store_use_vault(*ret_store, v);
	return ERR_OK;
}

bool connect_store_is_missing(const struct config *c)
{
	return c->store_kind == CONFIG_STORE_SQLITE && access(c->sqlite_path, F_OK) != 0;
}

enum err_code connect_store(const struct config *c, struct grpc *g, struct etcd **ret_etcd,
	struct store **ret_store, struct err *e)
{
	enum err_code code = open_store(c, g, ret_etcd, ret_store, e);
	return code ? code : add_vault(c, ret_store, e);
}

/* Stores of a server by itself keep no file of ours locked, and reading changes nothing there. */
enum err_code connect_store_read(const struct config *c, struct grpc *g, struct etcd **ret_etcd,
	struct store **ret_store, struct err *e)
{
	if (c->store_kind != CONFIG_STORE_SQLITE)
		return connect_store(c, g, ret_etcd, ret_store, e);
	if (store_sqlite_open_read(c->sqlite_path, c->store_root_path, ret_store, e))
		return e->code;
	return add_vault(c, ret_store, e);
}

enum err_code connect_source_milvus(
	const struct config *c, struct grpc *g, struct milvus **ret_m, struct err *e)
{
	const struct config_milvus *m = &c->source_milvus;
	bool mutual = *m->tls_cert_path != '\0';
	struct milvus_opts o = {.uri = m->uri,
		.token = m->token,
		.server_name = m->tls_server_name,
		.server_pem_path = mutual ? "" : m->tls_ca_path,
		.ca_pem_path = mutual ? m->tls_ca_path : "",
		.client_pem_path = m->tls_cert_path,
		.client_key_path = m->tls_key_path,
		.late_files = true};

	if (!*m->uri)
		return err_set(e, ERR_INVALID,
			"sourceConfig.milvus.uri is not set: to compare, the source itself is "
			"asked; write e.g. http://10.0.0.1:19530");
	return milvus_open(g, &o, ret_m, e) ? err_ctx(e, "sourceConfig.milvus") : ERR_OK;
}

static enum err_code connect_kafka(const struct config *c, struct mq **ret_q, struct err *e)
{
	struct mq_kafka_opts o = {.address = c->kafka_address,
		.sasl_username = c->kafka_sasl_username,
		.sasl_password = c->kafka_sasl_password,
		.sasl_mechanisms = c->kafka_sasl_mechanisms,
		.security_protocol = c->kafka_security_protocol,
		.extra = (const char *const *)c->kafka_extra};

	if (mq_kafka_new(&o, ret_q, e))
		return err_ctx(e, "sourceConfig.kafka");
	return ERR_OK;
}

static enum err_code connect_pulsar(const struct config *c, struct mq **ret_q, struct err *e)
{
	struct pulsar_opts o = {.url = c->pulsar_address,
		.tenant = c->pulsar_tenant,
		.ns = c->pulsar_namespace,
		.max_message_bytes = (size_t)c->pulsar_max_message_size,
		.auth_plugin = c->pulsar_auth_plugin,
		.auth_params = c->pulsar_auth_params,
		.ca_path = c->pulsar_ca_path,
		.any_host_name = !c->pulsar_verify_host};

	if (mq_pulsar_new(&o, ret_q, e))
		return err_ctx(e, "sourceConfig.pulsar");
	return ERR_OK;
}

enum err_code connect_mq(const struct config *c, struct mq **ret_q, struct err *e)
{
	return c->has_pulsar ? connect_pulsar(c, ret_q, e) : connect_kafka(c, ret_q, e);
}

void connect_mq_free(struct mq *q)
{
	if (q)
		q->ops->free(q);
}
