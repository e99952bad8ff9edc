/* One round of the store writer: its entries go to the store in batches. For writer.c only; of its
 * thread, without a lock. */
#pragma once

#include "base/log.h"
#include "store/store.h"

/* A record to write: a position document, or one of ours when key is set. */
struct entry {
	char *map_key;
	uint64_t seq;
	bool written;
	bool alone;      /* a value of this key was refused: it spoils no batch any more */
	struct err *bad; /* heap; why it was refused */
	bool gone;       /* the document is to be deleted; pos holds only its ids */
	struct store_positions pos;
	char *key, *value;
};

/* NULL is fine. */
void entry_free(struct entry *n);

/* Entries taken for writing. */
struct round {
	struct store *st;
	struct stop *stop;
	const struct log_ctx *log;
	struct entry **v;
	size_t n;
	uint64_t seq; /* everything put up to it is in v, or was stored or refused before */
};

/* Writes the entries: each is written, or bad, or neither when the store does not take writes now;
 * then the answer is false, and e says why. What is refused for the first time is logged. */
bool round_write(struct round *r, struct err *e);
