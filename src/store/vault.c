#include "store/vault.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

enum {
	KEY_BYTES = 32,
	NONCE_BYTES = 12,
	TAG_BYTES = 16,
	NAME_BYTES = 9,
	LINE_BYTES = 256,
	TEXT_BYTES = 1 << 20,
};

#define PREFIX "$cdc-sealed1$"

struct key {
	uint8_t bytes[KEY_BYTES];
	char name[NAME_BYTES]; /* hex */
};

struct vault {
	struct key keys[VAULT_KEYS];
	size_t n;
};

/* ---- the file ---- */

static void name_key(struct key *k)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];

	SHA256(k->bytes, KEY_BYTES, digest);
	snprintf(k->name, sizeof(k->name), "%02x%02x%02x%02x", digest[0], digest[1], digest[2],
		digest[3]);
}

static enum err_code add_key(
	struct vault *v, const char *path, int line, const char *text, struct err *e)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(LINE_BYTES);

	if (v->n == VAULT_KEYS)
		return err_set(e, ERR_INVALID, "%s:%d: more than %d keys", path, line, VAULT_KEYS);
	if (!b64_decode(&b, text) || b.n != KEY_BYTES)
		return err_set(e, ERR_INVALID,
			"%s:%d: not a key; make one with \"openssl rand -base64 %d\"", path, line,
			KEY_BYTES);
	struct key *k = &v->keys[v->n++];
	memcpy(k->bytes, b.p, KEY_BYTES);
	explicit_bzero(b.p, b.n);
	name_key(k);
	return ERR_OK;
}

static enum err_code read_keys(struct vault *v, const char *path, FILE *f, struct err *e)
{
	char line[LINE_BYTES];
	int number = 0;

	while (!e->code && fgets(line, sizeof(line), f)) {
		number++;
		line[strcspn(line, "\r\n")] = '\0';
		if (*line && *line != '#')
			(void)add_key(v, path, number, line, e);
	}
	explicit_bzero(line, sizeof(line));
	if (!e->code && ferror(f))
		return err_errno(e, errno, "%s", path);
	if (!e->code && !v->n)
		return err_set(e, ERR_INVALID,
			"%s: holds no key; make one with \"openssl rand -base64 %d\"", path,
			KEY_BYTES);
	return e->code;
}

enum err_code vault_open(const char *path, struct vault **ret_v, struct err *e)
{
	FILE *f = fopen(path, "re");

	if (!f)
		return err_errno(e, errno, "%s", path);
	struct vault *v = xcalloc(1, sizeof(*v));
	setvbuf(f, NULL, _IONBF, 0); /* no copy of the keys stays in a buffer */
	if (read_keys(v, path, f, e)) {
		vault_free(v);
		v = NULL;
	}
	fclose(f);
	*ret_v = v;
	return e->code;
}

void vault_free(struct vault *v)
{
	if (v)
		explicit_bzero(v, sizeof(*v));
	free(v);
}

/* ---- sealing ---- */

/* What one call of the cipher works on; out has room for in.n bytes. */
struct crypt {
	bool seal;
	const struct key *key;
	const uint8_t *nonce;
	struct slice context, in;
	uint8_t *out, *tag;
};

static bool crypt_with(EVP_CIPHER_CTX *ctx, const struct crypt *c)
{
	int n = 0, seal = c->seal;

	if (!EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, c->key->bytes, c->nonce, seal) ||
		!EVP_CipherUpdate(ctx, NULL, &n, c->context.p, (int)c->context.n) ||
		!EVP_CipherUpdate(ctx, c->out, &n, c->in.p, (int)c->in.n))
		return false;
	if (!seal && !EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, c->tag))
		return false;
	if (!EVP_CipherFinal_ex(ctx, c->out + n, &n))
		return false;
	return !seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, c->tag);
}

static bool crypt_run(const struct crypt *c)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	bool ok = ctx && crypt_with(ctx, c);

	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

bool vault_is_sealed(const char *text)
{
	return str_starts(text, PREFIX);
}

/* The key a sealed text names; NULL if there is none. */
static const struct key *key_of(const struct vault *v, const char *text)
{
	const char *name = text + strlen(PREFIX);

	for (size_t i = 0; v && i < v->n; i++)
		if (strncmp(name, v->keys[i].name, NAME_BYTES - 1) == 0 &&
			name[NAME_BYTES - 1] == '$')
			return &v->keys[i];
	return NULL;
}

bool vault_is_current(const struct vault *v, const char *text)
{
	return vault_is_sealed(text) && key_of(v, text) == &v->keys[0];
}

enum err_code vault_seal(
	const struct vault *v, const char *context, const char *text, char **ret, struct err *e)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(TEXT_BYTES);
	size_t n = strlen(text);

	uint8_t *p = buf_reserve(&b, NONCE_BYTES + n + TAG_BYTES);
	if (!p)
		return err_set(e, ERR_LIMIT, "a credential of %zu bytes", n);
	struct crypt c = {.seal = true,
		.key = &v->keys[0],
		.nonce = p,
		.context = slice_str(context),
		.in = slice_str(text),
		.out = p + NONCE_BYTES,
		.tag = p + NONCE_BYTES + n};
	if (RAND_bytes(p, NONCE_BYTES) != 1 || !crypt_run(&c))
		return err_set(e, ERR_SYSTEM, "OpenSSL can't encrypt");
	b.n += NONCE_BYTES + n + TAG_BYTES;
	CLEANUP(freep) char *b64 = b64_text(buf_slice(&b));
	*ret = xasprintf(PREFIX "%s$%s", v->keys[0].name, b64);
	return ERR_OK;
}

static enum err_code no_key(const struct vault *v, const char *text, struct err *e)
{
	const char *name = text + strlen(PREFIX);

	return err_set(e, ERR_INVALID,
		"encrypted with key %.*s, which %s; metaStoreConfig.encryptionKeyFile has to name "
		"the file with that key",
		(int)MIN(strcspn(name, "$"), (size_t)NAME_BYTES), name,
		v ? "the key file does not hold" : "is not known, for no key file is set");
}

enum err_code vault_unseal(
	const struct vault *v, const char *context, const char *text, char **ret, struct err *e)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(TEXT_BYTES);
	const struct key *key = key_of(v, text);

	if (!key)
		return no_key(v, text, e);
	if (!b64_decode(&b, text + strlen(PREFIX) + NAME_BYTES) || b.n < NONCE_BYTES + TAG_BYTES)
		return err_set(e, ERR_MALFORMED, "the encrypted text is cut or damaged");
	size_t n = b.n - NONCE_BYTES - TAG_BYTES;
	CLEANUP(freep) char *out = xcalloc(1, n + 1);
	struct crypt c = {.key = key,
		.nonce = b.p,
		.context = slice_str(context),
		.in = slice_of(b.p + NONCE_BYTES, n),
		.out = (uint8_t *)out,
		.tag = b.p + NONCE_BYTES + n};
	if (!crypt_run(&c))
		return err_set(e, ERR_MALFORMED,
			"the encrypted text is damaged, or of another task or field");
	*ret = TAKE(out);
	return ERR_OK;
}
