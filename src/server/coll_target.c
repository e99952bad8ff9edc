/* What a collection asks of its target. */
#include "server/coll.h"
#include "server/run_priv.h"

enum err_code coll_describe(struct coll *c, struct sink_collection *m, struct err *e)
{
	struct sink *k = target_sink(c->run->target);

	sink_collection_done(m);
	return k->ops->describe(k, c->target_db, c->target_name, &c->run->stop, m, e);
}

enum err_code coll_change(struct coll *c, struct sink_change *ch, struct err *e)
{
	struct sink *k = target_sink(c->run->target);

	ch->db = c->target_db;
	ch->collection = c->target_name;
	ch->source_id = c->id;
	return k->ops->change(k, ch, &c->run->stop, e);
}
