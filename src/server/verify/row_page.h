/* The rows of an answer to Query as keys and digests, to be compared with those of another Milvus: the
 * values themselves are not kept. A digest is made of all fields by name, so that neither their order
 * nor their ids count. @thread the caller's own */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"

enum { ROW_DIGEST_BYTES = 16 };

struct row_key {
	int64_t number;
	struct slice text; /* of a varchar key */
};

struct row {
	struct row_key key;
	uint8_t digest[ROW_DIGEST_BYTES];
	uint64_t *
		fields; /* with detail: a digest a field, in the order of the page's names; else NULL */
};

struct row_page {
	struct arena arena; /* texts of keys, names, fields */
	struct row *rows;   /* by key, ascending; a key stands once */
	size_t n, cap;
	char **names; /* of the fields, ascending */
	size_t n_names;
	size_t bytes; /* of the answers read */
};

/* Is a before (-1), at (0) or behind (1) b? Texts byte by byte, as Milvus orders them. */
int row_key_compare(const struct row_key *a, const struct row_key *b, bool varchar);
/* As an expression writes it: a number, or a text in double quotes, escaped. */
void row_key_put(struct buf *b, const struct row_key *k, bool varchar);
/* Takes text, or number, into a. */
struct row_key row_key_copy(struct arena *a, const struct row_key *k);

/* Replaces what p holds by the rows of answer (QueryResults) with key column pk_name. detail: also a
 * digest a field. MALFORMED, UNSUPPORTED; p is to be freed in any case. */
NODISCARD enum err_code row_page_read(struct row_page *p, struct slice answer, const char *pk_name,
	bool varchar, bool detail, struct err *e);
/* The row of that key, or NULL. */
const struct row *row_page_find(const struct row_page *p, const struct row_key *k, bool varchar);
void row_page_reset(struct row_page *p);
void row_page_done(struct row_page *p);
