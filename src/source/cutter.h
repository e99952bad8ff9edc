/* Cuts a topic into packs by time tick, as the source's own consumers do. Pure: no
 * I/O, no threads; one cutter a reader. */
#pragma once

#include "model/position.h"
#include "source/raw.h"

struct cutter {
	struct list buf; /* raws read and not yet released, in topic order */
	size_t n, bytes;
	uint64_t last_ts; /* end of the last cut, 0 at the start */
};

/* The messages with time in (begin_ts, end_ts], in topic order. */
struct cut {
	uint64_t begin_ts, end_ts;
	struct position end; /* reading goes on at the first message that stayed, else the tick */
	struct mq_id tick;
	struct list msgs;
	struct list repeats; /* inserts and deletes whose msgID stood in this cut already */
	size_t n, bytes;     /* with the repeats */
	size_t repeated;
	bool at_head;
};

void cutter_init(struct cutter *c);
/* Drops the buffer. */
void cutter_done(struct cutter *c);
/* What it holds is charged to `to` instead of `from`. */
void cutter_charge(struct cutter *c, struct account *from, struct account *to);
/* Takes raw, a message other than a tick. */
void cutter_add(struct cutter *c, struct hub_raw *raw);
/* A tick. False if its time is not after the last one's: nothing happens then. */
bool cutter_tick(struct cutter *c, uint64_t ts, const struct mq_id *id, struct cut *ret_cut);
/* Drops the cut's references to its messages. */
void cut_done(struct cut *cut);
