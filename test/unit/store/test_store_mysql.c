/* What only a MySQL metastore can do: tables of the reference, tenants beside ours, another server
 * on the same root, being away, and answers lost in a commit. A real MariaDB. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/store_mysql.h"
#include "support/certs.h"
#include "support/cut_proxy.h"
#include "support/mysql_server.h"

struct bed {
	struct mysql_server server;
	struct certs certs;
	struct stop stop;
};

static char ssl_cert[128], ssl_key[128];
static const char *const with_tls[] = {ssl_cert, ssl_key, NULL};

static int group_up(void **state)
{
	struct bed *b = *state = xcalloc(1, sizeof(*b));

	stop_init(&b->stop, NULL);
	certs_make(&b->certs);
	snprintf(ssl_cert, sizeof(ssl_cert), "--ssl-cert=%s", b->certs.server);
	snprintf(ssl_key, sizeof(ssl_key), "--ssl-key=%s", b->certs.server_key);
	mysql_server_start(&b->server, with_tls);
	return 0;
}

static int group_down(void **state)
{
	struct bed *b = *state;

	mysql_server_stop(&b->server);
	certs_remove(&b->certs);
	stop_done(&b->stop);
	free(b);
	return 0;
}

static void sql(struct bed *b, const char *statement)
{
	free(mysql_server_sql(&b->server, statement));
}

static void expect_sql(struct bed *b, const char *statement, const char *want)
{
	CLEANUP(freep)
	char *got = mysql_server_sql(&b->server, statement);
	assert_string_equal(got, want);
}

/* Each test has an empty database. */
static int fresh(void **state)
{
	sql(*state, "DROP DATABASE IF EXISTS cdc");
	sql(*state, "CREATE DATABASE cdc CHARACTER SET utf8mb3");
	return 0;
}

static struct store *open_at(const char *dsn, const char *root)
{
	struct mysql_dsn d;
	struct err e = ERR_INIT;

	if (mysql_dsn_parse(dsn, &d, NULL, &e))
		fail_msg("%s", e.text);
	return store_mysql_open(&d, root);
}

static struct store *open_store(struct bed *b, const char *root)
{
	return open_at(b->server.dsn, root);
}

static enum err_code put(struct bed *b, struct store *st, const char *id, struct err *e)
{
	CLEANUP(task_freep)
	struct task *t = task_new();
	free(t->id);
	t->id = xstrdup(id);
	return store_put_task(st, t, &b->stop, e);
}

static void put_ok(struct bed *b, struct store *st, const char *id)
{
	struct err e = ERR_INIT;
	if (put(b, st, id, &e))
		fail_msg("%s", e.text);
}

static enum err_code put_named(struct bed *b, struct store *st, const char *task_id, uint64_t ts,
	const char *collection, struct err *e)
{
	CLEANUP(freep)
	char *id = xstrdup(task_id);
	CLEANUP(freep)
	char *name = xstrdup(collection);
	struct store_position s = {
		.channel = "by-dev-rootcoord-dml_0", .pos.ts = ts, .exact = true};
	struct store_positions p = {.task_id = id,
		.collection_id = 449,
		.collection_name = name,
		.source = &s,
		.n_source = 1};
	struct store_batch batch = {.positions = &p, .n_positions = 1};
	return store_write(st, &batch, &b->stop, e);
}

static enum err_code put_doc(
	struct bed *b, struct store *st, const char *task_id, uint64_t ts, struct err *e)
{
	return put_named(b, st, task_id, ts, "foo", e);
}

/* The source time stored for (a, 449) in ms, or -1. */
static int64_t stored_ms(struct bed *b, struct store *st)
{
	struct store_positions *l;
	struct err e = ERR_INIT;
	size_t n;
	int64_t ms = -1;

	if (store_read_positions(st, "a", &b->stop, &l, &n, &e))
		fail_msg("%s", e.text);
	for (size_t i = 0; i < n; i++)
		ms = (int64_t)(l[i].source[0].pos.ts >> 18);
	store_positions_free(l, n);
	return ms;
}

static void expect_error(
	enum err_code code, enum err_code want, const struct err *e, const char *text)
{
	if (code != want || !strstr(e->text, text))
		fail_msg("%s \"%s\", not %s \"%s\"", err_name(code), e->text, err_name(want), text);
	assert_null(strstr(e->text, "p@w"));
}

/* --- the reference's layout --- */

static void test_the_references_tables_and_texts(void **state)
{
	struct bed *b = *state;
	struct store *st = open_store(b, "/keys/");
	struct err e = ERR_INIT;

	put_ok(b, st, "6623ae52");
	assert_int_equal(put_doc(b, st, "6623ae52", 2 << 18, &e), ERR_OK);
	expect_sql(b, "SELECT task_info_key, task_id, LEFT(task_info_value, 32) FROM cdc.task_info",
		"/keys/task_info/6623ae52\t6623ae52\t{\"TaskID\":\"6623ae52\",\"MilvusConn");
	expect_sql(b, "SELECT * FROM cdc.task_position",
		"/keys/task_position/6623ae52/449\t6623ae52\t449\tfoo\t"
		"{\"by-dev-rootcoord-dml_0\":{\"StartTime\":0,\"Time\":1,\"DataPair\":{\"key\":"
		"\"by-dev-rootcoord-dml_0\"},\"Dropped\":false,\"Ext\":{\"V\":1,\"TS\":\"524288\","
		"\"ID\":\"\"}}}\t{}\t{}");
	expect_sql(b,
		"SELECT column_name, column_type, is_nullable FROM information_schema.columns"
		" WHERE table_schema = 'cdc' AND table_name IN ('task_info', 'task_position')"
		" ORDER BY table_name, ordinal_position",
		"task_info_key\tvarchar(255)\tNO\ntask_id\tvarchar(255)\tNO\n"
		"task_info_value\tlongtext\tNO\ntask_position_key\tvarchar(255)\tNO\n"
		"task_id\tvarchar(255)\tNO\ncollection_id\tbigint(20)\tNO\n"
		"collection_name\tvarchar(255)\tNO\ntask_position_value\tlongtext\tNO\n"
		"op_position_value\tlongtext\tYES\ntarget_position_value\tlongtext\tYES");
	store_close(st);
}

/* As the reference makes them, in a database whose collation ignores case. */
static void make_reference_tables(struct bed *b)
{
	sql(b, "CREATE TABLE cdc.task_info(task_info_key varchar(255) not null,"
	       " task_id varchar(255) not null, task_info_value json not null,"
	       " primary key(task_info_key), index idx_key(task_info_key),"
	       " index idx_task_id(task_id))");
	sql(b, "CREATE TABLE cdc.task_position(task_position_key varchar(255) not null,"
	       " task_id varchar(255) not null, collection_id bigint not null,"
	       " collection_name varchar(255) not null, task_position_value json not null,"
	       " op_position_value json, target_position_value json,"
	       " primary key(task_position_key), index idx_task_id(task_id))");
	sql(b, "CREATE TABLE cdc.task_msg(task_msg_key varchar(255) not null,"
	       " task_msg_value json not null, primary key(task_msg_key))");
}

static void test_null_columns_and_unknown_fields(void **state)
{
	struct bed *b = *state;
	struct store *st = open_store(b, "cdc");
	struct store_positions *l;
	struct err e = ERR_INIT;
	size_t n;

	make_reference_tables(b);
	sql(b, "INSERT INTO cdc.task_info VALUES('cdc/task_info/a', 'a',"
	       " '{\"TaskID\":\"a\",\"State\":1,\"Newer\":{\"x\":[1]}}')");
	sql(b, "INSERT INTO cdc.task_position VALUES('cdc/task_position/a/7', 'a', 7, 'foo',"
	       " '{\"ch\":{\"Time\":5,\"DataPair\":{\"key\":\"ch\",\"data\":\"CAEQAg==\"}}}',"
	       " NULL, 'null')");
	assert_int_equal(store_read_positions(st, "a", &b->stop, &l, &n, &e), ERR_OK);
	assert_int_equal(n, 1);
	assert_null(l[0].damaged);
	assert_string_equal(l[0].collection_name, "foo");
	assert_int_equal(l[0].n_source, 1);
	assert_int_equal(l[0].source[0].time_ms, 5);
	assert_int_equal(l[0].n_op + l[0].n_target, 0);
	store_positions_free(l, n);
	put_ok(b, st, "a");
	expect_sql(b, "SELECT JSON_EXTRACT(task_info_value, '$.Newer') FROM cdc.task_info",
		"{\"x\": [1]}");
	store_close(st);
}

/* Reading makes no table: looking at a database of somebody else leaves it as it is. */
static void test_reading_changes_nothing(void **state)
{
	struct bed *b = *state;
	struct store *st = open_store(b, "cdc");
	struct store_fence f;
	struct err e = ERR_INIT;
	struct task **l;
	size_t n;

	assert_int_equal(store_read_tasks(st, &b->stop, &l, &n, &e), ERR_OK);
	assert_int_equal(n, 0);
	assert_int_equal(st->ops->check(st, &b->stop, &e), ERR_OK);
	assert_int_equal(st->ops->fence(st, &b->stop, &f, &e), ERR_OK);
	assert_string_equal(f.text, "");
	expect_sql(b, "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'cdc'",
		"0");
	store_close(st);
}

/* --- tenants --- */

static void test_roots_that_look_like_patterns(void **state)
{
	static const char *const roots[] = {"c_c", "cdc", "c%", "cdc2", "C_C", "c|c", "c'\\"};
	struct bed *b = *state;
	struct store *st[ARRAY_LEN(roots)];
	struct err e = ERR_INIT;
	struct task **l;
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
		st[i] = open_store(b, roots[i]);
		put_ok(b, st[i], "a");
		assert_int_equal(put_doc(b, st[i], "a", (i + 1) << 18, &e), ERR_OK);
	}
	for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
		assert_int_equal(stored_ms(b, st[i]), i + 1);
		assert_int_equal(store_delete_task(st[i], "a", &b->stop, &e), ERR_OK);
		for (size_t k = 0; k < ARRAY_LEN(roots); k++) {
			assert_int_equal(store_read_tasks(st[k], &b->stop, &l, &n, &e), ERR_OK);
			assert_int_equal(n, k > i);
			store_tasks_free(l, n);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(roots); i++)
		store_close(st[i]);
}

/* The reference's own tables in a database that takes "A" for "a". */
static void test_ids_that_differ_in_case_only(void **state)
{
	struct bed *b = *state;
	struct store *st = open_store(b, "cdc");
	struct err e = ERR_INIT;

	make_reference_tables(b);
	put_ok(b, st, "a");
	assert_int_equal(put_doc(b, st, "a", 5 << 18, &e), ERR_OK);
	expect_error(put(b, st, "A", &e), ERR_EXISTS, &e, "differs in case only");
	err_clear(&e);
	assert_int_equal(put_doc(b, st, "A", 6 << 18, &e), ERR_NOT_FOUND);
	err_clear(&e);
	assert_int_equal(store_delete_task(st, "A", &b->stop, &e), ERR_OK);
	assert_int_equal(stored_ms(b, st), 5);
	store_close(st);
}

/* --- refusals --- */

static void test_what_does_not_fit_is_refused(void **state)
{
	struct bed *b = *state;
	struct store *st = open_store(b, "cdc");
	struct err e = ERR_INIT;
	char name[301];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	put_ok(b, st, "a");
	expect_error(put(b, st, name, &e), ERR_LIMIT, &e, "task_info_key");
	err_clear(&e);
	expect_error(put_named(b, st, "a", 1 << 18, name, &e), ERR_LIMIT, &e, "collection_name");
	sql(b, "ALTER TABLE cdc.task_position MODIFY collection_name varchar(1000) not null");
	err_clear(&e);
	assert_int_equal(put_named(b, st, "a", 1 << 18, name, &e), ERR_OK);
	assert_int_equal(put_named(b, st, "a", 2 << 18, "\xf0\x9f\x98\x80", &e), ERR_OK);
	expect_sql(b, "SELECT collection_name FROM cdc.task_position", "\xf0\x9f\x98\x80");
	store_close(st);
}

static void test_tables_without_transactions(void **state)
{
	struct bed *b = *state;
	struct store *st = open_store(b, "cdc");
	struct err e = ERR_INIT;

	make_reference_tables(b);
	sql(b, "ALTER TABLE cdc.task_position ENGINE=MyISAM");
	expect_error(put(b, st, "a", &e), ERR_UNSUPPORTED, &e,
		"ALTER TABLE task_position ENGINE=InnoDB");
	store_close(st);
}

static void checks_as(struct bed *b, const char *dsn, enum err_code want, const char *text)
{
	struct store *st = open_at(dsn, "cdc");
	struct err e = ERR_INIT;
	enum err_code code = st->ops->check(st, &b->stop, &e);

	expect_error(code, want, &e, text);
	store_close(st);
}

static void test_errors_name_the_cause(void **state)
{
	struct bed *b = *state;
	char dsn[256];

	snprintf(dsn, sizeof(dsn), "cdc:p@w:/y@tcp(%s)/cdc", b->server.address);
	checks_as(b, dsn, ERR_DENIED, "check user and password in metaStoreConfig.mysqlSourceUrl");
	snprintf(dsn, sizeof(dsn), "cdc:p@w:/x@tcp(%s)/other", b->server.address);
	checks_as(b, dsn, ERR_DENIED,
		"other"); /* who may not see it is not told whether it is there */
	snprintf(dsn, sizeof(dsn), "root:@unix(%s)/other", b->server.socket);
	checks_as(
		b, dsn, ERR_NOT_FOUND, "has no database other; create it: CREATE DATABASE `other`");
	checks_as(b, "cdc:p@w:/x@tcp(127.0.0.1:1)/cdc?timeout=1s", ERR_UNAVAILABLE, "127.0.0.1:1");
	checks_as(b, "cdc:p@w:/x@unix(/no/such/socket)/cdc", ERR_UNAVAILABLE, "/no/such/socket");
	snprintf(dsn, sizeof(dsn), "cdc:p@w:/x@unix(%s)/cdc", b->server.socket);
	checks_as(b, dsn, ERR_OK, "");
}

/* Without the right to create, tables that are there are enough. */
static void test_few_rights_are_enough(void **state)
{
	struct bed *b = *state;
	struct err e = ERR_INIT;
	char dsn[256];

	sql(b, "CREATE OR REPLACE USER few@'%' IDENTIFIED BY 'p'");
	sql(b, "GRANT SELECT, INSERT, UPDATE, DELETE ON cdc.* TO few@'%'");
	snprintf(dsn, sizeof(dsn), "few:p@tcp(%s)/cdc", b->server.address);
	struct store *st = open_at(dsn, "cdc");
	expect_error(put(b, st, "a", &e), ERR_DENIED, &e, "CREATE command denied");
	struct store *maker = open_store(b, "maker");
	put_ok(b, maker, "a");
	put_ok(b, st, "a");
	store_close(maker);
	store_close(st);
}

/* --- TLS --- */

static void expect_tls(struct bed *b, const char *setting, enum err_code want, const char *text)
{
	char dsn[256];

	snprintf(dsn, sizeof(dsn), "cdc:p@w:/x@tcp(%s)/cdc?tls=%s", b->server.address, setting);
	checks_as(b, dsn, want, text);
}

static void test_tls(void **state)
{
	struct bed *b = *state;

	sql(b, "ALTER USER cdc@'%' REQUIRE SSL");
	expect_tls(b, "false", ERR_DENIED, "Access denied");
	expect_tls(b, "skip-verify", ERR_OK, "");
	expect_tls(b, "preferred", ERR_OK, "");
	expect_tls(b, "true", ERR_UNAVAILABLE, "see tls= in metaStoreConfig.mysqlSourceUrl");
	/* What OpenSSL takes for the system's roots. */
	setenv("SSL_CERT_FILE", b->certs.ca, 1);
	expect_tls(b, "true", ERR_OK, "");
	setenv("SSL_CERT_FILE", b->certs.other_ca, 1);
	expect_tls(b, "true", ERR_UNAVAILABLE, "see tls= in metaStoreConfig.mysqlSourceUrl");
	unsetenv("SSL_CERT_FILE");
	sql(b, "ALTER USER cdc@'%' REQUIRE NONE");
	/* A server without TLS. */
	mysql_server_kill(&b->server);
	static const char *const no_tls[] = {"--skip-ssl", NULL};
	b->server.extra = no_tls;
	mysql_server_restart(&b->server);
	expect_tls(b, "preferred", ERR_OK, "");
	expect_tls(b, "skip-verify", ERR_UNAVAILABLE, "see tls= in metaStoreConfig.mysqlSourceUrl");
	b->server.extra = with_tls;
}

/* --- two servers, outages --- */

static void test_the_newest_server_wins_and_the_other_is_told(void **state)
{
	struct bed *b = *state;
	struct store *one = open_store(b, "own"), *two = open_store(b, "own");
	struct store *elsewhere = open_store(b, "own2");
	struct err e = ERR_INIT;

	put_ok(b, one, "a");
	put_ok(b, elsewhere, "a");
	assert_int_equal(put_doc(b, one, "a", 1 << 18, &e), ERR_OK);
	assert_int_equal(put_doc(b, two, "a", 2 << 18, &e), ERR_OK);
	for (int i = 0; i < 3; i++) {
		err_clear(&e);
		expect_error(put_doc(b, one, "a", 3 << 18, &e), ERR_CONFLICT, &e,
			"taken over by another server");
		assert_non_null(strstr(e.text, "\"process\""));
		err_clear(&e);
		assert_int_equal(one->ops->check(one, &b->stop, &e), ERR_CONFLICT);
	}
	assert_int_equal(stored_ms(b, two), 2);
	err_clear(&e);
	assert_int_equal(put_doc(b, two, "a", 4 << 18, &e), ERR_OK);
	store_close(one);
	store_close(two);
	store_close(elsewhere);
}

static void test_the_fence_moves_with_every_change(void **state)
{
	struct bed *b = *state;
	struct store *st = open_store(b, "cdc"), *looker = open_store(b, "cdc");
	struct store_fence f, g;
	struct err e = ERR_INIT;

	put_ok(b, st, "a");
	assert_int_equal(looker->ops->fence(looker, &b->stop, &f, &e), ERR_OK);
	assert_non_null(strstr(f.text, "\"process\""));
	assert_int_equal(looker->ops->fence(looker, &b->stop, &g, &e), ERR_OK);
	assert_true(f.revision == g.revision);
	assert_int_equal(put_doc(b, st, "a", 1 << 18, &e), ERR_OK);
	assert_int_equal(looker->ops->fence(looker, &b->stop, &g, &e), ERR_OK);
	assert_true(g.revision > f.revision);
	store_close(looker);
	store_close(st);
}

static void test_a_connection_closed_while_idle_is_replaced_unseen(void **state)
{
	struct bed *b = *state;
	struct store *st = open_store(b, "cdc");
	struct err e = ERR_INIT;

	put_ok(b, st, "a");
	for (int i = 1; i < 4; i++) {
		CLEANUP(freep)
		char *id = mysql_server_sql(&b->server,
			"SELECT max(id) FROM information_schema.processlist WHERE user = 'cdc'");
		CLEANUP(freep)
		char *kill = xasprintf("KILL %s", id);
		sql(b, kill);
		if (i % 2)
			assert_int_equal(put_doc(b, st, "a", (uint64_t)i << 18, &e), ERR_OK);
		else
			assert_int_equal(stored_ms(b, st), i - 1);
	}
	store_close(st);
}

static void test_away_and_back(void **state)
{
	struct bed *b = *state;
	struct store *st = open_store(b, "cdc");
	struct err e = ERR_INIT;

	put_ok(b, st, "a");
	mysql_server_kill(&b->server);
	expect_error(put_doc(b, st, "a", 1 << 18, &e), ERR_UNAVAILABLE, &e, b->server.address);
	err_clear(&e);
	expect_error(st->ops->check(st, &b->stop, &e), ERR_UNAVAILABLE, &e, b->server.address);
	mysql_server_restart(&b->server);
	err_clear(&e);
	assert_int_equal(put_doc(b, st, "a", 2 << 18, &e), ERR_OK);
	store_close(st);
}

static void test_a_silent_server_is_given_up_and_a_stop_is_heard(void **state)
{
	struct bed *b = *state;
	char dsn[256];

	snprintf(dsn, sizeof(dsn), "%s&readTimeout=300ms&timeout=1s", b->server.dsn);
	struct store *st = open_at(dsn, "cdc"), *patient = open_store(b, "cdc2");
	struct err e = ERR_INIT;
	struct stop s;

	put_ok(b, st, "a");
	put_ok(b, patient, "a");
	mysql_server_freeze(&b->server);
	expect_error(put_doc(b, st, "a", 1 << 18, &e), ERR_TIMEOUT, &e, "no answer in time");
	stop_init(&s, NULL);
	stop_set(&s);
	struct store_batch none = {.n_gone = 0};
	err_clear(&e);
	assert_int_equal(store_write(patient, &none, &s, &e), ERR_CANCELLED);
	stop_done(&s);
	mysql_server_thaw(&b->server);
	err_clear(&e);
	assert_int_equal(put_doc(b, st, "a", 2 << 18, &e), ERR_OK);
	store_close(patient);
	store_close(st);
}

/* --- answers lost in a commit --- */

static struct store *open_through(struct bed *b, struct cut_proxy *p)
{
	char dsn[256];

	cut_proxy_start(p, b->server.port);
	snprintf(dsn, sizeof(dsn), "cdc:p@w:/x@tcp(127.0.0.1:%d)/cdc?timeout=2s", p->port);
	return open_at(dsn, "cdc");
}

/* The server has committed: the store finds that out and says OK. */
static void test_a_commit_whose_answer_is_lost(void **state)
{
	struct bed *b = *state;
	struct cut_proxy p;
	struct store *st = open_through(b, &p);
	struct err e = ERR_INIT;

	put_ok(b, st, "a");
	for (uint64_t i = 1; i < 4; i++) {
		cut_proxy_arm(&p, "COMMIT", CUT_ANSWER);
		if (put_doc(b, st, "a", i << 18, &e))
			fail_msg("%s", e.text);
		assert_true(cut_proxy_fired(&p));
		assert_int_equal(stored_ms(b, st), i);
	}
	store_close(st);
	cut_proxy_stop(&p);
}

/* It never reached the server: nothing is written, and it may be repeated. */
static void test_a_commit_that_is_lost(void **state)
{
	struct bed *b = *state;
	struct cut_proxy p;
	struct store *st = open_through(b, &p);
	struct err e = ERR_INIT;

	put_ok(b, st, "a");
	assert_int_equal(put_doc(b, st, "a", 1 << 18, &e), ERR_OK);
	cut_proxy_arm(&p, "COMMIT", CUT_REQUEST);
	expect_error(put_doc(b, st, "a", 2 << 18, &e), ERR_UNAVAILABLE, &e, "before the commit");
	assert_true(cut_proxy_fired(&p));
	assert_int_equal(stored_ms(b, st), 1);
	err_clear(&e);
	assert_int_equal(put_doc(b, st, "a", 2 << 18, &e), ERR_OK);
	assert_int_equal(stored_ms(b, st), 2);
	store_close(st);
	cut_proxy_stop(&p);
}

/* Nobody can be asked: UNCERTAIN, and the same write repeated later is right. */
static void test_a_commit_lost_with_the_server(void **state)
{
	struct bed *b = *state;
	struct cut_proxy p;
	struct store *st = open_through(b, &p);
	struct err e = ERR_INIT;

	put_ok(b, st, "a");
	cut_proxy_arm(&p, "COMMIT", CUT_ANSWER_AND_DOOR);
	expect_error(put_doc(b, st, "a", 1 << 18, &e), ERR_UNCERTAIN, &e, "fate could not be read");
	cut_proxy_open(&p);
	err_clear(&e);
	assert_int_equal(put_doc(b, st, "a", 1 << 18, &e), ERR_OK);
	assert_int_equal(stored_ms(b, st), 1);
	store_close(st);
	cut_proxy_stop(&p);
}

/* Cut at every statement of a change in turn: all of it or nothing, and the next one goes. */
static void test_cut_at_every_statement(void **state)
{
	static const char *const at[] = {"START TRANSACTION", "FOR UPDATE", "SELECT task_info_key",
		"INSERT INTO task_position", "INSERT INTO milvus_cdc_owner"};
	struct bed *b = *state;
	struct cut_proxy p;
	struct store *st = open_through(b, &p);
	struct err e = ERR_INIT;

	put_ok(b, st, "a");
	for (uint64_t i = 0; i < ARRAY_LEN(at); i++) {
		cut_proxy_arm(&p, at[i], i % 2 ? CUT_REQUEST : CUT_ANSWER);
		err_clear(&e);
		/* The connection was used before, so it is taken for one that was idle. */
		if (put_doc(b, st, "a", (i + 1) << 18, &e))
			fail_msg("%s: %s", at[i], e.text);
		assert_true(cut_proxy_fired(&p));
		assert_int_equal(stored_ms(b, st), i + 1);
	}
	store_close(st);
	cut_proxy_stop(&p);
}

/* That is no deleted task, whose positions may be left out: nothing was stored. */
static void test_tables_that_were_taken_away(void **state)
{
	static const char *const drops[] = {
		"DROP TABLE cdc.task_position", "DROP TABLE cdc.task_info", "DROP DATABASE cdc"};
	struct bed *b = *state;
	struct store *st = open_store(b, "r");
	struct err e = ERR_INIT;

	for (uint64_t i = 0; i < ARRAY_LEN(drops); i++) {
		/* Tables are made again; records are not. */
		put_ok(b, st, "a");
		err_clear(&e);
		assert_int_equal(put_doc(b, st, "a", (i + 1) << 18, &e), ERR_OK);
		assert_int_equal(stored_ms(b, st), i + 1);
		sql(b, drops[i]);
		expect_error(put_doc(b, st, "a", 9 << 18, &e), ERR_UNAVAILABLE, &e, "metastore: ");
	}
	store_close(st);
}

#define TEST(fn) cmocka_unit_test_setup(fn, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_references_tables_and_texts),
		TEST(test_null_columns_and_unknown_fields),
		TEST(test_reading_changes_nothing),
		TEST(test_roots_that_look_like_patterns),
		TEST(test_ids_that_differ_in_case_only),
		TEST(test_what_does_not_fit_is_refused),
		TEST(test_tables_without_transactions),
		TEST(test_errors_name_the_cause),
		TEST(test_few_rights_are_enough),
		TEST(test_tls),
		TEST(test_the_newest_server_wins_and_the_other_is_told),
		TEST(test_the_fence_moves_with_every_change),
		TEST(test_a_connection_closed_while_idle_is_replaced_unseen),
		TEST(test_tables_that_were_taken_away),
		TEST(test_away_and_back),
		TEST(test_a_silent_server_is_given_up_and_a_stop_is_heard),
		TEST(test_a_commit_whose_answer_is_lost),
		TEST(test_a_commit_that_is_lost),
		TEST(test_a_commit_lost_with_the_server),
		TEST(test_cut_at_every_statement),
	};
	return cmocka_run_group_tests(tests, group_up, group_down);
}
