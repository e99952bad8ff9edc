/* The primary keys of an insert or delete: found in one pass over the message, read one by one.
 * Nothing is copied; slices point into the payload. */
#pragma once

#include "base/bytes.h"
#include "base/err.h"
#include "base/wire.h"
#include "model/dml.h"

struct dml_keys {
	/* A message whose field num holds the keys: of an insert schema.LongArray or StringArray
	 * (field 1), as in schema.IDs. */
	struct slice array;
	uint32_t num;
	bool varchar;
	uint64_t count;
};

/* The key column of insert d, by its field id, as many keys as d has rows. UNSUPPORTED for a
 * row-based insert (version 0) or one without that column; MALFORMED. */
NODISCARD enum err_code dml_keys_of_insert(
	struct dml_keys *k, const struct dml *d, int64_t pk_field_id, bool varchar, struct err *e);
/* The keys of delete d, in the newer form (primary_keys) or the older (int64_primary_keys). */
NODISCARD enum err_code dml_keys_of_delete(struct dml_keys *k, const struct dml *d, struct err *e);

/* One key: text of a varchar key, else number. */
struct dml_key {
	struct slice text;
	int64_t number;
};

struct dml_keys_iter {
	struct wire outer, packed;
	uint32_t num;
	bool varchar, in_packed;
};

struct dml_keys_iter dml_keys_begin(const struct dml_keys *k);
/* False at the end. */
bool dml_keys_next(struct dml_keys_iter *it, struct dml_key *ret);
