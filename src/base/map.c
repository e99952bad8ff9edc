/* Open addressing with linear probing; removed slots stay as tombstones until the next growth. */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { EMPTY, FULL, DEAD };
enum { FIRST_SLOTS = 4 };

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ULL;
	return x ^ x >> 33;
}

static uint64_t hash_bytes(const void *key, size_t n)
{
	const uint8_t *p = key;
	uint64_t h = 0xcbf29ce484222325ULL;
	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 0x100000001b3ULL;
	return mix(h);
}

static bool same(const struct map_slot *s, uint64_t hash, uint64_t key, const void *skey)
{
	if (s->state != FULL || s->hash != hash || s->key != key)
		return false;
	return !skey || memcmp(s->skey, skey, (size_t)key) == 0;
}

/* For strings key is the length, so one comparison serves both kinds. */
static struct map_slot *find(const struct umap *m, uint64_t hash, uint64_t key, const void *skey)
{
	if (!m->cap)
		return NULL;
	for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct map_slot *s = &m->slots[i];
		if (s->state == EMPTY)
			return NULL;
		if (same(s, hash, key, skey))
			return s;
	}
}

static struct map_slot *free_slot(struct umap *m, uint64_t hash)
{
	size_t i = hash & (m->cap - 1);
	while (m->slots[i].state == FULL)
		i = (i + 1) & (m->cap - 1);
	return &m->slots[i];
}

static void grow(struct umap *m)
{
	if (m->cap && (m->filled + 1) * 4 <= m->cap * 3)
		return;
	struct umap old = *m;
	size_t cap = FIRST_SLOTS;
	while (cap < old.used * 4)
		cap *= 2;
	m->cap = cap;
	m->slots = xcalloc(cap, sizeof(*m->slots));
	m->filled = m->used;
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i].state == FULL)
			*free_slot(m, old.slots[i].hash) = old.slots[i];
	free(old.slots);
}

static void *put(struct umap *m, uint64_t hash, uint64_t key, const char *skey, void *value)
{
	struct map_slot *s = find(m, hash, key, skey);
	if (s) {
		void *old = s->value;
		s->value = value;
		return old;
	}
	grow(m);
	s = free_slot(m, hash);
	m->filled += s->state == EMPTY;
	m->used++;
	char *copy = skey ? xstrndup(skey, (size_t)key) : NULL;
	*s = (struct map_slot){
		.hash = hash, .key = key, .skey = copy, .value = value, .state = FULL};
	return NULL;
}

static void *del(struct umap *m, uint64_t hash, uint64_t key, const char *skey)
{
	struct map_slot *s = find(m, hash, key, skey);
	if (!s)
		return NULL;
	void *old = s->value;
	free(s->skey);
	*s = (struct map_slot){.state = DEAD};
	m->used--;
	return old;
}

void umap_done(struct umap *m)
{
	for (size_t i = 0; i < m->cap; i++)
		free(m->slots[i].skey);
	free(m->slots);
	*m = (struct umap){0};
}

void *umap_put(struct umap *m, uint64_t key, void *value)
{
	return put(m, mix(key), key, NULL, value);
}

void *umap_get(const struct umap *m, uint64_t key)
{
	struct map_slot *s = find(m, mix(key), key, NULL);
	return s ? s->value : NULL;
}

void *umap_del(struct umap *m, uint64_t key)
{
	return del(m, mix(key), key, NULL);
}

static struct map_slot *next_full(const struct umap *m, size_t *pos)
{
	while (*pos < m->cap)
		if (m->slots[(*pos)++].state == FULL)
			return &m->slots[*pos - 1];
	return NULL;
}

bool umap_next(const struct umap *m, size_t *pos, uint64_t *ret_key, void **ret_value)
{
	struct map_slot *s = next_full(m, pos);
	if (!s)
		return false;
	if (ret_key)
		*ret_key = s->key;
	*ret_value = s->value;
	return true;
}

void smap_done(struct smap *m)
{
	umap_done(&m->m);
}

void *smap_put(struct smap *m, const char *key, void *value)
{
	size_t n = strlen(key);
	return put(&m->m, hash_bytes(key, n), n, key, value);
}

void *smap_getn(const struct smap *m, const void *key, size_t n)
{
	struct map_slot *s = find(&m->m, hash_bytes(key, n), n, n ? key : "");
	return s ? s->value : NULL;
}

void *smap_get(const struct smap *m, const char *key)
{
	return smap_getn(m, key, strlen(key));
}

void *smap_del(struct smap *m, const char *key)
{
	size_t n = strlen(key);
	return del(&m->m, hash_bytes(key, n), n, key);
}

bool smap_next(const struct smap *m, size_t *pos, const char **ret_key, void **ret_value)
{
	struct map_slot *s = next_full(&m->m, pos);
	if (!s)
		return false;
	if (ret_key)
		*ret_key = s->skey;
	*ret_value = s->value;
	return true;
}
