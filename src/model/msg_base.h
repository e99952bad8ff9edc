/* The base (field 1) of a message that goes on to a target: what says that it was replicated leaves
 * or is set, its time and id may change, all else stays. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/splice.h"
#include "model/dml.h"

struct msg_base_change {
	int64_t msg_id; /* 0 = stays */
	bool set_ts;
	uint64_t ts; /* when set_ts */
	/* Any given: replicateInfo becomes {isReplicate, msgTimestamp, replicateID}; else it is
	 * removed. NULL or "" = no id. */
	bool replicated;
	uint64_t replicate_ts;
	const char *replicate_id;
};

/* The new content of payload's base. A base that stands twice counts as merged, as protobuf says. A
 * base that needs no change is a slice of the payload, else it is in the arena. MALFORMED also when
 * the merged type is another than the first one said. */
NODISCARD enum err_code msg_base_rewrite(struct slice payload, const struct msg_base_change *c,
	struct arena *a, struct slice *ret_base, struct err *e);
/* The content of a ReplicateInfo{isReplicate, msgTimestamp ts if not 0, replicateID id if any}, in
 * the arena. */
struct slice msg_base_replicate_info(uint64_t ts, const char *id, struct arena *a);
