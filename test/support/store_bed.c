#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/store_bed.h"

#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/store_etcd.h"
#include "store/mydb.h"
#include "store/store_mem.h"
#include "store/store_mysql.h"
#include "store/store_sqlite.h"
#include "support/etcd_server.h"
#include "support/mysql_server.h"

static const char root[] = "cdc";

/* One etcd serves the whole group; each test starts on an empty root. */
struct shared {
	struct etcd_server server;
	struct grpc *g;
	struct etcd *c;
};

/* --- memory --- */

static void mem_plant_task(struct store_bed *b, const char *element, const char *text)
{
	CLEANUP(freep)
	char *key = xasprintf("cdc/task_info/%s", element);
	store_mem_raw(b->st, key, text);
}

static void mem_plant_doc(struct store_bed *b, const char *element, int64_t cid, const char *text)
{
	CLEANUP(freep)
	char *key = xasprintf("cdc/task_position/%s/%lld", element, (long long)cid);
	store_mem_raw(b->st, key, text);
}

static char *mem_raw_task(struct store_bed *b, const char *element)
{
	CLEANUP(freep)
	char *key = xasprintf("cdc/task_info/%s", element);
	return store_mem_get(b->st, key);
}

int store_bed_mem_up(void **state)
{
	struct store_bed *b = *state = xcalloc(1, sizeof(*b));
	stop_init(&b->stop, NULL);
	b->st = store_mem_new(root);
	b->plant_task = mem_plant_task;
	b->raw_task = mem_raw_task;
	b->plant_doc = mem_plant_doc;
	return 0;
}

/* --- SQLite --- */

static void sql(struct store_bed *b, const char *fmt, const char *key, const char *text)
{
	sqlite3 *h;
	char *q = sqlite3_mprintf(fmt, key, text);
	assert_int_equal(sqlite3_open(b->path, &h), SQLITE_OK);
	assert_int_equal(sqlite3_exec(h, q, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_free(q);
	sqlite3_close(h);
}

static void sqlite_plant_task(struct store_bed *b, const char *element, const char *text)
{
	CLEANUP(freep)
	char *key = xasprintf("cdc/task_info/%s", element);
	sql(b, "INSERT OR REPLACE INTO task_info VALUES(%Q, 'x', %Q)", key, text);
}

static void sqlite_plant_doc(
	struct store_bed *b, const char *element, int64_t cid, const char *text)
{
	CLEANUP(freep)
	char *key = xasprintf("cdc/task_position/%s/%lld", element, (long long)cid);
	sql(b, "INSERT OR REPLACE INTO task_position VALUES(%Q, 'x', 0, 'n', %Q, NULL, 'null')",
		key, text);
}

static char *sqlite_raw_task(struct store_bed *b, const char *element)
{
	sqlite3 *h;
	sqlite3_stmt *q;
	CLEANUP(freep)
	char *key = xasprintf("cdc/task_info/%s", element);
	assert_int_equal(sqlite3_open(b->path, &h), SQLITE_OK);
	sqlite3_prepare_v2(
		h, "SELECT task_info_value FROM task_info WHERE task_info_key = ?", -1, &q, NULL);
	sqlite3_bind_text(q, 1, key, -1, SQLITE_STATIC);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	char *text = xasprintf("%s", (const char *)sqlite3_column_text(q, 0));
	sqlite3_finalize(q);
	sqlite3_close(h);
	return text;
}

static void sqlite_reopen(struct store_bed *b)
{
	struct err e = ERR_INIT;
	if (b->st)
		store_close(b->st);
	if (store_sqlite_open(b->path, root, &b->st, &e))
		fail_msg("%s", e.text);
}

int store_bed_sqlite_up(void **state)
{
	struct store_bed *b = *state = xcalloc(1, sizeof(*b));
	stop_init(&b->stop, NULL);
	snprintf(b->dir, sizeof(b->dir), "/tmp/cdc-store-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	snprintf(b->path, sizeof(b->path), "%s/cdc.db", b->dir);
	b->plant_task = sqlite_plant_task;
	b->raw_task = sqlite_raw_task;
	b->plant_doc = sqlite_plant_doc;
	b->reopen = sqlite_reopen;
	sqlite_reopen(b);
	return 0;
}

/* --- etcd --- */

static void etcd_plant(struct store_bed *b, const char *key, const char *text)
{
	struct err e = ERR_INIT;
	if (etcd_put(b->c, key, slice_str(text), &b->stop, &e))
		fail_msg("%s", e.text);
}

static void etcd_plant_task(struct store_bed *b, const char *element, const char *text)
{
	CLEANUP(freep)
	char *key = xasprintf("cdc/task_info/%s", element);
	etcd_plant(b, key, text);
}

static void etcd_plant_doc(struct store_bed *b, const char *element, int64_t cid, const char *text)
{
	CLEANUP(freep)
	char *key = xasprintf("cdc/task_position/%s/%lld", element, (long long)cid);
	etcd_plant(b, key, text);
}

static char *etcd_raw_task(struct store_bed *b, const char *element)
{
	CLEANUP(freep)
	char *key = xasprintf("cdc/task_info/%s", element);
	struct err e = ERR_INIT;
	struct etcd_range r;
	etcd_range_init(&r);
	assert_int_equal(etcd_get(b->c, key, &b->stop, &r, &e), ERR_OK);
	assert_int_equal(r.n, 1);
	char *text = xstrndup((const char *)r.kvs[0].value.p, r.kvs[0].value.n);
	etcd_range_done(&r);
	return text;
}

static void etcd_reopen(struct store_bed *b)
{
	struct err e = ERR_INIT;
	if (b->st)
		store_close(b->st);
	assert_int_equal(store_etcd_open(b->c, root, &b->st, &e), ERR_OK);
}

int store_bed_etcd_group_up(void **state)
{
	struct shared *sh = *state = xcalloc(1, sizeof(*sh));
	struct err e = ERR_INIT;
	const char *endpoint = sh->server.address;
	struct etcd_opts o = {.endpoints = &endpoint, .n_endpoints = 1};

	etcd_server_start(&sh->server);
	assert_int_equal(grpc_new(&sh->g, &e), ERR_OK);
	assert_int_equal(etcd_open(sh->g, &o, &sh->c, &e), ERR_OK);
	return 0;
}

int store_bed_etcd_group_down(void **state)
{
	struct shared *sh = *state;

	etcd_close(sh->c);
	grpc_free(sh->g);
	etcd_server_stop(&sh->server);
	free(sh);
	return 0;
}

int store_bed_etcd_up(void **state)
{
	struct shared *sh = *state;
	struct store_bed *b = *state = xcalloc(1, sizeof(*b));
	struct etcd_op wipe = {.kind = ETCD_DELETE_PREFIX, .key = "cdc/"};
	struct err e = ERR_INIT;

	stop_init(&b->stop, NULL);
	b->c = sh->c;
	if (etcd_txn(b->c, NULL, 0, &wipe, 1, &b->stop, NULL, &e))
		fail_msg("%s", e.text);
	b->plant_task = etcd_plant_task;
	b->raw_task = etcd_raw_task;
	b->plant_doc = etcd_plant_doc;
	b->reopen = etcd_reopen;
	etcd_reopen(b);
	return 0;
}

/* --- MariaDB --- */

/* MariaDB checks that a JSON column holds JSON; MySQL can hold nothing else. */
static void mysql_plant(struct store_bed *b, const char *columns, const char *key, const char *text)
{
	CLEANUP(buf_done) struct buf sql = BUF_INIT(1 << 20);

	buf_putf(&sql,
		"SET STATEMENT check_constraint_checks = 0 FOR REPLACE INTO cdc.%s VALUES('x', ",
		columns);
	mydb_quote(&sql, slice_str(key));
	buf_put_u8(&sql, ',');
	mydb_quote(&sql, slice_str(text));
	buf_put_str(&sql, strstr(columns, "collection_id") ? ", 0, 'n', 'null')" : ")");
	free(mysql_server_sql(b->my, buf_cstr(&sql)));
}

static void mysql_plant_task(struct store_bed *b, const char *element, const char *text)
{
	CLEANUP(freep)
	char *key = xasprintf("cdc/task_info/%s", element);
	mysql_plant(b, "task_info(task_id, task_info_key, task_info_value)", key, text);
}

static void mysql_plant_doc(struct store_bed *b, const char *element, int64_t cid, const char *text)
{
	CLEANUP(freep)
	char *key = xasprintf("cdc/task_position/%s/%lld", element, (long long)cid);
	mysql_plant(b,
		"task_position(task_id, task_position_key, task_position_value, collection_id,"
		" collection_name, target_position_value)",
		key, text);
}

static char *mysql_raw_task(struct store_bed *b, const char *element)
{
	CLEANUP(freep)
	char *sql = xasprintf("SELECT task_info_value FROM cdc.task_info"
			      " WHERE task_info_key = 'cdc/task_info/%s'",
		element);
	return mysql_server_sql(b->my, sql);
}

static void mysql_reopen(struct store_bed *b)
{
	struct mysql_dsn d;
	struct err e = ERR_INIT;

	store_close(b->st);
	if (mysql_dsn_parse(b->my->dsn, &d, NULL, &e))
		fail_msg("%s", e.text);
	b->st = store_mysql_open(&d, root);
}

int store_bed_mysql_group_up(void **state)
{
	struct mysql_server *my = *state = xcalloc(1, sizeof(*my));
	mysql_server_start(my, NULL);
	return 0;
}

int store_bed_mysql_group_down(void **state)
{
	mysql_server_stop(*state);
	free(*state);
	return 0;
}

int store_bed_mysql_up(void **state)
{
	struct mysql_server *my = *state;
	struct store_bed *b = *state = xcalloc(1, sizeof(*b));
	struct store_doc_id none = {"nobody", 1};
	struct store_batch batch = {.gone = &none, .n_gone = 1};
	struct err e = ERR_INIT;

	stop_init(&b->stop, NULL);
	b->my = my;
	free(mysql_server_sql(my, "DROP DATABASE cdc"));
	free(mysql_server_sql(my, "CREATE DATABASE cdc"));
	b->plant_task = mysql_plant_task;
	b->raw_task = mysql_raw_task;
	b->plant_doc = mysql_plant_doc;
	b->reopen = mysql_reopen;
	mysql_reopen(b);
	if (store_write(b->st, &batch, &b->stop, &e)) /* makes the tables */
		fail_msg("%s", e.text);
	return 0;
}

static int remove_one(
	const char *path, const struct stat *st UNUSED, int flag UNUSED, struct FTW *ftw UNUSED)
{
	return remove(path);
}

int store_bed_down(void **state)
{
	struct store_bed *b = *state;

	store_close(b->st);
	if (b->dir[0])
		nftw(b->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	stop_done(&b->stop);
	free(b);
	return 0;
}
