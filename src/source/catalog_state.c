#include <stdlib.h>

#include "base/mem.h"
#include "source/catalog_priv.h"

/* Entries */

struct entry *catalog_entry_get(struct catalog *c, int64_t id)
{
	struct entry *en = umap_get(&c->entries, (uint64_t)id);

	if (en)
		return en;
	en = xcalloc(1, sizeof(*en));
	en->id = id;
	list_init(&en->dirty);
	umap_put(&c->entries, (uint64_t)id, en);
	return en;
}

void catalog_entry_dirty(struct catalog *c, struct entry *en)
{
	if (list_empty(&en->dirty))
		list_push(&c->dirty, &en->dirty);
}

void catalog_entry_free(struct entry *en)
{
	list_del(&en->dirty);
	collection_unref(en->cur);
	collection_unref(en->next);
	catalog_schema_free(en->draft);
	for (size_t i = 0; i < en->n_partitions; i++)
		free(en->partitions[i].p.name);
	free(en->partitions);
	free(en);
}

void catalog_entry_drop_unused(struct catalog *c, struct entry *en)
{
	bool empty_draft = !en->draft || (!en->draft->n && !en->draft->head.n);

	if (en->cur || en->next || en->forgotten || en->bad_parts || en->n_partitions ||
		en->n_aliases || !empty_draft)
		return;
	umap_del(&c->entries, (uint64_t)en->id);
	catalog_entry_free(en);
}

/* The order of the lists: database, create time, id. */

static int order_cmp(const struct collection *a, const struct collection *b)
{
	if (a->db_id != b->db_id)
		return a->db_id < b->db_id ? -1 : 1;
	if (a->create_ts != b->create_ts)
		return a->create_ts < b->create_ts ? -1 : 1;
	return (a->id > b->id) - (a->id < b->id);
}

static size_t order_find(const struct catalog *c, const struct collection *col)
{
	size_t lo = 0, hi = c->n_order;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (order_cmp(c->order[mid]->cur, col) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void order_remove(struct catalog *c, const struct entry *en)
{
	size_t at = order_find(c, en->cur);

	c->n_order--;
	memmove(&c->order[at], &c->order[at + 1], (c->n_order - at) * sizeof(*c->order));
}

static void order_insert(struct catalog *c, struct entry *en)
{
	size_t at = order_find(c, en->cur);

	mem_grow(&c->order, &c->cap_order, c->n_order + 1, sizeof(*c->order));
	memmove(&c->order[at + 1], &c->order[at], (c->n_order - at) * sizeof(*c->order));
	c->order[at] = en;
	c->n_order++;
}

void catalog_entry_set_cur(struct catalog *c, struct entry *en, struct collection *nw)
{
	bool moves = !en->cur || !nw || order_cmp(en->cur, nw) != 0;

	if (en->cur && moves)
		order_remove(c, en);
	if (!nw)
		catalog_names_forget(c, en->id);
	collection_unref(en->cur);
	en->cur = nw;
	if (nw && moves)
		order_insert(c, en);
}

void catalog_touch(struct catalog *c, struct entry *en)
{
	en->changed = c->version + 1;
	c->touched = true;
}

void catalog_touch_databases(struct catalog *c)
{
	c->dbs_changed = c->version + 1;
	c->touched = true;
}

/* Partitions */

size_t catalog_partition_find(const struct entry *en, int64_t id, bool *ret_found)
{
	size_t lo = 0, hi = en->n_partitions;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (en->partitions[mid].p.id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret_found = lo < en->n_partitions && en->partitions[lo].p.id == id;
	return lo;
}

void catalog_partition_remove(struct entry *en, size_t at)
{
	free(en->partitions[at].p.name);
	en->n_partitions--;
	memmove(&en->partitions[at], &en->partitions[at + 1],
		(en->n_partitions - at) * sizeof(*en->partitions));
}

/* Collections */

static struct slice copy_bytes(struct slice s)
{
	return s.n ? slice_of(xmemdup(s.p, s.n), s.n) : (struct slice){0};
}

struct collection *catalog_collection_copy(const struct collection *from)
{
	struct collection *to = xmemdup(from, sizeof(*from));

	to->ref = 1;
	to->name = xstrdup(from->name);
	to->schema = (struct slice){0};
	to->properties = copy_bytes(from->properties);
	to->shards = xcalloc((size_t)from->shards_num, sizeof(*to->shards));
	for (int i = 0; i < from->shards_num; i++) {
		to->shards[i] = from->shards[i];
		to->shards[i].vchannel = xstrdup(from->shards[i].vchannel);
		to->shards[i].pchannel = xstrdup(from->shards[i].pchannel);
	}
	return to;
}

void catalog_collection_copy_schema(struct collection *to, const struct collection *from)
{
	to->schema = copy_bytes(from->schema);
	to->pk_field_id = from->pk_field_id;
	to->pk_is_varchar = from->pk_is_varchar;
	to->has_partition_key = from->has_partition_key;
}

/* Aliases */

static void count_alias(struct catalog *c, int64_t collection_id, int by) REQUIRES(c->mtx)
{
	if (!collection_id)
		return;
	struct entry *en = catalog_entry_get(c, collection_id);
	en->n_aliases += (size_t)by;
	catalog_touch(c, en);
}

void catalog_alias_put(struct catalog *c, const char *key, int64_t db_id, int64_t collection_id)
{
	struct alias_slot *a = smap_get(&c->aliases, key);

	if (!a && !collection_id)
		return;
	if (!a) {
		a = xcalloc(1, sizeof(*a));
		a->db_id = db_id;
		smap_put(&c->aliases, key, a);
	}
	a->gen = c->gen;
	if (a->collection_id == collection_id)
		return;
	count_alias(c, a->collection_id, -1);
	count_alias(c, collection_id, 1);
	a->collection_id = collection_id;
}

/* Databases */

void catalog_database_done(struct database *db)
{
	free(db->name);
	free((void *)(uintptr_t)db->properties.p); /* owned here, only borrowed elsewhere */
}

static bool database_same(const struct database *a, const struct database *b)
{
	return a->state == b->state && a->create_ts == b->create_ts &&
	       strcmp(a->name, b->name) == 0 && slice_eq(a->properties, b->properties);
}

void catalog_database_put(struct catalog *c, struct database *db)
{
	struct database_slot *slot = umap_get(&c->databases, (uint64_t)db->id);

	if (!slot) {
		slot = xcalloc(1, sizeof(*slot));
		umap_put(&c->databases, (uint64_t)db->id, slot);
		catalog_touch_databases(c);
	} else {
		if (!database_same(&slot->db, db))
			catalog_touch_databases(c);
		catalog_database_done(&slot->db);
	}
	slot->db = *db;
	slot->gen = c->gen;
	slot->gone_mono_ms = 0;
}
