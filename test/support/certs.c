#include "support/certs.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct authority {
	EVP_PKEY *key;
	X509 *cert;
};

static void must(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "certificates: %s\n", what);
	abort();
}

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	must(ext != NULL && X509_add_ext(x, ext, -1), value);
	X509_EXTENSION_free(ext);
}

/* by == NULL: self-signed. san == NULL: an authority. */
static struct authority sign(const char *name, const char *san, const struct authority *by)
{
	static const unsigned char country[] = "XX";
	struct authority a = {.key = EVP_EC_gen("P-256"), .cert = X509_new()};
	X509_NAME *subject = X509_get_subject_name(a.cert);
	const struct authority *signer = by ? by : &a;

	must(a.key && a.cert, "key");
	X509_set_version(a.cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(a.cert), name[0] + (san ? 2 : 1));
	X509_gmtime_adj(X509_getm_notBefore(a.cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(a.cert), 86400);
	X509_NAME_add_entry_by_txt(subject, "C", MBSTRING_ASC, country, -1, -1, 0);
	X509_NAME_add_entry_by_txt(
		subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(a.cert, X509_get_subject_name(signer->cert));
	X509_set_pubkey(a.cert, a.key);
	if (san)
		extend(a.cert, signer->cert, NID_subject_alt_name, san);
	else
		extend(a.cert, a.cert, NID_basic_constraints, "critical,CA:TRUE");
	must(X509_sign(a.cert, signer->key, EVP_sha256()) > 0, "sign");
	return a;
}

static void save(const struct authority *a, const char *cert, const char *key)
{
	FILE *f = fopen(cert, "w");
	must(f && PEM_write_X509(f, a->cert), cert);
	fclose(f);
	if (!key)
		return;
	f = fopen(key, "w");
	must(f && PEM_write_PrivateKey(f, a->key, NULL, NULL, 0, NULL, NULL), key);
	fclose(f);
}

static void release(struct authority *a)
{
	EVP_PKEY_free(a->key);
	X509_free(a->cert);
}

static void family(const char *name, char *ca_path, char *client, char *client_key, char *server,
	char *server_key)
{
	struct authority ca = sign(name, NULL, NULL);
	struct authority leaf = sign("client", "DNS:client", &ca);

	save(&ca, ca_path, NULL);
	save(&leaf, client, client_key);
	release(&leaf);
	if (server) {
		/* The common name is a trap: only the alternative names count. */
		leaf = sign("commonname.test", "DNS:localhost,IP:127.0.0.1", &ca);
		save(&leaf, server, server_key);
		release(&leaf);
	}
	release(&ca);
}

void certs_make(struct certs *c)
{
	snprintf(c->dir, sizeof(c->dir), "/tmp/cdc-certs-XXXXXX");
	must(mkdtemp(c->dir) != NULL, "folder");
	snprintf(c->ca, sizeof(c->ca), "%s/ca.pem", c->dir);
	snprintf(c->server, sizeof(c->server), "%s/server.pem", c->dir);
	snprintf(c->server_key, sizeof(c->server_key), "%s/server.key", c->dir);
	snprintf(c->client, sizeof(c->client), "%s/client.pem", c->dir);
	snprintf(c->client_key, sizeof(c->client_key), "%s/client.key", c->dir);
	snprintf(c->other_ca, sizeof(c->other_ca), "%s/other-ca.pem", c->dir);
	snprintf(c->other_client, sizeof(c->other_client), "%s/other.pem", c->dir);
	snprintf(c->other_key, sizeof(c->other_key), "%s/other.key", c->dir);
	family("test CA", c->ca, c->client, c->client_key, c->server, c->server_key);
	family("other CA", c->other_ca, c->other_client, c->other_key, NULL, NULL);
}

void certs_remove(struct certs *c)
{
	const char *const files[] = {c->ca, c->server, c->server_key, c->client, c->client_key,
		c->other_ca, c->other_client, c->other_key};

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		unlink(files[i]);
	rmdir(c->dir);
}
