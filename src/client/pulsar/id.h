/* Pulsar's message ids: MessageIdData {1 ledgerId, 2 entryId, 3 partition, 4 batch_index}.
 *
 * An id is also a start position: reading starts at the first message that is not before it. "After
 * the last message" is that message's id with the next batch index: the entry it names exists, so
 * that a trimmed one is noticed, and a reader that knows only ledger and entry (the reference's
 * seek) finds the same place. */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"

enum { PULSAR_ID_TEXT = 64 };

struct pulsar_id {
	uint64_t ledger, entry;
	int32_t partition, batch; /* -1: none */
};

#define PULSAR_EARLIEST ((struct pulsar_id){UINT64_MAX, UINT64_MAX, -1, -1})
#define PULSAR_LATEST ((struct pulsar_id){INT64_MAX, INT64_MAX, -1, -1})

/* MALFORMED when ledger or entry is missing, or for bytes that are no such message. */
NODISCARD enum err_code pulsar_id_read(struct pulsar_id *id, struct slice in, struct err *e);
/* All four fields, in their order. */
void pulsar_id_put(struct buf *b, const struct pulsar_id *id);
/* <0, 0, >0 by ledger, entry, batch index; earliest is before all. A message that stands alone in
 * its entry has no batch index or 0: both are the same. */
int pulsar_id_cmp(const struct pulsar_id *a, const struct pulsar_id *b);
/* The same entry of a ledger. */
bool pulsar_id_same_entry(const struct pulsar_id *a, const struct pulsar_id *b);
bool pulsar_id_is_earliest(const struct pulsar_id *id);
/* The start position behind the message with this id. */
struct pulsar_id pulsar_id_behind(const struct pulsar_id *id);
/* "ledger:entry" with ":batch" if it is above 0, or "earliest". */
void pulsar_id_text(const struct pulsar_id *id, char out[PULSAR_ID_TEXT]);
