#include "server/api/access.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

enum { HEADER_BYTES = 4096 };

static void digest(struct slice token, uint8_t out[ACCESS_DIGEST_BYTES])
{
	SHA256(token.p, token.n, out);
}

void access_init(struct access_rules *a, const char *read_token, const char *write_token)
{
	bool has_read = read_token && *read_token, has_write = write_token && *write_token;

	*a = (struct access_rules){.has_read = has_read, .any = !has_write && !has_read};
	if (has_write)
		digest(slice_str(write_token), a->write);
	if (has_read)
		digest(slice_str(read_token), a->read);
}

static enum access access_of_token(const struct access_rules *a, struct slice token)
{
	uint8_t given[ACCESS_DIGEST_BYTES];

	digest(token, given);
	if (CRYPTO_memcmp(given, a->write, sizeof(given)) == 0)
		return ACCESS_WRITE;
	if (a->has_read && CRYPTO_memcmp(given, a->read, sizeof(given)) == 0)
		return ACCESS_READ;
	return ACCESS_NONE;
}

static enum access access_of_basic(const struct access_rules *a, const char *text)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(HEADER_BYTES);

	const uint8_t *colon = b64_decode(&b, text) && b.n ? memchr(b.p, ':', b.n) : NULL;
	if (!colon)
		return ACCESS_NONE;
	return access_of_token(a, slice_of(colon + 1, b.n - (size_t)(colon + 1 - b.p)));
}

enum access access_of(const struct access_rules *a, const char *header, bool *ret_bearer)
{
	enum access access = ACCESS_NONE;

	*ret_bearer = false;
	if (a->any)
		return ACCESS_WRITE;
	if (header && strncasecmp(header, "Basic ", 6) == 0)
		return access_of_basic(a, header + 6 + strspn(header + 6, " "));
	if (header && strncasecmp(header, "Bearer ", 7) == 0)
		access = access_of_token(a, slice_str(header + 7 + strspn(header + 7, " ")));
	*ret_bearer = access != ACCESS_NONE;
	return access;
}
