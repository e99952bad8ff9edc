/* The rows of metric_table.h as data, for the registry and the generated page. */
#pragma once

#include "base/buf.h"
#include "metrics/metrics.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_row {
	const char *name;
	enum metric_type type;
	const char *labels; /* "a,b" or "" */
	const char *help;
};

const struct metric_row *metric_row(enum metric m);
const char *metric_type_name(enum metric_type t);

/* docs/metrics.md */
void metrics_doc_write(struct buf *out);
