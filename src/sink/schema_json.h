/* A CollectionSchema as JSON, with the names that the reference's "create collection" carries. */
#pragma once

#include "base/bytes.h"
#include "base/err.h"
#include "sink/gojson.h"

/* The object of raw schema.CollectionSchema with its name replaced. MALFORMED. */
NODISCARD enum err_code schema_json(
	struct gojson *o, const char *key, struct slice schema, const char *name, struct err *e);

/* The name of the field with this id, empty if there is none. */
struct slice schema_field_name(struct slice schema, int64_t field_id);
