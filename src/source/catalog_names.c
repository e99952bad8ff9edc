/* Names that collections had before. The key of a collection holds its present name only, while what
 * was done under an older one (index, load, alias) may still wait in the replicate channel. Milvus up
 * to 2.5 keeps every version of a key, "<root>/<meta>/snapshots/root-coord/<key>_ts<TSO>", so a listing
 * tells each name with the exact time from which it was used. A rename that the watch shows, or one of
 * a Milvus without versions, is noted with our clock.
 *
 * Kept only of collections that ever had another name, the newest NAMES_MAX of each. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "model/ts.h"
#include "source/catalog_priv.h"

enum { NAMES_MAX = 16, VERSIONED_MAX = 1000 /* collections whose versions are read */ };

struct named {
	uint64_t from_ts;
	int64_t db_id;
	char *name;
};

struct history {
	struct named v[NAMES_MAX];
	size_t n;
};

static void history_free(struct history *h)
{
	for (size_t i = 0; h && i < h->n; i++)
		free(h->v[i].name);
	free(h);
}

static void history_add(struct history *h, uint64_t from_ts, int64_t db_id, const char *name)
{
	const struct named *last = h->n ? &h->v[h->n - 1] : NULL;

	if (last && last->db_id == db_id && strcmp(last->name, name) == 0)
		return; /* something else was altered */
	if (h->n == NAMES_MAX) {
		free(h->v[0].name);
		h->n--;
		memmove(&h->v[0], &h->v[1], h->n * sizeof(h->v[0]));
	}
	h->v[h->n++] = (struct named){.from_ts = from_ts, .db_id = db_id, .name = xstrdup(name)};
}

static void history_put(struct catalog *c, int64_t id, struct history *h) REQUIRES(c->mtx)
{
	history_free(umap_put(&c->names, (uint64_t)id, h));
}

void catalog_names_forget(struct catalog *c, int64_t id)
{
	history_free(umap_del(&c->names, (uint64_t)id));
}

void catalog_names_done(struct catalog *c)
{
	size_t pos = 0;
	void *v;

	while (umap_next(&c->names, &pos, NULL, &v))
		history_free(v);
	umap_done(&c->names);
}

void catalog_names_change(
	struct catalog *c, const struct collection *was, const struct collection *is)
{
	if (was->db_id == is->db_id && strcmp(was->name, is->name) == 0)
		return;
	struct history *h = umap_get(&c->names, (uint64_t)is->id);
	if (!h) {
		h = xcalloc(1, sizeof(*h));
		history_add(h, was->create_ts, was->db_id, was->name);
		history_put(c, is->id, h);
	}
	history_add(h, ts_from_ms(time_wall_ms()), is->db_id, is->name);
}

/* ---- asked ---- */

static bool is_database(const struct catalog *c, int64_t id, const char *name) REQUIRES(c->mtx)
{
	const struct database_slot *slot = umap_get(&c->databases, (uint64_t)id);
	return slot && strcmp(slot->db.name, name) == 0;
}

enum catalog_called catalog_was_called(struct catalog *c, int64_t id, const char *db,
	const char *name, uint64_t ts, uint64_t slack)
{
	enum catalog_called answer = CATALOG_CALLED_UNKNOWN;

	mutex_lock(&c->mtx);
	const struct history *h = umap_get(&c->names, (uint64_t)id);
	if (h && ts >= h->v[0].from_ts)
		answer = CATALOG_CALLED_NO;
	for (size_t i = 0; h && i < h->n; i++) {
		const struct named *n = &h->v[i];
		bool then = ts + slack >= n->from_ts &&
			    (i + 1 == h->n || ts < h->v[i + 1].from_ts + slack);
		if (then && strcmp(n->name, name) == 0 && is_database(c, n->db_id, db))
			answer = CATALOG_CALLED_YES;
	}
	mutex_unlock(&c->mtx);
	return answer;
}

/* ---- listed ---- */

/* "<database>/<collection>_ts<TSO>" */
static bool parse_key(const char *tail, struct catalog_version *ret)
{
	static const char mark[] = "_ts";
	const char *slash = strchr(tail, '/');
	const char *ts = slash ? strstr(slash, mark) : NULL;

	*ret = (struct catalog_version){0};
	return ts && slice_to_i64(slice_of(tail, (size_t)(slash - tail)), &ret->db_id) &&
	       slice_to_i64(slice_of(slash + 1, (size_t)(ts - slash - 1)), &ret->id) &&
	       str_to_u64(ts + strlen(mark), &ret->ts);
}

static int by_id_and_time(const void *a, const void *b)
{
	const struct catalog_version *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return (x->ts > y->ts) - (x->ts < y->ts);
}

/* The versions of one collection in the list of all. */
struct group {
	const struct catalog_version *first;
	size_t n;
};

static int by_newest(const void *a, const void *b)
{
	const struct group *x = a, *y = b;
	uint64_t left = x->first[x->n - 1].ts, right = y->first[y->n - 1].ts;

	return (left < right) - (left > right);
}

static struct umap living_ids(const struct catalog *c, const struct etcd_range *collections)
{
	struct umap ids = {0};

	for (size_t i = 0; i < collections->n; i++) {
		const struct etcd_kv *kv = &collections->kvs[i];
		struct catalog_key k = catalog_key_parse(kv->key + strlen(c->base));
		if (k.kind == CATALOG_KEY_COLLECTION && !catalog_is_tombstone(kv->value))
			umap_put(&ids, (uint64_t)k.id, &ids); /* a set */
	}
	return ids;
}

/* Those that were altered and live, the last altered first; heap. */
static struct group *altered(
	const struct catalog_version *all, size_t n, const struct umap *living, size_t *ret_n)
{
	struct group *l = xcalloc(n / 2 + 1, sizeof(*l));
	size_t found = 0;

	for (size_t first = 0, i = 1; i <= n; i++) {
		if (i < n && all[i].id == all[first].id)
			continue;
		if (i - first > 1 && umap_get(living, (uint64_t)all[first].id))
			l[found++] = (struct group){.first = &all[first], .n = i - first};
		first = i;
	}
	if (found)
		qsort(l, found, sizeof(*l), by_newest);
	*ret_n = MIN(found, (size_t)VERSIONED_MAX);
	return l;
}

/* The name that one version gives; a version that is gone or can't be read gives none. */
static enum err_code read_version(struct catalog *c, struct catalog_listing *l,
	const struct catalog_version *v, struct err *e)
{
	CLEANUP(freep)
	char *key = xasprintf("%s%lld/%lld_ts%llu", c->versions, (long long)v->db_id,
		(long long)v->id, (unsigned long long)v->ts);
	CLEANUP(etcd_range_done) struct etcd_range r;
	struct collection *col = NULL;
	struct slice schema;

	etcd_range_init(&r);
	if (etcd_get(c->etcd, key, &c->stop, &r, e))
		return e->code;
	if (!r.n || catalog_is_tombstone(r.kvs[0].value) ||
		catalog_decode_collection(r.kvs[0].value, v->db_id, v->id, &col, &schema, NULL))
		return ERR_OK;
	mem_grow(&l->versions, &l->cap_versions, l->n_versions + 1, sizeof(*l->versions));
	l->versions[l->n_versions] = *v;
	l->versions[l->n_versions++].name = xstrdup(col->name);
	collection_unref(col);
	return ERR_OK;
}

static enum err_code read_group(
	struct catalog *c, struct catalog_listing *l, const struct group *g, struct err *e)
{
	size_t from = g->n > NAMES_MAX ? g->n - NAMES_MAX : 0;

	for (size_t i = from; i < g->n; i++)
		if (read_version(c, l, &g->first[i], e))
			return e->code;
	return ERR_OK;
}

static enum err_code read_groups(struct catalog *c, struct catalog_listing *l,
	struct catalog_version *all, size_t n, struct err *e)
{
	struct umap living = living_ids(c, &l->collections);
	enum err_code code = ERR_OK;
	size_t n_groups = 0;

	if (n)
		qsort(all, n, sizeof(*all), by_id_and_time);
	struct group *groups = altered(all, n, &living, &n_groups);
	for (size_t i = 0; i < n_groups && !code; i++)
		code = read_group(c, l, &groups[i], e);
	free(groups);
	umap_done(&living);
	return code;
}

enum err_code catalog_versions_read(struct catalog *c, struct catalog_listing *l, struct err *e)
{
	CLEANUP(etcd_range_done) struct etcd_range keys;
	CLEANUP(freep) struct catalog_version *all = NULL;
	size_t n = 0;

	etcd_range_init(&keys);
	enum err_code code = etcd_get_keys(c->etcd, c->versions, l->revision, &c->stop, &keys, e);
	if (code == ERR_DENIED) { /* a user with rights to the plain keys only */
		log_warn(&c->log,
			"%s; operations on a collection that was renamed while nobody looked go by "
			"its present name only: grant the source's etcd user the right to read %s",
			e->text, c->versions);
		err_clear(e);
		return ERR_OK;
	}
	if (code)
		return code;
	all = xcalloc(keys.n + 1, sizeof(*all));
	for (size_t i = 0; i < keys.n; i++)
		n += parse_key(keys.kvs[i].key + strlen(c->versions), &all[n]);
	return read_groups(c, l, all, n, e);
}

void catalog_versions_done(struct catalog_listing *l)
{
	for (size_t i = 0; i < l->n_versions; i++)
		free(l->versions[i].name);
	freep(&l->versions);
	l->n_versions = l->cap_versions = 0;
}

void catalog_versions_apply(struct catalog *c, const struct catalog_listing *l)
{
	for (size_t i = 0; i < l->n_versions;) {
		struct history *h = xcalloc(1, sizeof(*h));
		int64_t id = l->versions[i].id;
		for (; i < l->n_versions && l->versions[i].id == id; i++)
			history_add(
				h, l->versions[i].ts, l->versions[i].db_id, l->versions[i].name);
		if (h->n > 1)
			history_put(c, id, h);
		else
			history_free(h);
	}
}
