/* What the metastore keeps of a target channel, "chan/<target>/<pchannel>": how high its clock has
 * been and how far its streams may have been sent (pipeline/bound.h).
 *
 *   {"open":true,"bound":"<ts>","late":{"<stream key>":"<ts>"}}   in use, or ended uncleanly
 *   {"tick":"<ts>","bound":"<ts>","late":{...}}                    after a clean stop
 *
 * Times are decimal strings. Without "bound" nothing is known of what was sent. */
#pragma once

#include "pipeline/bound.h"

struct chan_record {
	uint64_t tick; /* highest time a consumer may have seen; 0 = no clean stop */
	struct bound_record bound;
};

/* The record's text, heap. */
char *chan_record_text(uint64_t tick, const struct bound_record *b);
/* A text that can't be read is a channel of which nothing is known. Free with chan_record_done. */
void chan_record_read(const char *json, struct chan_record *ret);
void chan_record_done(struct chan_record *r);
