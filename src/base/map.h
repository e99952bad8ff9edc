/* Hash maps: umap from uint64, smap from strings (keys are copied), both to pointers the map does
 * not own. Not thread-safe. Removal while iterating is allowed only through the iterator's key
 * after the loop; collect first. */
#pragma once

#include "base/defs.h"

struct map_slot {
	uint64_t hash;
	uint64_t key;
	char *skey;
	void *value;
	uint8_t state;
};

struct umap {
	struct map_slot *slots;
	size_t cap, used, filled;
};

struct smap {
	struct umap m;
};

void umap_done(struct umap *m);
/* Puts or replaces; returns the old value or NULL. value must not be NULL. */
void *umap_put(struct umap *m, uint64_t key, void *value);
void *umap_get(const struct umap *m, uint64_t key);
/* Removes; returns the value or NULL. */
void *umap_del(struct umap *m, uint64_t key);
/* Iteration: *pos starts at 0; false at the end. */
bool umap_next(const struct umap *m, size_t *pos, uint64_t *ret_key, void **ret_value);

void smap_done(struct smap *m);
void *smap_put(struct smap *m, const char *key, void *value);
void *smap_get(const struct smap *m, const char *key);
void *smap_getn(const struct smap *m, const void *key, size_t n);
void *smap_del(struct smap *m, const char *key);
bool smap_next(const struct smap *m, size_t *pos, const char **ret_key, void **ret_value);

static inline size_t umap_count(const struct umap *m)
{
	return m->used;
}

static inline size_t smap_count(const struct smap *m)
{
	return m->m.used;
}
