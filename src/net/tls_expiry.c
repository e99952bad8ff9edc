#include "net/tls_expiry.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { CERTIFICATES_MAX = 1000 };

static int64_t seconds(const ASN1_TIME *t)
{
	struct tm tm;

	return ASN1_TIME_to_tm(t, &tm) ? (int64_t)timegm(&tm) : 0;
}

static void take(X509 *x, struct tls_expiry *r, bool first, bool bundle)
{
	int64_t after = seconds(X509_get0_notAfter(x));

	if (!first && (after >= r->not_after_s) != bundle)
		return;
	r->not_after_s = after;
	r->not_before_s = seconds(X509_get0_notBefore(x));
	X509_NAME *subject = X509_get_subject_name(x);
	if (X509_NAME_get_text_by_NID(subject, NID_commonName, r->name, sizeof(r->name)) < 0)
		X509_NAME_oneline(subject, r->name, sizeof(r->name));
}

enum err_code tls_expiry_read(
	const char *path, bool bundle, struct tls_expiry *ret_x, struct err *e)
{
	FILE *f = fopen(path, "re");
	int n = 0;

	*ret_x = (struct tls_expiry){.name = ""};
	if (!f)
		return err_set_origin(
			e, ERR_INVALID, errno, "%s: %s", path, strerrordesc_np(errno));
	for (X509 *x; n < CERTIFICATES_MAX && (x = PEM_read_X509(f, NULL, NULL, NULL)); n++) {
		take(x, ret_x, n == 0, bundle);
		X509_free(x);
	}
	ERR_clear_error(); /* the end of the file is one */
	fclose(f);
	return n ? ERR_OK : err_set(e, ERR_INVALID, "%s: holds no certificate in PEM form", path);
}
