/* A metastore in memory, for tests: same keys, same records, same rules as the real ones, and
 * failures on demand. */
#pragma once

#include "base/err.h"
#include "store/store.h"

struct store *store_mem_new(const char *root_path);

/* The next `times` calls of any function fail with code and change nothing. */
void store_mem_fail(struct store *st, enum err_code code, unsigned times);
/* Puts (or deletes, value NULL) a raw text under a full key, to plant what a peer might leave. */
void store_mem_raw(struct store *st, const char *key, const char *value);
/* The raw text under a full key, heap; NULL if there is none. */
char *store_mem_get(struct store *st, const char *key);
/* How many writes of positions or of our own records have succeeded. */
uint64_t store_mem_writes(struct store *st);
