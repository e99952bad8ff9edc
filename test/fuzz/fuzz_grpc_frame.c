/* An answer's bytes as a hostile peer may send them. Input: a byte of flags, then parts; each
 * begins with a kind and a length: a header (name 0 value) or DATA. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "net/grpc_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 1 << 16 };

static void push_data(struct grpc_frames *f, struct slice s)
{
	size_t before = s.n;

	while (s.n) {
		bool whole = false;
		struct err e = ERR_INIT;
		enum err_code code = grpc_frames_push(f, &s, &whole, &e);
		assert(code == e.code);
		assert(s.n <= before);
		assert(f->msg->n <= MOST);
		if (whole)
			assert(grpc_frames_idle(f));
		if (code)
			return;
		if (whole)
			buf_reset(f->msg);
	}
}

static void push_header(struct grpc_reply *r, struct slice s)
{
	const uint8_t *zero = s.n ? memchr(s.p, 0, s.n) : NULL;
	size_t name = zero ? (size_t)(zero - s.p) : s.n;
	size_t skip = zero ? name + 1 : name;
	struct err e = ERR_INIT;
	enum err_code code =
		grpc_reply_header(r, slice_of(s.p, name), slice_of(s.p + skip, s.n - skip), &e);

	assert(code == e.code);
	assert(strlen(r->message) < sizeof(r->message));
	assert(strlen(r->content_type) < sizeof(r->content_type));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf msg = BUF_INIT(MOST);
	struct grpc_frames f = {.msg = &msg};
	struct grpc_reply r;
	struct err e = ERR_INIT;

	if (size < 1)
		return 0;
	uint8_t flags = data[0];
	grpc_reply_init(&r);
	for (size_t at = 1; at + 2 <= size;) {
		size_t n = data[at + 1];
		bool is_data = data[at] & 1;
		at += 2;
		n = n < size - at ? n : size - at;
		if (is_data)
			push_data(&f, slice_of(data + at, n));
		else
			push_header(&r, slice_of(data + at, n));
		at += n;
	}
	enum err_code code = grpc_reply_result(&r, flags & 1, flags >> 1, &e);
	assert(code == e.code);
	assert(code == ERR_OK || e.origin != 0);
	buf_done(&msg);
	return 0;
}
