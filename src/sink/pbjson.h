/* A protobuf message as Go's encoding/json writes the generated struct: the fields of a description
 * in its order, proto field names, zero values left out, enums as numbers, bytes in base64. */
#pragma once

#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"
#include "sink/gojson.h"

enum pb_kind { PB_END, PB_STR, PB_BYTES, PB_BOOL, PB_INT, PB_UINT, PB_MSG, PB_MAP };

struct pb_field {
	uint32_t num;
	enum pb_kind kind; /* PB_MAP: map<string, string> */
	const char *name;
	const struct pb_field *sub; /* PB_MSG: its fields, closed by PB_END */
	bool repeated;
};

/* Writes the fields (without braces) of raw, described by fields up to PB_END. MALFORMED. */
NODISCARD enum err_code pbjson_fields(
	struct gojson *o, struct slice raw, const struct pb_field *fields, struct err *e);

/* A map<string, string> or repeated KeyValuePair (key 1, value 2), field num of raw, as a JSON
 * object sorted by key; the last of equal keys counts. MALFORMED. */
NODISCARD enum err_code pbjson_map(
	struct gojson *o, const char *key, struct slice raw, uint32_t num, struct err *e);

extern const struct pb_field pb_key_value[]; /* commonpb.KeyValuePair */
