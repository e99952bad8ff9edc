/* This machine: certificate files, our port, file descriptors. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "net/tls_expiry.h"
#include "server/config/address.h"
#include "server/config/config.h"
#include "server/doctor/doctor.h"
#include "server/tool/health.h"
#include "server/api/http_listen.h"
#include "source/catalog.h"

enum { SUBJECT_BYTES = 400, SOON_DAYS = 30, DAY_S = 24 * 3600, TIME_BYTES = 32 };
enum { FILES_BASE = 256, ASK_MS = 3000 };

#define KAFKA_CA "ssl.ca.location"
#define KAFKA_CERT "ssl.certificate.location"

/* ---- certificates ---- */

static void day(int64_t s, char out[TIME_BYTES])
{
	time_t t = (time_t)s;
	struct tm tm;

	strftime(out, TIME_BYTES, "%Y-%m-%d", gmtime_r(&t, &tm));
}

static void look_at_file(const char *setting, const char *path, bool bundle, struct doctor *d)
{
	char subject[SUBJECT_BYTES], from[TIME_BYTES], until[TIME_BYTES];
	struct tls_expiry x;
	struct err e = ERR_INIT;
	int64_t now = time_wall_ms() / 1000;

	if (!path || !*path)
		return;
	snprintf(subject, sizeof(subject), "%s %s", setting, path);
	if (tls_expiry_read(path, bundle, &x, &e)) {
		doctor_note(d, DOCTOR_CODE_CERT_UNREADABLE, subject, "%s", e.text);
		return;
	}
	day(x.not_before_s, from);
	day(x.not_after_s, until);
	if (x.not_after_s < now || x.not_before_s > now)
		doctor_note(d, DOCTOR_CODE_CERT_EXPIRED, subject, "%s: valid from %s to %s", x.name,
			from, until);
	else if (x.not_after_s - now <= (int64_t)SOON_DAYS * DAY_S)
		doctor_note(d, DOCTOR_CODE_CERT_SOON, subject, "%s: expires on %s, in %lld days",
			x.name, until, (long long)((x.not_after_s - now) / DAY_S));
	else
		doctor_fact(d, subject, "valid until %s", until);
}

static void look_at_etcd_files(const char *block, const struct config_etcd *c, struct doctor *d)
{
	char setting[SUBJECT_BYTES];

	if (!c->enable_tls)
		return;
	snprintf(setting, sizeof(setting), "%s.tlsCACertPath", block);
	look_at_file(setting, c->tls_ca_path, true, d);
	snprintf(setting, sizeof(setting), "%s.tlsCertPath", block);
	look_at_file(setting, c->tls_cert_path, false, d);
}

static void look_at_kafka_files(char *const *extra, struct doctor *d)
{
	for (; extra && extra[0] && extra[1]; extra += 2)
		if (strcmp(extra[0], KAFKA_CA) == 0 || strcmp(extra[0], KAFKA_CERT) == 0)
			look_at_file(extra[0], extra[1], strcmp(extra[0], KAFKA_CA) == 0, d);
}

static void look_at_certificates(const struct config *c, struct doctor *d)
{
	look_at_etcd_files("sourceConfig.etcd", &c->source_etcd, d);
	if (c->store_kind == CONFIG_STORE_ETCD)
		look_at_etcd_files("metaStoreConfig.etcd", &c->store_etcd, d);
	if (c->has_pulsar)
		look_at_file(
			"sourceConfig.pulsar.tlsTrustCertsFilePath", c->pulsar_ca_path, true, d);
	else
		look_at_kafka_files(c->kafka_extra, d);
}

/* The listener reads its files once, at the start. */
static void look_at_our_files(const struct config *c, struct doctor *d)
{
	size_t before = d->n;

	look_at_file("api.tlsCertPath", c->api_tls_cert, false, d);
	look_at_file("api.tlsClientCAPath", c->api_tls_client_ca, true, d);
	if (d->n > before)
		doctor_fix(d, "put a valid certificate in its place and restart the server: it "
			      "reads this file at its start only");
}

static void look_at_who_may(const struct config *c, struct doctor *d)
{
	char subject[SUBJECT_BYTES];

	snprintf(subject, sizeof(subject), "address %.200s", c->address);
	if (address_is_local(c->address))
		return;
	if (!*c->api_write_token && !*c->api_tls_client_ca)
		doctor_note(d, DOCTOR_CODE_API_OPEN, subject,
			"reached from other machines, and asks for neither a token nor a client "
			"certificate");
	else
		doctor_fact(d, subject, "asks who comes");
}

void doctor_task_files(const struct task *t, struct doctor *d)
{
	look_at_file("dial_config.server_pem_path", t->milvus.server_pem_path, true, d);
	look_at_file("dial_config.ca_pem_path", t->milvus.ca_pem_path, true, d);
	look_at_file("dial_config.client_pem_path", t->milvus.client_pem_path, false, d);
	for (size_t i = 0; i < t->kafka.n_settings; i++)
		if (strcmp(t->kafka.settings[i].key, KAFKA_CA) == 0 ||
			strcmp(t->kafka.settings[i].key, KAFKA_CERT) == 0)
			look_at_file(t->kafka.settings[i].key, t->kafka.settings[i].value,
				strcmp(t->kafka.settings[i].key, KAFKA_CA) == 0, d);
}

/* ---- limits ---- */

/* Of the collections there are; 16 is what a Milvus makes at first. */
static size_t channels(const struct doctor_env *env)
{
	struct collection **list = NULL;
	size_t n, most = 16;

	if (!env->catalog)
		return most;
	n = catalog_collections(env->catalog, &list);
	for (size_t i = 0; i < n; i++) {
		most = MAX(most, MIN((size_t)list[i]->shards_num * n, (size_t)256));
		collection_unref(list[i]);
	}
	free(list);
	return most;
}

/* Each reader of a channel may need a connection to each of a few brokers. */
static void look_at_limits(const struct doctor_env *env, struct doctor *d)
{
	size_t n = channels(env), need = FILES_BASE + n * (1 + LIMIT_CHASERS_PER_CHANNEL) * 2;
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl))
		return;
	if (rl.rlim_cur < need)
		doctor_note(d, DOCTOR_CODE_LIMIT_FILES, "file descriptors",
			"the limit is %llu; %zu channels may need %zu",
			(unsigned long long)rl.rlim_cur, n, need);
	else
		doctor_fact(d, "file descriptors", "the limit of %llu is enough for %zu channels",
			(unsigned long long)rl.rlim_cur, n);
}

void doctor_host(struct doctor_env *env, struct doctor *d)
{
	look_at_certificates(env->config, d);
	look_at_our_files(env->config, d);
	look_at_who_may(env->config, d);
	look_at_limits(env, d);
}

/* ---- the port ---- */

void doctor_port(const struct config *c, struct doctor *d)
{
	char subject[SUBJECT_BYTES];
	struct err e = ERR_INIT, none = ERR_INIT;
	int fd = -1, port = 0;

	snprintf(subject, sizeof(subject), "address %.200s", c->address);
	if (!http_listen(c->address, &fd, &port, &e)) {
		close(fd);
		doctor_fact(d, subject, "free");
		return;
	}
	if (e.origin == EADDRINUSE && !health_ask(c, ASK_MS, &none))
		doctor_note(d, DOCTOR_CODE_PORT_OURS, subject, "in use by a milvus-cdc server");
	else
		doctor_note(d, DOCTOR_CODE_PORT_TAKEN, subject, "%s", e.text);
}
