/* Answers of an HTTP server, and urls: whatever is taken lies within the input. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/http/http_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(buf_done) struct buf body = BUF_INIT(1 << 20);
	CLEANUP(freep) char *text = xstrndup(size ? (const char *)data : "", size);
	struct http_url u;
	struct err e = ERR_INIT;
	int status;

	if (!http_read_answer(slice_of(data, size), &status, &body, &e) &&
		(body.n > size || status < 0 || status > 999))
		abort();
	err_clear(&e);
	if (!http_url_parse(&u, text, &e) && (!*u.host || !*u.address || u.path[0] != '/'))
		abort();
	return 0;
}
