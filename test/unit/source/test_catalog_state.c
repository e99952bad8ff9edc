/* What the catalog makes of listings and events, fed by hand: no etcd, no thread. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/wire.h"
#include "model/ts.h"
#include "source/catalog_priv.h"
#include "support/catalog_values.h"

enum { MANY = 10000 };

static const char base[] = "by-dev/meta/root-coord/";
static struct catalog *cat;
static int64_t revision;

static int setup(void **state UNUSED)
{
	struct catalog_opts o = {.root_path = "by-dev/", .meta_sub_path = "meta"};
	struct err e = ERR_INIT;

	log_set_level(LOG_OFF);
	revision = 100;
	if (catalog_new(NULL, &o, &cat, &e))
		return -1;
	assert_string_equal(cat->base, base);
	assert_string_equal(cat->clock_key, "by-dev/kv/gid/timestamp");
	return 0;
}

static int teardown(void **state UNUSED)
{
	catalog_free(cat);
	return 0;
}

/* Batches: events between begin and end are one etcd revision. The lock is held in between, which
 * the analysis can't follow. */

static void begin(void) NO_TSA
{
	revision++;
	mutex_lock(&cat->mtx);
}

static uint64_t end(void) NO_TSA
{
	catalog_publish(cat, false);
	uint64_t version = cat->version;
	mutex_unlock(&cat->mtx);
	return version;
}

static struct etcd_kv kv_of(const char *tail, struct slice value)
{
	char *key = xasprintf("%s%s", base, tail);
	return (struct etcd_kv){
		.key = key, .key_n = strlen(key), .value = value, .mod_revision = revision};
}

static void free_key(struct etcd_kv *kv)
{
	free((void *)(uintptr_t)kv->key);
}

static void event(const char *tail, struct slice value) NO_TSA
{
	struct etcd_kv kv = kv_of(tail, value);
	catalog_apply_put(cat, &kv, false);
	free_key(&kv);
}

static void deleted(const char *tail) NO_TSA
{
	struct etcd_kv kv = kv_of(tail, (struct slice){0});
	catalog_apply_gone(cat, &kv);
	free_key(&kv);
}

static void put_collection(int64_t db, const struct cv_collection *c)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(1 << 16);
	char tail[96];

	snprintf(tail, sizeof(tail), "database/collection-info/%lld/%lld", (long long)db,
		(long long)c->id);
	cv_collection(&b, c);
	event(tail, buf_slice(&b));
}

static void put_field(int64_t collection, int64_t id, const char *name)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(1 << 16);
	char tail[96];

	snprintf(tail, sizeof(tail), "fields/%lld/%lld", (long long)collection, (long long)id);
	cv_field(&b, id, name);
	event(tail, buf_slice(&b));
}

static void put_partition(int64_t collection, int64_t id, const char *name, int state)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(1 << 16);
	char tail[96];

	snprintf(tail, sizeof(tail), "partitions/%lld/%lld", (long long)collection, (long long)id);
	cv_partition(&b, collection, id, name, state);
	event(tail, buf_slice(&b));
}

/* As Milvus does: Creating, then partitions and fields, then Created. */
static void create(int64_t db, int64_t id, const char *name)
{
	begin();
	put_collection(db, &(struct cv_collection){
				   .id = id, .name = name, .state = 1, .create_ts = (uint64_t)id});
	end();
	begin();
	put_partition(id, id + 1, "_default", 0);
	put_field(id, 0, "RowID");
	put_field(id, 100, "id");
	put_field(id, 101, "v");
	end();
	begin();
	put_collection(
		db, &(struct cv_collection){.id = id, .name = name, .create_ts = (uint64_t)id});
	end();
}

/* Listings: built up key by key in the order of etcd. */

struct listed {
	struct etcd_kv kvs[64];
	struct buf values[64];
	size_t n;
};

static struct buf *list_key(struct listed *l, const char *tail)
{
	l->kvs[l->n] = kv_of(tail, (struct slice){0});
	buf_init(&l->values[l->n], 1 << 16);
	return &l->values[l->n++];
}

static void list_collection(struct listed *l, int64_t db, int64_t id, const char *name, int state)
{
	CLEANUP(freep)
	char *tail = xasprintf("database/collection-info/%lld/%lld", (long long)db, (long long)id);
	cv_collection(list_key(l, tail),
		&(struct cv_collection){
			.id = id, .name = name, .state = state, .create_ts = (uint64_t)id});
}

static void list_field(struct listed *l, int64_t collection, int64_t id, const char *name)
{
	CLEANUP(freep)
	char *tail = xasprintf("fields/%lld/%lld", (long long)collection, (long long)id);
	cv_field(list_key(l, tail), id, name);
}

static void put_range(struct etcd_range *r, const struct listed *l, enum catalog_key_kind kind)
{
	for (size_t i = 0; i < l->n; i++) {
		if (catalog_key_parse(l->kvs[i].key + strlen(base)).kind != kind)
			continue;
		mem_grow(&r->kvs, &r->cap, r->n + 1, sizeof(*r->kvs));
		r->kvs[r->n] = l->kvs[i];
		r->kvs[r->n++].value = buf_slice(&l->values[i]);
	}
}

static void apply_listing(struct listed *l)
{
	struct catalog_listing listing;

	catalog_listing_init(&listing);
	put_range(&listing.databases, l, CATALOG_KEY_DATABASE);
	put_range(&listing.fields, l, CATALOG_KEY_FIELD);
	put_range(&listing.collections, l, CATALOG_KEY_COLLECTION);
	put_range(&listing.partitions, l, CATALOG_KEY_PARTITION);
	mutex_lock(&cat->mtx);
	catalog_listing_apply(cat, &listing);
	mutex_unlock(&cat->mtx);
	catalog_listing_done(&listing);
	for (size_t i = 0; i < l->n; i++) {
		free_key(&l->kvs[i]);
		buf_done(&l->values[i]);
	}
	l->n = 0;
}

static void first_listing(void)
{
	struct listed l = {.n = 0};
	apply_listing(&l);
}

/* Looking */

static enum object_state state_of(int64_t id)
{
	struct collection *c = catalog_collection(cat, id);

	if (!c)
		fail_msg("collection %lld is not known", (long long)id);
	enum object_state s = c->state;
	collection_unref(c);
	return s;
}

static size_t n_collections(void)
{
	struct collection **list;
	size_t n = catalog_collections(cat, &list);

	for (size_t i = 0; i < n; i++)
		collection_unref(list[i]);
	free(list);
	return n;
}

static size_t fields_of(int64_t id)
{
	struct collection *c = catalog_collection(cat, id);
	struct wire w = wire_open(c->schema);
	struct wire_field f;
	size_t n = 0;

	while (wire_next(&w, &f))
		n += f.num == 4;
	collection_unref(c);
	return n;
}

static bool status_has(const char *text)
{
	char status[1024];
	catalog_status(cat, status, sizeof(status));
	return *text ? strstr(status, text) != NULL : !*status;
}

/* Tests */

static void test_life_of_a_collection(void **state UNUSED)
{
	struct partition *parts;

	first_listing();
	begin();
	put_collection(1, &(struct cv_collection){.id = 10, .name = "c", .state = 1});
	end();
	assert_int_equal(state_of(10), OBJECT_CREATING);
	create(1, 10, "c");
	assert_int_equal(state_of(10), OBJECT_CREATED);
	assert_int_equal(fields_of(10), 2);
	assert_int_equal(catalog_partitions(cat, 10, &parts), 1);
	assert_string_equal(parts[0].name, "_default"); /* as any other partition */
	catalog_partitions_free(parts, 1);

	begin();
	put_collection(1, &(struct cv_collection){.id = 10, .name = "c", .state = 2});
	end();
	assert_int_equal(state_of(10), OBJECT_DROPPING);
	begin();
	event("partitions/10/11", CV_TOMBSTONE);
	event("fields/10/100", CV_TOMBSTONE);
	event("fields/10/101", CV_TOMBSTONE);
	end();
	assert_int_equal(fields_of(10), 2); /* a going collection keeps its schema */
	begin();
	event("database/collection-info/1/10", CV_TOMBSTONE);
	end();
	assert_int_equal(state_of(10), OBJECT_GONE);
	assert_int_equal(fields_of(10), 2);
	assert_int_equal(catalog_partitions(cat, 10, &parts), 1);
	assert_int_equal(parts[0].state, OBJECT_GONE);
	catalog_partitions_free(parts, 1);

	catalog_forget(cat, 10);
	assert_null(catalog_collection(cat, 10));
	assert_int_equal(n_collections(), 0);
	assert_int_equal(umap_count(&cat->entries), 0);
}

/* Sources that write the collection key last and delete for real. */
static void test_collection_key_last_and_real_deletes(void **state UNUSED)
{
	first_listing();
	begin();
	put_field(10, 100, "id");
	put_partition(10, 11, "_default", 0);
	uint64_t v = end();
	assert_null(catalog_collection(cat, 10));
	begin();
	put_field(10, 101, "v");
	put_collection(1, &(struct cv_collection){.id = 10, .name = "c"});
	assert_int_equal(end(), v + 1);
	assert_int_equal(state_of(10), OBJECT_CREATED);
	assert_int_equal(fields_of(10), 2);
	begin();
	deleted("fields/10/100");
	deleted("fields/10/101");
	deleted("partitions/10/11");
	deleted("database/collection-info/1/10");
	end();
	assert_int_equal(state_of(10), OBJECT_GONE);
	assert_true(fields_of(10) > 0);
}

static void test_created_without_fields_waits(void **state UNUSED)
{
	first_listing();
	begin();
	put_collection(1, &(struct cv_collection){.id = 10, .name = "c"});
	end();
	assert_int_equal(state_of(10), OBJECT_CREATING);
	assert_true(status_has("wait for their fields, one is 10"));
	begin();
	put_field(10, 100, "id");
	end();
	assert_int_equal(state_of(10), OBJECT_CREATED);
	assert_false(status_has("wait for"));
}

static void test_alter_is_a_new_snapshot_of_the_same_id(void **state UNUSED)
{
	first_listing();
	create(1, 10, "old");
	struct collection *before = catalog_collection(cat, 10);
	begin();
	put_collection(1, &(struct cv_collection){.id = 10, .name = "new", .create_ts = 10});
	end();
	struct collection *after = catalog_collection(cat, 10);
	assert_string_equal(before->name, "old"); /* what was handed out never changes */
	assert_string_equal(after->name, "new");
	assert_true(after->revision > before->revision);
	assert_int_equal(after->state, OBJECT_CREATED);
	assert_int_equal(n_collections(), 1);
	begin();
	put_field(10, 102, "added");
	end();
	assert_int_equal(fields_of(10), 3);
	begin();
	event("fields/10/102", CV_TOMBSTONE);
	end();
	assert_int_equal(fields_of(10), 2);
	collection_unref(before);
	collection_unref(after);
}

static void test_move_to_another_database(void **state UNUSED)
{
	first_listing();
	create(1, 10, "c");
	begin(); /* one transaction: new key, old key away, in either order */
	put_collection(2, &(struct cv_collection){.id = 10, .name = "c", .create_ts = 10});
	deleted("database/collection-info/1/10");
	end();
	assert_int_equal(state_of(10), OBJECT_CREATED);
	begin();
	deleted("database/collection-info/2/10");
	put_collection(1, &(struct cv_collection){.id = 10, .name = "c", .create_ts = 10});
	end();
	assert_int_equal(state_of(10), OBJECT_CREATED);
	assert_int_equal(n_collections(), 1);
}

static enum catalog_called called(const char *db, const char *name, uint64_t ts)
{
	return catalog_was_called(cat, 10, db, name, ts, 0);
}

/* A rename that we see is noted with our clock, one in a listing has its own time. */
static void test_former_names(void **state UNUSED)
{
	struct cv_collection c = {.id = 10, .name = "b", .create_ts = 10};
	uint64_t now = ts_from_ms(time_wall_ms());
	struct catalog_listing l;

	first_listing();
	create(1, 10, "a");
	assert_int_equal(called("default", "a", 20), CATALOG_CALLED_UNKNOWN);
	begin();
	put_collection(1, &c);
	end();
	assert_int_equal(called("default", "a", 9), CATALOG_CALLED_UNKNOWN);
	assert_int_equal(called("default", "a", 20), CATALOG_CALLED_YES);
	assert_int_equal(called("other", "a", 20), CATALOG_CALLED_NO);
	assert_int_equal(called("default", "b", 20), CATALOG_CALLED_NO);
	assert_int_equal(called("default", "b", UINT64_MAX / 2), CATALOG_CALLED_YES);
	assert_int_equal(called("default", "a", UINT64_MAX / 2), CATALOG_CALLED_NO);
	/* With slack both are right at the time of the change. */
	assert_int_equal(catalog_was_called(cat, 10, "default", "b", now - 1, ts_from_ms(60000)),
		CATALOG_CALLED_YES);
	catalog_listing_init(&l);
	l.versions = xcalloc(3, sizeof(*l.versions));
	l.versions[l.n_versions++] =
		(struct catalog_version){.id = 10, .db_id = 1, .ts = 10, .name = xstrdup("a")};
	l.versions[l.n_versions++] =
		(struct catalog_version){.id = 10, .db_id = 1, .ts = 50, .name = xstrdup("a")};
	l.versions[l.n_versions++] =
		(struct catalog_version){.id = 10, .db_id = 1, .ts = 70, .name = xstrdup("b")};
	mutex_lock(&cat->mtx);
	catalog_versions_apply(cat, &l);
	mutex_unlock(&cat->mtx);
	catalog_listing_done(&l);
	assert_int_equal(called("default", "a", 69), CATALOG_CALLED_YES);
	assert_int_equal(called("default", "b", 70), CATALOG_CALLED_YES);
	assert_int_equal(called("default", "a", 70), CATALOG_CALLED_NO);
	for (uint64_t i = 0; i < 40; i++) { /* only the newest are kept */
		begin();
		c.name = i % 2 ? "even" : "odd";
		put_collection(1, &c);
		end();
	}
	assert_int_equal(called("default", "a", 69), CATALOG_CALLED_UNKNOWN);
}

static void test_unreadable_values(void **state UNUSED)
{
	first_listing();
	create(1, 10, "c");
	begin();
	event("database/collection-info/1/10", slice_str("\xff"));
	event("database/collection-info/1/10", slice_str("\xff"));
	event("database/collection-info/x", slice_str(""));
	end();
	assert_int_equal(state_of(10), OBJECT_CREATED);
	assert_true(status_has("2 values of the source's etcd can't be read"));
	begin();
	put_collection(1, &(struct cv_collection){.id = 10, .name = "c", .create_ts = 10});
	deleted("database/collection-info/x");
	end();
	assert_false(status_has("can't be read"));

	/* Half of a schema is worse than the old one; a new collection has to wait. */
	begin();
	event("fields/10/101", slice_str("\x08"));
	put_collection(1, &(struct cv_collection){.id = 10, .name = "later", .create_ts = 10});
	event("fields/20/101", slice_str("\x08"));
	put_field(20, 100, "id");
	put_collection(1, &(struct cv_collection){.id = 20, .name = "d"});
	end();
	struct collection *c = catalog_collection(cat, 10);
	assert_string_equal(c->name, "c");
	collection_unref(c);
	assert_int_equal(state_of(20), OBJECT_CREATING);
	begin();
	put_field(10, 101, "v");
	put_field(20, 101, "v");
	end();
	c = catalog_collection(cat, 10);
	assert_string_equal(c->name, "later");
	collection_unref(c);
	assert_int_equal(state_of(20), OBJECT_CREATED);
	assert_int_equal(fields_of(20), 2);
	assert_false(status_has("can't be read"));
}

static void test_never_seen_is_not_listed(void **state UNUSED)
{
	struct listed l = {.n = 0};

	buf_put(list_key(&l, "database/collection-info/1/10"), "\xe2\x9b\xbc", 3);
	buf_put(list_key(&l, "partitions/10/11"), "\xe2\x9b\xbc", 3);
	apply_listing(&l);
	begin();
	event("database/collection-info/1/20", CV_TOMBSTONE);
	deleted("database/collection-info/1/30");
	event("partitions/20/21", CV_TOMBSTONE);
	end();
	assert_int_equal(n_collections(), 0);
	assert_int_equal(umap_count(&cat->entries), 0);
}

static void test_relist_finds_the_difference(void **state UNUSED)
{
	struct listed l = {.n = 0};
	struct partition *parts;

	first_listing();
	create(1, 10, "stays");
	create(1, 20, "goes");
	create(1, 30, "changes");
	create(1, 40, "is dropping");
	begin();
	put_partition(10, 12, "p", 0);
	end();
	uint64_t before = cat->version;
	struct collection *same = catalog_collection(cat, 10);

	int64_t now = revision;
	revision = same->revision;
	list_collection(&l, 1, 10, "stays", 0);
	list_field(&l, 10, 100, "id");
	list_field(&l, 10, 101, "v");
	revision = now + 10;
	cv_partition(list_key(&l, "partitions/10/12"), 10, 12, "p", 0);
	list_collection(&l, 1, 30, "changed", 0);
	list_field(&l, 30, 100, "id");
	list_field(&l, 30, 101, "v");
	list_field(&l, 30, 102, "new");
	list_collection(&l, 1, 40, "is dropping", 2); /* its fields are tombstones by now */
	list_collection(&l, 2, 50, "came", 0);
	list_field(&l, 50, 100, "id");
	cv_database(list_key(&l, "database/db-info/2"), 2, "db2", 1);
	apply_listing(&l);

	assert_int_equal(cat->version, before + 1);
	struct collection *again = catalog_collection(cat, 10);
	assert_ptr_equal(again, same); /* not touched: the very same snapshot */
	collection_unref(again);
	collection_unref(same);
	assert_int_equal(catalog_partitions(cat, 10, &parts), 2);
	assert_int_equal(parts[0].state, OBJECT_GONE); /* 11 */
	assert_int_equal(parts[1].state, OBJECT_CREATED);
	catalog_partitions_free(parts, 2);
	assert_int_equal(state_of(20), OBJECT_GONE);
	assert_int_equal(fields_of(20), 2);
	assert_int_equal(fields_of(30), 3);
	assert_int_equal(state_of(40), OBJECT_DROPPING);
	assert_int_equal(fields_of(40), 2);
	assert_int_equal(state_of(50), OBJECT_CREATED);
}

static void test_relist_with_unreadable_values_keeps_objects(void **state UNUSED)
{
	struct listed l = {.n = 0};

	first_listing();
	create(1, 10, "c");
	create(1, 20, "d");
	struct collection *before = catalog_collection(cat, 10);
	buf_put(list_key(&l, "database/collection-info/1/10"), "\xff", 1);
	buf_put(list_key(&l, "partitions/10/11"), "\xff", 1);
	list_field(&l, 10, 100, "id");
	list_field(&l, 10, 101, "v");
	list_collection(&l, 1, 20, "d", 0);
	list_field(&l, 20, 100, "id");
	buf_put(list_key(&l, "fields/20/101"), "\x08", 1);
	for (int pass = 0; pass < 2; pass++) {
		struct partition *parts;
		apply_listing(&l);
		assert_int_equal(state_of(10), OBJECT_CREATED);
		assert_int_equal(state_of(20), OBJECT_CREATED);
		struct collection *after = catalog_collection(cat, 10);
		assert_ptr_equal(after, before);
		collection_unref(after);
		assert_int_equal(fields_of(20), 2);
		assert_int_equal(catalog_partitions(cat, 10, &parts), 1);
		assert_int_equal(parts[0].state, pass ? OBJECT_GONE : OBJECT_CREATED);
		catalog_partitions_free(parts, 1);
		assert_true(status_has(pass ? "2 values" : "3 values"));
		buf_put(list_key(&l, "database/collection-info/1/10"), "\xff", 1);
		list_collection(&l, 1, 20, "d", 0);
		list_field(&l, 20, 100, "id");
		buf_put(list_key(&l, "fields/20/101"), "\x08", 1);
	}
	apply_listing(&l);
	collection_unref(before);
}

static void test_databases(void **state UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(1024);
	struct database *dbs;
	char name[8];

	first_listing();
	assert_true(catalog_database_name(cat, 1, name, sizeof(name)));
	assert_string_equal(name, "default");
	begin();
	cv_database(&b, 7, "seven", 1);
	event("database/db-info/7", buf_slice(&b));
	end();
	begin();
	event("database/db-info/7", CV_TOMBSTONE);
	event("database/db-info/1", CV_TOMBSTONE); /* can't be */
	end();
	assert_int_equal(catalog_databases(cat, &dbs), 2);
	assert_int_equal(dbs[0].id, 1);
	assert_int_equal(dbs[0].state, OBJECT_CREATED);
	assert_int_equal(dbs[1].state, OBJECT_GONE);
	assert_string_equal(dbs[1].name, "seven");
	catalog_databases_free(dbs, 2);
	assert_false(catalog_database_name(cat, 8, name, sizeof(name)));
}

static void test_forget_only_what_is_gone(void **state UNUSED)
{
	struct partition *parts;

	first_listing();
	create(1, 10, "c");
	catalog_forget(cat, 10);
	catalog_forget(cat, 99);
	assert_int_equal(state_of(10), OBJECT_CREATED);
	catalog_forget_partition(cat, 10, 11);
	assert_int_equal(catalog_partitions(cat, 10, &parts), 1);
	catalog_partitions_free(parts, 1);
	begin();
	event("partitions/10/11", CV_TOMBSTONE);
	end();
	catalog_forget_partition(cat, 10, 11);
	assert_int_equal(catalog_partitions(cat, 10, &parts), 0);
	catalog_partitions_free(parts, 0);

	begin();
	put_collection(1, &(struct cv_collection){.id = 10, .name = "c", .state = 3});
	end();
	catalog_forget(cat, 10);
	begin(); /* Dropped is written again, or listed again: it stays forgotten */
	put_collection(1, &(struct cv_collection){.id = 10, .name = "c", .state = 3});
	end();
	assert_int_equal(n_collections(), 0);
	begin();
	event("database/collection-info/1/10", CV_TOMBSTONE);
	end();
	assert_int_equal(umap_count(&cat->entries), 0);
}

static void test_order_of_the_list(void **state UNUSED)
{
	static const int64_t want[] = {30, 10, 20, 5};
	struct collection **list;

	first_listing();
	begin();
	put_collection(2, &(struct cv_collection){.id = 5, .name = "a", .create_ts = 1});
	put_collection(1, &(struct cv_collection){.id = 20, .name = "b", .create_ts = 9});
	put_collection(1, &(struct cv_collection){.id = 10, .name = "c", .create_ts = 9});
	put_collection(1, &(struct cv_collection){.id = 30, .name = "d", .create_ts = 3});
	end();
	size_t n = catalog_collections(cat, &list);
	assert_int_equal(n, ARRAY_LEN(want));
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(list[i]->id, want[i]);
		collection_unref(list[i]);
	}
	free(list);
}

/* "10 20": the ids of what changed after version seen. */
static void changed_since(uint64_t seen, const char *want)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(256);
	struct collection **list;

	size_t n = catalog_collections_since(cat, seen, &list);
	for (size_t i = 0; i < n; i++) {
		buf_putf(&b, "%s%lld", i ? " " : "", (long long)list[i]->id);
		collection_unref(list[i]);
	}
	free(list);
	assert_string_equal(buf_cstr(&b), want);
}

/* AliasInfo{alias_name, collection_id, created_time, db_id} */
static void put_alias(int64_t db, const char *name, int64_t collection)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(1024);
	char tail[96];

	snprintf(tail, sizeof(tail), "database/aliases/%lld/%s", (long long)db, name);
	wire_put_str(&b, 1, name);
	wire_put_i64(&b, 2, collection);
	wire_put_u64(&b, 3, 7);
	wire_put_i64(&b, 5, db);
	event(tail, buf_slice(&b));
}

static void expect_aliases(int64_t collection, size_t want, const char *first)
{
	char **names = NULL;
	size_t n = catalog_aliases(cat, collection, &names);

	assert_int_equal(n, want);
	if (n)
		assert_string_equal(names[0], first);
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

/* Made, moved, dropped in both styles; a change is one of the collections it concerns. */
static void test_aliases(void **state UNUSED)
{
	first_listing();
	create(1, 10, "c");
	create(1, 20, "d");
	uint64_t v = catalog_wait(cat, 0, DEADLINE_NEVER, NULL);
	begin();
	put_alias(1, "a", 10);
	uint64_t w = end();
	assert_true(w > v);
	changed_since(v, "10");
	expect_aliases(10, 1, "a");
	assert_int_equal(catalog_alias(cat, 1, "a"), 10);
	assert_int_equal(catalog_alias(cat, 2, "a"), 0);
	assert_int_equal(catalog_find(cat, "default", "a", UINT64_MAX), 10);
	assert_int_equal(catalog_find(cat, "default", "d", UINT64_MAX), 20);
	assert_int_equal(catalog_find(cat, "default", "e", UINT64_MAX), 0);
	assert_int_equal(catalog_find(cat, "other", "a", UINT64_MAX), 0);
	assert_int_equal(catalog_find(cat, "default", "a", 0), 0); /* before it was made */
	begin();
	put_alias(1, "a", 20);
	put_alias(2, "a", 20);
	end();
	changed_since(w, "10 20");
	expect_aliases(10, 0, "");
	expect_aliases(20, 2, "a");
	begin();
	event("database/aliases/1/a", CV_TOMBSTONE);
	deleted("database/aliases/2/a");
	end();
	expect_aliases(20, 0, "");
	assert_int_equal(catalog_alias(cat, 1, "a"), 0);
	begin();
	event("database/aliases/1/b", slice_str("x"));
	end();
	assert_int_equal(smap_count(&cat->bad), 1);
}

static void test_what_changed(void **state UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(4096);

	first_listing();
	uint64_t start = catalog_wait(cat, 0, DEADLINE_NEVER, NULL);
	create(1, 10, "c");
	create(1, 20, "d");
	uint64_t v = catalog_wait(cat, 0, DEADLINE_NEVER, NULL);
	changed_since(0, "10 20");
	changed_since(start, "10 20");
	changed_since(v, "");
	begin();
	put_partition(20, 22, "p", 0);
	uint64_t w = end();
	changed_since(v, "20");
	begin();
	put_partition(20, 22, "p", 0);
	assert_int_equal(end(), w); /* the same again */
	changed_since(w, "");
	begin();
	event("partitions/20/22", CV_TOMBSTONE);
	put_collection(1, &(struct cv_collection){.id = 10, .name = "c", .state = 2});
	end();
	changed_since(w, "10 20");
	w = catalog_wait(cat, 0, DEADLINE_NEVER, NULL);
	catalog_poke(cat);
	changed_since(w, "");
	cv_database(&b, 9, "nine", 1);
	begin();
	event("database/db-info/9", buf_slice(&b));
	end();
	changed_since(w, "10 20"); /* collections wait for the name of their database */
}

/* Another user of the catalog may not have seen yet that it is gone. */
static void test_forget_waits_for_holders(void **state UNUSED)
{
	first_listing();
	create(1, 10, "c");
	struct collection *held = catalog_collection(cat, 10);
	begin();
	put_collection(1, &(struct cv_collection){.id = 10, .name = "c", .state = 3});
	end();
	collection_unref(held);
	held = catalog_collection(cat, 10);
	catalog_forget(cat, 10);
	assert_int_equal(n_collections(), 1);
	collection_unref(held);
	catalog_forget(cat, 10);
	assert_int_equal(n_collections(), 0);
}

/* What comes and goes by the thousand leaves nothing behind, once it is gone for a while and nobody
 * works with it any more. */
static void test_sweep(void **state UNUSED)
{
	enum { KEEP_MS = 3600000 };

	first_listing();
	create(1, 10, "stays");
	create(1, 20, "held");
	for (int64_t id = 1000; id < 1000 + MANY; id++) {
		begin();
		put_collection(1,
			&(struct cv_collection){.id = id, .name = "c", .state = OBJECT_CREATING});
		put_collection(
			1, &(struct cv_collection){.id = id, .name = "c", .state = OBJECT_DROPPED});
		end();
	}
	begin();
	put_collection(1, &(struct cv_collection){.id = 20, .name = "held", .state = 3});
	end();
	struct collection *held = catalog_collection(cat, 20);
	catalog_sweep(cat, 0, KEEP_MS);
	assert_int_equal(n_collections(), MANY + 2);
	catalog_sweep(cat, KEEP_MS, 0); /* not yet due */
	assert_int_equal(n_collections(), MANY + 2);
	catalog_sweep(cat, 0, 0);
	assert_int_equal(n_collections(), 2);
	collection_unref(held);
	catalog_sweep(cat, 0, 0);
	assert_int_equal(n_collections(), 1);
	assert_int_equal(state_of(10), OBJECT_CREATED);
}

static size_t n_databases(void)
{
	struct database *dbs = NULL;
	size_t n = catalog_databases(cat, &dbs);

	catalog_databases_free(dbs, n);
	return n;
}

static size_t n_partitions(int64_t collection)
{
	struct partition *l = NULL;
	size_t n = catalog_partitions(cat, collection, &l);

	catalog_partitions_free(l, n);
	return n;
}

/* Partitions of what lives on go alone; a database when none of its collections is left. */
static void test_sweep_of_partitions_and_databases(void **state UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(1 << 16);

	first_listing();
	create(1, 10, "stays");
	begin();
	cv_database(&b, 2, "two", 1);
	event("database/db-info/2", buf_slice(&b));
	put_partition(10, 12, "goes", 0);
	end();
	create(2, 20, "its own");
	size_t before = n_databases();
	begin();
	deleted("partitions/10/12");
	deleted("database/db-info/2");
	end();
	catalog_sweep(cat, 0, 3600000); /* not yet due */
	assert_int_equal(n_partitions(10), 2);
	catalog_sweep(cat, 0, 0);
	assert_int_equal(n_partitions(10), 1);
	assert_int_equal(n_databases(), before);
	begin();
	deleted("database/collection-info/2/20");
	end();
	catalog_sweep(cat, 0, 0);
	assert_int_equal(n_databases(), before - 1);
	assert_int_equal(state_of(10), OBJECT_CREATED);
}

static void test_waiting_and_versions(void **state UNUSED)
{
	catalog_poke(cat);
	assert_int_equal(catalog_wait(cat, 0, deadline_in(1), NULL), 0);
	first_listing();
	uint64_t v = catalog_wait(cat, 0, DEADLINE_NEVER, NULL);
	assert_int_equal(v, 1);
	assert_int_equal(catalog_wait(cat, v, deadline_in(1), NULL), v);
	catalog_poke(cat);
	assert_int_equal(catalog_wait(cat, v, DEADLINE_NEVER, NULL), v + 1);
	begin();
	event("credential/roles/a", slice_str("x"));
	assert_int_equal(end(), v + 1); /* not ours */
	assert_true(status_has("rootPath"));
	cat->clock = 1;
	assert_true(status_has(""));
}

/* 10,000 collections of 4 fields: one change must not cost a walk over all. */
static void test_ten_thousand(void **state UNUSED)
{
	enum { CHANGES = 2000 };
	int64_t start = time_mono_us();

	first_listing();
	for (int64_t i = 0; i < MANY; i++)
		create(1 + i % 3, 1000 + 10 * i, "some_collection");
	assert_int_equal(n_collections(), MANY);
	int64_t per_create = (time_mono_us() - start) / MANY;
	start = time_mono_us();
	for (int64_t i = 0; i < CHANGES; i++) {
		begin();
		put_collection(1 + i % 3, &(struct cv_collection){.id = 1000 + 10 * i,
						  .name = "renamed",
						  .create_ts = (uint64_t)(1000 + 10 * i)});
		end();
	}
	int64_t per_change = (time_mono_us() - start) / CHANGES;
	print_message("%d collections: %lld us a creation, %lld us a change\n", MANY,
		(long long)per_create, (long long)per_change);
	assert_true(per_change < 1000); /* a walk over all would take more even here */
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_life_of_a_collection),
		TEST(test_collection_key_last_and_real_deletes),
		TEST(test_created_without_fields_waits),
		TEST(test_alter_is_a_new_snapshot_of_the_same_id),
		TEST(test_move_to_another_database),
		TEST(test_former_names),
		TEST(test_unreadable_values),
		TEST(test_never_seen_is_not_listed),
		TEST(test_relist_finds_the_difference),
		TEST(test_relist_with_unreadable_values_keeps_objects),
		TEST(test_databases),
		TEST(test_forget_only_what_is_gone),
		TEST(test_order_of_the_list),
		TEST(test_aliases),
		TEST(test_what_changed),
		TEST(test_forget_waits_for_holders),
		TEST(test_sweep),
		TEST(test_sweep_of_partitions_and_databases),
		TEST(test_waiting_and_versions),
		TEST(test_ten_thousand),
	};
	return cmocka_run_group_tests_name("source.catalog_state", tests, NULL, NULL);
}
