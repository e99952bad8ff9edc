/* Questions to source and target, and the time at which both can be compared: the source's clock says
 * T, the task's stored positions say when everything up to T is on the target, and the target's clock
 * what its queries have to wait for. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/retry.h"
#include "base/wire.h"
#include "model/ts.h"
#include "server/verify/verify_priv.h"

enum { LOOK_MS = 200, RETRY_MS = 100, RETRY_MOST_MS = 2000, PATIENCE_MS = 30000 };
enum { A_FIELDS = 2, FD_SCALARS = 3, SCALAR_LONG = 3, ARRAY_DATA = 1 };

/* ---- the common time ---- */

/* All channels of the collection are acknowledged up to it; 0 = unknown. */
static uint64_t acked(const struct verify *v, int64_t id)
{
	uint64_t least = UINT64_MAX;

	for (size_t i = 0; i < v->n_pos; i++)
		for (size_t k = 0; v->pos[i].collection_id == id && k < v->pos[i].n_source; k++) {
			const struct store_position *p = &v->pos[i].source[k];
			uint64_t ts = p->exact ? p->pos.ts : ts_from_ms(p->time_ms);
			if (!p->dropped)
				least = MIN(least, ts);
		}
	return least == UINT64_MAX ? 0 : least;
}

static enum err_code look(struct verify *v, struct err *e)
{
	store_positions_free(v->pos, v->n_pos);
	v->pos = NULL;
	v->n_pos = 0;
	if (v->o.positions)
		return v->o.positions(v->o.arg, &v->pos, &v->n_pos, e);
	return store_read_positions(v->o.store, v->o.task->id, v->o.stop, &v->pos, &v->n_pos, e);
}

static enum err_code await(struct verify *v, const struct verify_coll *c, uint64_t ts,
	struct deadline d, struct err *e)
{
	while (acked(v, c->id) < ts) {
		if (look(v, e))
			return err_ctx(e, "positions of the task");
		uint64_t now = acked(v, c->id);
		if (now >= ts)
			break;
		if (deadline_passed(d))
			return err_set(e, ERR_TIMEOUT,
				"the task (%s) has not replicated it up to the present: %" PRId64
				" ms behind after %" PRId64 " s; milvus-cdc task get %s tells why",
				task_state_name(v->o.task->state),
				now ? ts_ms(ts) - ts_ms(now) : ts_ms(ts), v->o.wait_ms / 1000,
				v->o.task->id);
		if (stop_sleep(v->o.stop, LOOK_MS))
			return stop_err(e);
	}
	if (milvus_clock(v->o.target, v->o.stop, &v->target_ts, e))
		return err_ctx(e, "target");
	return ERR_OK;
}

enum err_code verify_meet(struct verify *v, const struct verify_coll *c, struct err *e)
{
	if (milvus_clock(v->o.source, v->o.stop, &v->source_ts, e))
		return err_ctx(e, "source");
	return await(v, c, v->source_ts, deadline_in(v->o.wait_ms), e);
}

enum err_code verify_meet_first(struct verify *v, const struct verify_coll *c, struct err *e)
{
	v->source_ts = MAX(v->source_ts, v->meet_ts);
	return await(v, c, v->meet_ts, (struct deadline){v->meet_end_ms}, e);
}

/* ---- questions ---- */

static enum err_code name_side(
	enum verify_side side, const struct verify_part *p, const char *coll, struct err *e)
{
	const char *where = side == VERIFY_SOURCE ? "source" : "target";

	if (e->origin == MILVUS_NOT_LOADED || e->origin == MILVUS_PARTITION_NOT_LOADED) {
		err_clear(e);
		return err_set(e, ERR_INVALID, "%s%s%s is not loaded on the %s: load it there",
			coll, p->name ? ", partition " : "", p->name ? p->name : "", where);
	}
	return err_ctx(e, "%s", where);
}

static enum err_code ask(
	struct verify_part *p, enum verify_side side, struct milvus_query *q, struct err *e)
{
	struct verify *v = p->v;
	bool at_source = side == VERIFY_SOURCE;
	struct milvus *m = at_source ? v->o.source : v->o.target;
	struct retry again = RETRY_INIT(RETRY_MS, RETRY_MOST_MS);
	struct deadline patience = deadline_in(PATIENCE_MS);

	q->db = at_source ? p->c->db : p->c->target_db;
	q->collection = at_source ? p->c->name : p->c->target_name;
	q->partition = p->name;
	q->at_least_ts = at_source ? v->source_ts : v->target_ts;
	for (;;) {
		enum err_code code = milvus_query(m, q, v->o.stop, &v->answer, e);
		if (!code)
			return ERR_OK;
		if (!retry_may(code, true) || deadline_passed(patience))
			return name_side(side, p, q->collection, e);
		if (stop_sleep(v->o.stop, retry_next_ms(&again)))
			return e->code;
		err_clear(e);
	}
}

enum err_code verify_query(struct verify_part *p, enum verify_side side, const char *expr,
	int64_t limit, bool detail, struct row_page *ret, struct err *e)
{
	struct milvus_query q = {.expr = expr, .field = "*", .limit = limit};

	row_page_reset(ret);
	if (side == VERIFY_SOURCE ? !p->on_source : !p->on_target)
		return ERR_OK;
	if (ask(p, side, &q, e))
		return e->code;
	if (row_page_read(ret, buf_slice(&p->v->answer), p->c->pk_name, p->c->varchar, detail, e))
		return err_ctx(e, "%s", side == VERIFY_SOURCE ? "source" : "target");
	return ERR_OK;
}

static bool find(struct slice *s, uint32_t num)
{
	struct wire w = wire_open(*s);
	struct wire_field f;

	while (wire_next(&w, &f))
		if (f.num == num && f.type == WIRE_LEN) {
			*s = f.data;
			return true;
		}
	return false;
}

/* fields_data{scalars{long_data{data}}}; a 0 may be left out. */
static int64_t read_count(struct slice answer)
{
	struct wire_field f;

	if (!find(&answer, A_FIELDS) || !find(&answer, FD_SCALARS) || !find(&answer, SCALAR_LONG))
		return 0;
	struct wire w = wire_open(answer);
	if (!wire_next(&w, &f) || f.num != ARRAY_DATA)
		return 0;
	if (f.type == WIRE_LEN) {
		uint64_t n = 0;
		struct wire run = wire_open(f.data);
		return wire_varint(&run, &n) ? (int64_t)n : 0;
	}
	return (int64_t)f.value;
}

enum err_code verify_count(struct verify_part *p, enum verify_side side, const char *expr,
	int64_t *ret_n, struct err *e)
{
	struct milvus_query q = {.expr = expr, .field = "count(*)"};

	*ret_n = 0;
	if (side == VERIFY_SOURCE ? !p->on_source : !p->on_target)
		return ERR_OK;
	if (ask(p, side, &q, e))
		return e->code;
	*ret_n = read_count(buf_slice(&p->v->answer));
	return ERR_OK;
}
