/* How far the streams of a target channel may be sent. A crash leaves a window: rows that may be on
 * the target although no position says so. To keep it small, rows leave only up to a source time
 * that is durable beforehand, the bound; after an unclean stop what lies between position and bound
 * is replayed.
 *
 *   one record a channel   {all: for every stream but those in late, late: some with a lower one}
 *   raised                 before it is reached, in steps that follow the pace of the streams
 *   never lowered          for a stream of which more may have been sent
 *
 * Bare ticks need no bound: repeating them is harmless. @thread any; under the channel's lock */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tchan;

struct bound_record {
	uint64_t all; /* source time; 0 = nothing may be sent */
	struct bound_late {
		char *key; /* stream.key */
		uint64_t ts;
	} * late;
	size_t n_late, cap_late;
};

/* How fast bounds are used up. */
struct bound_pace {
	uint64_t at; /* source time at the last renewal */
	int64_t mono_ms, step_ms;
};
/* The next step: what lasts 2 s at the pace of used_ms (source) in elapsed_ms (here), and not less
 * than half of the last one. */
int64_t bound_step_ms(int64_t step_ms, int64_t used_ms, int64_t elapsed_ms);

void bound_record_done(struct bound_record *r);
/* Sets (or adds) the bound of one stream; key is copied. */
void bound_record_add(struct bound_record *r, const char *key, uint64_t ts);
/* What the record allows the stream. */
uint64_t bound_record_of(const struct bound_record *r, const char *key);

/* What should be durable next; false while the present record will do. *ret is filled then, to be
 * freed with bound_record_done. */
bool tchan_bound_next(struct tchan *c, struct bound_record *ret);
/* r is durable now. Takes what r holds. */
void tchan_bound_set(struct tchan *c, struct bound_record *r);
/* The durable record, a copy: bound_record_done. */
void tchan_bound(struct tchan *c, struct bound_record *ret);
/* The durable bound of a stream (attached or not). */
uint64_t tchan_bound_of(struct tchan *c, const char *key);
