/* Counters and gauges in Prometheus' text format. A metric is one row of metric_table.h; a series
 * is made at first use with its label values and lives until metrics_drop. Names: docs/metrics.md.
 * @thread any; adding to a series is one atomic operation once its handle is known */
#pragma once

#include "base/buf.h"
#include "base/defs.h"
#include "metrics/metric_table.h"

enum metric {
#define METRIC_ENUM(id, name, type, labels, help) METRIC_##id,
	METRIC_TABLE(METRIC_ENUM)
#undef METRIC_ENUM
		METRIC_COUNT
};

struct metric_series;

/* The series with these label values, in the row's order, NULL-terminated list ("" if a label is
 * unknown). Bounded: beyond the cap per metric one series with all labels "overflow" is shared.
 * Borrowed. */
struct metric_series *metrics_series(enum metric m, const char *const *values);
/* The same with the values as arguments, ended by NULL. */
struct metric_series *metrics_get(enum metric m, ...);
/* NULL: nothing is counted. */
void metrics_add(struct metric_series *s, int64_t n);
void metrics_set(struct metric_series *s, int64_t v);
/* One sample of a histogram. */
void metrics_observe(struct metric_series *s, double v);
int64_t metrics_value(const struct metric_series *s);
/* Removes all series whose label `label` has this value (a deleted task's). Handles to them must
 * not be used any more. */
void metrics_drop(const char *label, const char *value);
/* Removes the series of m with these label values, in the row's order; NULL stands for any value.
 * Handles as above. */
void metrics_drop_of(enum metric m, const char *const *values);
/* Gives label number `at` of such series another value: their handles stay, the old names end. */
void metrics_relabel(enum metric m, const char *const *values, size_t at, const char *to);
/* Appends the whole exposition. */
void metrics_write(struct buf *b);
/* Frees everything, for tests and exit. */
void metrics_done(void);
