/* What one row can't check by itself. Each finding says what to write instead. */
#include "server/config/config_priv.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "client/milvus/milvus_codec.h"
#include "client/pulsar/auth.h"
#include "client/pulsar/url.h"
#include "server/api/access.h"
#include "server/config/address.h"
#include "store/mysql_dsn.h"
#include "store/vault.h"

#define SOURCE_MILVUS "sourceConfig.milvus"

enum { PATH_BYTES = 128, LEAST_CALL_BYTES = 64 << 10, REPLICATE_ID_BYTES = 256 };

/* The line of a setting that may stand under its older name. */
static int row_line(const struct config_load *l, const char *path)
{
	const struct config_row *r = config_row_find(path);
	const struct yml_node *old = r && r->alias ? config_node(l, r->alias) : NULL;

	return old ? old->line : config_line(l, path);
}

static void check_address(struct config_load *l)
{
	char host[ADDRESS_HOST_BYTES];
	int port;

	if (strstr(l->c->address, "://") || !address_split(l->c->address, host, &port))
		config_problem(l, config_line(l, "address"), "address", l->c->address,
			"not host:port; write e.g. 0.0.0.0:8444");
}

static void check_endpoints(struct config_load *l, const struct config_etcd *etcd, const char *path)
{
	char host[ADDRESS_HOST_BYTES];
	int port;

	for (size_t i = 0; i < etcd->n_endpoints; i++)
		if (!address_split(etcd->endpoints[i], host, &port) || !*host)
			config_problem(l, row_line(l, path), path, etcd->endpoints[i],
				"not host:port; write e.g. 127.0.0.1:2379");
}

static void check_file(struct config_load *l, const char *block, const char *name, const char *file)
{
	char path[PATH_BYTES];
	struct stat st;

	snprintf(path, sizeof(path), "%s.%s", block, name);
	if (!*file)
		return;
	if (stat(file, &st) || access(file, R_OK))
		config_problem(l, config_line(l, path), path, file,
			"can't be read: %s; give the path of a PEM file this user may read",
			strerror(errno));
	else if (!S_ISREG(st.st_mode))
		config_problem(l, config_line(l, path), path, file,
			"not a file; give the path of a PEM file");
}

static void check_token(struct config_load *l, const char *path, const char *token)
{
	size_t n = strlen(token), good = 0;

	while (token[good] > ' ' && token[good] < 0x7f)
		good++;
	if (n && (n < ACCESS_TOKEN_LEAST || good < n))
		config_problem(l, config_line(l, path), path, NULL,
			"a token has at least %d characters and no blanks; make one with "
			"\"openssl rand -hex 24\"",
			ACCESS_TOKEN_LEAST);
}

static void check_api(struct config_load *l)
{
	const struct config *c = l->c;

	check_token(l, "api.writeToken", c->api_write_token);
	check_token(l, "api.readToken", c->api_read_token);
	if (*c->api_read_token && !*c->api_write_token)
		config_problem(l, config_line(l, "api.readToken"), "api.writeToken", NULL,
			"empty though api.readToken is set; give both, or nobody could change "
			"anything");
	if (*c->api_read_token && strcmp(c->api_read_token, c->api_write_token) == 0)
		config_problem(l, config_line(l, "api.readToken"), "api.readToken", NULL,
			"the same as api.writeToken; make another one");
	check_file(l, "api", "tlsCertPath", c->api_tls_cert);
	check_file(l, "api", "tlsKeyPath", c->api_tls_key);
	check_file(l, "api", "tlsClientCAPath", c->api_tls_client_ca);
	if (!*c->api_tls_cert != !*c->api_tls_key)
		config_problem(l, config_line(l, "api.tlsKeyPath"), "api.tlsKeyPath",
			c->api_tls_key, "certificate and key belong together; give both");
	if (*c->api_tls_client_ca && !*c->api_tls_cert)
		config_problem(l, config_line(l, "api.tlsClientCAPath"), "api.tlsClientCAPath",
			c->api_tls_client_ca,
			"client certificates need TLS; give tlsCertPath and tlsKeyPath");
}

static void check_tls(struct config_load *l, const struct config_etcd *etcd, const char *block)
{
	static const char *const versions[] = {"1.0", "1.1", "1.2", "1.3"};
	char path[PATH_BYTES];
	bool known = false;

	if (!etcd->enable_tls)
		return;
	check_file(l, block, "tlsCertPath", etcd->tls_cert_path);
	check_file(l, block, "tlsKeyPath", etcd->tls_key_path);
	check_file(l, block, "tlsCACertPath", etcd->tls_ca_path);
	snprintf(path, sizeof(path), "%s.tlsKeyPath", block);
	if (!*etcd->tls_cert_path != !*etcd->tls_key_path)
		config_problem(l, config_line(l, path), path, etcd->tls_key_path,
			"certificate and key belong together; give both tlsCertPath and "
			"tlsKeyPath, "
			"or neither");
	for (size_t i = 0; i < ARRAY_LEN(versions); i++)
		known |= strcmp(versions[i], etcd->tls_min_version) == 0;
	snprintf(path, sizeof(path), "%s.tlsMinVersion", block);
	if (!known)
		config_problem(l, config_line(l, path), path, etcd->tls_min_version,
			"unknown TLS version; write 1.0, 1.1, 1.2 or 1.3");
}

static void check_etcd(struct config_load *l, const struct config_etcd *etcd, const char *block)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s.address", block);
	check_endpoints(l, etcd, path);
	check_tls(l, etcd, block);
	snprintf(path, sizeof(path), "%s.username", block);
	if (etcd->enable_auth && !*etcd->username)
		config_problem(l, config_line(l, path), path, etcd->username,
			"enableAuth is on but there is no user; give username and password");
}

/* A relative file lies beside the configuration, wherever the process was started; that of a package
 * is no place for what changes. */
static void place_sqlite(struct config *c)
{
	if (c->sqlite_path[0] == '/')
		return;
	CLEANUP(freep)
	char *copy = xstrdup(c->path);
	const char *folder = dirname(copy);
	if (strcmp(folder, CONFIG_SYSTEM_FOLDER) == 0)
		folder = CONFIG_STATE_FOLDER;
	char *placed = xasprintf("%s/%s", folder, c->sqlite_path);
	free(c->sqlite_path);
	c->sqlite_path = placed;
}

static void check_sqlite(struct config_load *l)
{
	place_sqlite(l->c);
	CLEANUP(freep)
	char *copy = xstrdup(l->c->sqlite_path);
	bool exists = access(l->c->sqlite_path, F_OK) == 0;

	/* SQLite makes its journal beside the file, so the folder has to be writable in either
	 * case. */
	if (access(dirname(copy), W_OK) || (exists && access(l->c->sqlite_path, R_OK | W_OK)))
		config_problem(l, config_line(l, "metaStoreConfig.sqlitePath"),
			"metaStoreConfig.sqlitePath", l->c->sqlite_path,
			"can't be written: %s; name a file in a folder this user may write to, or "
			"set metaStoreConfig.storeType: etcd",
			strerror(errno));
}

/* The address itself is never shown: it holds a password. */
static void check_mysql(struct config_load *l)
{
	static const char path[] = "metaStoreConfig.mysqlSourceUrl";
	CLEANUP(buf_done) struct buf unknown = BUF_INIT(LIMIT_CONFIG_FILE);
	struct mysql_dsn d;
	struct err e = ERR_INIT;

	if (!*l->c->mysql_url) {
		config_problem(l, config_line(l, path), path, NULL,
			"empty; write user:password@tcp(host:3306)/database");
		return;
	}
	if (mysql_dsn_parse(l->c->mysql_url, &d, &unknown, &e)) {
		config_problem(l, config_line(l, path), path, NULL, "%s", e.text);
		return;
	}
	mysql_dsn_done(&d);
	if (unknown.n)
		config_warning(l, config_line(l, path), path, NULL,
			"settings behind the ? that have no effect here: %s", buf_cstr(&unknown));
}

static void check_keys(struct config_load *l)
{
	static const char path[] = "metaStoreConfig.encryptionKeyFile";
	const char *file = l->c->store_key_file;
	struct vault *v = NULL;
	struct err e = ERR_INIT;
	struct stat st;

	if (!*file)
		return;
	if (vault_open(file, &v, &e))
		config_problem(l, config_line(l, path), path, file, "%s", e.text);
	else if (stat(file, &st) == 0 && (st.st_mode & (S_IRWXO | S_IWGRP)))
		config_warning(l, config_line(l, path), path, file,
			"the permissions of the key file are wide (%04o); chmod 640 or less",
			(unsigned)st.st_mode & 07777);
	vault_free(v);
}

static void check_store(struct config_load *l)
{
	const struct config *c = l->c;
	bool given = config_node(l, "metaStoreConfig.storeType") != NULL;
	bool other = c->store_etcd.n_endpoints || *c->mysql_url;

	if (!given && other)
		config_problem(l, config_line(l, "metaStoreConfig"), "metaStoreConfig.storeType",
			NULL,
			"not given, but %s is set up; write storeType: %s, or remove it to use "
			"sqlite",
			*c->mysql_url ? "MySQL" : "etcd", *c->mysql_url ? "mysql" : "etcd");
	if (c->store_kind == CONFIG_STORE_SQLITE && (given || !other))
		check_sqlite(l);
	if (c->store_kind == CONFIG_STORE_ETCD && !c->store_etcd.n_endpoints)
		config_problem(l, config_line(l, "metaStoreConfig.etcd.address"),
			"metaStoreConfig.etcd.address", NULL, "empty; write e.g. [127.0.0.1:2379]");
	if (c->store_kind == CONFIG_STORE_ETCD)
		check_etcd(l, &c->store_etcd, "metaStoreConfig.etcd");
	if (c->store_kind == CONFIG_STORE_MYSQL)
		check_mysql(l);
}

static void check_kafka_word(struct config_load *l, const char *path, const char *value,
	const char *const *words, size_t n, const char *list)
{
	if (!*value)
		return;
	for (size_t i = 0; i < n; i++)
		if (strcasecmp(words[i], value) == 0)
			return;
	config_problem(l, config_line(l, path), path, value, "unknown; write %s", list);
}

static void check_brokers(struct config_load *l)
{
	const char *s = l->c->kafka_address;
	char host[ADDRESS_HOST_BYTES], one[ADDRESS_HOST_BYTES + 8];
	int port;

	while (*s) {
		s += strspn(s, " ");
		size_t n = strcspn(s, ", ");
		snprintf(one, sizeof(one), "%.*s", (int)n, s);
		if (!address_split(one, host, &port) || !*host)
			config_problem(l, config_line(l, "sourceConfig.kafka.address"),
				"sourceConfig.kafka.address", l->c->kafka_address,
				"not host:port; write e.g. 127.0.0.1:9092, commas between brokers");
		s += n;
		s += strspn(s, " ,");
	}
}

static void check_kafka(struct config_load *l)
{
	static const char *const protocols[] = {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"};
	static const char *const mechanisms[] = {
		"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "OAUTHBEARER"};
	const struct config *c = l->c;

	check_brokers(l);
	check_kafka_word(l, "sourceConfig.kafka.securityProtocol", c->kafka_security_protocol,
		protocols, ARRAY_LEN(protocols), "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL");
	check_kafka_word(l, "sourceConfig.kafka.saslMechanisms", c->kafka_sasl_mechanisms,
		mechanisms, ARRAY_LEN(mechanisms),
		"PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, GSSAPI or OAUTHBEARER");
	if (*c->kafka_sasl_username && !*c->kafka_sasl_mechanisms)
		config_problem(l, config_line(l, "sourceConfig.kafka.saslUsername"),
			"sourceConfig.kafka.saslMechanisms", NULL,
			"empty though saslUsername is set; write e.g. PLAIN");
}

/* What needs no network; url and authentication are read as the client reads them. */
static void check_pulsar(struct config_load *l)
{
	const struct config *c = l->c;
	struct pulsar_auth auth;
	struct pulsar_url url;
	struct err e = ERR_INIT;

	if (pulsar_url_parse(&url, c->pulsar_address, &e))
		config_problem(l, config_line(l, "sourceConfig.pulsar.address"),
			"sourceConfig.pulsar.address", c->pulsar_address, "%s", e.text);
	else
		pulsar_url_done(&url);
	err_clear(&e);
	if (pulsar_auth_parse(&auth, c->pulsar_auth_plugin, c->pulsar_auth_params, &e))
		config_problem(l, config_line(l, "sourceConfig.pulsar.authPlugin"),
			"sourceConfig.pulsar.authPlugin", c->pulsar_auth_plugin, "%s", e.text);
	else
		pulsar_auth_done(&auth);
	if (strstr(c->pulsar_address, "pulsar+ssl://"))
		check_file(l, "sourceConfig.pulsar", "tlsTrustCertsFilePath", c->pulsar_ca_path);
}

static void check_queue(struct config_load *l)
{
	struct config *c = l->c;

	c->has_pulsar = *c->pulsar_address != '\0';
	c->has_kafka = *c->kafka_address != '\0';
	if (c->has_pulsar && c->has_kafka)
		config_warning(l, config_line(l, "sourceConfig.pulsar.address"),
			"sourceConfig.pulsar", NULL,
			"kafka is set up as well; pulsar comes first, as it always did");
	if (c->has_pulsar)
		check_pulsar(l);
	if (c->has_kafka)
		check_kafka(l);
	if (!c->has_pulsar && !c->has_kafka)
		config_problem(l, config_line(l, "sourceConfig.pulsar.address"),
			"sourceConfig.pulsar.address", NULL,
			"the source's message queue is missing; write e.g. "
			"pulsar: {address: pulsar://127.0.0.1:6650} or "
			"kafka: {address: 127.0.0.1:9092}");
}

static void check_source(struct config_load *l)
{
	const char *chan = l->c->replicate_channel;

	if (!*chan)
		config_problem(l, config_line(l, "sourceConfig.replicateChan"),
			"sourceConfig.replicateChan", NULL,
			"the replicate channel in the source config is empty; write "
			"<chanNamePrefix.cluster>-<chanNamePrefix.replicateMsg> of the source's "
			"milvus.yaml, e.g. by-dev-replicate-msg");
	else if (strpbrk(chan, " \t/:,"))
		config_problem(l, config_line(l, "sourceConfig.replicateChan"),
			"sourceConfig.replicateChan", chan,
			"not the name of a topic; write e.g. by-dev-replicate-msg");
	if (!config_node(l, "sourceConfig.etcd.address") &&
		!config_node(l, "sourceConfig.etcdAddress"))
		config_warning(l, config_line(l, "sourceConfig.etcd.address"),
			"sourceConfig.etcd.address", NULL, "not given, 127.0.0.1:2379 is used");
	check_etcd(l, &l->c->source_etcd, "sourceConfig.etcd");
}

static void check_source_milvus(struct config_load *l)
{
	static const char block[] = SOURCE_MILVUS;
	const struct config_milvus *m = &l->c->source_milvus;
	struct milvus_address address;
	struct err e = ERR_INIT;

	if (*m->uri && milvus_address_parse(&address, m->uri, &e))
		config_problem(l, config_line(l, SOURCE_MILVUS ".uri"), SOURCE_MILVUS ".uri",
			m->uri, "%s", e.text);
	check_file(l, block, "tlsCACertPath", m->tls_ca_path);
	check_file(l, block, "tlsCertPath", m->tls_cert_path);
	check_file(l, block, "tlsKeyPath", m->tls_key_path);
	if (!*m->tls_cert_path != !*m->tls_key_path || (*m->tls_cert_path && !*m->tls_ca_path))
		config_problem(l, config_line(l, SOURCE_MILVUS ".tlsCertPath"),
			SOURCE_MILVUS ".tlsCertPath", m->tls_cert_path,
			"mutual TLS needs tlsCACertPath, tlsCertPath and tlsKeyPath");
	if (l->c->verify_interval_ms && !*m->uri)
		config_problem(l, config_line(l, "verify.interval"), "verify.interval", NULL,
			"the rolling check reads the source itself; give " SOURCE_MILVUS ".uri");
}

/* If one of the three is 0 all defaults apply; the cap is at least twice the first wait. */
static void settle_retry(struct config_load *l)
{
	static const char *const names[] = {
		"retry.retryTimes", "retry.initBackOff", "retry.maxBackOff"};
	struct config *c = l->c;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct yml_node *n = config_node(l, names[i]);
		if (n && strcmp(n->text ? n->text : "", "0") == 0)
			c->retry_first_ms = c->retry_most_ms = 0;
	}
	if (c->retry_most_ms)
		c->retry_most_ms = MAX(c->retry_most_ms, 2 * c->retry_first_ms);
	c->packer_max_bytes =
		MAX(MIN(c->packer_max_bytes, (int64_t)LIMIT_CALL_BYTES), (int64_t)LEAST_CALL_BYTES);
}

/* The id goes into every message. */
static void check_modes(struct config_load *l)
{
	if (strlen(l->c->replicate_id) > REPLICATE_ID_BYTES)
		config_problem(l, config_line(l, "replicateID"), "replicateID", l->c->replicate_id,
			"longer than %d bytes; write a short name", REPLICATE_ID_BYTES);
}

static void check_permissions(struct config_load *l)
{
	struct stat st;
	bool secret = false;

	for (size_t i = 0; i < config_rows_count; i++) {
		const struct config_row *r = &config_rows[i];
		const struct yml_node *n = config_node(l, r->path);
		secret |=
			(r->flags & CONFIG_SECRET) && r->type == CONFIG_STRING && n && !n->from_env;
	}
	if (secret && stat(l->path, &st) == 0 && (st.st_mode & (S_IROTH | S_IWOTH | S_IWGRP)))
		config_warning(l, 1, NULL, NULL,
			"holds a password and its permissions are wide (%04o); chmod 640 or less",
			(unsigned)st.st_mode & 07777);
}

void config_check(struct config_load *l)
{
	check_address(l);
	check_api(l);
	check_store(l);
	check_keys(l);
	check_source(l);
	check_queue(l);
	check_source_milvus(l);
	check_modes(l);
	settle_retry(l);
	check_permissions(l);
}
