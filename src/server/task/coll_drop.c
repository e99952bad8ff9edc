/* DropReady: all shards are at their drop message and all rows are acknowledged. The RPC first, as
 * Milvus itself does it; then the drop message with a tick on every channel, which lets the data
 * nodes let go. Each step may be repeated after a crash. */
#include <inttypes.h>

#include "server/task/coll.h"
#include "server/task/run_priv.h"

enum { NOTE_MS = 20 };

static uint64_t drop_ts(const struct coll *c)
{
	uint64_t ts = 0;
	for (int i = 0; i < c->n_shards; i++)
		ts = MAX(ts, c->shards[i].drop_ts);
	return ts ? ts : c->create_ts + 1;
}

/* Drops aliases that would make the target refuse. */
static enum err_code drop_aliases(struct coll *c, const struct sink_collection *m, struct err *e)
{
	for (size_t i = 0; i < m->n_aliases; i++) {
		struct sink_change ch = {.kind = SINK_DROP_ALIAS, .alias = m->aliases[i]};
		enum err_code code = coll_change(c, &ch, e);
		coll_alias_dropped(c, m->aliases[i]);
		if (code == ERR_NOT_FOUND)
			err_clear(e); /* it has left meanwhile */
		else if (code)
			return err_ctx(e, "alias %s", m->aliases[i]);
	}
	return ERR_OK;
}

static enum err_code drop_on_target(struct coll *c, struct err *e)
{
	struct sink_change ch = {.kind = SINK_DROP_COLLECTION, .ts = drop_ts(c)};
	struct sink_collection m = {.id = 0};

	enum err_code code = coll_describe(c, &m, e);
	if (code == ERR_NOT_FOUND) {
		err_clear(e);
		return ERR_OK;
	}
	if (!code && m.id != c->target_id) {
		log_warn(&c->log,
			"the target's %s.%s has id %" PRId64 ", not %" PRId64 ": it is left alone",
			c->target_db, c->target_name, m.id, c->target_id);
	} else if (!code) {
		code = drop_aliases(c, &m, e);
		if (!code)
			code = coll_change(c, &ch, e);
		if (code == ERR_NOT_FOUND) {
			err_clear(e); /* an earlier attempt whose answer was lost */
			code = ERR_OK;
		}
	}
	sink_collection_done(&m);
	return code;
}

static bool put_note(struct coll *c, struct coll_shard *s, int type, const struct part *p)
{
	struct err e = ERR_INIT;

	if (s->note_out)
		return tchan_note_done(s->chan, &s->note);
	if (!s->chan && target_chan(c->run->target, s->target_pchannel, &s->chan, &e))
		return false;
	s->note = (struct tchan_note){.type = type,
		.shard = s->target_vchannel,
		.source_ts = p ? p->drop_ts : drop_ts(c),
		.db = c->target_db,
		.collection = c->target_name,
		.partition = p ? p->name : "",
		.collection_id = c->target_id,
		.partition_id = p ? p->target_id : 0};
	tchan_note(s->chan, &s->note);
	s->note_out = true;
	return false;
}

bool coll_notes(struct coll *c, int type, const struct part *p)
{
	int64_t owner = p ? p->source_id : NOTES_OF_COLLECTION;
	bool all = true;

	if (c->notes_of != owner && !coll_notes_settled(c))
		return false;
	c->notes_of = owner;
	for (int i = 0; i < c->n_shards; i++)
		all = put_note(c, &c->shards[i], type, p) && all;
	for (int i = 0; all && i < c->n_shards; i++)
		c->shards[i].note_out = false;
	if (all)
		c->notes_of = NOTES_OF_NONE;
	return all;
}

bool coll_notes_settled(struct coll *c)
{
	for (int i = 0; i < c->n_shards; i++) {
		struct coll_shard *s = &c->shards[i];
		if (s->note_out && !tchan_note_done(s->chan, &s->note))
			return false;
		s->note_out = false;
	}
	c->notes_of = NOTES_OF_NONE;
	return true;
}

void coll_notes_cancel(struct coll *c)
{
	for (int i = 0; i < c->n_shards; i++) {
		if (c->shards[i].note_out)
			tchan_note_cancel(c->shards[i].chan, &c->shards[i].note);
		c->shards[i].note_out = false;
	}
	c->notes_of = NOTES_OF_NONE;
}

int64_t coll_drop_step(struct coll *c)
{
	struct err e = ERR_INIT;

	if (!c->rpc_done) {
		if (coll_record_flush(c, &e))
			return coll_error(c, "store the drop", &e);
		if (drop_on_target(c, &e))
			return coll_error(c, "drop collection", &e);
		c->rpc_done = true;
	}
	if (!coll_notes(c, MSG_DROP_COLLECTION, NULL))
		return NOTE_MS;
	metrics_add(
		metrics_get(METRIC_api_execute_total, c->run->task->id, "DropCollection", NULL), 1);
	coll_set_state(c, COLL_DROPPED, "dropped on the target");
	coll_record_put(c);
	return JOB_IDLE;
}
