/* Channel names. pchannel: <prefix>-rootcoord-dml_<n>; vchannel: <pchannel>_<collection
 * id>v<shard>. */
#pragma once

#include "base/bytes.h"
#include "base/defs.h"

enum { CHANNEL_BYTES = 256 };

struct vchannel {
	char pchannel[CHANNEL_BYTES];
	int64_t collection_id;
	int shard;
};

/* Splits ^(.*)_(\d+)v(\d+)$; false if name is not a vchannel. */
bool vchannel_parse(struct vchannel *v, struct slice name);
/* True if the text after the last '_' holds a 'v' (the reference's test for virtual). */
bool channel_is_virtual(const char *name);
/* Copies name without its vchannel part to out. */
void channel_to_physical(char out[CHANNEL_BYTES], const char *name);
