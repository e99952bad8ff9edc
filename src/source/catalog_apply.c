/* Turns keys and values into state. A value that can't be read changes nothing but the list of bad
 * keys; the object keeps what was known of it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "client/etcd/etcd.h"
#include "source/catalog_priv.h"

struct note {
	struct list link;
	enum log_level level;
	char *text;
};

void catalog_note(struct catalog *c, enum log_level level, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	if (!log_enabled(c->log.comp, level) || ++c->n_notes > CATALOG_NOTES_MAX)
		return;
	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	struct note *note = xcalloc(1, sizeof(*note));
	note->level = level;
	note->text = text;
	list_push(&c->notes, &note->link);
}

void catalog_notes_write(struct catalog *c)
{
	struct list notes;

	list_init(&notes);
	mutex_lock(&c->mtx);
	list_splice(&notes, &c->notes);
	size_t cut = c->n_notes > CATALOG_NOTES_MAX ? c->n_notes - CATALOG_NOTES_MAX : 0;
	c->n_notes = 0;
	mutex_unlock(&c->mtx);
	list_foreach (it, &notes) {
		struct note *note = LIST_ITEM(it, struct note, link);
		log_at(&c->log, note->level, "%s", note->text);
		free(note->text);
		free(note);
	}
	if (cut)
		log_info(&c->log, "%zu more lines like these are left out", cut);
}

/* Bad values */

static struct entry *bad_owner(struct catalog *c, const struct catalog_key *k) REQUIRES(c->mtx)
{
	bool part = k->kind == CATALOG_KEY_FIELD || k->kind == CATALOG_KEY_FUNCTION ||
		    k->kind == CATALOG_KEY_STRUCT;
	return part ? catalog_entry_get(c, k->parent) : NULL;
}

static void set_bad(struct catalog *c, const char *tail, const struct catalog_key *k,
	const char *why) REQUIRES(c->mtx)
{
	struct entry *en = bad_owner(c, k);

	if (smap_put(&c->bad, tail, c))
		return; /* known and logged */
	if (en)
		en->bad_parts++;
	if (!smap_get(&c->bad_logged, tail))
		catalog_note(c, LOG_ERROR,
			"value of etcd key %s%s: %s; what was known before stays", c->base, tail,
			why);
}

static void set_good(struct catalog *c, const char *tail, const struct catalog_key *k)
	REQUIRES(c->mtx)
{
	if (!smap_count(&c->bad) || !smap_del(&c->bad, tail))
		return;
	struct entry *en = bad_owner(c, k);
	if (en) {
		en->bad_parts--;
		catalog_entry_dirty(c, en);
	}
}

/* Collections */

/* What the batch changes: a listing starts from nothing, an event from what is published. */
static struct catalog_schema *draft_of(struct catalog *c, struct entry *en, bool listing)
	REQUIRES(c->mtx)
{
	if (listing && en->draft_gen != c->gen) {
		catalog_schema_free(TAKE(en->draft));
		en->draft = catalog_schema_new();
		en->draft_gen = c->gen;
	}
	if (!en->draft) {
		en->draft = catalog_schema_new();
		if (en->cur)
			(void)catalog_schema_set_head(en->draft, en->cur->schema);
	}
	return en->draft;
}

/* A dropped collection loses its fields before its key: a listing then knows less than we do. */
static struct catalog_schema *draft_with_fields(struct catalog *c, struct entry *en, bool listing)
	REQUIRES(c->mtx)
{
	struct catalog_schema *sc = draft_of(c, en, listing);

	if (catalog_schema_fields(sc) || !en->cur || !listing)
		return sc;
	catalog_schema_free(TAKE(en->draft));
	return draft_of(c, en, false);
}

static enum err_code put_collection(struct catalog *c, const struct etcd_kv *kv,
	const struct catalog_key *k, bool listing, struct err *e) REQUIRES(c->mtx)
{
	struct collection *col = NULL;
	struct slice schema;

	if (catalog_decode_collection(kv->value, k->parent, k->id, &col, &schema, e))
		return e->code;
	struct entry *en = catalog_entry_get(c, k->id);
	en->gen = c->gen;
	if (en->forgotten && col->state >= OBJECT_DROPPING) {
		collection_unref(col);
		return ERR_OK;
	}
	if (!catalog_schema_set_head(draft_with_fields(c, en, listing), schema)) {
		collection_unref(col);
		return err_set(e, ERR_MALFORMED, "the schema can't be read");
	}
	const struct collection *was = en->next ? en->next : en->cur;
	if (was)
		catalog_names_change(c, was, col);
	en->forgotten = false;
	en->stored = col->state;
	col->revision = kv->mod_revision;
	collection_unref(en->next);
	en->next = col;
	catalog_entry_dirty(c, en);
	return ERR_OK;
}

void catalog_entry_gone(struct catalog *c, struct entry *en, int64_t revision)
{
	en->forgotten = false;
	if (!en->cur && !en->next)
		return;
	if (!en->next)
		en->next = catalog_collection_copy(en->cur);
	if (revision)
		en->next->revision = revision;
	en->stored = OBJECT_GONE;
	catalog_entry_dirty(c, en);
}

static void gone_collection(
	struct catalog *c, const struct etcd_kv *kv, const struct catalog_key *k) REQUIRES(c->mtx)
{
	struct entry *en = umap_get(&c->entries, (uint64_t)k->id);

	if (!en)
		return;
	const struct collection *known = en->next ? en->next : en->cur;
	/* A collection moved to another database leaves its old key behind. */
	if (known && known->db_id != k->parent)
		return;
	catalog_entry_gone(c, en, kv->mod_revision);
	catalog_entry_drop_unused(c, en);
}

static enum schema_part_kind part_kind(const struct catalog_key *k)
{
	if (k->kind == CATALOG_KEY_FIELD)
		return SCHEMA_FIELD;
	return k->kind == CATALOG_KEY_STRUCT ? SCHEMA_STRUCT : SCHEMA_FUNCTION;
}

static enum err_code put_schema_part(struct catalog *c, const struct etcd_kv *kv,
	const struct catalog_key *k, bool listing, struct err *e) REQUIRES(c->mtx)
{
	struct entry *en = catalog_entry_get(c, k->parent);

	if (!catalog_schema_set(draft_of(c, en, listing), part_kind(k), k->id, kv->value))
		return err_set(e, ERR_MALFORMED, "not a message with the key's id");
	catalog_entry_dirty(c, en);
	return ERR_OK;
}

/* Fields go before their collection does; the schema of a going one is kept as it was. */
static void gone_schema_part(struct catalog *c, const struct catalog_key *k) REQUIRES(c->mtx)
{
	struct entry *en = umap_get(&c->entries, (uint64_t)k->parent);
	bool going = en && (en->cur || en->next) && en->stored >= OBJECT_DROPPING;

	if (!en || going)
		return;
	struct catalog_schema *sc = draft_of(c, en, false);
	bool last = k->kind == CATALOG_KEY_FIELD && catalog_schema_fields(sc) <= 1;
	if (!last || !en->cur)
		catalog_schema_del(sc, part_kind(k), k->id);
	catalog_entry_dirty(c, en);
}

/* Publishing */

static void set_waiting(struct catalog *c, struct entry *en, bool waiting) REQUIRES(c->mtx)
{
	if (waiting && !en->waiting)
		catalog_note(c, LOG_WARN,
			"collection %lld is Created but its fields are not all "
			"there; waiting for them",
			(long long)en->id);
	c->n_waiting += waiting;
	c->n_waiting -= en->waiting;
	en->waiting = waiting;
}

static bool collection_same(const struct collection *a, const struct collection *b)
{
	return a->state == b->state && a->revision == b->revision && a->db_id == b->db_id &&
	       slice_eq(a->schema, b->schema);
}

static enum object_state shown_state(const struct entry *en, const struct catalog_schema *sc)
{
	bool incomplete = sc && (!catalog_schema_fields(sc) || en->bad_parts);

	return en->stored == OBJECT_CREATED && incomplete ? OBJECT_CREATING : en->stored;
}

/* The collection as it is after this batch. */
static struct collection *build(struct entry *en)
{
	struct collection *nw = en->next ? TAKE(en->next) : catalog_collection_copy(en->cur);

	if (en->stored == OBJECT_GONE && en->cur)
		catalog_collection_copy_schema(nw, en->cur);
	else
		catalog_schema_build(en->draft, nw);
	nw->state = shown_state(en, en->stored == OBJECT_GONE ? NULL : en->draft);
	return nw;
}

static bool publish_entry(struct catalog *c, struct entry *en) REQUIRES(c->mtx)
{
	bool nothing = !en->next && !en->cur;
	bool unreadable = en->bad_parts && en->stored < OBJECT_DROPPING;

	if (nothing)
		return false; /* fields came first; the draft waits for the key */
	if (unreadable && en->cur && en->cur->state == OBJECT_CREATED)
		return false; /* better the last good one than half of the new */
	struct catalog_schema *sc = draft_of(c, en, false);
	if (!sc->head.n && !en->next) /* a listing's, whose collection value can't be read */
		(void)catalog_schema_set_head(sc, en->cur->schema);
	struct collection *nw = build(en);
	set_waiting(c, en, nw->state != en->stored);
	catalog_schema_free(TAKE(en->draft));
	if (en->cur && collection_same(nw, en->cur)) {
		collection_unref(nw);
		return false;
	}
	catalog_note(c, en->cur ? LOG_INFO : LOG_DEBUG,
		"collection %lld %s: state %d, revision %lld", (long long)nw->id, nw->name,
		(int)nw->state, (long long)nw->revision);
	catalog_entry_set_cur(c, en, nw);
	en->changed = c->version + 1;
	return true;
}

void catalog_publish(struct catalog *c, bool force)
{
	bool changed = force || c->touched;
	struct list *it;

	while ((it = list_pop(&c->dirty)))
		changed |= publish_entry(c, LIST_ITEM(it, struct entry, dirty));
	c->touched = false;
	if (changed) {
		c->version++;
		cond_broadcast(&c->changed);
	}
}

/* Partitions and databases */

static enum err_code put_partition(struct catalog *c, const struct etcd_kv *kv,
	const struct catalog_key *k, struct err *e) REQUIRES(c->mtx)
{
	struct partition p;
	bool found;

	if (catalog_decode_partition(kv->value, k->parent, k->id, &p, e))
		return e->code;
	struct entry *en = catalog_entry_get(c, k->parent);
	size_t at = catalog_partition_find(en, k->id, &found);
	if (found) {
		struct partition *old = &en->partitions[at].p;
		if (old->state != p.state || strcmp(old->name, p.name) != 0)
			catalog_touch(c, en);
		free(old->name);
	} else {
		mem_grow(&en->partitions, &en->cap_partitions, en->n_partitions + 1,
			sizeof(*en->partitions));
		memmove(&en->partitions[at + 1], &en->partitions[at],
			(en->n_partitions - at) * sizeof(*en->partitions));
		en->n_partitions++;
		catalog_touch(c, en);
	}
	en->partitions[at] = (struct partition_slot){.p = p, .gen = c->gen};
	return ERR_OK;
}

static void gone_partition(struct catalog *c, const struct catalog_key *k) REQUIRES(c->mtx)
{
	struct entry *en = umap_get(&c->entries, (uint64_t)k->parent);
	bool found;

	if (!en)
		return;
	size_t at = catalog_partition_find(en, k->id, &found);
	if (!found)
		return;
	if (en->partitions[at].p.state != OBJECT_GONE)
		catalog_touch(c, en);
	en->partitions[at].p.state = OBJECT_GONE;
	if (en->cur || en->next)
		return;
	catalog_partition_remove(en, at); /* of a collection nobody ever saw */
	catalog_entry_drop_unused(c, en);
}

static enum err_code put_database(struct catalog *c, const struct etcd_kv *kv,
	const struct catalog_key *k, struct err *e) REQUIRES(c->mtx)
{
	struct database db;

	if (catalog_decode_database(kv->value, k->id, &db, e))
		return e->code;
	catalog_database_put(c, &db);
	return ERR_OK;
}

static enum err_code put_alias(struct catalog *c, const struct etcd_kv *kv,
	const struct catalog_key *k, struct err *e) REQUIRES(c->mtx)
{
	int64_t collection_id;

	if (catalog_decode_alias(kv->value, &collection_id, e))
		return e->code;
	catalog_alias_put(c, kv->key + strlen(c->base), k->parent, collection_id);
	return ERR_OK;
}

static void gone_database(struct catalog *c, const struct catalog_key *k) REQUIRES(c->mtx)
{
	struct database_slot *slot = umap_get(&c->databases, (uint64_t)k->id);

	if (!slot || k->id == CATALOG_DEFAULT_DB)
		return;
	if (slot->db.state != OBJECT_GONE)
		catalog_touch_databases(c);
	slot->db.state = OBJECT_GONE;
}

/* Dispatch */

void catalog_apply_gone(struct catalog *c, const struct etcd_kv *kv)
{
	const char *tail = kv->key + strlen(c->base);
	struct catalog_key k = catalog_key_parse(tail);

	set_good(c, tail, &k);
	switch (k.kind) {
	case CATALOG_KEY_DATABASE:
		gone_database(c, &k);
		return;
	case CATALOG_KEY_COLLECTION:
		gone_collection(c, kv, &k);
		return;
	case CATALOG_KEY_FIELD:
	case CATALOG_KEY_FUNCTION:
	case CATALOG_KEY_STRUCT:
		gone_schema_part(c, &k);
		return;
	case CATALOG_KEY_PARTITION:
		gone_partition(c, &k);
		return;
	case CATALOG_KEY_ALIAS:
		catalog_alias_put(c, tail, k.parent, 0);
		return;
	case CATALOG_KEY_OTHER:
	case CATALOG_KEY_BAD:
		return;
	}
}

static enum err_code put_value(struct catalog *c, const struct etcd_kv *kv,
	const struct catalog_key *k, bool listing, struct err *e) REQUIRES(c->mtx)
{
	switch (k->kind) {
	case CATALOG_KEY_DATABASE:
		return put_database(c, kv, k, e);
	case CATALOG_KEY_COLLECTION:
		return put_collection(c, kv, k, listing, e);
	case CATALOG_KEY_FIELD:
	case CATALOG_KEY_FUNCTION:
	case CATALOG_KEY_STRUCT:
		return put_schema_part(c, kv, k, listing, e);
	case CATALOG_KEY_PARTITION:
		return put_partition(c, kv, k, e);
	case CATALOG_KEY_ALIAS:
		return put_alias(c, kv, k, e);
	case CATALOG_KEY_OTHER:
		return ERR_OK;
	case CATALOG_KEY_BAD:
		return err_set(e, ERR_MALFORMED, "the key is not of the known form");
	}
	return ERR_OK;
}

/* A listed key is there, whether its value can be read or not. */
static void mark_listed(struct catalog *c, const struct catalog_key *k) REQUIRES(c->mtx)
{
	bool part = k->kind == CATALOG_KEY_PARTITION;
	struct entry *en = umap_get(&c->entries, (uint64_t)(part ? k->parent : k->id));
	bool found;

	if (k->kind == CATALOG_KEY_DATABASE) {
		struct database_slot *slot = umap_get(&c->databases, (uint64_t)k->id);
		if (slot)
			slot->gen = c->gen;
	} else if (en && k->kind == CATALOG_KEY_COLLECTION) {
		en->gen = c->gen;
	} else if (en && part) {
		size_t at = catalog_partition_find(en, k->id, &found);
		if (found)
			en->partitions[at].gen = c->gen;
	}
}

void catalog_apply_put(struct catalog *c, const struct etcd_kv *kv, bool listing)
{
	const char *tail = kv->key + strlen(c->base);
	struct catalog_key k = catalog_key_parse(tail);
	struct err e = ERR_INIT;

	if (catalog_is_tombstone(kv->value)) {
		/* In a listing it is as if the key were not there. */
		if (!listing)
			catalog_apply_gone(c, kv);
		return;
	}
	if (listing)
		mark_listed(c, &k);
	if (put_value(c, kv, &k, listing, &e))
		set_bad(c, tail, &k, e.text);
	else
		set_good(c, tail, &k);
}
