/* The source's databases, collections and partitions, kept equal to etcd: one snapshot at a
 * revision, then a watch from the next one; after compaction a new snapshot and the difference. It
 * runs its own thread; readers get immutable snapshots and a version that grows with each change.
 * @thread all functions any */
#pragma once

#include "base/err.h"
#include "base/stop.h"
#include "base/time.h"
#include "client/etcd/etcd.h"
#include "model/collection.h"

struct catalog;

struct catalog_opts {
	const char *root_path;     /* by-dev */
	const char *meta_sub_path; /* meta */
};

NODISCARD enum err_code catalog_new(
	struct etcd *etcd, const struct catalog_opts *o, struct catalog **ret_c, struct err *e);
/* Starts the thread; the first snapshot is taken there and retried until it succeeds. */
NODISCARD enum err_code catalog_start(struct catalog *c, struct err *e);
/* Stops the thread and frees. */
void catalog_free(struct catalog *c);

/* "<root>/<meta>/root-coord/", where its keys are. */
const char *catalog_base(const struct catalog *c);

/* Waits until the version is greater than `seen` (0: until the first snapshot), d passes or s is
 * set; returns the current version. */
uint64_t catalog_wait(struct catalog *c, uint64_t seen, struct deadline d, struct stop *s);

/* Waits until all that etcd holds now is known: events come some 100 ms after a write, and who asks for
 * a task knows what it has just made. TIMEOUT, or etcd's error. What was deleted meanwhile may still
 * be shown. */
NODISCARD enum err_code catalog_current(
	struct catalog *c, struct deadline d, struct stop *s, struct err *e);

/* Wakes all waiters of catalog_wait with a new version, e.g. because a consumer has work of its
 * own. */
void catalog_poke(struct catalog *c);

/* "" when in order, else what the catalog waits for ("etcd unavailable: ... retry in 2 s"). */
void catalog_status(struct catalog *c, char *ret_text, size_t cap);

/* There is no snapshot yet, or etcd does not tell of changes. @thread any */
bool catalog_is_away(struct catalog *c);
/* Is all known of the keys below `below` (behind catalog_base; "partitions/7/")? Not while etcd is
 * away, nor with a value there that can't be read. */
bool catalog_knows_all(struct catalog *c, const char *below);

/* All collections known, in order of (db id, create time, id), those that are gone included until
 * catalog_forget: their state is OBJECT_GONE or DROPPED. What was gone before the first snapshot
 * was never known and is not listed. A collection whose fields can't be read yet is shown as
 * CREATING. The caller unrefs each and frees the array. */
size_t catalog_collections(struct catalog *c, struct collection ***ret_list);
/* Those of them that changed, or whose partitions or aliases did, after version `seen` of catalog_wait; all of
 * them when a database changed. */
size_t catalog_collections_since(struct catalog *c, uint64_t seen, struct collection ***ret_list);
/* One by id, with a reference, or NULL. */
struct collection *catalog_collection(struct catalog *c, int64_t id);
/* Partitions of one collection, GONE ones included, copied; freed with catalog_partitions_free. */
size_t catalog_partitions(struct catalog *c, int64_t collection_id, struct partition **ret_list);
void catalog_partitions_free(struct partition *list, size_t n);
/* All databases, copied (name and properties owned), GONE ones included. */
size_t catalog_databases(struct catalog *c, struct database **ret_list);
void catalog_databases_free(struct database *list, size_t n);
/* The name of a database id to name (CAP bytes incl. 0); false if unknown. Gone ones keep their
 * name. */
bool catalog_database_name(struct catalog *c, int64_t db_id, char *name, size_t cap);
/* The aliases of a collection, heap strings in a heap array; they may change their collection. */
size_t catalog_aliases(struct catalog *c, int64_t collection_id, char ***ret_names);
/* The collection behind an alias; 0 if there is none. */
int64_t catalog_alias(struct catalog *c, int64_t db_id, const char *name);
/* The collection of a database that has this name or alias now and was there at source time ts; 0 if
 * there is none. */
int64_t catalog_find(struct catalog *c, const char *db, const char *name, uint64_t ts);
/* Was a collection called so at source time ts? UNKNOWN for one that never had another name, and for
 * times before the first name we know. Times of names are exact after a listing of a Milvus that
 * keeps versions (up to 2.5), else those at which we learned of them: slack widens each on both
 * sides. */
enum catalog_called { CATALOG_CALLED_UNKNOWN, CATALOG_CALLED_YES, CATALOG_CALLED_NO };
enum catalog_called catalog_was_called(struct catalog *c, int64_t id, const char *db,
	const char *name, uint64_t ts, uint64_t slack);
/* The caller has finished with a gone collection: it may leave the lists, with its partitions.
 * Nothing happens to one that is not GONE or DROPPED, or of which somebody still holds a
 * reference. */
void catalog_forget(struct catalog *c, int64_t collection_id);
/* The same for a gone partition of a collection that lives on. */
void catalog_forget_partition(struct catalog *c, int64_t collection_id, int64_t id);
/* The source's clock upper edge (kv/gid/timestamp) as a TSO, read with each snapshot; 0 if etcd has
 * none. */
uint64_t catalog_clock(struct catalog *c);
