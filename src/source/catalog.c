#include "source/catalog.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "source/catalog_priv.h"

enum { RETRY_FIRST_MS = 100, RETRY_MOST_MS = 3000 };

/* Paths */

static void add_path(struct buf *b, const char *part)
{
	size_t n = strlen(part);

	while (n && part[n - 1] == '/')
		n--;
	if (n) {
		buf_put(b, part, n);
		buf_put_u8(b, '/');
	}
}

static void make_paths(struct catalog *c, const struct catalog_opts *o)
{
	struct buf b = BUF_INIT(SIZE_MAX / 2);

	add_path(&b, o->root_path);
	c->clock_key = xasprintf("%skv/gid/timestamp", buf_cstr(&b));
	add_path(&b, o->meta_sub_path);
	c->base = xasprintf("%sroot-coord/", buf_cstr(&b));
	c->versions = xasprintf("%ssnapshots/root-coord/database/collection-info/", buf_cstr(&b));
	c->log_fields = xasprintf("source=%s", c->base);
	buf_done(&b);
}

/* Life */

const char *catalog_base(const struct catalog *c)
{
	return c->base;
}

enum err_code catalog_new(
	struct etcd *etcd, const struct catalog_opts *o, struct catalog **ret_c, struct err *e)
{
	if (!o->root_path || !o->meta_sub_path || strchr(o->root_path, '\n'))
		return err_set(e, ERR_INVALID, "the catalog needs root_path and meta_sub_path");
	struct catalog *c = xcalloc(1, sizeof(*c));
	struct database def = {.id = CATALOG_DEFAULT_DB, .name = xstrdup("default")};
	c->etcd = etcd;
	make_paths(c, o);
	c->log = (struct log_ctx){.comp = LOG_catalog, .fields = c->log_fields};
	stop_init(&c->stop, NULL);
	c->retry = (struct retry)RETRY_INIT(RETRY_FIRST_MS, RETRY_MOST_MS);
	mutex_init(&c->mtx, "catalog");
	cond_init(&c->changed);
	list_init(&c->dirty);
	list_init(&c->notes);
	mutex_lock(&c->mtx);
	catalog_database_put(c, &def); /* there, whether etcd has a key for it or not */
	mutex_unlock(&c->mtx);
	*ret_c = c;
	return ERR_OK;
}

enum err_code catalog_start(struct catalog *c, struct err *e)
{
	return thread_start(&c->thread, "catalog", catalog_thread_main, c, e);
}

static void free_state(struct catalog *c)
{
	size_t pos = 0;
	void *v;

	while (umap_next(&c->entries, &pos, NULL, &v))
		catalog_entry_free(v);
	for (pos = 0; umap_next(&c->databases, &pos, NULL, &v);) {
		struct database_slot *slot = v;
		catalog_database_done(&slot->db);
		free(slot);
	}
	umap_done(&c->entries);
	umap_done(&c->databases);
	const char *key;
	for (pos = 0; smap_next(&c->aliases, &pos, &key, &v);)
		free(v);
	smap_done(&c->aliases);
	smap_done(&c->bad);
	smap_done(&c->bad_logged);
	catalog_names_done(c);
	free(c->order);
}

void catalog_free(struct catalog *c)
{
	if (!c)
		return;
	stop_set(&c->stop);
	thread_join(&c->thread);
	catalog_notes_write(c);
	etcd_watch_close(c->watch);
	free_state(c);
	cond_done(&c->changed);
	mutex_done(&c->mtx);
	stop_done(&c->stop);
	free(c->base);
	free(c->versions);
	free(c->clock_key);
	free(c->log_fields);
	free(c);
}

/* Waiting */

uint64_t catalog_wait(struct catalog *c, uint64_t seen, struct deadline d, struct stop *s)
{
	struct stop_watch w;

	if (s)
		stop_watch_add(s, &w, &c->mtx, &c->changed);
	mutex_lock(&c->mtx);
	while (c->version <= seen && !(s && stop_is_set(s)))
		if (!cond_wait(&c->changed, &c->mtx, d))
			break;
	uint64_t version = c->version;
	mutex_unlock(&c->mtx);
	if (s)
		stop_watch_del(s, &w);
	return version;
}

enum err_code catalog_current(struct catalog *c, struct deadline d, struct stop *s, struct err *e)
{
	struct stop_watch w;
	int64_t newest = 0;

	if (!catalog_wait(c, 0, d, s))
		return stop_is_set(s) ? stop_err(e)
				      : err_set(e, ERR_TIMEOUT, "there is no snapshot yet");
	mutex_lock(&c->mtx);
	int64_t seen = c->seen;
	mutex_unlock(&c->mtx);
	if (etcd_newest(c->etcd, c->base, seen + 1, s, &newest, e))
		return e->code;
	stop_watch_add(s, &w, &c->mtx, &c->changed);
	mutex_lock(&c->mtx);
	bool waits = true;
	while (c->seen < newest && waits && !stop_is_set(s))
		waits = cond_wait(&c->changed, &c->mtx, d);
	bool known = c->seen >= newest;
	mutex_unlock(&c->mtx);
	stop_watch_del(s, &w);
	if (known)
		return ERR_OK;
	if (stop_is_set(s))
		return stop_err(e);
	return err_set(e, ERR_TIMEOUT, "etcd's watch does not bring the writes up to revision %lld",
		(long long)newest);
}

void catalog_poke(struct catalog *c)
{
	mutex_lock(&c->mtx);
	if (c->version) { /* 0 means: nothing is known yet; that stays so */
		c->version++;
		cond_broadcast(&c->changed);
	}
	mutex_unlock(&c->mtx);
}

/* Status */

static void say(struct buf *b, const char *text)
{
	if (b->n)
		buf_put_str(b, "; ");
	buf_put_str(b, text);
}

static void say_bad(struct catalog *c, struct buf *b) REQUIRES(c->mtx)
{
	size_t n = smap_count(&c->bad), pos = 0;
	const char *first = "";
	void *v;

	if (!n)
		return;
	smap_next(&c->bad, &pos, &first, &v);
	CLEANUP(freep)
	char *text = xasprintf(
		"%zu values of the source's etcd can't be read, one is %s%s", n, c->base, first);
	say(b, text);
}

static void say_waiting(struct catalog *c, struct buf *b) REQUIRES(c->mtx)
{
	size_t i = 0;

	if (!c->n_waiting)
		return;
	while (i < c->n_order && !c->order[i]->waiting)
		i++;
	CLEANUP(freep)
	char *text = xasprintf("%zu created collections wait for their fields, one is %lld",
		c->n_waiting, (long long)(i < c->n_order ? c->order[i]->id : 0));
	say(b, text);
}

void catalog_status(struct catalog *c, char *ret_text, size_t cap)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(64 << 10);

	mutex_lock(&c->mtx);
	if (c->outage[0])
		say(&b, c->outage);
	else if (!c->version)
		say(&b, "the first snapshot is being read");
	say_bad(c, &b);
	say_waiting(c, &b);
	bool no_clock = c->version && !c->clock;
	mutex_unlock(&c->mtx);
	if (no_clock) {
		CLEANUP(freep)
		char *text = xasprintf(
			"etcd has no key %s: is the source's rootPath right?", c->clock_key);
		say(&b, text);
	}
	snprintf(ret_text, cap, "%s", buf_cstr(&b));
}

static bool is_away_locked(const struct catalog *c) REQUIRES(c->mtx)
{
	return !c->version || c->outage[0];
}

bool catalog_is_away(struct catalog *c)
{
	mutex_lock(&c->mtx);
	bool away = is_away_locked(c);
	mutex_unlock(&c->mtx);
	return away;
}

bool catalog_knows_all(struct catalog *c, const char *below)
{
	size_t pos = 0;
	const char *key;
	void *v;

	mutex_lock(&c->mtx);
	bool all = !is_away_locked(c);
	while (all && smap_next(&c->bad, &pos, &key, &v))
		all = !str_starts(key, below);
	mutex_unlock(&c->mtx);
	return all;
}

uint64_t catalog_clock(struct catalog *c)
{
	mutex_lock(&c->mtx);
	uint64_t ts = c->clock;
	mutex_unlock(&c->mtx);
	return ts;
}

/* Lists */

size_t catalog_collections_since(struct catalog *c, uint64_t seen, struct collection ***ret_list)
{
	size_t n = 0;

	mutex_lock(&c->mtx);
	struct collection **list = xcalloc(c->n_order, sizeof(struct collection *));
	for (size_t i = 0; i < c->n_order; i++)
		if (c->order[i]->changed > seen || c->dbs_changed > seen)
			list[n++] = collection_ref(c->order[i]->cur);
	mutex_unlock(&c->mtx);
	*ret_list = list;
	return n;
}

size_t catalog_collections(struct catalog *c, struct collection ***ret_list)
{
	return catalog_collections_since(c, 0, ret_list);
}

struct collection *catalog_collection(struct catalog *c, int64_t id)
{
	mutex_lock(&c->mtx);
	struct entry *en = umap_get(&c->entries, (uint64_t)id);
	struct collection *col = en && en->cur ? collection_ref(en->cur) : NULL;
	mutex_unlock(&c->mtx);
	return col;
}

size_t catalog_partitions(struct catalog *c, int64_t collection_id, struct partition **ret_list)
{
	mutex_lock(&c->mtx);
	struct entry *en = umap_get(&c->entries, (uint64_t)collection_id);
	size_t n = en ? en->n_partitions : 0;
	struct partition *list = xcalloc(n, sizeof(*list));
	for (size_t i = 0; i < n; i++) {
		list[i] = en->partitions[i].p;
		list[i].name = xstrdup(list[i].name);
	}
	mutex_unlock(&c->mtx);
	*ret_list = list;
	return n;
}

void catalog_partitions_free(struct partition *list, size_t n)
{
	for (size_t i = 0; list && i < n; i++)
		free(list[i].name);
	free(list);
}

static struct database database_copy(const struct database *from)
{
	struct database db = *from;

	db.name = xstrdup(from->name);
	if (from->properties.n)
		db.properties.p = xmemdup(from->properties.p, from->properties.n);
	return db;
}

static int database_cmp(const void *a, const void *b)
{
	const struct database *x = a, *y = b;
	return (x->id > y->id) - (x->id < y->id);
}

size_t catalog_databases(struct catalog *c, struct database **ret_list)
{
	size_t n = 0, pos = 0;
	void *v;

	mutex_lock(&c->mtx);
	struct database *list = xcalloc(umap_count(&c->databases), sizeof(*list));
	while (umap_next(&c->databases, &pos, NULL, &v)) {
		struct database_slot *slot = v;
		list[n++] = database_copy(&slot->db);
	}
	mutex_unlock(&c->mtx);
	qsort(list, n, sizeof(*list), database_cmp);
	*ret_list = list;
	return n;
}

void catalog_databases_free(struct database *list, size_t n)
{
	for (size_t i = 0; list && i < n; i++)
		catalog_database_done(&list[i]);
	free(list);
}

bool catalog_database_name(struct catalog *c, int64_t db_id, char *name, size_t cap)
{
	mutex_lock(&c->mtx);
	struct database_slot *slot = umap_get(&c->databases, (uint64_t)db_id);
	if (slot)
		snprintf(name, cap, "%s", slot->db.name);
	mutex_unlock(&c->mtx);
	return slot != NULL;
}

/* Aliases */

static const char *alias_name(const char *key)
{
	return strrchr(key, '/') + 1;
}

size_t catalog_aliases(struct catalog *c, int64_t collection_id, char ***ret_names)
{
	size_t n = 0, pos = 0;
	const char *key;
	void *v;

	mutex_lock(&c->mtx);
	const struct entry *en = umap_get(&c->entries, (uint64_t)collection_id);
	size_t all = en ? en->n_aliases : 0;
	char **names = xcalloc(all + 1, sizeof(*names));
	while (n < all && smap_next(&c->aliases, &pos, &key, &v))
		if (((const struct alias_slot *)v)->collection_id == collection_id)
			names[n++] = xstrdup(alias_name(key));
	mutex_unlock(&c->mtx);
	*ret_names = names;
	return n;
}

static int64_t alias_locked(struct catalog *c, int64_t db_id, const char *name) REQUIRES(c->mtx)
{
	CLEANUP(freep) char *key = xasprintf("database/aliases/%lld/%s", (long long)db_id, name);
	const struct alias_slot *a = smap_get(&c->aliases, key);

	return a ? a->collection_id : 0;
}

int64_t catalog_alias(struct catalog *c, int64_t db_id, const char *name)
{
	mutex_lock(&c->mtx);
	int64_t id = alias_locked(c, db_id, name);
	mutex_unlock(&c->mtx);
	return id;
}

static bool is_called(const struct collection *col, const char *name)
{
	return col->state < OBJECT_DROPPING && strcmp(col->name, name) == 0;
}

static int64_t find_locked(struct catalog *c, int64_t db_id, const char *name, uint64_t ts)
	REQUIRES(c->mtx)
{
	const int64_t alias = alias_locked(c, db_id, name);

	for (size_t i = 0; i < c->n_order; i++) {
		const struct collection *col = c->order[i]->cur;
		if (col->db_id == db_id && (col->id == alias || is_called(col, name)))
			return col->create_ts <= ts ? col->id : 0;
	}
	return 0;
}

int64_t catalog_find(struct catalog *c, const char *db, const char *name, uint64_t ts)
{
	int64_t id = 0;
	size_t pos = 0;
	void *v;

	mutex_lock(&c->mtx);
	while (!id && umap_next(&c->databases, &pos, NULL, &v)) {
		const struct database_slot *slot = v;
		if (strcmp(slot->db.name, db) == 0)
			id = find_locked(c, slot->db.id, name, ts);
	}
	mutex_unlock(&c->mtx);
	return id;
}

/* Forgetting */

static void forget_partitions(struct entry *en)
{
	while (en->n_partitions)
		catalog_partition_remove(en, en->n_partitions - 1);
}

static bool is_unheld(const struct entry *en)
{
	return en->cur && en->cur->state >= OBJECT_DROPPED &&
	       __atomic_load_n(&en->cur->ref, __ATOMIC_ACQUIRE) == 1;
}

static void forget_locked(struct catalog *c, struct entry *en) REQUIRES(c->mtx)
{
	en->forgotten = en->stored == OBJECT_DROPPED;
	catalog_entry_set_cur(c, en, NULL);
	catalog_schema_free(TAKE(en->draft));
	forget_partitions(en);
	catalog_entry_drop_unused(c, en);
}

void catalog_forget(struct catalog *c, int64_t collection_id)
{
	mutex_lock(&c->mtx);
	struct entry *en = umap_get(&c->entries, (uint64_t)collection_id);
	if (en && is_unheld(en))
		forget_locked(c, en);
	mutex_unlock(&c->mtx);
}

/* Gone for keep_ms since a sweep saw it first? */
static bool is_old(int64_t *gone_mono_ms, bool gone, int64_t now, int64_t keep_ms)
{
	if (!gone)
		*gone_mono_ms = 0;
	else if (!*gone_mono_ms)
		*gone_mono_ms = now;
	return gone && now - *gone_mono_ms >= keep_ms;
}

/* Of collections that live on. */
static void sweep_partitions(struct entry *en, int64_t now, int64_t keep_ms)
{
	for (size_t i = en->n_partitions; i-- > 0;) {
		struct partition_slot *s = &en->partitions[i];
		if (is_old(&s->gone_mono_ms, s->p.state >= OBJECT_DROPPED, now, keep_ms))
			catalog_partition_remove(en, i);
	}
}

static bool is_empty_database(const struct catalog *c, int64_t id) REQUIRES(c->mtx)
{
	for (size_t i = 0; i < c->n_order; i++)
		if (c->order[i]->cur->db_id == id)
			return false;
	return true;
}

/* One at a time: their number is small, and the map forbids to take them out on the way. */
static void sweep_database(struct catalog *c, int64_t now, int64_t keep_ms) REQUIRES(c->mtx)
{
	struct database_slot *old = NULL;
	size_t pos = 0;
	void *v;

	while (umap_next(&c->databases, &pos, NULL, &v)) {
		struct database_slot *s = v;
		if (is_old(&s->gone_mono_ms, s->db.state >= OBJECT_DROPPED, now, keep_ms) &&
			is_empty_database(c, s->db.id))
			old = s;
	}
	if (!old)
		return;
	umap_del(&c->databases, (uint64_t)old->db.id);
	catalog_database_done(&old->db);
	free(old);
}

/* Who works with a gone collection holds its snapshot. */
void catalog_sweep(struct catalog *c, int64_t interval_ms, int64_t keep_ms)
{
	int64_t now = time_mono_ms();
	struct entry **old = NULL;
	size_t n = 0;

	mutex_lock(&c->mtx);
	if (now - c->swept_mono_ms >= interval_ms) {
		c->swept_mono_ms = now;
		old = xcalloc(c->n_order + 1, sizeof(*old));
	}
	for (size_t i = 0; old && i < c->n_order; i++) {
		struct entry *en = c->order[i];
		bool gone = en->cur->state >= OBJECT_DROPPED;
		if (is_old(&en->gone_mono_ms, gone, now, keep_ms) && is_unheld(en))
			old[n++] = en;
		else if (!gone)
			sweep_partitions(en, now, keep_ms);
	}
	for (size_t i = 0; i < n; i++)
		forget_locked(c, old[i]);
	if (old)
		sweep_database(c, now, keep_ms);
	mutex_unlock(&c->mtx);
	free(old);
}

void catalog_forget_partition(struct catalog *c, int64_t collection_id, int64_t id)
{
	bool found = false;
	size_t at = 0;

	mutex_lock(&c->mtx);
	struct entry *en = umap_get(&c->entries, (uint64_t)collection_id);
	if (en)
		at = catalog_partition_find(en, id, &found);
	if (found && en->partitions[at].p.state >= OBJECT_DROPPED)
		catalog_partition_remove(en, at);
	mutex_unlock(&c->mtx);
}
