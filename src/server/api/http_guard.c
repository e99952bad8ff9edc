/* TLS itself is libmicrohttpd's, by GnuTLS: it asks for a client's certificate, and whether that is
 * good is looked at here, a request at a time, so that /healthz can be answered without one. */
#include "server/api/http_guard.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "server/api/rate.h"

enum { FILE_BYTES = 1 << 20 };

struct http_guard {
	struct access_rules access;
	char *cert, *key, *client_ca; /* PEM texts */
	struct rate *rate;
};

/* "" or NULL is no file. */
static enum err_code read_pem(const char *path, char **ret, struct err *e)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(FILE_BYTES);

	if (!path || !*path)
		return ERR_OK;
	if (file_read(path, &b, e))
		return e->code;
	*ret = buf_take(&b);
	return ERR_OK;
}

static gnutls_datum_t datum(char *text)
{
	return (gnutls_datum_t){.data = (unsigned char *)text, .size = (unsigned)strlen(text)};
}

/* libmicrohttpd would refuse to start without a word. */
static enum err_code check_pem(
	const struct http_guard *g, const struct http_guard_opts *o, struct err *e)
{
	gnutls_certificate_credentials_t cred;
	gnutls_datum_t cert = datum(g->cert), key = datum(g->key);

	if (gnutls_certificate_allocate_credentials(&cred) < 0)
		return err_set(e, ERR_SYSTEM, "TLS can't be set up");
	int r = gnutls_certificate_set_x509_key_mem(cred, &cert, &key, GNUTLS_X509_FMT_PEM);
	if (r < 0) {
		(void)err_set(e, ERR_INVALID, "%s with %s: %s", o->tls_cert, o->tls_key,
			gnutls_strerror(r));
	} else if (g->client_ca) {
		gnutls_datum_t ca = datum(g->client_ca);
		r = gnutls_certificate_set_x509_trust_mem(cred, &ca, GNUTLS_X509_FMT_PEM);
		if (r <= 0)
			(void)err_set(e, ERR_INVALID, "%s: %s", o->tls_client_ca,
				r ? gnutls_strerror(r) : "no certificate is in it");
	}
	gnutls_certificate_free_credentials(cred);
	return e->code;
}

static enum err_code fill(struct http_guard *g, const struct http_guard_opts *o, struct err *e)
{
	access_init(&g->access, o->read_token, o->write_token);
	g->rate = rate_new(o->rate_per_s);
	if (read_pem(o->tls_cert, &g->cert, e) || read_pem(o->tls_key, &g->key, e) ||
		read_pem(o->tls_client_ca, &g->client_ca, e))
		return e->code;
	return g->cert && g->key ? check_pem(g, o, e) : ERR_OK;
}

enum err_code http_guard_new(
	const struct http_guard_opts *o, struct http_guard **ret_g, struct err *e)
{
	struct http_guard *g = xcalloc(1, sizeof(*g));

	if (fill(g, o, e)) {
		http_guard_free(g);
		return e->code;
	}
	*ret_g = g;
	return ERR_OK;
}

static void wipe(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

void http_guard_free(struct http_guard *g)
{
	if (!g)
		return;
	free(g->cert);
	wipe(g->key);
	free(g->client_ca);
	rate_free(g->rate);
	free(g);
}

const char *http_guard_cert(const struct http_guard *g)
{
	return g->cert;
}

const char *http_guard_key(const struct http_guard *g)
{
	return g->key;
}

const char *http_guard_client_ca(const struct http_guard *g)
{
	return g->client_ca;
}

/* ---- a request ---- */

static bool may_come(struct http_guard *g, struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *i =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

	return !i || !i->client_addr || rate_take(g->rate, i->client_addr, time_mono_ms());
}

/* Signed by the authorities, in time, and meant for clients. */
static bool has_certificate(struct MHD_Connection *c)
{
	char purpose[] = GNUTLS_KP_TLS_WWW_CLIENT;
	gnutls_typed_vdata_st wanted = {
		.type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)purpose};
	const union MHD_ConnectionInfo *i =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	unsigned status = 1;

	return i && i->tls_session &&
	       gnutls_certificate_verify_peers(i->tls_session, &wanted, 1, &status) == 0 &&
	       status == 0;
}

/* Any page can make a browser send a request, with the password and the client certificate it has for
 * us, and into a network that the page's owner does not reach. It tells which page that was. A header
 * of the page's own is more than it sends elsewhere without having asked, and who asks (OPTIONS) is
 * not allowed to: that is our status page, also behind a proxy that changes Host. */
static bool from_elsewhere(struct MHD_Connection *c)
{
	if (MHD_lookup_connection_value(c, MHD_HEADER_KIND, "X-Requested-With"))
		return false;
	const char *origin = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Origin");
	const char *host = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Host");
	const char *from = origin ? strstr(origin, "://") : NULL;

	return origin && (!host || !from || strcasecmp(from + 3, host) != 0);
}

static struct http_verdict no(unsigned status, const char *why)
{
	return (struct http_verdict){.status = status, .why = why};
}

struct http_verdict http_guard_check(
	struct http_guard *g, struct MHD_Connection *c, const char *method, const char *path)
{
	const char *header = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization");
	bool bearer;

	if (strcmp(path, "/healthz") == 0 || strcmp(path, "/readyz") == 0)
		return (struct http_verdict){.access = ACCESS_WRITE};
	if (!may_come(g, c))
		return no(429, "too many requests from this address; api.rateLimit is the limit");
	if (g->client_ca && !has_certificate(c))
		return no(403, "a client certificate of the authority in api.tlsClientCAPath is "
			       "needed");
	if (strcmp(path, "/") == 0) /* it holds nothing, and asks for the token */
		return (struct http_verdict){.access = ACCESS_READ};
	enum access access = access_of(&g->access, header, &bearer);
	if (access == ACCESS_NONE)
		return no(401, header ? "the token is not known"
				      : "a token is needed: Authorization: Bearer TOKEN");
	if (!bearer && strcmp(method, "POST") == 0 && from_elsewhere(c))
		return no(403,
			"a page of another site (header Origin) may not send requests without "
			"a bearer token");
	return (struct http_verdict){.access = access};
}
