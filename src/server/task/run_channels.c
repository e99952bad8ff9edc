/* How far a task is on each of its channels, for people: what the queue holds, what was read of it,
 * what the target has acknowledged, and who is late. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "model/ts.h"
#include "server/task/run_priv.h"
#include "source/reader.h"

enum { CHANNELS_SHOWN = 256, LATE_SHOWN = 50, LABEL_BYTES = 600 };

/* A source channel and the target's it goes to: the least of its streams. */
struct way {
	const char *source, *target; /* of a shard; under run->mtx */
	uint64_t head_ts, read_ts, acked_ts;
	bool reads;
	size_t streams;
	int64_t late_ms;
};

struct ways {
	struct smap by_name; /* -> struct way */
	struct smap counted; /* source channels whose bytes are in the sum */
	int64_t bytes;
	json_t *late;
};

static struct way *way_of(struct ways *w, const struct coll_shard *s)
{
	char key[2 * CHANNEL_BYTES];

	snprintf(key, sizeof(key), "%s %s", s->pchannel, s->target_pchannel);
	struct way *y = smap_get(&w->by_name, key);
	if (y || smap_count(&w->by_name) >= CHANNELS_SHOWN)
		return y;
	y = xcalloc(1, sizeof(*y));
	*y = (struct way){.source = s->pchannel,
		.target = s->target_pchannel,
		.read_ts = UINT64_MAX,
		.acked_ts = UINT64_MAX};
	smap_put(&w->by_name, key, y);
	return y;
}

static void add_late(struct ways *w, const struct coll_shard *s, int64_t late_ms)
{
	char label[LABEL_BYTES];

	if (!late_ms || json_array_size(w->late) >= LATE_SHOWN)
		return;
	json_t *o = json_object();
	snprintf(label, sizeof(label), "%.250s.%.250s", s->coll->db, s->coll->name);
	json_object_set_new(o, "collection", json_string(label));
	json_object_set_new(o, "channel", json_string(s->vchannel));
	json_object_set_new(o, "late_ms", json_integer(late_ms));
	json_array_append_new(w->late, o);
}

/* Streams on one source channel share the series. */
static void add_bytes(struct ways *w, struct coll_shard *s)
{
	const struct stream_metrics *m = &s->stream.metrics;

	if (smap_get(&w->counted, s->pchannel))
		return;
	smap_put(&w->counted, s->pchannel, s);
	w->bytes += metrics_value(m->bytes_insert) + metrics_value(m->bytes_delete);
}

static void add_shard(struct ways *w, struct coll_shard *s)
{
	struct hub_marks m;
	int64_t late_ms = tchan_late_ms(&s->stream);
	struct way *y = way_of(w, s);

	add_late(w, s, late_ms);
	add_bytes(w, s);
	if (!y)
		return;
	hub_marks(s->coll->run->sv.hub, &s->sub, &m);
	uint64_t acked_ts = tchan_position(&s->stream).ts;
	y->streams++;
	y->late_ms = MAX(y->late_ms, late_ms);
	y->head_ts = MAX(y->head_ts, m.head_ts);
	y->reads = y->reads || m.reads;
	y->acked_ts = MIN(y->acked_ts, acked_ts);
	/* a reader that has just begun has read up to where it begins */
	y->read_ts = MIN(y->read_ts, MAX(m.read_ts, acked_ts));
}

static json_t *ms_json(uint64_t ts)
{
	return ts ? json_integer(ts_ms(ts)) : json_null();
}

static json_t *way_json(const struct way *y)
{
	json_t *o = json_object();
	/* A source that lives writes a tick every 200 ms: what is not read yet ends about now. */
	uint64_t head_ts = y->head_ts ? MAX(y->head_ts, y->read_ts)
			   : y->reads ? MAX(ts_from_ms(time_wall_ms()), y->read_ts)
				      : 0;

	json_object_set_new(o, "source", json_string(y->source));
	json_object_set_new(o, "target", json_string(y->target));
	json_object_set_new(o, "head_ms", ms_json(head_ts));
	json_object_set_new(o, "read_to_end", json_boolean(y->head_ts && y->read_ts >= y->head_ts));
	json_object_set_new(o, "read_ms", ms_json(y->read_ts));
	json_object_set_new(o, "acked_ms", ms_json(y->acked_ts));
	json_object_set_new(o, "streams", json_integer((json_int_t)y->streams));
	json_object_set_new(o, "late_ms", json_integer(y->late_ms));
	return o;
}

static int by_source(const void *a, const void *b)
{
	const struct way *const *x = a, *const *y = b;
	return strcmp((*x)->source, (*y)->source);
}

/* Sorted by the source's name; frees the ways. */
static json_t *ways_json(struct ways *w)
{
	size_t n = 0, pos = 0;
	void *v;
	json_t *l = json_array();
	struct way **sorted = xcalloc(smap_count(&w->by_name) + 1, sizeof(struct way *));

	while (smap_next(&w->by_name, &pos, NULL, &v))
		sorted[n++] = v;
	qsort(sorted, n, sizeof(struct way *), by_source);
	for (size_t i = 0; i < n; i++) {
		json_array_append_new(l, way_json(sorted[i]));
		free(sorted[i]);
	}
	free(sorted);
	smap_done(&w->by_name);
	smap_done(&w->counted);
	return l;
}

void run_channels(struct run *r, json_t *status)
{
	struct ways w = {.late = json_array()};
	size_t pos = 0;
	void *v;

	mutex_lock(&r->mtx);
	while (umap_next(&r->colls, &pos, NULL, &v)) {
		struct coll *c = v;
		enum coll_state st = coll_get_state(c);
		bool flows = coll_started(c) && (st == COLL_RUNNING || st == COLL_DROPPING);
		for (int i = 0; flows && i < c->n_shards; i++)
			add_shard(&w, &c->shards[i]);
	}
	json_object_set_new(status, "channels", ways_json(&w));
	mutex_unlock(&r->mtx);
	json_object_set_new(status, "late_streams", w.late);
	json_object_set_new(status, "bytes_written", json_integer(w.bytes));
}
