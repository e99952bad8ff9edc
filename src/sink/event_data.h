/* The parameter structs of the reference as JSON objects: the "data" of both formats. */
#pragma once

#include "base/err.h"
#include "sink/gojson.h"
#include "sink/sink.h"

/* {"replicateInfo":{"isReplicate":true,"msgTimestamp":ts}}; ts 0 is left out. */
void event_data_base(struct gojson *o, const char *key, uint64_t ts);
NODISCARD enum err_code event_data_change(
	struct gojson *o, const char *key, const struct sink_change *c, struct err *e);
NODISCARD enum err_code event_data_call(struct gojson *o, const char *key,
	const struct sink_call *c, const char **ret_kind, struct err *e);
