/* What a reader hands over for one time tick: all messages of one lane with source time in
 * (begin_ts, end_ts], in topic order. */
#pragma once

#include "base/list.h"
#include "model/dml.h"
#include "model/position.h"

struct sub;
struct hub;
struct hub_raw;

/* A message for one sub. dml's slices point into raw, which the reader counts references of. user
 * is set by the receiving group (its stream); NULL = nobody wants it any more. */
struct pack_msg {
	struct pack_msg *next;
	struct sub *sub;
	void *user;
	int64_t target_partition; /* set when taken: the partition id on the target */
	bool again;               /* set when taken: in the replay window of its stream */
	struct dml dml;
	struct hub_raw *raw;
	size_t cost_bytes;
};

struct pack {
	struct list link; /* for the holder's queue */
	uint64_t begin_ts, end_ts;
	struct position end;   /* where reading goes on after this pack: exact */
	struct pack_msg *msgs; /* NULL: a bare tick */
	size_t n_msgs, cost_bytes;
	bool at_head; /* the reader waited for this tick: nothing more is in the topic */
	struct hub *hub;
	void (*release)(struct pack *pk); /* set by the receiving group: pack_free of the reader */
};
