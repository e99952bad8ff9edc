/* A target channel as a Milvus consumer sees it: the log of appended messages, cut into packs by
 * ticks, with repeated message ids inside a pack dropped, and the rows that live in the end. Checks
 * the promises of a target channel while messages arrive. */
#pragma once

#include <stdint.h>

#include "base/bytes.h"
#include "base/map.h"
#include "model/position.h"

struct model_row;

struct model_target {
	uint64_t last_tick;
	int64_t offset; /* of the next message */
	int64_t inserts, deletes, drops, ticks;
	int64_t stale_ticks; /* below an earlier one: only fences may be */
	int64_t broken;      /* promises broken */
	char why[200];       /* the first */
	struct model_row *rows;
	size_t n, cap;
	struct umap pack_ids;  /* message ids since the last effective tick */
	struct smap shard_max; /* per shard: highest insert stamp seen, heap uint64 */
};

void model_target_done(struct model_target *m);
/* Appends the first n messages of a ReplicateMessageRequest given in slices (n < 0: all); returns
 * how many there are in the request. */
int64_t model_target_append(struct model_target *m, const struct slice *v, size_t n_v, int64_t n);
/* Those from number `from` on: what a lost call still brings. */
void model_target_append_rest(
	struct model_target *m, const struct slice *v, size_t n_v, int64_t from);
/* The key of row i (an insert's or a delete's), in order of arrival. */
int64_t model_target_key(const struct model_target *m, size_t i);
/* The position a Kafka target would return. */
void model_target_position(const struct model_target *m, struct mq_id *ret);
/* Rows of key that a reader sees: as below, of what the last tick covers. */
int model_target_visible(const struct model_target *m, int64_t key);
/* The stamp of key's newest insert; 0 if there is none. */
uint64_t model_target_newest(const struct model_target *m, int64_t key);
/* Rows of key that live: inserts with no later delete. */
int model_target_live(const struct model_target *m, int64_t key);
