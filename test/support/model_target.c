#include "support/model_target.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/wire.h"
#include "model/dml.h"

struct model_row {
	int64_t key;
	uint64_t ts;
	bool deleted; /* it is a delete */
};

static void broke(struct model_target *m, const char *what, uint64_t a, uint64_t b)
{
	if (!m->broken++)
		snprintf(m->why, sizeof(m->why), "%s: %" PRIu64 " after %" PRIu64, what, a, b);
}

void model_target_done(struct model_target *m)
{
	size_t pos = 0;
	const char *k;
	void *v;

	while (smap_next(&m->shard_max, &pos, &k, &v))
		free(v);
	smap_done(&m->shard_max);
	umap_done(&m->pack_ids);
	free(m->rows);
}

static struct slice field(struct slice in, uint32_t num)
{
	struct wire w = wire_open(in);
	struct wire_field f;
	struct slice found = {.n = 0};
	while (wire_next(&w, &f))
		if (f.num == num)
			found = f.data;
	return found;
}

static void add_keys(struct model_target *m, struct slice packed, uint64_t ts, bool deleted)
{
	struct wire w = wire_open(packed);
	uint64_t key;
	while (wire_varint(&w, &key)) {
		mem_grow(&m->rows, &m->cap, m->n + 1, sizeof(*m->rows));
		m->rows[m->n++] = (struct model_row){(int64_t)key, ts, deleted};
	}
}

static void tick(struct model_target *m, uint64_t ts)
{
	m->ticks++;
	/* A consumer ignores a tick that is not new; a fence after a lost call may be such a
	 * one. */
	m->stale_ticks += ts < m->last_tick;
	if (ts <= m->last_tick)
		return;
	m->last_tick = ts;
	umap_done(&m->pack_ids);
}

/* Rows of one key and shard come in order of time for inserts; a re-sent one is above all
 * before. */
static void rows(struct model_target *m, const struct dml *d)
{
	if (d->min_ts <= m->last_tick)
		broke(m, "row at or below a tick", d->min_ts, m->last_tick);
	if (umap_put(&m->pack_ids, (uint64_t)d->base.msg_id, m))
		return; /* what Milvus drops as a duplicate */
	if (d->type == MSG_INSERT) {
		m->inserts++;
		struct slice longs = field(field(field(d->payload, 13), 3), 3);
		add_keys(m, field(longs, 1), d->min_ts, false);
	} else {
		m->deletes++;
		add_keys(m, field(field(field(d->payload, 12), 1), 1), d->min_ts, true);
	}
}

static void append(struct model_target *m, struct slice msg)
{
	struct dml d;
	struct err e = ERR_INIT;

	m->offset++;
	if (dml_read(&d, msg, &e)) {
		broke(m, "unreadable message", 0, 0);
		return;
	}
	if (d.type == MSG_TIME_TICK)
		tick(m, d.base.ts);
	else if (d.type == MSG_INSERT || d.type == MSG_DELETE)
		rows(m, &d);
	else if (d.base.ts <= m->last_tick)
		broke(m, "drop at or below a tick", d.base.ts, m->last_tick);
	else
		m->drops++;
}

static int64_t append_range(
	struct model_target *m, const struct slice *v, size_t n_v, int64_t from, int64_t n)
{
	CLEANUP(buf_done) struct buf all = BUF_INIT(256 << 20);
	int64_t seen = 0;
	struct wire_field f;

	for (size_t i = 0; i < n_v; i++)
		buf_put(&all, v[i].p, v[i].n);
	struct wire w = wire_open(buf_slice(&all));
	while (wire_next(&w, &f)) {
		if (f.num != 5)
			continue;
		if (seen >= from && (n < 0 || seen < n))
			append(m, f.data);
		seen++;
	}
	if (w.bad)
		broke(m, "unreadable request", 0, 0);
	return seen;
}

int64_t model_target_append(struct model_target *m, const struct slice *v, size_t n_v, int64_t n)
{
	return append_range(m, v, n_v, 0, n);
}

void model_target_append_rest(
	struct model_target *m, const struct slice *v, size_t n_v, int64_t from)
{
	append_range(m, v, n_v, from, -1);
}

int64_t model_target_key(const struct model_target *m, size_t i)
{
	return m->rows[i].key;
}

void model_target_position(const struct model_target *m, struct mq_id *ret)
{
	*ret = (struct mq_id){.n = 8};
	for (int i = 0; i < 8; i++)
		ret->b[i] = (uint8_t)((uint64_t)(m->offset - 1) >> (8 * i));
}

static int count(const struct model_target *m, int64_t key, uint64_t until)
{
	int live = 0;
	for (size_t i = 0; i < m->n; i++) {
		if (m->rows[i].key != key || m->rows[i].deleted || m->rows[i].ts > until)
			continue;
		bool gone = false;
		for (size_t k = 0; k < m->n && !gone; k++)
			gone = m->rows[k].deleted && m->rows[k].key == key &&
			       m->rows[k].ts > m->rows[i].ts && m->rows[k].ts <= until;
		live += !gone;
	}
	return live;
}

int model_target_visible(const struct model_target *m, int64_t key)
{
	return count(m, key, m->last_tick);
}

int model_target_live(const struct model_target *m, int64_t key)
{
	return count(m, key, UINT64_MAX);
}

uint64_t model_target_newest(const struct model_target *m, int64_t key)
{
	uint64_t newest = 0;

	for (size_t i = 0; i < m->n; i++)
		if (m->rows[i].key == key && !m->rows[i].deleted)
			newest = MAX(newest, m->rows[i].ts);
	return newest;
}
