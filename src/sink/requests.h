/* The requests of MilvusService as a log's consumer gets them: per method the kind ("create index")
 * and the fields. */
#pragma once

#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"
#include "sink/gojson.h"

/* Writes `"Database":"db"` and the fields of the request, and tells its kind. UNSUPPORTED for a
 * method that is not listed; MALFORMED. */
NODISCARD enum err_code requests_put(struct gojson *o, const char *method, const char *db,
	struct slice request, const char **ret_kind, struct err *e);
/* The same kind without writing; NULL if the method is not listed. */
const char *requests_kind(const char *method, struct slice request);
