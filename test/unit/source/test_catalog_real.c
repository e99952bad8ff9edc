/* The catalog on a real etcd that this test starts, kills and compacts; the keys are written as
 * Milvus writes them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "model/ts.h"
#include "source/catalog.h"
#include "support/catalog_values.h"
#include "support/etcd_server.h"

enum { WAIT_MS = 30000, KEYS_MAX = 90 };

static struct etcd_server server;
static struct grpc *grpc;
static struct stop stop;
static struct etcd *writer; /* plays Milvus */
static struct etcd *reader; /* of the catalog */
static struct catalog *cat;

/* One transaction on the source, built up key by key. */
struct writes {
	struct etcd_op ops[KEYS_MAX];
	char keys[KEYS_MAX][128];
	struct buf values[KEYS_MAX];
	size_t n;
};

static struct buf *put(struct writes *w, const char *tail)
{
	size_t i = w->n++;

	snprintf(w->keys[i], sizeof(w->keys[i]), "by-dev/meta/root-coord/%s", tail);
	buf_init(&w->values[i], 1 << 16);
	w->ops[i] = (struct etcd_op){.kind = ETCD_PUT, .key = w->keys[i]};
	return &w->values[i];
}

static void tombstone(struct writes *w, const char *tail)
{
	struct slice t = CV_TOMBSTONE;
	buf_put(put(w, tail), t.p, t.n);
}

static void del(struct writes *w, const char *tail)
{
	put(w, tail);
	w->ops[w->n - 1].kind = ETCD_DELETE;
}

static int64_t commit(struct writes *w)
{
	int64_t revision = 0;
	struct err e = ERR_INIT;

	for (size_t i = 0; i < w->n; i++)
		w->ops[i].value = buf_slice(&w->values[i]);
	if (etcd_txn(writer, NULL, 0, w->ops, w->n, &stop, &revision, &e))
		fail_msg("%s", e.text);
	for (size_t i = 0; i < w->n; i++)
		buf_done(&w->values[i]);
	w->n = 0;
	return revision;
}

static void put_collection(struct writes *w, int64_t db, int64_t id, const char *name, int state)
{
	char tail[96];

	snprintf(tail, sizeof(tail), "database/collection-info/%lld/%lld", (long long)db,
		(long long)id);
	cv_collection(put(w, tail), &(struct cv_collection){.id = id,
					    .name = name,
					    .state = state,
					    .create_ts = (uint64_t)id,
					    .shards = 2});
}

static void put_fields(struct writes *w, int64_t id)
{
	static const char *const names[] = {"id", "vector"};
	char tail[96];

	for (int i = 0; i < 2; i++) {
		snprintf(tail, sizeof(tail), "fields/%lld/%d", (long long)id, 100 + i);
		cv_field(put(w, tail), 100 + i, names[i]);
	}
}

static void put_partition(struct writes *w, int64_t id, int64_t part, const char *name)
{
	char tail[96];

	snprintf(tail, sizeof(tail), "partitions/%lld/%lld", (long long)id, (long long)part);
	cv_partition(put(w, tail), id, part, name, 0);
}

/* Creating; partition and fields; Created. */
static int64_t create(int64_t db, int64_t id, const char *name)
{
	struct writes w = {.n = 0};

	put_collection(&w, db, id, name, 1);
	commit(&w);
	put_partition(&w, id, id + 1, "_default");
	put_fields(&w, id);
	commit(&w);
	put_collection(&w, db, id, name, 0);
	return commit(&w);
}

static void drop(int64_t db, int64_t id, const char *name)
{
	struct writes w = {.n = 0};
	char tail[96];

	put_collection(&w, db, id, name, 2);
	commit(&w);
	snprintf(tail, sizeof(tail), "partitions/%lld/%lld", (long long)id, (long long)id + 1);
	tombstone(&w, tail);
	for (int i = 100; i < 102; i++) {
		snprintf(tail, sizeof(tail), "fields/%lld/%d", (long long)id, i);
		tombstone(&w, tail);
	}
	commit(&w);
	snprintf(tail, sizeof(tail), "database/collection-info/%lld/%lld", (long long)db,
		(long long)id);
	tombstone(&w, tail);
	commit(&w);
}

/* Waits, version by version, until ok(id) holds. */
static void wait_until(bool (*ok)(int64_t id), int64_t id, const char *what)
{
	struct deadline d = deadline_in(WAIT_MS);
	uint64_t seen = 0;
	char status[512];

	while (!ok(id)) {
		seen = catalog_wait(cat, seen, d, &stop);
		if (deadline_passed(d)) {
			catalog_status(cat, status, sizeof(status));
			fail_msg("%s %lld does not come; status: %s", what, (long long)id, status);
		}
	}
}
#define WAIT(ok, id) wait_until(ok, id, #ok)

static bool has_state(int64_t id, enum object_state want)
{
	struct collection *c = catalog_collection(cat, id);
	bool ok = c && c->state == want;

	collection_unref(c);
	return ok;
}

static bool is_created(int64_t id)
{
	return has_state(id, OBJECT_CREATED);
}

static bool is_gone(int64_t id)
{
	return has_state(id, OBJECT_GONE);
}

static bool is_renamed(int64_t id)
{
	struct collection *c = catalog_collection(cat, id);
	bool ok = c && strcmp(c->name, "renamed") == 0;

	collection_unref(c);
	return ok;
}

static enum object_state partition_state(int64_t collection, int64_t id)
{
	struct partition *list;
	size_t n = catalog_partitions(cat, collection, &list);
	enum object_state s = OBJECT_CREATING;

	for (size_t i = 0; i < n; i++)
		if (list[i].id == id)
			s = list[i].state;
	catalog_partitions_free(list, n);
	return s;
}

static bool partition_7_is_there(int64_t collection)
{
	return partition_state(collection, 7) == OBJECT_CREATED;
}

static bool partition_7_is_gone(int64_t collection)
{
	return partition_state(collection, 7) == OBJECT_GONE;
}

static bool database_has(int64_t id, enum object_state state)
{
	struct database *list;
	size_t n = catalog_databases(cat, &list);
	bool ok = false;

	for (size_t i = 0; i < n; i++)
		ok |= list[i].id == id && list[i].state == state;
	catalog_databases_free(list, n);
	return ok;
}

static bool database_is_created(int64_t id)
{
	return database_has(id, OBJECT_CREATED);
}

static bool database_is_gone(int64_t id)
{
	return database_has(id, OBJECT_GONE);
}

/* Status has no version of its own: looked at again and again. */
static void wait_status(const char *want)
{
	struct deadline d = deadline_in(WAIT_MS);
	char status[512];

	for (;;) {
		catalog_status(cat, status, sizeof(status));
		if (*want ? strstr(status, want) != NULL : !*status)
			return;
		if (deadline_passed(d))
			fail_msg("status is \"%s\", not \"%s\"", status, want);
		stop_sleep(&stop, 20);
	}
}

static void open_catalog(void)
{
	struct catalog_opts o = {.root_path = "by-dev", .meta_sub_path = "meta"};
	struct err e = ERR_INIT;

	assert_int_equal(catalog_new(reader, &o, &cat, &e), ERR_OK);
	assert_int_equal(catalog_start(cat, &e), ERR_OK);
	assert_true(catalog_wait(cat, 0, deadline_in(WAIT_MS), &stop) > 0);
}

/* A version of a collection's key, as Milvus up to 2.5 keeps it; name NULL: of its end. */
static void put_version(int64_t id, uint64_t ts, const char *name)
{
	struct writes w = {.n = 0};
	struct slice t = CV_TOMBSTONE;
	struct buf *b = put(&w, "");

	snprintf(w.keys[0], sizeof(w.keys[0]),
		"by-dev/meta/snapshots/root-coord/database/collection-info/1/%lld_ts%llu",
		(long long)id, (unsigned long long)ts);
	if (name)
		cv_collection(b,
			&(struct cv_collection){.id = id, .name = name, .create_ts = (uint64_t)id});
	else
		buf_put(b, t.p, t.n);
	commit(&w);
}

/* In the order they run: each goes on with what the one before left. */

static void test_snapshot_then_watch(void **state UNUSED)
{
	struct err e = ERR_INIT;
	uint8_t clock[] = {0x18, 0xea, 0x7a, 0x3d, 0x61, 0xf7, 0xad, 0x25};

	create(1, 10, "before");
	create(1, 15, "was dropped before");
	drop(1, 15, "was dropped before");
	assert_int_equal(
		etcd_put(writer, "by-dev/kv/gid/timestamp", slice_of(clock, 8), &stop, &e), ERR_OK);
	put_version(10, 10, "before that");
	put_version(10, 110, "before");
	put_version(15, 15, "was dropped before");
	put_version(15, 115, NULL);
	open_catalog();
	assert_int_equal(
		catalog_was_called(cat, 10, "default", "before that", 109, 0), CATALOG_CALLED_YES);
	assert_int_equal(
		catalog_was_called(cat, 10, "default", "before", 109, 0), CATALOG_CALLED_NO);
	assert_int_equal(
		catalog_was_called(cat, 10, "default", "before", 110, 0), CATALOG_CALLED_YES);
	assert_int_equal(catalog_was_called(cat, 15, "default", "was dropped before", 100, 0),
		CATALOG_CALLED_UNKNOWN);
	assert_true(is_created(10));
	assert_null(catalog_collection(cat, 15));
	assert_int_equal(catalog_clock(cat), ts_from_ms(1795381805515));
	int64_t revision = create(1, 20, "after");
	WAIT(is_created, 20);
	struct collection *c = catalog_collection(cat, 20);
	assert_int_equal(c->revision, revision);
	assert_int_equal(c->shards_num, 2);
	assert_int_equal(c->pk_field_id, 100);
	assert_string_equal(c->shards[1].vchannel, "by-dev-rootcoord-dml_1_20v1");
	collection_unref(c);
	assert_true(database_is_created(1)); /* without a key */
	wait_status("");
}

/* What has just been written is known at once when it is asked for, though its event is on its way. */
static void test_current(void **state UNUSED)
{
	struct err e = ERR_INIT;

	for (int64_t id = 1000; id < 1030; id += 10) {
		create(1, id, "just made");
		assert_int_equal(catalog_current(cat, deadline_in(WAIT_MS), &stop, &e), ERR_OK);
		assert_true(is_created(id));
		drop(1, id, "just made");
	}
	assert_int_equal(catalog_current(cat, deadline_in(WAIT_MS), &stop, &e), ERR_OK);
	assert_true(is_gone(1020));
}

static void test_alter_tombstone_and_delete(void **state UNUSED)
{
	struct writes w = {.n = 0};

	put_collection(&w, 1, 20, "renamed", 0);
	commit(&w);
	WAIT(is_renamed, 20);
	assert_true(is_created(20));
	drop(1, 20, "renamed");
	WAIT(is_gone, 20);
	create(1, 30, "deleted for real");
	WAIT(is_created, 30);
	del(&w, "partitions/30/31");
	del(&w, "fields/30/100");
	del(&w, "fields/30/101");
	del(&w, "database/collection-info/1/30");
	commit(&w);
	WAIT(is_gone, 30);
	catalog_forget(cat, 20);
	assert_null(catalog_collection(cat, 20));
}

static void test_databases_and_partitions(void **state UNUSED)
{
	struct writes w = {.n = 0};

	cv_database(put(&w, "database/db-info/2"), 2, "two", 1);
	cv_database(put(&w, "database/db-info/3"), 3, "three", 1);
	commit(&w);
	WAIT(database_is_created, 3);
	create(2, 40, "same name");
	create(3, 50, "same name"); /* one name in two databases */
	WAIT(is_created, 50);
	assert_true(is_created(40));
	tombstone(&w, "database/db-info/3");
	commit(&w);
	WAIT(database_is_gone, 3);

	put_partition(&w, 40, 7, "my_default_one"); /* not a default partition */
	commit(&w);
	WAIT(partition_7_is_there, 40);
	tombstone(&w, "partitions/40/7");
	commit(&w);
	WAIT(partition_7_is_gone, 40);
}

static void test_unreadable_value_is_counted(void **state UNUSED)
{
	struct writes w = {.n = 0};

	buf_put(put(&w, "database/collection-info/1/60"), "\xff\xff", 2);
	commit(&w);
	wait_status("1 values of the source's etcd can't be read");
	wait_status("database/collection-info/1/60");
	create(1, 60, "c");
	WAIT(is_created, 60);
	wait_status("");
}

static void test_restart_without_a_gap(void **state UNUSED)
{
	etcd_server_kill(&server);
	wait_status("etcd unavailable");
	wait_status("retry in");
	assert_true(is_created(60)); /* what was known stays */
	etcd_server_restart(&server);
	create(1, 70, "after the restart");
	WAIT(is_created, 70);
	wait_status("");
}

static void open_writer(void)
{
	const char *endpoint = server.address;
	struct etcd_opts o = {.endpoints = &endpoint, .n_endpoints = 1};
	struct err e = ERR_INIT;

	etcd_close(TAKE(writer));
	assert_int_equal(etcd_open(grpc, &o, &writer, &e), ERR_OK);
}

/* While the catalog is cut off (it knows only the old port), objects come, change and go, and that
 * history is compacted away. */
static void test_compaction_during_an_outage(void **state UNUSED)
{
	struct writes w = {.n = 0};
	int port = server.client_port;

	create(1, 80, "goes meanwhile");
	create(1, 90, "is renamed meanwhile");
	put_partition(&w, 90, 7, "p");
	commit(&w);
	WAIT(partition_7_is_there, 90);
	etcd_server_kill(&server);
	etcd_server_restart_elsewhere(&server);
	open_writer();
	drop(1, 80, "goes meanwhile");
	put_collection(&w, 1, 90, "renamed", 0);
	tombstone(&w, "partitions/90/7");
	commit(&w);
	etcd_server_compact(&server, grpc, create(1, 100, "comes meanwhile"));
	wait_status("etcd unavailable");
	assert_true(is_created(80));
	etcd_server_kill(&server);
	etcd_server_restart_on(&server, port);
	open_writer();
	WAIT(is_created, 100);
	assert_true(is_gone(80)); /* all of it in one version */
	assert_true(is_renamed(90));
	assert_true(partition_7_is_gone(90));
	create(1, 110, "later");
	WAIT(is_created, 110);
	wait_status("");
}

/* A source whose etcd was set up anew has none of the old objects. */
static void test_history_is_lost(void **state UNUSED)
{
	etcd_server_kill(&server);
	etcd_server_wipe(&server);
	etcd_server_restart(&server);
	WAIT(is_gone, 110);
	wait_status("rootPath"); /* the clock key has gone as well */
	create(1, 120, "new life");
	WAIT(is_created, 120);
}

static void test_free_while_etcd_is_away(void **state UNUSED)
{
	etcd_server_kill(&server);
	wait_status("etcd unavailable");
	int64_t start = time_mono_ms();
	catalog_free(TAKE(cat));
	assert_true(time_mono_ms() - start < 2000);
}

static int setup(void **state UNUSED)
{
	const char *endpoint = server.address;
	struct etcd_opts o = {.endpoints = &endpoint, .n_endpoints = 1};
	struct err e = ERR_INIT;

	log_set_level(LOG_OFF);
	stop_init(&stop, NULL);
	if (grpc_new(&grpc, &e))
		return -1;
	etcd_server_start(&server);
	open_writer();
	return etcd_open(grpc, &o, &reader, &e) ? -1 : 0;
}

static int teardown(void **state UNUSED)
{
	catalog_free(cat);
	etcd_close(reader);
	etcd_close(writer);
	etcd_server_stop(&server);
	grpc_free(grpc);
	stop_done(&stop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_snapshot_then_watch),
		cmocka_unit_test(test_current),
		cmocka_unit_test(test_alter_tombstone_and_delete),
		cmocka_unit_test(test_databases_and_partitions),
		cmocka_unit_test(test_unreadable_value_is_counted),
		cmocka_unit_test(test_restart_without_a_gap),
		cmocka_unit_test(test_compaction_during_an_outage),
		cmocka_unit_test(test_history_is_lost),
		cmocka_unit_test(test_free_while_etcd_is_away),
	};
	return cmocka_run_group_tests_name("source.catalog_real", tests, setup, teardown);
}
