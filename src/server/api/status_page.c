#include "server/api/status_page.h"

#include <openssl/sha.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* 'sha256-...' of what stands between the two tags. */
static void put_digest(struct buf *out, const char *begin, const char *end)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	const char *from = strstr(status_page_text, begin);
	const char *to = from ? strstr(from, end) : NULL;

	if (!to)
		return;
	from += strlen(begin);
	SHA256((const uint8_t *)from, (size_t)(to - from), digest);
	CLEANUP(freep) char *text = b64_text(slice_of(digest, sizeof(digest)));
	buf_putf(out, " 'sha256-%s'", text);
}

void status_page_policy(struct buf *out)
{
	buf_put_str(out, "default-src 'none'; connect-src 'self'; style-src");
	put_digest(out, "<style>", "</style>");
	buf_put_str(out, "; script-src");
	put_digest(out, "<script>", "</script>");
	buf_put_str(out, "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
}
