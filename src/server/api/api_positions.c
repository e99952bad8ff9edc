/* Start positions of a create request as the records the store keeps. */
#include "server/api/api_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/time.h"
#include "model/channel.h"
#include "model/ts.h"
#include "store/record.h"

/* Two clocks may differ, but not by this. */
enum { AHEAD_MS = 24 * 3600 * 1000 };

/* Fills one entry of a record from a map entry. */
static enum err_code read_position(const struct task_pair *p, struct store_position *out,
	int64_t *ret_collection, struct err *e)
{
	struct vchannel v;
	struct err de = ERR_INIT;

	if (!vchannel_parse(&v, slice_str(p->key)))
		return err_set(e, ERR_INVALID,
			"the vchannel is invalid, %s, err: it is not <pchannel>_<collection "
			"id>v<shard>",
			p->key);
	*out = (struct store_position){.exact = false};
	if (position_from_b64(&out->pos, p->value, &de))
		return err_set(e, ERR_MALFORMED, "fail to decode the position data: %s", de.text);
	if (ts_ms(out->pos.ts) > time_wall_ms() + AHEAD_MS)
		return err_set(e, ERR_INVALID,
			"the position of %s has a time in the future: rows up to it would be left "
			"out",
			p->key);
	memcpy(out->channel, v.pchannel, sizeof(out->channel));
	out->start_time_ms = ts_ms(out->pos.ts);
	out->time_ms = record_time_ms(out->pos.ts);
	out->exact = out->pos.ts != 0; /* as far as it goes; what it overlaps: load_records */
	*ret_collection = v.collection_id;
	return ERR_OK;
}

/* Shards may share a source pchannel (more shards than channels): the smaller place counts. */
static void add_position(struct store_positions *r, const struct store_position *p)
{
	for (size_t i = 0; i < r->n_source; i++) {
		if (strcmp(r->source[i].channel, p->channel) != 0)
			continue;
		if (p->pos.ts < r->source[i].pos.ts)
			r->source[i] = *p;
		return;
	}
	r->source[r->n_source++] = *p;
}

static enum err_code read_positions(
	const struct task_collection *c, struct store_positions *r, struct err *e)
{
	r->source = xcalloc(c->n_positions, sizeof(*r->source));
	for (size_t i = 0; i < c->n_positions; i++) {
		int64_t id = 0;
		struct store_position p;
		enum err_code code = read_position(&c->positions[i], &p, &id, e);
		if (code)
			return code;
		if (i && id != r->collection_id)
			return err_set(e, ERR_INVALID,
				"the channel position info should be in the same collection");
		r->collection_id = id;
		add_position(r, &p);
	}
	return ERR_OK;
}

struct records {
	struct store_positions *l;
	size_t n, cap;
};

static void records_done(struct records *r)
{
	store_positions_free(r->l, r->n);
}

static struct store_positions *add_record(struct records *r, const struct task *t, const char *name)
{
	mem_grow(&r->l, &r->cap, r->n + 1, sizeof(*r->l));
	r->l[r->n] = (struct store_positions){
		.task_id = xstrdup(t->id), .collection_name = xstrdup(name)};
	return &r->l[r->n++];
}

static enum err_code add_list(struct records *r, const struct task *t,
	const struct task_collection *l, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		if (!l[i].n_positions)
			continue;
		struct store_positions *one = add_record(r, t, l[i].name);
		enum err_code code = read_positions(&l[i], one, e);
		if (code)
			return code;
		for (size_t k = 0; k + 1 < r->n; k++)
			if (r->l[k].collection_id == one->collection_id)
				return err_set(e, ERR_INVALID,
					"the positions of %s and %s name the same collection",
					r->l[k].collection_name, one->collection_name);
	}
	return ERR_OK;
}

static enum err_code add_ops(
	struct records *r, struct task *t, const struct config *c, struct err *e)
{
	struct err de = ERR_INIT;

	if (!*t->rpc_position)
		return ERR_OK;
	struct store_positions *one = add_record(r, t, "-10");
	one->collection_id = STORE_ID_OPS;
	one->source = xcalloc(1, sizeof(*one->source));
	one->n_source = 1;
	snprintf(one->source->channel, sizeof(one->source->channel), "%s", c->replicate_channel);
	if (position_from_b64(&one->source->pos, t->rpc_position, &de))
		return err_set(
			e, ERR_MALFORMED, "fail to decode the rpc position data: %s", de.text);
	t->rpc_position[0] = '\0';
	return ERR_OK;
}

enum err_code api_create_positions(struct task *t, const struct config *c,
	struct store_positions **ret_list, size_t *ret_n, struct err *e)
{
	CLEANUP(records_done)
	struct records r = {.n = 0};

	enum err_code code = add_list(&r, t, t->collection_infos, t->n_collection_infos, e);
	for (size_t i = 0; i < t->n_dbs && !code; i++)
		code = add_list(&r, t, t->dbs[i].collections, t->dbs[i].n_collections, e);
	if (!code)
		code = add_ops(&r, t, c, e);
	if (code)
		return code;
	*ret_n = r.n;
	r.n = 0;
	*ret_list = TAKE(r.l);
	return ERR_OK;
}
