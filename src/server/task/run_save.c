/* The positions of a task's collections, as they are and as they go to the store. A round looks at
 * every collection and saves those whose rows were acknowledged since; what only ticks have moved is
 * saved once in a while: after a crash it costs the reading of some ticks. So a cluster of idle
 * collections costs next to nothing. Of more than a round may save, the next one goes on. */
#include <stdlib.h>

#include "base/mem.h"
#include "server/config/config.h"
#include "server/task/run_priv.h"
#include "store/writer.h"

enum { COLLS_PER_ROUND = 500, FLUSH_MS = 10000 };

enum err_code run_stored(const struct services *sv, const char *task_id, struct stop *s,
	struct store_positions **ret_list, size_t *ret_n, struct err *e)
{
	enum err_code code = writer_flush_task(sv->writer, task_id, deadline_in(FLUSH_MS), s, e);

	if (code == ERR_TIMEOUT || code == ERR_CANCELLED)
		return code;
	if (code) {
		/* Told in the log when it was refused. Stored later, in the middle of a replay, it
		 * would cut that off. */
		writer_forget_task(sv->writer, task_id);
		err_clear(e);
	}
	return store_read_positions(sv->store, task_id, s, ret_list, ret_n, e);
}

static struct coll **list_colls(struct run *r, size_t *ret_n)
{
	size_t pos = 0, n = 0;
	void *v;

	mutex_lock(&r->mtx);
	struct coll **colls = xcalloc(umap_count(&r->colls) + 1, sizeof(struct coll *));
	while (umap_next(&r->colls, &pos, NULL, &v))
		colls[n++] = v;
	mutex_unlock(&r->mtx);
	*ret_n = n;
	return colls;
}

void run_positions(struct run *r, struct store_positions **ret_list, size_t *ret_n)
{
	size_t n_colls = 0, n = 0;
	struct store_positions *list;

	run_hold(r);
	struct coll **colls = list_colls(r, &n_colls);
	list = xcalloc(n_colls + 1, sizeof(*list));
	for (size_t i = 0; i < n_colls; i++)
		n += coll_positions(colls[i], &list[n]);
	run_release(r);
	free(colls);
	struct oplog *o = run_oplog(r);
	if (o)
		n += oplog_position(o, &list[n]);
	*ret_list = list;
	*ret_n = n;
}

static bool save_coll(struct run *r, struct coll *c)
{
	struct store_positions d;

	if (!coll_positions(c, &d))
		return false;
	writer_put_position(r->sv.writer, &d);
	coll_saved(c, &d, time_mono_ms());
	store_positions_done(&d);
	return true;
}

static bool ops_moved(const struct run *r, const struct store_position *p)
{
	return p->pos.ts != r->saved_ops.ts || p->end_ms != r->saved_ops_end_ms ||
	       !slice_eq(mq_id_slice(&p->pos.id), mq_id_slice(&r->saved_ops.id));
}

/* An idle channel has a new end once a minute; stored, it tells after a restart that nothing was
 * missed, though the broker has deleted the last operation meanwhile. */
static void save_ops(struct run *r)
{
	struct store_positions d;

	if (!r->oplog || !oplog_position(r->oplog, &d))
		return;
	if (ops_moved(r, &d.source[0])) {
		writer_put_position(r->sv.writer, &d);
		r->saved_ops = d.source[0].pos;
		r->saved_ops_end_ms = d.source[0].end_ms;
	}
	store_positions_done(&d);
}

void run_save(struct run *r, bool all)
{
	int64_t now = time_mono_ms();
	int64_t idle_ms = all ? 0 : r->sv.config->checkpoint_interval_ms * RUN_IDLE_INTERVALS;
	size_t n = 0, left = all ? SIZE_MAX : COLLS_PER_ROUND, i = 0;

	run_hold(r);
	struct coll **colls = list_colls(r, &n);
	for (; i < n && left; i++) {
		struct coll *c = colls[(r->save_from + i) % n];
		if (coll_save_due(c, now, idle_ms) && save_coll(r, c))
			left--;
	}
	r->save_from = n ? (r->save_from + i) % n : 0;
	run_release(r);
	free(colls);
	save_ops(r);
	r->saved_mono_ms = time_mono_ms();
}
