/* Inside of the catalog, for its own files.
 *
 * entry     all we know of one collection id: what readers get (cur), what the batch at hand makes
 *           of it (next, draft), its partitions
 * batch     the events of a watch answer or a whole snapshot; entries it touches are dirty and are
 *           published together at its end, so that readers see whole etcd revisions
 * waiting   stored as Created, but its fields are missing or unreadable: shown as Creating
 *
 * One thread (catalog_thread.c) talks to etcd and applies; all state is under mtx, since readers
 * and catalog_forget come from any thread. Applying is CPU only; what it wants to log is noted and
 * written after the lock is released. */
#pragma once

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mutex.h"
#include "base/retry.h"
#include "base/thread.h"
#include "source/catalog.h"
#include "source/catalog_decode.h"
#include "source/catalog_schema.h"

enum { CATALOG_DEFAULT_DB = 1, CATALOG_NOTES_MAX = 100, CATALOG_STATUS_BYTES = 640 };

struct partition_slot {
	struct partition p;
	uint64_t gen;         /* of the snapshot that saw it last */
	int64_t gone_mono_ms; /* a sweep found it gone then; 0 = not yet */
};

struct entry {
	int64_t id;
	struct collection *cur;            /* NULL: its key was not yet seen, or it was forgotten */
	struct collection *next;           /* of this batch, its schema not yet built; or NULL */
	struct catalog_schema *draft;      /* NULL when nothing of it changed and cur has it all */
	struct partition_slot *partitions; /* by id */
	size_t n_partitions, cap_partitions;
	size_t n_aliases;
	uint32_t bad_parts;       /* fields and functions whose value can't be read */
	enum object_state stored; /* the state in etcd; cur's own may be Creating for Created */
	bool waiting;
	bool forgotten; /* key still there in state Dropped, but nobody wants to see it */
	uint64_t gen, draft_gen;
	int64_t gone_mono_ms; /* a sweep found it gone then; 0 = not yet */
	uint64_t changed;  /* the version that shows its last change, or one of its partitions' */
	struct list dirty; /* in catalog.dirty, or self-linked */
};

struct database_slot {
	struct database db;
	uint64_t gen;
	int64_t gone_mono_ms; /* a sweep found it gone then; 0 = not yet */
};

/* By its key behind base, so that two databases may have the same name. */
struct alias_slot {
	int64_t db_id, collection_id; /* collection 0: gone */
	uint64_t gen;
};

struct catalog {
	struct etcd *etcd;
	char *base;      /* "<root>/<meta>/root-coord/" */
	char *versions;  /* "<root>/<meta>/snapshots/root-coord/database/collection-info/" */
	char *clock_key; /* "<root>/kv/gid/timestamp" */
	char *log_fields;
	struct log_ctx log;
	struct stop stop;
	struct thread thread;

	/* Of the thread alone. */
	struct etcd_watch *watch;
	struct retry retry;

	struct mutex mtx;
	struct cond changed;  /* version grew, or stop */
	uint64_t version;     /* under mtx; 0 before the first snapshot */
	uint64_t gen;         /* under mtx; counts snapshots */
	uint64_t clock;       /* under mtx */
	int64_t seen;         /* under mtx; all of etcd up to this revision is applied */
	struct umap entries;  /* under mtx; id -> entry */
	struct entry **order; /* under mtx; entries with cur, in the order of the lists */
	size_t n_order, cap_order;
	struct umap databases;  /* under mtx; id -> database_slot */
	struct smap aliases;    /* under mtx; key behind base -> alias_slot */
	struct umap names;      /* under mtx; id -> history of names (catalog_names.c) */
	struct smap bad;        /* under mtx; keys (behind base) whose value can't be read */
	struct smap bad_logged; /* under mtx; during a listing: those of before, logged already */
	struct list dirty;      /* under mtx */
	size_t n_waiting;       /* under mtx */
	bool touched;           /* under mtx; this batch changed something besides collections */
	uint64_t dbs_changed;  /* under mtx; the version that shows the last change of a database */
	struct list notes;     /* under mtx; to be logged by the thread */
	size_t n_notes;        /* under mtx */
	int64_t swept_mono_ms; /* under mtx */
	char outage[CATALOG_STATUS_BYTES]; /* under mtx; "" = etcd answers */
};

/* catalog_state.c: entries and the lists */
struct entry *catalog_entry_get(struct catalog *c, int64_t id) REQUIRES(c->mtx);
void catalog_entry_dirty(struct catalog *c, struct entry *en) REQUIRES(c->mtx);
/* Frees it if nothing is known of it any more. */
void catalog_entry_drop_unused(struct catalog *c, struct entry *en) REQUIRES(c->mtx);
void catalog_entry_free(struct entry *en);
/* Takes nw as the entry's published collection, or NULL for none. */
void catalog_entry_set_cur(struct catalog *c, struct entry *en, struct collection *nw)
	REQUIRES(c->mtx);
/* Where partition id stands or would stand. */
size_t catalog_partition_find(const struct entry *en, int64_t id, bool *ret_found);
void catalog_partition_remove(struct entry *en, size_t at);
/* Takes what db points to. */
void catalog_database_put(struct catalog *c, struct database *db) REQUIRES(c->mtx);
void catalog_database_done(struct database *db);
/* To be seen from the next version on: partitions of en, or a database. */
void catalog_touch(struct catalog *c, struct entry *en) REQUIRES(c->mtx);
void catalog_touch_databases(struct catalog *c) REQUIRES(c->mtx);
/* Says where an alias points now; collection_id 0: nowhere. */
void catalog_alias_put(struct catalog *c, const char *key, int64_t db_id, int64_t collection_id)
	REQUIRES(c->mtx);
/* All but the schema and what is derived from it; and just that. */
struct collection *catalog_collection_copy(const struct collection *from);
void catalog_collection_copy_schema(struct collection *to, const struct collection *from);

/* catalog_apply.c: keys and values to state. listing: the value is part of a snapshot. */
void catalog_apply_put(struct catalog *c, const struct etcd_kv *kv, bool listing) REQUIRES(c->mtx);
void catalog_apply_gone(struct catalog *c, const struct etcd_kv *kv) REQUIRES(c->mtx);
/* revision 0: unknown. */
void catalog_entry_gone(struct catalog *c, struct entry *en, int64_t revision) REQUIRES(c->mtx);
/* Ends a batch: readers see it from now on. force: a new version even without a change. */
void catalog_publish(struct catalog *c, bool force) REQUIRES(c->mtx);
/* Logs what was noted. @thread catalog @locks mtx, not while logging */
void catalog_notes_write(struct catalog *c);
void catalog_note(struct catalog *c, enum log_level level, const char *fmt, ...) PRINTF(3, 4)
	REQUIRES(c->mtx);

/* What a collection was called from ts on. */
struct catalog_version {
	int64_t id, db_id;
	uint64_t ts;
	char *name; /* owned by the listing */
};

/* catalog_snapshot.c */
struct catalog_listing {
	struct etcd_range databases, fields, functions, structs, collections, partitions, aliases;
	struct catalog_version *versions; /* of collections that were altered; in order of a
	                                   * collection's time */
	size_t n_versions, cap_versions;
	int64_t revision;
};

void catalog_listing_init(struct catalog_listing *l);
void catalog_listing_done(struct catalog_listing *l);
/* Reads everything at one revision. */
NODISCARD enum err_code catalog_listing_read(
	struct catalog *c, struct catalog_listing *l, struct err *e);
/* The state becomes what was listed; what it no longer holds is GONE. */
void catalog_listing_apply(struct catalog *c, const struct catalog_listing *l) REQUIRES(c->mtx);
NODISCARD enum err_code catalog_read_clock(struct catalog *c, struct err *e);

/* catalog_names.c */
/* Reads the older versions of the collections that were listed. */
NODISCARD enum err_code catalog_versions_read(
	struct catalog *c, struct catalog_listing *l, struct err *e);
void catalog_versions_done(struct catalog_listing *l);
void catalog_versions_apply(struct catalog *c, const struct catalog_listing *l) REQUIRES(c->mtx);
/* A collection has another name or database now; nothing if it has not. */
void catalog_names_change(struct catalog *c, const struct collection *was,
	const struct collection *is) REQUIRES(c->mtx);
void catalog_names_forget(struct catalog *c, int64_t id) REQUIRES(c->mtx);
void catalog_names_done(struct catalog *c);

/* Forgets what has been gone for that long and nobody holds; at most once each interval. */
void catalog_sweep(struct catalog *c, int64_t interval_ms, int64_t keep_ms);

/* catalog_thread.c */
void catalog_thread_main(void *arg);
