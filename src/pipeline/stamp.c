#include "pipeline/stamp.h"

#include <stdlib.h>

#include "pipeline/translate.h"

uint64_t stamp_next(struct stamp *s, uint64_t ts, uint64_t floor)
{
	if (s->prev_stamp && ts == s->prev_source && s->prev_stamp > floor)
		return s->prev_stamp;
	uint64_t stamp = MAX(ts, MAX(s->prev_stamp, floor) + 1);
	s->prev_source = ts;
	s->prev_stamp = stamp;
	return stamp;
}

static void one_time(struct stamp *s, const struct dml *d, uint64_t floor, struct stamped *ret)
{
	uint64_t stamp = stamp_next(s, d->min_ts, floor);
	*ret = (struct stamped){
		.change = stamp != d->min_ts, .one = stamp, .lowest = stamp, .highest = stamp};
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

/* Index of ts in the sorted distinct times. */
static size_t find(const uint64_t *sorted, size_t n, uint64_t ts)
{
	const uint64_t *at = bsearch(&ts, sorted, n, sizeof(*sorted), by_value);
	return at ? (size_t)(at - sorted) : 0;
}

/* Rows of several times inside one message: the distinct times in order get their stamps, so that
 * the order in time is kept whatever the order in the message. */
static enum err_code many_times(struct stamp *s, const struct dml *d, uint64_t floor,
	struct arena *a, struct stamped *ret, struct err *e)
{
	size_t n = d->rows, distinct = 0;
	uint64_t *rows = arena_alloc(a, n * sizeof(*rows));
	uint64_t *sorted = arena_alloc(a, n * sizeof(*sorted));

	if (translate_row_times(d, rows, e))
		return e->code;
	memcpy(sorted, rows, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_value);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || sorted[i] != sorted[distinct - 1])
			sorted[distinct++] = sorted[i];
	uint64_t *stamps = arena_alloc(a, distinct * sizeof(*stamps));
	*ret = (struct stamped){.rows = rows};
	for (size_t i = 0; i < distinct; i++) {
		stamps[i] = stamp_next(s, sorted[i], floor);
		ret->change = ret->change || stamps[i] != sorted[i];
	}
	for (size_t i = 0; i < n; i++)
		rows[i] = stamps[find(sorted, distinct, rows[i])];
	ret->lowest = ret->one = stamps[0];
	ret->highest = stamps[distinct - 1];
	return ERR_OK;
}

enum err_code stamp_message(struct stamp *s, const struct dml *d, uint64_t floor, struct arena *a,
	struct stamped *ret, struct err *e)
{
	if (!d->rows || d->one_ts) {
		one_time(s, d, floor, ret);
		return ERR_OK;
	}
	return many_times(s, d, floor, a, ret, e);
}
