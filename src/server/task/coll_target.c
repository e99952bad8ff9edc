/* What a collection asks of its target. A target without a catalogue (a topic) is described by what
 * this task has told it: ids and channels are the source's, what was announced is there. */
#include "base/mem.h"
#include "server/task/coll.h"
#include "server/config/config.h"
#include "server/task/run_priv.h"
#include "source/catalog.h"

static void add_partition(struct sink_collection *m, size_t *cap, int64_t id, const char *name)
{
	mem_grow(&m->partitions, cap, m->n_partitions + 1, sizeof(*m->partitions));
	m->partitions[m->n_partitions++] = (struct sink_partition){.id = id, .name = xstrdup(name)};
}

static bool is_listed(const struct sink_collection *m, int64_t id)
{
	for (size_t i = 0; i < m->n_partitions; i++)
		if (m->partitions[i].id == id)
			return true;
	return false;
}

/* Those that come with the collection are not announced: the default one, and all of a partition
 * key. */
static bool is_born_with(const struct coll *c, const struct partition *p)
{
	return p->create_ts <= c->create_ts ||
	       strcmp(p->name, c->run->sv.config->default_partition) == 0;
}

static void list_partitions(struct coll *c, struct sink_collection *m)
{
	struct partition *list = NULL;
	size_t n = catalog_partitions(c->run->sv.catalog, c->id, &list);
	size_t cap = 0, pos = 0;
	void *v;

	mutex_lock(&c->mtx);
	while (umap_next(&c->parts, &pos, NULL, &v)) {
		const struct part *p = v;
		if (p->target_id && p->state != PART_DROPPED)
			add_partition(m, &cap, p->target_id, p->name);
	}
	mutex_unlock(&c->mtx);
	for (size_t i = 0; i < n; i++)
		if (!is_listed(m, list[i].id) &&
			(is_born_with(c, &list[i]) || list[i].id == c->announced_partition))
			add_partition(m, &cap, list[i].id, list[i].name);
	catalog_partitions_free(list, n);
}

static enum err_code describe_self(struct coll *c, struct sink_collection *m, struct err *e)
{
	if (!c->target_id && !c->announced)
		return err_set(e, ERR_NOT_FOUND, "%s.%s was not announced yet", c->target_db,
			c->target_name);
	m->id = c->id;
	m->shards_num = c->n_shards;
	m->shards = xcalloc((size_t)MAX(c->n_shards, 1), sizeof(*m->shards));
	for (int i = 0; i < c->n_shards; i++)
		m->shards[i] = (struct sink_shard){.vchannel = xstrdup(c->shards[i].vchannel),
			.pchannel = xstrdup(c->shards[i].pchannel)};
	if (c->src)
		m->schema = slice_of(xmemdup(c->src->schema.p, c->src->schema.n), c->src->schema.n);
	list_partitions(c, m);
	return ERR_OK;
}

enum err_code coll_describe(struct coll *c, struct sink_collection *m, struct err *e)
{
	struct sink *k = target_sink(c->run->target);

	sink_collection_done(m);
	if (!k->ops->describe)
		return describe_self(c, m, e);
	return k->ops->describe(k, c->target_db, c->target_name, &c->run->stop, m, e);
}

enum err_code coll_change(struct coll *c, struct sink_change *ch, struct err *e)
{
	struct sink *k = target_sink(c->run->target);

	ch->db = c->target_db;
	ch->collection = c->target_name;
	ch->source_id = c->id;
	if (k->ops->change(k, ch, &c->run->stop, e))
		return e->code;
	if (ch->kind == SINK_CREATE_COLLECTION)
		c->announced = true;
	if (ch->kind == SINK_CREATE_PARTITION)
		c->announced_partition = ch->source_partition_id;
	return ERR_OK;
}
