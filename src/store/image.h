/* All that a metastore holds below its root, in memory: what migrate-store copies and compares.
 * Left out are documents of tasks without a record: nobody reads them any more. */
#pragma once

#include "base/err.h"
#include "base/map.h"
#include "base/stop.h"
#include "store/store.h"

struct image {
	struct store_ext_kv *texts, *exts; /* task records as stored; our own records */
	struct store_positions *docs;
	size_t n_texts, n_exts, n_docs;
	size_t orphans;         /* documents left out */
	size_t damaged;         /* tasks and documents that can't be read; left out as well */
	char damaged_name[160]; /* one of them */
	struct smap values; /* "task/<id>", "position/<task>/<id>", "ext/<key>" -> canonical text */
};

/* *ret needs image_done only on OK. */
NODISCARD enum err_code image_read(
	struct store *st, struct stop *s, struct image *ret, struct err *e);
/* May be zeroed. */
void image_done(struct image *m);
/* Whether all that a holds stands in b with the same meaning (the order of JSON members and the
 * like do not count). If not, *ret_name is one that does not, borrowed from a. */
bool image_is_part(const struct image *a, const struct image *b, const char **ret_name);
/* Writes all of it, a task's record before its documents. Safe to repeat. */
NODISCARD enum err_code image_write(
	const struct image *m, struct store *st, struct stop *s, struct err *e);
