#include "model/kv.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/wire.h"

enum { KEY = 1, VALUE = 2 };

void kv_done(struct kv_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].key);
		free(l->v[i].value);
	}
	free(l->v);
	*l = (struct kv_list){0};
}

static struct kv *find(const struct kv_list *l, const char *key)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i].key, key) == 0)
			return &l->v[i];
	return NULL;
}

const char *kv_get(const struct kv_list *l, const char *key)
{
	const struct kv *p = find(l, key);
	return p ? p->value : NULL;
}

void kv_put(struct kv_list *l, const char *key, const char *value)
{
	struct kv *p = find(l, key);

	if (p) {
		free(p->value);
		p->value = xstrdup(value);
		return;
	}
	mem_grow(&l->v, &l->cap, l->n + 1, sizeof(*l->v));
	l->v[l->n++] = (struct kv){.key = xstrdup(key), .value = xstrdup(value)};
}

static bool read_pair(struct kv_list *l, struct slice pair)
{
	struct wire w = wire_open(pair);
	struct wire_field f;
	struct slice key = {0}, value = {0};

	while (wire_next(&w, &f)) {
		if (f.num == KEY && f.type == WIRE_LEN)
			key = f.data;
		else if (f.num == VALUE && f.type == WIRE_LEN)
			value = f.data;
	}
	if (w.bad || (key.n && memchr(key.p, 0, key.n)) || (value.n && memchr(value.p, 0, value.n)))
		return false;
	CLEANUP(freep) char *k = xstrndup((const char *)key.p, key.n);
	CLEANUP(freep) char *v = xstrndup((const char *)value.p, value.n);
	kv_put(l, k, v);
	return true;
}

bool kv_read(struct kv_list *l, struct slice message, uint32_t num)
{
	struct wire w = wire_open(message);
	struct wire_field f;

	while (wire_next(&w, &f))
		if (f.num == num && (f.type != WIRE_LEN || !read_pair(l, f.data)))
			return false;
	return !w.bad;
}

void kv_copy(struct kv_list *to, const struct kv_list *from)
{
	kv_done(to);
	for (size_t i = 0; i < from->n; i++)
		kv_put(to, from->v[i].key, from->v[i].value);
}

bool kv_equal(const struct kv_list *a, const struct kv_list *b)
{
	for (size_t i = 0; i < a->n; i++) {
		const char *other = kv_get(b, a->v[i].key);
		if (!other || strcmp(other, a->v[i].value) != 0)
			return false;
	}
	return a->n == b->n;
}

static void put_pair(struct buf *b, uint32_t num, const struct kv *p)
{
	struct buf pair = BUF_INIT(b->max);

	wire_put_str(&pair, KEY, p->key);
	wire_put_str(&pair, VALUE, p->value);
	wire_put_bytes(b, num, buf_slice(&pair));
	buf_done(&pair);
}

bool kv_put_changes(struct buf *b, const struct kv_list *before, const struct kv_list *after,
	uint32_t set_num, uint32_t delete_num)
{
	bool any = false;

	for (size_t i = 0; i < after->n; i++) {
		const char *old = kv_get(before, after->v[i].key);
		if (old && strcmp(old, after->v[i].value) == 0)
			continue;
		put_pair(b, set_num, &after->v[i]);
		any = true;
	}
	for (size_t i = 0; i < before->n; i++) {
		if (kv_get(after, before->v[i].key))
			continue;
		wire_put_str(b, delete_num, before->v[i].key);
		any = true;
	}
	return any;
}
