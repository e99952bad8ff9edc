/* Entries to messages: checksum, decompression, batches, and the pieces of chunked messages.
 *
 * A chunked message stands in the stream where its first piece stands, and what follows waits for
 * it: so ids stay in order, and no position lies behind a first piece whose message is not whole. */
#pragma once

#include "base/defs.h"
#include "base/err.h"
#include "base/list.h"
#include "client/pulsar/pulsar.h"

enum { PULSAR_PIECES_MS = 60000 }; /* the next piece of a message comes within */

struct pulsar_entries {
	struct list ready;  /* messages in order, some of them not whole yet */
	size_t held;        /* what ready costs, in bytes */
	struct list pieces; /* struct chunked: those that are not whole */
	bool broken;        /* broken_id is a piece whose message can't become whole */
	struct pulsar_id broken_id;
	bool ruined;          /* all pieces came and make up no message */
	uint8_t *passed_uuid; /* of the one that stands before the start; NULL: none */
	size_t passed_n;
};

/* What is known of the topic's end, on the monotonic clock. */
struct pulsar_end {
	int64_t begun_ms; /* the subscription's beginning */
	int64_t seen_ms;  /* nothing was left to be read then; 0: never */
};

void pulsar_entries_init(struct pulsar_entries *es);
/* Drops all. */
void pulsar_entries_done(struct pulsar_entries *es);
/* Takes entry, whose payload is the part behind the command. Messages before from are left out.
 * *ret_n: how many messages the broker counts. MALFORMED, UNSUPPORTED, LIMIT: nothing of the entry
 * was added; with es->ruined it is in vain to add it again. */
NODISCARD enum err_code pulsar_entries_add(struct pulsar_entries *es, struct pulsar_msg *entry,
	const struct pulsar_id *from, uint32_t *ret_n, struct err *e);
/* The next whole message or NULL. */
struct pulsar_msg *pulsar_entries_pop(struct pulsar_entries *es);
bool pulsar_entries_empty(const struct pulsar_entries *es);
/* How many messages the broker counts in an entry that is not added. */
uint32_t pulsar_entries_count(const struct pulsar_msg *entry);
/* A message in pieces is given up when one is missing before the last one added, when it holds up too
 * much, or when the topic held none for so long; what was not read does not count as not there. Its
 * producer never got it acknowledged, or it begins before the start. True if there was one; *ret_id
 * names it. */
bool pulsar_entries_give_up(
	struct pulsar_entries *es, const struct pulsar_end *end, struct pulsar_id *ret_id);
