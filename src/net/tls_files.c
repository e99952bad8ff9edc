/* Certificate files. They are read again when they have changed, so that renewed certificates are
 * used from the next connection on without a restart. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/tls_priv.h"

static void set(struct tls_file *f, const char *path)
{
	f->path = path && *path ? xstrdup(path) : NULL;
}

void tls_files_set(struct tls *t, const struct grpc_tls *o)
{
	set(&t->ca, o->ca_path);
	set(&t->cert, o->cert_path);
	set(&t->key, o->key_path);
}

void tls_files_free(struct tls *t)
{
	freep(&t->ca.path);
	freep(&t->cert.path);
	freep(&t->key.path);
}

static bool changed(const struct tls_file *f)
{
	struct stat st;

	if (!f->path)
		return false;
	if (stat(f->path, &st))
		return true;
	return st.st_mtim.tv_sec != f->changed.tv_sec || st.st_mtim.tv_nsec != f->changed.tv_nsec ||
	       st.st_size != f->bytes || st.st_ino != f->inode;
}

bool tls_files_changed(const struct tls *t)
{
	return changed(&t->ca) || changed(&t->cert) || changed(&t->key);
}

/* Noted before it is read: a change in between is one that is seen next time. */
static enum err_code note(struct tls_file *f, const char *what, struct err *e)
{
	struct stat st;
	int fd = open(f->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st)) {
		err_set_origin(
			e, ERR_INVALID, errno, "%s %s: %s", what, f->path, strerrordesc_np(errno));
		if (fd >= 0)
			close(fd);
		return ERR_INVALID;
	}
	close(fd);
	f->changed = st.st_mtim;
	f->bytes = st.st_size;
	f->inode = st.st_ino;
	return ERR_OK;
}

static const char *pem_problem(void)
{
	unsigned long code = ERR_peek_error();
	int lib = ERR_GET_LIB(code), reason = ERR_GET_REASON(code);

	if (lib == ERR_LIB_PEM && reason == PEM_R_NO_START_LINE)
		return "holds nothing of that kind in PEM form";
	if (reason == ERR_R_INTERRUPTED_OR_CANCELLED) /* the passphrase was asked for */
		return "is encrypted; a key without a passphrase is needed";
	if (lib == ERR_LIB_X509 && reason == X509_R_NO_CERTIFICATE_OR_CRL_FOUND)
		return "holds no certificate in PEM form";
	if (lib == ERR_LIB_X509 && reason == X509_R_KEY_VALUES_MISMATCH)
		return "does not belong to the certificate";
	if (lib == ERR_LIB_PEM || lib == ERR_LIB_ASN1)
		return "is damaged, its PEM block can't be decoded";
	const char *text = ERR_reason_error_string(code);
	return text ? text : "can't be used";
}

static enum err_code unusable(const char *what, const struct tls_file *f, struct err *e)
{
	return err_set(e, ERR_INVALID, "%s %s %s", what, f->path, pem_problem());
}

static enum err_code load_ca(struct tls *t, SSL_CTX *ctx, struct err *e)
{
	if (!t->ca.path) {
		if (SSL_CTX_set_default_verify_paths(ctx) != 1)
			return err_set(e, ERR_INVALID, "the system's CA roots can't be read");
		return ERR_OK;
	}
	if (note(&t->ca, "CA file", e))
		return e->code;
	return SSL_CTX_load_verify_locations(ctx, t->ca.path, NULL) == 1
		       ? ERR_OK
		       : unusable("CA file", &t->ca, e);
}

/* OpenSSL would ask the terminal. */
static int no_passphrase(char *buf UNUSED, int size UNUSED, int rw UNUSED, void *arg UNUSED)
{
	return -1;
}

enum err_code tls_files_load(struct tls *t, SSL_CTX *ctx, struct err *e)
{
	ERR_clear_error();
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	if (load_ca(t, ctx, e))
		return e->code;
	if (!t->cert.path != !t->key.path)
		return err_set(e, ERR_INVALID, "a client certificate and its key go together");
	if (!t->cert.path)
		return ERR_OK;
	if (note(&t->cert, "certificate", e) || note(&t->key, "key", e))
		return e->code;
	if (SSL_CTX_use_certificate_chain_file(ctx, t->cert.path) != 1)
		return unusable("certificate", &t->cert, e);
	if (SSL_CTX_use_PrivateKey_file(ctx, t->key.path, SSL_FILETYPE_PEM) != 1)
		return unusable("key", &t->key, e);
	return ERR_OK;
}
