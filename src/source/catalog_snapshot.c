/* A snapshot: all keys at one revision, and the state made equal to it. After the first one the
 * difference matters: what the state holds and the listing does not has gone meanwhile. */
#include <stdlib.h>

#include "base/mem.h"
#include "model/ts.h"
#include "source/catalog_priv.h"

void catalog_listing_init(struct catalog_listing *l)
{
	etcd_range_init(&l->databases);
	etcd_range_init(&l->fields);
	etcd_range_init(&l->functions);
	etcd_range_init(&l->structs);
	etcd_range_init(&l->collections);
	etcd_range_init(&l->partitions);
	etcd_range_init(&l->aliases);
	l->versions = NULL;
	l->n_versions = l->cap_versions = 0;
	l->revision = 0;
}

void catalog_listing_done(struct catalog_listing *l)
{
	etcd_range_done(&l->databases);
	etcd_range_done(&l->fields);
	etcd_range_done(&l->functions);
	etcd_range_done(&l->structs);
	etcd_range_done(&l->collections);
	etcd_range_done(&l->partitions);
	etcd_range_done(&l->aliases);
	catalog_versions_done(l);
}

static enum err_code read_prefix(
	struct catalog *c, const char *tail, int64_t revision, struct etcd_range *r, struct err *e)
{
	CLEANUP(freep) char *prefix = xasprintf("%s%s", c->base, tail);

	return etcd_get_prefix(c->etcd, prefix, revision, &c->stop, r, e);
}

enum err_code catalog_listing_read(struct catalog *c, struct catalog_listing *l, struct err *e)
{
	if (read_prefix(c, "database/db-info/", 0, &l->databases, e))
		return e->code;
	l->revision = l->databases.revision;
	if (read_prefix(c, "fields/", l->revision, &l->fields, e) ||
		read_prefix(c, "functions/", l->revision, &l->functions, e) ||
		read_prefix(c, "struct-array-fields/", l->revision, &l->structs, e) ||
		read_prefix(c, "database/collection-info/", l->revision, &l->collections, e) ||
		read_prefix(c, "partitions/", l->revision, &l->partitions, e) ||
		read_prefix(c, "database/aliases/", l->revision, &l->aliases, e))
		return e->code;
	return catalog_versions_read(c, l, e);
}

/* Big endian nanoseconds: rootcoord's reserved time, a few seconds ahead of the source's clock. */
enum err_code catalog_read_clock(struct catalog *c, struct err *e)
{
	enum { CLOCK_BYTES = 8, NS_PER_MS = 1000000 };
	struct etcd_range r;
	uint64_t ns = 0;

	etcd_range_init(&r);
	if (!etcd_get(c->etcd, c->clock_key, &c->stop, &r, e) && r.n == 1 &&
		r.kvs[0].value.n == CLOCK_BYTES)
		for (size_t i = 0; i < CLOCK_BYTES; i++)
			ns = ns << 8 | r.kvs[0].value.p[i];
	etcd_range_done(&r);
	if (e->code)
		return e->code;
	mutex_lock(&c->mtx);
	c->clock = ts_from_ms((int64_t)(ns / NS_PER_MS));
	mutex_unlock(&c->mtx);
	return ERR_OK;
}

static void begin(struct catalog *c) REQUIRES(c->mtx)
{
	size_t pos = 0;
	void *v;

	c->gen++;
	smap_done(&c->bad_logged);
	c->bad_logged = c->bad;
	c->bad = (struct smap){0};
	while (umap_next(&c->entries, &pos, NULL, &v)) {
		struct entry *en = v;
		en->bad_parts = 0;
		en->next = collection_unref(en->next);
		catalog_schema_free(TAKE(en->draft));
	}
}

static void put_all(struct catalog *c, const struct etcd_range *r) REQUIRES(c->mtx)
{
	for (size_t i = 0; i < r->n; i++)
		catalog_apply_put(c, &r->kvs[i], true);
}

static void gone_databases(struct catalog *c) REQUIRES(c->mtx)
{
	size_t pos = 0;
	void *v;

	while (umap_next(&c->databases, &pos, NULL, &v)) {
		struct database_slot *slot = v;
		bool gone = slot->gen != c->gen && slot->db.id != CATALOG_DEFAULT_DB;
		if (gone && slot->db.state != OBJECT_GONE) {
			slot->db.state = OBJECT_GONE;
			catalog_touch_databases(c);
		}
	}
}

static void gone_aliases(struct catalog *c) REQUIRES(c->mtx)
{
	size_t pos = 0;
	const char *key;
	void *v;

	while (smap_next(&c->aliases, &pos, &key, &v)) {
		const struct alias_slot *a = v;
		if (a->gen != c->gen)
			catalog_alias_put(c, key, a->db_id, 0);
	}
}

static void gone_partitions(struct catalog *c, struct entry *en) REQUIRES(c->mtx)
{
	for (size_t i = en->n_partitions; i-- > 0;) {
		struct partition_slot *slot = &en->partitions[i];
		if (slot->gen == c->gen || slot->p.state == OBJECT_GONE)
			continue;
		slot->p.state = OBJECT_GONE;
		catalog_touch(c, en);
		if (!en->cur && !en->next)
			catalog_partition_remove(en, i);
	}
}

/* What the listing did not hold. Entries that are of no use any more go; the map forbids to take
 * them out on the way. */
static void end(struct catalog *c) REQUIRES(c->mtx)
{
	struct entry **all = xcalloc(umap_count(&c->entries), sizeof(*all));
	size_t n = 0, pos = 0;
	void *v;

	while (umap_next(&c->entries, &pos, NULL, &v))
		all[n++] = v;
	for (size_t i = 0; i < n; i++) {
		gone_partitions(c, all[i]);
		if (all[i]->gen != c->gen)
			catalog_entry_gone(c, all[i], 0);
		catalog_entry_drop_unused(c, all[i]);
	}
	free(all);
	gone_databases(c);
	gone_aliases(c);
	smap_done(&c->bad_logged);
}

void catalog_listing_apply(struct catalog *c, const struct catalog_listing *l)
{
	bool first = c->version == 0;

	begin(c);
	put_all(c, &l->databases);
	put_all(c, &l->fields);
	put_all(c, &l->functions);
	put_all(c, &l->structs);
	put_all(c, &l->collections);
	put_all(c, &l->partitions);
	put_all(c, &l->aliases);
	catalog_versions_apply(c, l);
	c->seen = l->revision;
	end(c);
	catalog_publish(c, first);
}
