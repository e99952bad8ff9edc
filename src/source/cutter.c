#include "source/cutter.h"

#include "base/map.h"

enum { FEW = 8 };

void cutter_init(struct cutter *c)
{
	*c = (struct cutter){.last_ts = 0};
	list_init(&c->buf);
}

static void drop_all(struct list *l)
{
	for (struct list *n; (n = list_pop(l));)
		raw_unref(LIST_ITEM(n, struct hub_raw, link));
}

void cutter_done(struct cutter *c)
{
	drop_all(&c->buf);
	cutter_init(c);
}

void cutter_add(struct cutter *c, struct hub_raw *raw)
{
	list_push(&c->buf, &raw->link);
	c->n++;
	c->bytes += raw->m->cost_bytes;
}

void cutter_charge(struct cutter *c, struct account *from, struct account *to)
{
	list_foreach (it, &c->buf)
		LIST_ITEM(it, struct hub_raw, link)->acct = to; /* nobody else has it yet */
	account_move(from, to, c->bytes);
}

static bool seen_among(struct list *msgs, const struct hub_raw *raw)
{
	for (struct list *it = msgs->next; it != &raw->link; it = it->next) {
		const struct hub_raw *o = LIST_ITEM(it, struct hub_raw, link);
		if (raw_is_dml(o) && o->dml.base.msg_id == raw->dml.base.msg_id)
			return true;
	}
	return false;
}

/* Every consumer of the source drops the second insert or delete with a msgID inside a pack: its
 * producer may write a message twice. */
static void drop_repeated(struct cut *cut)
{
	struct umap seen = {0};

	list_foreach (it, &cut->msgs) {
		struct hub_raw *raw = LIST_ITEM(it, struct hub_raw, link);
		if (!raw_is_dml(raw))
			continue;
		bool again = cut->n <= FEW
				     ? seen_among(&cut->msgs, raw)
				     : umap_put(&seen, (uint64_t)raw->dml.base.msg_id, cut) != NULL;
		if (!again)
			continue;
		list_del(&raw->link);
		list_push(&cut->repeats, &raw->link);
		cut->repeated++;
	}
	umap_done(&seen);
}

bool cutter_tick(struct cutter *c, uint64_t ts, const struct mq_id *id, struct cut *ret_cut)
{
	if (ts <= c->last_ts)
		return false;
	*ret_cut = (struct cut){
		.begin_ts = c->last_ts, .end_ts = ts, .tick = *id, .end = {.id = *id, .ts = ts}};
	list_init(&ret_cut->msgs);
	list_init(&ret_cut->repeats);
	list_foreach (it, &c->buf) {
		struct hub_raw *raw = LIST_ITEM(it, struct hub_raw, link);
		if (raw->ts > ts && !raw->at_next_tick)
			continue;
		list_del(&raw->link);
		list_push(&ret_cut->msgs, &raw->link);
		ret_cut->n++;
		ret_cut->bytes += raw->m->cost_bytes;
	}
	c->n -= ret_cut->n;
	c->bytes -= ret_cut->bytes;
	c->last_ts = ts;
	if (!list_empty(&c->buf))
		ret_cut->end.id = LIST_ITEM(c->buf.next, struct hub_raw, link)->m->id;
	drop_repeated(ret_cut);
	return true;
}

void cut_done(struct cut *cut)
{
	drop_all(&cut->msgs);
	drop_all(&cut->repeats);
}
