/* Why a TLS connection fails, in words an operator can act on. OpenSSL's own words stand in
 * brackets, for searching. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/tls_priv.h"

enum { NAMES_BYTES = 200, DATE_BYTES = 40 };

static const char *reason(unsigned long code)
{
	const char *why = code ? ERR_reason_error_string(code) : NULL;

	if (!why && code && ERR_SYSTEM_ERROR(code))
		why = strerrordesc_np((int)ERR_GET_REASON(code));
	return why ? why : "unknown reason";
}

/* ---- the peer's certificate ---- */

static void put_date(const ASN1_TIME *t, char out[DATE_BYTES])
{
	struct tm tm;

	out[0] = '\0';
	if (t && ASN1_TIME_to_tm(t, &tm))
		strftime(out, DATE_BYTES, "%Y-%m-%d %H:%M:%S UTC", &tm);
}

static void put_name(struct buf *b, const GENERAL_NAME *name)
{
	int type;
	const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
	const char *comma = b->n ? ", " : "";

	if (type == GEN_DNS) {
		buf_putf(b, "%s%.*s", comma, ASN1_STRING_length(value),
			(const char *)ASN1_STRING_get0_data(value));
	} else if (type == GEN_IPADD && ASN1_STRING_length(value) == 4) {
		const uint8_t *p = ASN1_STRING_get0_data(value);
		buf_putf(b, "%s%d.%d.%d.%d", comma, p[0], p[1], p[2], p[3]);
	}
}

static void say_name(const struct tls *t, X509 *cert, struct err *e)
{
	CLEANUP(buf_done) struct buf names = BUF_INIT(NAMES_BYTES);
	GENERAL_NAMES *all = cert ? X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL) : NULL;

	for (int i = 0; i < sk_GENERAL_NAME_num(all); i++)
		put_name(&names, sk_GENERAL_NAME_value(all, i));
	GENERAL_NAMES_free(all);
	err_set(e, ERR_UNAVAILABLE,
		"TLS: the peer's certificate is not for \"%.100s\" but for %s: use an address or a "
		"server name that it holds (%s mismatch)",
		t->name, names.n ? buf_cstr(&names) : "no name at all (common names do not count)",
		t->name_is_ip ? "IP address" : "hostname");
}

static void say_authority(const struct tls *t, X509 *cert, int verify, struct err *e)
{
	char issuer[NAMES_BYTES] = "?";

	if (cert)
		X509_NAME_oneline(X509_get_issuer_name(cert), issuer, sizeof(issuer));
	err_set(e, ERR_UNAVAILABLE,
		"TLS: the peer's certificate is signed by %s, which is not in %.150s: give the CA "
		"file "
		"of that signer (%s)",
		issuer, t->ca.path ? t->ca.path : "the system's roots",
		X509_verify_cert_error_string(verify));
}

static void say_verify(const struct tls *t, X509 *cert, int verify, struct err *e)
{
	char date[DATE_BYTES];

	switch (verify) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		put_date(cert ? X509_get0_notAfter(cert) : NULL, date);
		err_set(e, ERR_UNAVAILABLE,
			"TLS: the peer's certificate ended at %s: it must be renewed there, unless "
			"this machine's clock is wrong (certificate has expired)",
			date);
		return;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		put_date(cert ? X509_get0_notBefore(cert) : NULL, date);
		err_set(e, ERR_UNAVAILABLE,
			"TLS: the peer's certificate begins at %s: one of the two clocks is wrong "
			"(certificate is not yet valid)",
			date);
		return;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		say_name(t, cert, e);
		return;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		say_authority(t, cert, verify, e);
		return;
	default:
		err_set(e, ERR_UNAVAILABLE, "TLS: the peer's certificate: %s",
			X509_verify_cert_error_string(verify));
	}
}

int tls_on_verify(int ok, X509_STORE_CTX *ctx)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls *t = SSL_get_app_data(ssl);

	err_clear(&t->refused);
	if (t->any_peer)
		return 1;
	if (!ok)
		say_verify(t, X509_STORE_CTX_get_current_cert(ctx), X509_STORE_CTX_get_error(ctx),
			&t->refused);
	return ok;
}

/* ---- what the peer says of ours ---- */

static const char *alert_meaning(int alert, bool have_cert)
{
	switch (alert) {
	case SSL_AD_BAD_CERTIFICATE: /* Go's servers also say so when there is none */
	case SSL_AD_CERTIFICATE_REQUIRED:
	case SSL_AD_HANDSHAKE_FAILURE:
		return have_cert ? "it does not accept our certificate"
				 : "it wants a client certificate and none is set";
	case SSL_AD_UNKNOWN_CA:
		return "it does not know the signer of our client certificate";
	case SSL_AD_CERTIFICATE_EXPIRED:
		return "our certificate has ended";
	case SSL_AD_CERTIFICATE_REVOKED:
		return "our certificate is revoked";
	case SSL_AD_CERTIFICATE_UNKNOWN:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
	case SSL_AD_DECRYPT_ERROR:
	case SSL_AD_ACCESS_DENIED:
		return "it does not accept our certificate";
	case SSL_AD_PROTOCOL_VERSION:
		return "there is no TLS version that both allow";
	case SSL_AD_UNRECOGNIZED_NAME:
		return "it does not know the server name we ask for";
	default:
		return "it gives up";
	}
}

static void say_alert(const SSL *ssl, unsigned long code, struct err *e)
{
	const struct tls *t = SSL_get_app_data(ssl);
	int alert = ERR_GET_REASON(code) - SSL_AD_REASON_OFFSET;

	err_set(e, ERR_UNAVAILABLE, "TLS alert from the peer: %s (%s)",
		alert_meaning(alert, t->cert.path != NULL), reason(code));
}

void tls_say_error(const SSL *ssl, struct err *e)
{
	unsigned long code = ERR_peek_error();

	if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) > SSL_AD_REASON_OFFSET)
		say_alert(ssl, code, e);
	else
		err_set(e, ERR_UNAVAILABLE, "TLS: %s", reason(code));
}

/* ---- the handshake ---- */

static bool is_no_tls(unsigned long code)
{
	int r = ERR_GET_REASON(code);

	return ERR_GET_LIB(code) == ERR_LIB_SSL &&
	       (r == SSL_R_WRONG_VERSION_NUMBER || r == SSL_R_UNKNOWN_PROTOCOL ||
		       r == SSL_R_HTTP_REQUEST || r == SSL_R_PACKET_LENGTH_TOO_LONG);
}

void tls_say_handshake(SSL *ssl, struct err *e)
{
	const struct tls *t = SSL_get_app_data(ssl);
	unsigned long code = ERR_peek_error();

	if (SSL_get_verify_result(ssl) != X509_V_OK)
		err_set(e, t->refused.code, "%s", t->refused.text);
	else if (is_no_tls(code))
		err_set(e, ERR_UNAVAILABLE,
			"TLS: the peer answers with something else: does this port speak plain "
			"text "
			"(%s)?",
			reason(code));
	else if (!code || ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		err_set(e, ERR_UNAVAILABLE,
			"TLS: closed by the peer during the handshake: does this port speak plain "
			"text?");
	else
		tls_say_error(ssl, e);
}
