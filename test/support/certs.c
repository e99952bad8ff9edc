#include "support/certs.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { DAY_S = 86400 };

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

/* by == NULL: self-signed. san == NULL: an authority. from_s: begins then, for a day. */
static struct authority sign_at(
	const char *name, const char *san, const struct authority *by, long from_s)
{
	static const unsigned char country[] = "XX";
	struct authority a = {.key = EVP_EC_gen("P-256"), .cert = X509_new()};
	X509_NAME *subject = X509_get_subject_name(a.cert);
	const struct authority *signer = by ? by : &a;

	must(a.key && a.cert, "key");
	X509_set_version(a.cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(a.cert), name[0] + (san ? 2 : 1));
	X509_gmtime_adj(X509_getm_notBefore(a.cert), from_s);
	X509_gmtime_adj(X509_getm_notAfter(a.cert), from_s + DAY_S);
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

static struct authority sign(const char *name, const char *san, const struct authority *by)
{
	return sign_at(name, san, by, -3600);
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

static void save_leaf(const struct authority *ca, long from_s, const char *cert, const char *key)
{
	/* The common name is a trap: only the alternative names count. */
	struct authority leaf =
		sign_at("commonname.test", "DNS:localhost,IP:127.0.0.1", ca, from_s);

	save(&leaf, cert, key);
	release(&leaf);
}

static struct authority family(
	const char *name, const char *ca_path, const char *client, const char *client_key)
{
	struct authority ca = sign(name, NULL, NULL);
	struct authority leaf = sign("client", "DNS:client", &ca);

	save(&ca, ca_path, NULL);
	save(&leaf, client, client_key);
	release(&leaf);
	return ca;
}

static void put_path(const struct certs *c, char out[96], const char *name)
{
	snprintf(out, 96, "%s/%s", c->dir, name);
}

void certs_make(struct certs *c)
{
	snprintf(c->dir, sizeof(c->dir), "/tmp/cdc-certs-XXXXXX");
	must(mkdtemp(c->dir) != NULL, "folder");
	put_path(c, c->ca, "ca.pem");
	put_path(c, c->server, "server.pem");
	put_path(c, c->server_key, "server.key");
	put_path(c, c->expired, "expired.pem");
	put_path(c, c->expired_key, "expired.key");
	put_path(c, c->early, "early.pem");
	put_path(c, c->early_key, "early.key");
	put_path(c, c->client, "client.pem");
	put_path(c, c->client_key, "client.key");
	put_path(c, c->other_ca, "other-ca.pem");
	put_path(c, c->other_client, "other.pem");
	put_path(c, c->other_key, "other.key");
	struct authority ca = family("test CA", c->ca, c->client, c->client_key);
	save_leaf(&ca, -3600, c->server, c->server_key);
	save_leaf(&ca, -2 * DAY_S, c->expired, c->expired_key);
	save_leaf(&ca, 3600, c->early, c->early_key);
	release(&ca);
	ca = family("other CA", c->other_ca, c->other_client, c->other_key);
	release(&ca);
}

void certs_remove(struct certs *c)
{
	const char *const files[] = {c->ca, c->server, c->server_key, c->expired, c->expired_key,
		c->early, c->early_key, c->client, c->client_key, c->other_ca, c->other_client,
		c->other_key};

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		unlink(files[i]);
	rmdir(c->dir);
}
