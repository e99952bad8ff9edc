/* What a task says of itself: for get and list, the status page and the lag metric. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "model/ts.h"
#include "server/config/config.h"
#include "server/task/run_priv.h"
#include "source/catalog.h"
#include "source/reader.h"
#include "store/writer.h"

enum { WAITS_KEPT = 20, WAITS_BYTES = 32 << 10 };

struct summary {
	size_t states[COLL_STATE_COUNT];
	uint64_t least_acked;
	int64_t lag_ms, rows_behind, bytes_behind;
	bool lag_unknown;
	int64_t rows;
	struct buf waits; /* joined by "; " */
	size_t n_waits;
};

static void add_wait(struct summary *s, const char *text)
{
	if (!*text || s->n_waits++ >= WAITS_KEPT)
		return;
	if (s->waits.n)
		buf_put_str(&s->waits, "; ");
	buf_put_str(&s->waits, text);
}

/* Age of the oldest source time that is not acknowledged; grows by itself while nothing is. A source
 * that is still has nothing to be behind of. */
static int64_t lag_of(struct coll *c, bool *ret_caught_up)
{
	int64_t lag_ms = 0;

	*ret_caught_up = true;
	for (int i = 0; i < c->n_shards; i++) {
		uint64_t acked = tchan_position(&c->shards[i].stream).ts, end = UINT64_MAX;
		bool quiet = hub_quiet(c->run->sv.hub, c->shards[i].pchannel, &end);
		if (quiet && acked >= end)
			continue;
		lag_ms = MAX(lag_ms, time_wall_ms() - ts_ms(acked));
		*ret_caught_up = false;
	}
	return lag_ms;
}

/* Replayed rows are written twice, and what an earlier run skipped was read: what is left when all is
 * there counts as 0 from then on. */
static void add_behind(struct summary *s, struct coll *c, bool caught_up)
{
	int64_t rows = 0, bytes = 0;

	for (int i = 0; i < c->n_shards; i++) {
		const struct coll_shard *sh = &c->shards[i];
		const struct stream_metrics *w = &sh->stream.metrics;
		bytes += metrics_value(sh->read_bytes_insert) +
			 metrics_value(sh->read_bytes_delete) - metrics_value(w->bytes_insert) -
			 metrics_value(w->bytes_delete) -
			 __atomic_load_n(&sh->stream.skipped_bytes, __ATOMIC_RELAXED);
		rows -= __atomic_load_n(&sh->stream.skipped_rows, __ATOMIC_RELAXED);
		if (!i) /* one series a collection */
			rows += metrics_value(sh->read_rows_insert) +
				metrics_value(sh->read_rows_delete) -
				metrics_value(w->rows_insert) - metrics_value(w->rows_delete);
	}
	mutex_lock(&c->mtx);
	if (caught_up || rows < c->base_rows)
		c->base_rows = rows;
	if (caught_up || bytes < c->base_bytes)
		c->base_bytes = bytes;
	s->rows_behind += rows - c->base_rows;
	s->bytes_behind += bytes - c->base_bytes;
	mutex_unlock(&c->mtx);
}

static void add_lag(struct summary *s, struct coll *c)
{
	bool caught_up;
	int64_t lag_ms = lag_of(c, &caught_up);

	s->lag_ms = MAX(s->lag_ms, lag_ms);
	s->least_acked = MIN(s->least_acked, coll_acked_ts(c));
	add_behind(s, c, caught_up);
}

static void add_coll(struct summary *s, struct coll *c)
{
	char text[COLL_REASON_BYTES + 300];
	bool waits = false;

	mutex_lock(&c->mtx);
	enum coll_state st = c->state;
	if (c->reason && st != COLL_DROPPED) {
		waits = true;
		snprintf(text, sizeof(text), "collection %.100s.%.150s %s: %s", c->db, c->name,
			coll_state_name(st), c->reason);
	}
	mutex_unlock(&c->mtx);
	s->states[st]++;
	if (waits)
		add_wait(s, text);
	s->rows += coll_rows(c);
	bool reads = st == COLL_RUNNING || st == COLL_DROPPING;
	if (st == COLL_WAITING || st == COLL_CREATING || (reads && !coll_started(c)))
		s->lag_unknown = true;
	else if (reads)
		add_lag(s, c);
}

static void add_colls(struct run *r, struct summary *s)
{
	size_t pos = 0;
	void *v;

	mutex_lock(&r->mtx);
	s->lag_unknown = !r->synced;
	s->rows += r->rows_forgotten;
	while (umap_next(&r->colls, &pos, NULL, &v))
		add_coll(s, v);
	mutex_unlock(&r->mtx);
	if (s->lag_unknown)
		s->lag_ms = RUN_LAG_UNKNOWN;
}

static void add_services(struct run *r, struct summary *s)
{
	char text[COLL_REASON_BYTES];
	struct writer_status ws;

	target_status(r->target, text, sizeof(text));
	add_wait(s, text);
	writer_status(r->sv.writer, &ws);
	add_wait(s, ws.text);
	catalog_status(r->sv.catalog, text, sizeof(text));
	add_wait(s, text);
	hub_status(r->sv.hub, "", text, sizeof(text));
	add_wait(s, text);
	text[0] = '\0';
	struct oplog *o = run_oplog(r);
	if (o)
		oplog_status(o, text, sizeof(text));
	add_wait(s, text);
}

static json_t *skipped(struct run *r)
{
	json_t *l = json_array();

	mutex_lock(&r->mtx);
	size_t kept = MIN(r->n_skipped, (size_t)SKIPPED_KEPT);
	for (size_t i = 0; i < kept; i++) {
		const struct skipped_op *s = &r->skipped[(r->n_skipped - kept + i) % SKIPPED_KEPT];
		json_array_append_new(l, json_string(s->text));
	}
	mutex_unlock(&r->mtx);
	return l;
}

/* What other tasks replicated when this one was created. */
static json_t *excluded(const struct task *t)
{
	json_t *l = json_array();

	for (size_t i = 0; i < t->n_excludes; i++)
		json_array_append_new(l, json_string(t->excludes[i]));
	return l;
}

/* What waits for more than its turn: retried, or held until a person skips it. */
static json_t *waiting(struct run *r)
{
	struct oplog_item *items = xcalloc(WAITS_KEPT, sizeof(*items));
	struct oplog *o = run_oplog(r);
	size_t n = o ? oplog_waiting(o, items, WAITS_KEPT) : 0;
	json_t *l = json_array();

	for (size_t i = 0; i < n; i++) {
		CLEANUP(freep) char *id = b64_text(mq_id_slice(&items[i].id));
		json_t *item = json_object();
		json_object_set_new(item, "message", json_string(id));
		json_object_set_new(item, "operation", json_string(items[i].what));
		json_object_set_new(item, "held", json_boolean(items[i].held));
		json_object_set_new(item, "reason", json_string(items[i].why));
		json_array_append_new(l, item);
	}
	free(items);
	return l;
}

void run_measure(struct run *r, struct run_measure *ret)
{
	struct summary s = {.least_acked = UINT64_MAX, .waits = BUF_INIT(WAITS_BYTES)};

	_Static_assert((int)RUN_STATES >= (int)COLL_STATE_COUNT, "states");
	add_services(r, &s);
	add_colls(r, &s);
	*ret = (struct run_measure){.lag_ms = s.lag_ms,
		.acked_ms = s.least_acked == UINT64_MAX ? 0 : ts_ms(s.least_acked),
		.rows = s.rows_behind,
		.bytes = s.bytes_behind,
		.waits = s.waits.n > 0};
	memcpy(ret->states, s.states, sizeof(s.states));
	buf_done(&s.waits);
}

char *run_status(struct run *r)
{
	struct summary s = {.least_acked = UINT64_MAX, .waits = BUF_INIT(WAITS_BYTES)};
	json_t *o = json_object(), *colls = json_object();
	char users[USERS_TEXT_BYTES];
	size_t total = 0;

	add_services(r, &s);
	add_colls(r, &s);
	for (int i = 0; i < COLL_STATE_COUNT; i++) {
		total += s.states[i];
		if (s.states[i])
			json_object_set_new(colls, coll_state_name((enum coll_state)i),
				json_integer((json_int_t)s.states[i]));
	}
	json_object_set_new(o, "lag_ms", s.lag_unknown ? json_null() : json_integer(s.lag_ms));
	json_object_set_new(o, "rows_behind", json_integer(s.rows_behind));
	json_object_set_new(o, "bytes_behind", json_integer(s.bytes_behind));
	json_object_set_new(o, "collections", json_integer((json_int_t)total));
	json_object_set_new(o, "collection_states", colls);
	json_object_set_new(o, "rows_written", json_integer(s.rows));
	json_object_set_new(o, "waits_for", json_string(buf_cstr(&s.waits)));
	run_channels(r, o);
	if (r->users) {
		users_status(r->users, users, sizeof(users));
		json_object_set_new(o, "user_role", json_string(users));
	}
	json_object_set_new(o, "waiting_operations", waiting(r));
	json_object_set_new(o, "skipped_operations", skipped(r));
	json_object_set_new(o, "skipped_operations_total", json_integer((json_int_t)r->n_skipped));
	if (r->sv.config->dry_run)
		json_object_set_new(o, "dry_run", json_true());
	if (r->task->n_excludes)
		json_object_set_new(o, "excluded", excluded(r->task));
	json_object_set_new(o, "on_unsupported_operation",
		json_string(task_holds_operations(r->task) ? "hold" : "skip"));
	char *text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	buf_done(&s.waits);
	return text;
}
