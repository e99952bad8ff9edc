/* The registry: per metric a list of series (in the order of their birth) and an index by label
 * values. Making, dropping and writing go under one lock; adding is atomic on the series itself.
 * Series of one metric are capped, because label values come from task ids and collection names;
 * what comes beyond the cap shares one series whose labels all read "overflow". */
#include "metrics/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/mutex.h"
#include "metrics/metric_row.h"

enum { SERIES_MAX = 10000, BUCKETS = 8, KEY_BYTES = 64 << 10, LABELS_MAX = 8 };

static const int bucket_ms[BUCKETS] = {1, 2, 4, 8, 16, 32, 64, 128};

struct metric_series {
	char *labels; /* a="x",b="y" as written, escaped */
	char *key;    /* index key: the values with their lengths */
	char **values;
	int64_t value;            /* atomic; of a histogram the number of samples */
	int64_t buckets[BUCKETS]; /* atomic, not cumulated */
	double sum;               /* atomic */
};

struct family {
	struct metric_series **list;
	size_t n, cap;
	struct smap index;
	struct metric_series *overflow;
};

static struct {
	struct mutex mtx;
	struct family families[METRIC_COUNT]; /* under mtx */
} registry = {.mtx = {.m = PTHREAD_MUTEX_INITIALIZER, .name = "metrics"}};

static const struct metric_row rows[METRIC_COUNT] = {
#define METRIC_ROW(id, name, type, labels, help) {name, METRIC_##type, labels, help},
	METRIC_TABLE(METRIC_ROW)
#undef METRIC_ROW
};

const struct metric_row *metric_row(enum metric m)
{
	assert(m < METRIC_COUNT);
	return &rows[m];
}

const char *metric_type_name(enum metric_type t)
{
	static const char *const names[] = {"counter", "gauge", "histogram"};
	return names[t];
}

static size_t label_count(const char *labels)
{
	size_t n = *labels != '\0';
	for (; *labels; labels++)
		n += *labels == ',';
	return n;
}

static void put_escaped(struct buf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == '\\' || *s == '"')
			buf_put_u8(b, '\\');
		if (*s == '\n')
			buf_put_str(b, "\\n");
		else
			buf_put_u8(b, (uint8_t)*s);
	}
}

/* names is "a,b"; the result a="v0",b="v1". */
static char *label_text(const char *names, char *const *values)
{
	struct buf b = BUF_INIT(KEY_BYTES);

	for (size_t i = 0; *names; i++) {
		size_t n = strcspn(names, ",");
		if (i)
			buf_put_u8(&b, ',');
		buf_put(&b, names, n);
		buf_put_str(&b, "=\"");
		put_escaped(&b, values[i]);
		buf_put_u8(&b, '"');
		names += n + (names[n] == ',');
	}
	return buf_take(&b);
}

static char *index_key(const char *const *values, size_t n)
{
	struct buf b = BUF_INIT(KEY_BYTES);

	for (size_t i = 0; i < n; i++)
		buf_putf(&b, "%zu:%s", strlen(values[i]), values[i]);
	return buf_take(&b);
}

static struct metric_series *series_new(const char *names, const char *const *values, char *key)
{
	struct metric_series *s = xcalloc(1, sizeof(*s));
	size_t n = label_count(names);

	s->key = key;
	s->values = xcalloc(n + 1, sizeof(*s->values));
	for (size_t i = 0; i < n; i++)
		s->values[i] = xstrdup(values[i]);
	s->labels = label_text(names, s->values);
	return s;
}

static void series_free(struct metric_series *s)
{
	for (char **v = s->values; *v; v++)
		free(*v);
	free(s->values);
	free(s->labels);
	free(s->key);
	free(s);
}

static void family_add(struct family *f, struct metric_series *s)
{
	mem_grow(&f->list, &f->cap, f->n + 1, sizeof(struct metric_series *));
	f->list[f->n++] = s;
	smap_put(&f->index, s->key, s);
}

static struct metric_series *overflow_locked(struct family *f, const char *names)
	REQUIRES(registry.mtx)
{
	static const char *const all[] = {
		"overflow", "overflow", "overflow", "overflow", "overflow", "overflow"};

	if (!f->overflow) {
		size_t n = label_count(names);
		assert(n <= ARRAY_LEN(all));
		f->overflow = series_new(names, all, index_key(all, n));
		family_add(f, f->overflow);
	}
	return f->overflow;
}

struct metric_series *metrics_series(enum metric m, const char *const *values)
{
	const char *names = metric_row(m)->labels;
	struct family *f = &registry.families[m];
	char *key = index_key(values, label_count(names));

	mutex_lock(&registry.mtx);
	struct metric_series *s = smap_get(&f->index, key);
	if (!s && f->n >= SERIES_MAX) {
		s = overflow_locked(f, names);
	} else if (!s) {
		s = series_new(names, values, TAKE(key));
		family_add(f, s);
	}
	mutex_unlock(&registry.mtx);
	free(key);
	return s;
}

struct metric_series *metrics_get(enum metric m, ...)
{
	const char *values[LABELS_MAX];
	size_t n = label_count(metric_row(m)->labels);
	va_list ap;

	assert(n <= ARRAY_LEN(values));
	va_start(ap, m);
	for (size_t i = 0; i < n; i++) {
		values[i] = va_arg(ap, const char *);
		assert(values[i]);
	}
	va_end(ap);
	return metrics_series(m, values);
}

void metrics_add(struct metric_series *s, int64_t n)
{
	if (s)
		__atomic_fetch_add(&s->value, n, __ATOMIC_RELAXED);
}

void metrics_set(struct metric_series *s, int64_t v)
{
	if (s)
		__atomic_store_n(&s->value, v, __ATOMIC_RELAXED);
}

int64_t metrics_value(const struct metric_series *s)
{
	return s ? __atomic_load_n(&s->value, __ATOMIC_RELAXED) : 0;
}

void metrics_observe(struct metric_series *s, double v)
{
	double old, sum;

	for (size_t i = 0; i < BUCKETS; i++) {
		if (v <= bucket_ms[i]) {
			__atomic_fetch_add(&s->buckets[i], 1, __ATOMIC_RELAXED);
			break;
		}
	}
	__atomic_load(&s->sum, &old, __ATOMIC_RELAXED);
	do
		sum = old + v;
	while (!__atomic_compare_exchange(
		&s->sum, &old, &sum, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	metrics_add(s, 1);
}

/* Position of label in "a,b,c", -1 if it is not there. */
static int label_index(const char *names, const char *label)
{
	for (int i = 0; *names; i++) {
		size_t n = strcspn(names, ",");
		if (strlen(label) == n && memcmp(names, label, n) == 0)
			return i;
		names += n + (names[n] == ',');
	}
	return -1;
}

/* values: NULL stands for any. */
static bool has_values(const struct metric_series *s, const char *const *values, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (values[i] && strcmp(s->values[i], values[i]) != 0)
			return false;
	return true;
}

static void family_drop(struct family *f, const char *const *values, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->n; i++) {
		struct metric_series *s = f->list[i];
		if (s == f->overflow || !has_values(s, values, n)) {
			f->list[kept++] = s;
			continue;
		}
		smap_del(&f->index, s->key);
		series_free(s);
	}
	f->n = kept;
}

void metrics_drop_of(enum metric m, const char *const *values)
{
	mutex_lock(&registry.mtx);
	family_drop(&registry.families[m], values, label_count(metric_row(m)->labels));
	mutex_unlock(&registry.mtx);
}

static void series_relabel(
	struct family *f, struct metric_series *s, const char *names, size_t at, const char *to)
{
	size_t n = label_count(names);
	const char *values[LABELS_MAX];

	for (size_t i = 0; i < n; i++)
		values[i] = i == at ? to : s->values[i];
	char *key = index_key(values, n);
	if (smap_get(&f->index, key)) {
		free(key);
		return;
	}
	smap_del(&f->index, s->key);
	free(s->key);
	s->key = key;
	free(s->values[at]);
	s->values[at] = xstrdup(to);
	free(s->labels);
	s->labels = label_text(names, s->values);
	smap_put(&f->index, s->key, s);
}

void metrics_relabel(enum metric m, const char *const *values, size_t at, const char *to)
{
	struct family *f = &registry.families[m];
	const char *names = metric_row(m)->labels;

	mutex_lock(&registry.mtx);
	for (size_t i = 0; i < f->n; i++)
		if (f->list[i] != f->overflow && has_values(f->list[i], values, label_count(names)))
			series_relabel(f, f->list[i], names, at, to);
	mutex_unlock(&registry.mtx);
}

void metrics_drop(const char *label, const char *value)
{
	mutex_lock(&registry.mtx);
	for (size_t m = 0; m < METRIC_COUNT; m++) {
		const char *values[LABELS_MAX] = {NULL};
		int at = label_index(rows[m].labels, label);
		if (at < 0)
			continue;
		values[at] = value;
		family_drop(&registry.families[m], values, label_count(rows[m].labels));
	}
	mutex_unlock(&registry.mtx);
}

static void write_plain(struct buf *b, const char *name, const struct metric_series *s)
{
	if (*s->labels)
		buf_putf(b, "%s{%s} %" PRId64 "\n", name, s->labels, metrics_value(s));
	else
		buf_putf(b, "%s %" PRId64 "\n", name, metrics_value(s));
}

/* A histogram always has labels in our table. The count is the sum of what was read, so that the
 * lines of one scrape agree with each other. */
static void write_histogram(struct buf *b, const char *name, struct metric_series *s)
{
	int64_t below = 0;
	double sum;

	int64_t count = metrics_value(s);
	__atomic_load(&s->sum, &sum, __ATOMIC_RELAXED);
	for (size_t i = 0; i < BUCKETS; i++) {
		below += __atomic_load_n(&s->buckets[i], __ATOMIC_RELAXED);
		buf_putf(b, "%s_bucket{%s,le=\"%d\"} %" PRId64 "\n", name, s->labels, bucket_ms[i],
			below);
	}
	count = MAX(count, below);
	buf_putf(b, "%s_bucket{%s,le=\"+Inf\"} %" PRId64 "\n", name, s->labels, count);
	buf_putf(b, "%s_sum{%s} %.17g\n", name, s->labels, sum);
	buf_putf(b, "%s_count{%s} %" PRId64 "\n", name, s->labels, count);
}

static void write_family_locked(struct buf *b, enum metric m) REQUIRES(registry.mtx)
{
	const struct metric_row *r = &rows[m];
	struct family *f = &registry.families[m];

	if (!f->n)
		return;
	buf_putf(b, "# HELP %s %s\n# TYPE %s %s\n", r->name, r->help, r->name,
		metric_type_name(r->type));
	for (size_t i = 0; i < f->n; i++) {
		if (r->type == METRIC_HISTOGRAM)
			write_histogram(b, r->name, f->list[i]);
		else
			write_plain(b, r->name, f->list[i]);
	}
}

void metrics_write(struct buf *b)
{
	mutex_lock(&registry.mtx);
	for (size_t m = 0; m < METRIC_COUNT; m++)
		write_family_locked(b, (enum metric)m);
	mutex_unlock(&registry.mtx);
}

void metrics_done(void)
{
	mutex_lock(&registry.mtx);
	for (size_t m = 0; m < METRIC_COUNT; m++) {
		struct family *f = &registry.families[m];
		for (size_t i = 0; i < f->n; i++)
			series_free(f->list[i]);
		free(f->list);
		smap_done(&f->index);
		*f = (struct family){0};
	}
	mutex_unlock(&registry.mtx);
}
