/* Data migration (config replicateID): the target's collections carry the property replicate.id and
 * take only messages with that id, so the rest of the target stays a normal Milvus with ticks of
 * its own (2.5 and later). */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

/* The value of replicate.id among raw KeyValuePair fields (tag 7); n = 0 if there is none. */
struct slice replicate_id_of(struct slice properties);
/* Appends the properties without their own replicate.id (who fed the source is not who feeds the
 * target), and with ours unless id is "". */
void replicate_id_properties(struct slice properties, const char *id, struct buf *out);
/* What an operator has to change when a target refuses our calls so: which of its settings, in
 * this mode. "" if the error is not about that. id is the config's replicateID. */
const char *replicate_id_advice(const struct err *e, const char *id);
