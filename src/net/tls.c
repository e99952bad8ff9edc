/* TLS sessions; see tls_files.c for certificates and tls_text.c for the words of failures. */
#include "net/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "net/tls_priv.h"

static const char *last_reason(void)
{
	unsigned long code = ERR_peek_error();
	const char *why = code ? ERR_reason_error_string(code) : NULL;
	if (!why && code && ERR_SYSTEM_ERROR(code))
		why = strerrordesc_np((int)ERR_GET_REASON(code));
	return why ? why : "unknown reason";
}

static enum err_code set_min_version(SSL_CTX *ctx, const char *text, struct err *e)
{
	static const struct {
		const char *text;
		int version;
	} known[] = {{"1.0", TLS1_VERSION}, {"1.1", TLS1_1_VERSION}, {"1.2", TLS1_2_VERSION},
		{"1.3", TLS1_3_VERSION}};

	if (!text || !*text)
		text = "1.2";
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strcmp(text, known[i].text) == 0) {
			SSL_CTX_set_min_proto_version(ctx, known[i].version);
			return ERR_OK;
		}
	}
	return err_set(e, ERR_INVALID, "TLS version \"%s\" is none of 1.0 1.1 1.2 1.3", text);
}

static void offer(SSL_CTX *ctx, const char *protocol)
{
	uint8_t alpn[UINT8_MAX + 1];
	size_t n = strlen(protocol);

	assert(n && n <= UINT8_MAX);
	alpn[0] = (uint8_t)n;
	memcpy(alpn + 1, protocol, n);
	SSL_CTX_set_alpn_protos(ctx, alpn, (unsigned)n + 1);
}

static SSL_CTX *ctx_new(struct tls *t, struct err *e)
{
	ERR_clear_error();
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx) {
		err_set(e, ERR_SYSTEM, "TLS context: %s", last_reason());
		return NULL;
	}
	if (set_min_version(ctx, t->min_version, e) || tls_files_load(t, ctx, e)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, tls_on_verify);
	if (t->protocol)
		offer(ctx, t->protocol);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	return ctx;
}

enum err_code tls_new(const struct grpc_tls *o, const char *host, const char *protocol,
	struct tls **ret_t, struct err *e)
{
	struct tls *t = xcalloc(1, sizeof(*t));
	struct err why = ERR_INIT;
	struct in6_addr a;

	t->any_name = o->any_name || o->any_peer;
	t->any_peer = o->any_peer;
	t->protocol = protocol;
	t->name = xstrdup(o->server_name && *o->server_name ? o->server_name : host);
	t->name_is_ip =
		inet_pton(AF_INET, t->name, &a) == 1 || inet_pton(AF_INET6, t->name, &a) == 1;
	t->min_version = o->min_version ? xstrdup(o->min_version) : NULL;
	tls_files_set(t, o);
	t->ctx = ctx_new(t, &why);
	if (!t->ctx && !o->late_files) {
		tls_free(t);
		return err_set_origin(e, why.code, why.origin, "%s", why.text);
	}
	*ret_t = t;
	return ERR_OK;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	SSL_CTX_free(t->ctx);
	tls_files_free(t);
	free(t->min_version);
	free(t->name);
	free(t);
}

/* Connections that exist keep the context they began with. */
static enum err_code refresh(struct tls *t, struct err *e)
{
	if (t->ctx && !tls_files_changed(t))
		return ERR_OK;
	SSL_CTX *fresh = ctx_new(t, e);
	if (!fresh)
		return e->code;
	SSL_CTX_free(t->ctx);
	t->ctx = fresh;
	return ERR_OK;
}

enum err_code tls_open(struct tls *t, int fd, struct ssl_st **ret_ssl, struct err *e)
{
	if (refresh(t, e))
		return e->code;
	ERR_clear_error();
	SSL *ssl = SSL_new(t->ctx);
	/* Go, which runs most of our peers' clients, never looks at a certificate's common name. */
	if (ssl)
		SSL_set_hostflags(ssl, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (!ssl || !SSL_set_fd(ssl, fd) || (!t->any_name && !SSL_set1_host(ssl, t->name)) ||
		(!t->name_is_ip && !SSL_set_tlsext_host_name(ssl, t->name))) {
		SSL_free(ssl);
		return err_set(e, ERR_SYSTEM, "TLS session: %s", last_reason());
	}
	SSL_set_app_data(ssl, t);
	SSL_set_connect_state(ssl);
	*ret_ssl = ssl;
	return ERR_OK;
}

void tls_close(struct ssl_st *ssl)
{
	if (!ssl)
		return;
	ERR_clear_error();
	if (SSL_is_init_finished(ssl))
		SSL_shutdown(ssl);
	SSL_free(ssl);
}

/* Alerts come with their meaning, not as a bare end of file. */
static enum tls_io result(struct ssl_st *ssl, int r, struct err *e)
{
	int saved = errno;
	switch (SSL_get_error(ssl, r)) {
	case SSL_ERROR_NONE:
		return TLS_IO_OK;
	case SSL_ERROR_WANT_READ:
		return TLS_IO_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_IO_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_IO_END;
	default:
		break;
	}
	if (ERR_peek_error())
		tls_say_error(ssl, e);
	else
		err_set_origin(e, ERR_UNAVAILABLE, saved, "%s",
			saved ? strerrordesc_np(saved) : "closed by the peer");
	return TLS_IO_FAIL;
}

enum tls_io tls_handshake(struct ssl_st *ssl, struct err *e)
{
	ERR_clear_error();
	errno = 0;
	enum tls_io r = result(ssl, SSL_do_handshake(ssl), NULL);
	if (r == TLS_IO_FAIL || r == TLS_IO_END) {
		tls_say_handshake(ssl, e);
		return TLS_IO_FAIL;
	}
	return r;
}

bool tls_chose(struct ssl_st *ssl, const char *protocol)
{
	const uint8_t *alpn = NULL;
	unsigned n = 0;

	SSL_get0_alpn_selected(ssl, &alpn, &n);
	return slice_eq_str(slice_of(alpn, n), protocol);
}

enum tls_io tls_read(struct ssl_st *ssl, void *p, size_t cap, size_t *ret_n, struct err *e)
{
	ERR_clear_error();
	errno = 0;
	return result(ssl, SSL_read_ex(ssl, p, cap, ret_n), e);
}

enum tls_io tls_write(struct ssl_st *ssl, const void *p, size_t n, size_t *ret_n, struct err *e)
{
	ERR_clear_error();
	errno = 0;
	return result(ssl, SSL_write_ex(ssl, p, n, ret_n), e);
}
