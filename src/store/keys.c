#include "store/keys.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

/* Never reached: an id is part of a request, LIMIT_HTTP_BODY, and at most tripled. */
enum { KEY_BYTES = 64 << 20 };

static void drop_last(struct buf *b)
{
	while (b->n && b->p[b->n - 1] != '/')
		b->n--;
	if (b->n > 1)
		b->n--;
}

char *keys_root(const char *root)
{
	struct buf b = BUF_INIT(KEY_BYTES);
	bool absolute = *root == '/';

	if (absolute)
		buf_put_u8(&b, '/');
	for (const char *p = root; *p;) {
		size_t n = strcspn(p, "/");
		struct slice part = slice_of(p, n);
		p += n + (p[n] == '/');
		if (!n || slice_eq_str(part, "."))
			continue;
		if (slice_eq_str(part, "..")) {
			drop_last(&b);
			continue;
		}
		if (b.n && b.p[b.n - 1] != '/')
			buf_put_u8(&b, '/');
		buf_put(&b, part.p, part.n);
	}
	return buf_take(&b);
}

static void put_id(struct buf *b, const char *id)
{
	bool dots = strcmp(id, ".") == 0 || strcmp(id, "..") == 0;

	for (; *id; id++) {
		if (*id == '/' || *id == '%' || dots)
			buf_putf(b, "%%%02X", (unsigned)(unsigned char)*id);
		else
			buf_put_u8(b, (uint8_t)*id);
	}
}

static void put_prefix(struct buf *b, const char *root, const char *kind)
{
	buf_put_str(b, root);
	if (b->n && b->p[b->n - 1] != '/')
		buf_put_u8(b, '/');
	buf_put_str(b, kind);
	buf_put_u8(b, '/');
}

char *keys_task_prefix(const char *root)
{
	struct buf b = BUF_INIT(KEY_BYTES);
	put_prefix(&b, root, "task_info");
	return buf_take(&b);
}

char *keys_task(const char *root, const char *task_id)
{
	struct buf b = BUF_INIT(KEY_BYTES);
	put_prefix(&b, root, "task_info");
	put_id(&b, task_id);
	return buf_take(&b);
}

char *keys_position_below(const char *task_id)
{
	struct buf b = BUF_INIT(KEY_BYTES);
	if (task_id) {
		put_id(&b, task_id);
		buf_put_u8(&b, '/');
	}
	return buf_take(&b);
}

char *keys_position_prefix(const char *root, const char *task_id)
{
	struct buf b = BUF_INIT(KEY_BYTES);
	CLEANUP(freep)
	char *below = keys_position_below(task_id);

	put_prefix(&b, root, "task_position");
	buf_put_str(&b, below);
	return buf_take(&b);
}

char *keys_position(const char *root, const char *task_id, int64_t collection_id)
{
	struct buf b = BUF_INIT(KEY_BYTES);
	put_prefix(&b, root, "task_position");
	put_id(&b, task_id);
	buf_putf(&b, "/%lld", (long long)collection_id);
	return buf_take(&b);
}

char *keys_ext_prefix(const char *root)
{
	struct buf b = BUF_INIT(KEY_BYTES);
	put_prefix(&b, root, "ext");
	return buf_take(&b);
}

char *keys_kind_prefix(const char *root, enum store_kind kind)
{
	switch (kind) {
	case STORE_TASKS:
		return keys_task_prefix(root);
	case STORE_POSITIONS:
		return keys_position_prefix(root, NULL);
	case STORE_EXTS:
		break;
	}
	return keys_ext_prefix(root);
}

char *keys_ext(const char *root, const char *key)
{
	struct buf b = BUF_INIT(KEY_BYTES);
	put_prefix(&b, root, "ext");
	buf_put_str(&b, key);
	return buf_take(&b);
}

char *keys_owner(const char *root)
{
	struct buf b = BUF_INIT(KEY_BYTES);
	put_prefix(&b, root, "ext_owner");
	b.n--; /* a key, not a folder */
	return buf_take(&b);
}

char *keys_ext_task(const char *kind, const char *task_id, const char *rest)
{
	struct buf b = BUF_INIT(KEY_BYTES);
	buf_put_str(&b, kind);
	buf_put_u8(&b, '/');
	put_id(&b, task_id);
	buf_put_u8(&b, '/');
	buf_put_str(&b, rest);
	return buf_take(&b);
}

static int hex_value(uint8_t c)
{
	static const char digits[] = "0123456789ABCDEF";
	const char *at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

char *keys_decode_id(struct slice in)
{
	CLEANUP(buf_done)
	struct buf id = BUF_INIT(KEY_BYTES);
	CLEANUP(buf_done)
	struct buf back = BUF_INIT(KEY_BYTES);

	for (size_t i = 0; i < in.n; i++) {
		int hi = i + 2 < in.n && in.p[i] == '%' ? hex_value(in.p[i + 1]) : -1;
		int lo = hi >= 0 ? hex_value(in.p[i + 2]) : -1;
		if (lo < 0) {
			buf_put_u8(&id, in.p[i]);
			continue;
		}
		buf_put_u8(&id, (uint8_t)(hi << 4 | lo));
		i += 2;
	}
	/* One id has one key: what does not come back the same is not ours. */
	put_id(&back, buf_cstr(&id));
	if (buf_failed(&id) || !id.n || !slice_eq(buf_slice(&back), in))
		return NULL;
	return buf_take(&id);
}

char *keys_decode_position(struct slice rest, int64_t *ret_collection_id)
{
	size_t n = rest.n;
	while (n && rest.p[n - 1] != '/')
		n--;
	if (n < 2 || !slice_to_i64(slice_of(rest.p + n, rest.n - n), ret_collection_id))
		return NULL;
	return keys_decode_id(slice_of(rest.p, n - 1));
}

char *keys_prefix_end(const char *prefix)
{
	char *end = xstrdup(prefix);
	size_t n = strlen(end);

	assert(n && (unsigned char)end[n - 1] < 0xff);
	end[n - 1]++;
	return end;
}
