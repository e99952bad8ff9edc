/* The statements of the MySQL metastore. Rows go many to a statement: a round trip to the server
 * may take longer than all its work. */
#include "store/store_mysql_sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "store/keys.h"
#include "store/record.h"

/* A statement with more than this in it is sent; a server takes at least 1 MiB. */
enum { FULL_BYTES = 256 << 10 };

/* --- tables --- */

/* The reference's, column by column; ours compare bytes, so that ids that differ in case only are
 * two. The reference does not mind. */
static const struct {
	const char *name, *sql;
} tables[] = {
	{"task_info", "CREATE TABLE IF NOT EXISTS task_info("
		      " task_info_key VARCHAR(255) NOT NULL, task_id VARCHAR(255) NOT NULL,"
		      " task_info_value JSON NOT NULL, PRIMARY KEY(task_info_key),"
		      " INDEX idx_key(task_info_key), INDEX idx_task_id(task_id))"
		      " ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"},
	{"task_position", "CREATE TABLE IF NOT EXISTS task_position("
			  " task_position_key VARCHAR(255) NOT NULL, task_id VARCHAR(255) NOT NULL,"
			  " collection_id BIGINT NOT NULL, collection_name VARCHAR(255) NOT NULL,"
			  " task_position_value JSON NOT NULL, op_position_value JSON,"
			  " target_position_value JSON, PRIMARY KEY(task_position_key),"
			  " INDEX idx_key(task_position_key), INDEX idx_task_id(task_id),"
			  " INDEX idx_collection_id(collection_id))"
			  " ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"},
	{"milvus_cdc_ext",
		"CREATE TABLE IF NOT EXISTS milvus_cdc_ext("
		" ext_key VARBINARY(1024) NOT NULL PRIMARY KEY, ext_value LONGTEXT NOT NULL)"
		" ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"},
	{"milvus_cdc_owner",
		"CREATE TABLE IF NOT EXISTS milvus_cdc_owner("
		" owner_key VARBINARY(1024) NOT NULL PRIMARY KEY, owner_value TEXT NOT NULL,"
		" revision BIGINT NOT NULL)"
		" ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"},
};

struct found {
	bool there[ARRAY_LEN(tables)];
	char plain[64]; /* a table without transactions, and its engine */
};

static void take_table(void *arg, const struct slice *c)
{
	struct found *f = arg;

	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		if (!slice_eq_str(c[0], tables[i].name))
			continue;
		f->there[i] = true;
		if (!slice_eq_str(c[1], "InnoDB"))
			snprintf(f->plain, sizeof(f->plain), "%s", tables[i].name);
	}
}

/* Looks first: CREATE wants a right that nobody needs once the tables are there. */
enum err_code my_tables_make(struct my *my, struct stop *s, struct err *e)
{
	CLEANUP(buf_done) struct buf sql = BUF_INIT(MY_SQL_BYTES);
	struct found f = {.plain = ""};

	buf_put_str(&sql, "SELECT table_name, engine FROM information_schema.tables"
			  " WHERE table_schema = DATABASE()");
	if (mydb_query(&my->db, &sql, take_table, &f, s, e))
		return e->code;
	if (*f.plain)
		return err_set(e, ERR_UNSUPPORTED,
			"MySQL table %s knows no transactions; run ALTER TABLE %s ENGINE=InnoDB",
			f.plain, f.plain);
	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		if (!f.there[i] && mydb_exec(&my->db, tables[i].sql, s, e))
			return e->code;
	return ERR_OK;
}

/* --- conditions --- */

/* In the order of enum store_kind. */
static const struct {
	const char *table, *key, *columns;
} kinds[] = {
	{"task_info", "task_info_key", "NULL, task_info_value"},
	{"task_position", "task_position_key",
		"collection_name, task_position_value, op_position_value, target_position_value"},
	{"milvus_cdc_ext", "ext_key", "NULL, ext_value"},
};

/* " WHERE <the key starts with prefix>": LIKE finds it by the index and may take upper for lower
 * case, the comparison of bytes does not. */
static void put_prefix_where(struct buf *sql, enum store_kind kind, const char *prefix)
{
	buf_putf(sql, " WHERE %s LIKE ", kinds[kind].key);
	mydb_quote_prefix(sql, prefix);
	buf_putf(
		sql, " AND LEFT(CAST(%s AS BINARY), %zu) = CAST(", kinds[kind].key, strlen(prefix));
	mydb_quote(sql, slice_str(prefix));
	buf_put_str(sql, " AS BINARY)");
}

static void put_key_where(struct buf *sql, enum store_kind kind, const char *key)
{
	buf_putf(sql, " WHERE %s = ", kinds[kind].key);
	mydb_quote(sql, slice_str(key));
	buf_putf(sql, " AND CAST(%s AS BINARY) = CAST(", kinds[kind].key);
	mydb_quote(sql, slice_str(key));
	buf_put_str(sql, " AS BINARY)");
}

/* --- reading --- */

static void give_row(void *arg, const struct slice *c)
{
	struct my_listing *ml = arg;
	CLEANUP(freep)
	char *name = xstrndup((const char *)(c[1].p ? c[1].p : (const uint8_t *)""), c[1].n);
	struct store_row row = {.rest = slice_of(c[0].p + ml->skip, c[0].n - ml->skip)};

	if (ml->l->kind == STORE_POSITIONS)
		row.name = name;
	for (int i = 0; i < 3; i++)
		row.texts[i] = c[i + 2];
	ml->given = true;
	ml->l->fn(ml->l->arg, &row);
}

enum err_code my_list(struct my *my, struct my_listing *ml, struct stop *s, struct err *e)
{
	enum store_kind kind = ml->l->kind;
	CLEANUP(buf_done) struct buf sql = BUF_INIT(MY_SQL_BYTES);
	CLEANUP(freep)
	char *all = keys_kind_prefix(my->root, kind);
	CLEANUP(freep)
	char *prefix = xasprintf("%s%s", all, ml->l->below);

	ml->skip = strlen(all);
	buf_putf(&sql, "SELECT %s, %s FROM %s", kinds[kind].key, kinds[kind].columns,
		kinds[kind].table);
	put_prefix_where(&sql, kind, prefix);
	buf_putf(&sql, " ORDER BY CAST(%s AS BINARY)", kinds[kind].key);
	return mydb_query(&my->db, &sql, give_row, ml, s, e);
}

/* --- tasks --- */

struct stored {
	const char *key;
	char *text; /* heap; NULL if there is none */
	bool other; /* the table holds another key that it takes for this one */
};

static void take_stored(void *arg, const struct slice *c)
{
	struct stored *st = arg;

	if (!slice_eq_str(c[0], st->key))
		st->other = true;
	else
		st->text = xstrndup((const char *)c[1].p, c[1].n);
}

static enum err_code read_task(
	struct my *my, struct stored *st, const char *id, struct stop *s, struct err *e)
{
	CLEANUP(buf_done) struct buf sql = BUF_INIT(MY_SQL_BYTES);

	buf_put_str(&sql,
		"SELECT task_info_key, task_info_value FROM task_info WHERE task_info_key = ");
	mydb_quote(&sql, slice_str(st->key));
	if (mydb_query(&my->db, &sql, take_stored, st, s, e))
		return e->code;
	if (st->other && !st->text)
		return err_set(e, ERR_EXISTS,
			"MySQL table task_info takes task id \"%s\" for another one that differs "
			"in "
			"case only; use another id, or run ALTER TABLE task_info CONVERT TO "
			"CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
			id);
	return ERR_OK;
}

static enum err_code text_put(
	struct my *my, const char *id, const char *text, struct stop *s, struct err *e)
{
	CLEANUP(buf_done) struct buf sql = BUF_INIT(MY_SQL_BYTES);
	CLEANUP(freep)
	char *key = keys_task(my->root, id);

	buf_put_str(&sql, "INSERT INTO task_info(task_info_key, task_id, task_info_value) VALUES(");
	mydb_quote(&sql, slice_str(key));
	buf_put_u8(&sql, ',');
	mydb_quote(&sql, slice_str(id));
	buf_put_u8(&sql, ',');
	mydb_quote(&sql, slice_str(text));
	buf_put_str(&sql, ") ON DUPLICATE KEY UPDATE task_info_value = VALUES(task_info_value)");
	return mydb_query(&my->db, &sql, NULL, NULL, s, e);
}

/* text NULL: t is merged over what is stored. */
static enum err_code task_put(struct my *my, const char *id, const struct task *t, const char *text,
	struct stop *s, struct err *e)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(LIMIT_RECORD);
	CLEANUP(freep)
	char *key = keys_task(my->root, id);
	struct stored st = {.key = key};
	enum err_code code = read_task(my, &st, id, s, e);

	if (!code && t)
		code = st.text ? record_task_merge(&b, slice_str(st.text), t, e)
			       : record_task_encode(&b, t, e);
	free(st.text);
	if (code)
		return code;
	return text_put(my, id, text ? text : buf_cstr(&b), s, e);
}

/* --- deletion --- */

static enum err_code delete_prefix(
	struct my *my, enum store_kind kind, const char *prefix, struct stop *s, struct err *e)
{
	CLEANUP(buf_done) struct buf sql = BUF_INIT(MY_SQL_BYTES);

	buf_putf(&sql, "DELETE FROM %s", kinds[kind].table);
	put_prefix_where(&sql, kind, prefix);
	return mydb_query(&my->db, &sql, NULL, NULL, s, e);
}

static enum err_code delete_key(
	struct my *my, enum store_kind kind, const char *key, struct stop *s, struct err *e)
{
	CLEANUP(buf_done) struct buf sql = BUF_INIT(MY_SQL_BYTES);

	buf_putf(&sql, "DELETE FROM %s", kinds[kind].table);
	put_key_where(&sql, kind, key);
	return mydb_query(&my->db, &sql, NULL, NULL, s, e);
}

static enum err_code delete_exts(
	struct my *my, const char *kind, const char *id, struct stop *s, struct err *e)
{
	CLEANUP(freep)
	char *key = keys_ext_task(kind, id, "");
	CLEANUP(freep)
	char *prefix = keys_ext(my->root, key);
	return delete_prefix(my, STORE_EXTS, prefix, s, e);
}

/* The reference wrote an id with a slash as it is; no key of ours looks like that. */
static enum err_code delete_verbatim(struct my *my, const char *id, struct stop *s, struct err *e)
{
	CLEANUP(freep)
	char *tasks = keys_task_prefix(my->root);
	CLEANUP(freep)
	char *docs = keys_position_prefix(my->root, NULL);
	CLEANUP(freep)
	char *task = xasprintf("%s%s", tasks, id);
	CLEANUP(freep)
	char *positions = xasprintf("%s%s/", docs, id);

	if (delete_key(my, STORE_TASKS, task, s, e))
		return e->code;
	return delete_prefix(my, STORE_POSITIONS, positions, s, e);
}

enum err_code my_task_delete(struct my *my, const char *id, struct stop *s, struct err *e)
{
	CLEANUP(freep)
	char *task = keys_task(my->root, id);
	CLEANUP(freep)
	char *positions = keys_position_prefix(my->root, id);
	CLEANUP(freep)
	char *canonical = keys_decode_id(slice_str(id));

	if (delete_key(my, STORE_TASKS, task, s, e) ||
		delete_prefix(my, STORE_POSITIONS, positions, s, e) ||
		delete_exts(my, "object", id, s, e) || delete_exts(my, "bound", id, s, e))
		return e->code;
	return canonical ? ERR_OK : delete_verbatim(my, id, s, e);
}

/* --- many rows --- */

/* A statement that grows row by row: head (row), (row) ... tail. */
struct rows {
	struct my *my;
	const char *head, *tail;
	struct buf sql;
};

static enum err_code rows_send(struct rows *r, struct stop *s, struct err *e)
{
	if (!r->sql.n)
		return ERR_OK;
	buf_put_str(&r->sql, r->tail);
	enum err_code code = mydb_query(&r->my->db, &r->sql, NULL, NULL, s, e);
	buf_reset(&r->sql);
	return code;
}

/* Begins a row of about n bytes; the caller writes what stands between its parentheses. */
static enum err_code rows_begin(struct rows *r, size_t n, struct stop *s, struct err *e)
{
	if (r->sql.n && r->sql.n + n > FULL_BYTES && rows_send(r, s, e))
		return e->code;
	buf_put_str(&r->sql, r->sql.n ? ",(" : r->head);
	return ERR_OK;
}

/* --- positions --- */

struct existing {
	struct smap keys; /* keys of task_info -> the map */
};

static void take_existing(void *arg, const struct slice *c)
{
	struct existing *x = arg;
	CLEANUP(freep)
	char *key = xstrndup((const char *)c[0].p, c[0].n);

	smap_put(&x->keys, key, x);
}

/* Which of the batch's tasks have a record; each is asked for once. */
static enum err_code find_tasks(struct my *my, const struct store_batch *b, struct existing *x,
	struct stop *s, struct err *e)
{
	struct smap asked = {{NULL, 0, 0, 0}};
	CLEANUP(buf_done) struct buf sql = BUF_INIT(MY_SQL_BYTES);

	buf_put_str(&sql, "SELECT task_info_key FROM task_info WHERE task_info_key IN (");
	for (size_t i = 0; i < b->n_positions; i++) {
		CLEANUP(freep)
		char *key = keys_task(my->root, b->positions[i].task_id);
		if (smap_get(&asked, key))
			continue;
		buf_put_str(&sql, smap_count(&asked) ? "," : "");
		mydb_quote(&sql, slice_str(key));
		smap_put(&asked, key, x);
	}
	smap_done(&asked);
	buf_put_u8(&sql, ')');
	return mydb_query(&my->db, &sql, take_existing, x, s, e);
}

static enum err_code encode_maps(const struct store_positions *p, struct buf maps[3], struct err *e)
{
	const struct store_position *lists[] = {p->source, p->op, p->target};
	const size_t counts[] = {p->n_source, p->n_op, p->n_target};

	for (int i = 0; i < 3; i++)
		if (record_entries_encode(&maps[i], lists[i], counts[i], e))
			return e->code;
	return ERR_OK;
}

static enum err_code put_row(struct rows *r, const struct store_positions *p, struct buf maps[3],
	struct stop *s, struct err *e)
{
	CLEANUP(freep)
	char *key = keys_position(r->my->root, p->task_id, p->collection_id);

	if (rows_begin(r, maps[0].n + maps[1].n + maps[2].n, s, e))
		return e->code;
	mydb_quote(&r->sql, slice_str(key));
	buf_put_u8(&r->sql, ',');
	mydb_quote(&r->sql, slice_str(p->task_id));
	buf_putf(&r->sql, ",%lld,", (long long)p->collection_id);
	mydb_quote(&r->sql, slice_str(p->collection_name ? p->collection_name : ""));
	for (int i = 0; i < 3; i++) {
		buf_put_u8(&r->sql, ',');
		mydb_quote(&r->sql, buf_slice(&maps[i]));
	}
	buf_put_u8(&r->sql, ')');
	return ERR_OK;
}

static enum err_code add_position(
	struct rows *r, const struct store_positions *p, struct stop *s, struct err *e)
{
	struct buf maps[3] = {
		BUF_INIT(LIMIT_RECORD), BUF_INIT(LIMIT_RECORD), BUF_INIT(LIMIT_RECORD)};
	enum err_code code = encode_maps(p, maps, e);

	if (!code)
		code = put_row(r, p, maps, s, e);
	for (int i = 0; i < 3; i++)
		buf_done(&maps[i]);
	return code;
}

static enum err_code add_positions(struct rows *r, const struct store_batch *b,
	const struct existing *x, const char **ret_missing, struct stop *s, struct err *e)
{
	for (size_t i = 0; i < b->n_positions; i++) {
		const struct store_positions *p = &b->positions[i];
		CLEANUP(freep)
		char *task = keys_task(r->my->root, p->task_id);
		if (!smap_get(&x->keys, task))
			*ret_missing = p->task_id;
		else if (add_position(r, p, s, e))
			return e->code;
	}
	return rows_send(r, s, e);
}

static enum err_code positions_put(struct my *my, const struct store_batch *b,
	const char **ret_missing, struct stop *s, struct err *e)
{
	struct existing x = {{{NULL, 0, 0, 0}}};
	struct rows r = {.my = my,
		.head = "INSERT INTO task_position(task_position_key, task_id, collection_id,"
			" collection_name, task_position_value, op_position_value,"
			" target_position_value) VALUES(",
		.tail = " ON DUPLICATE KEY UPDATE collection_name = VALUES(collection_name),"
			" task_position_value = VALUES(task_position_value),"
			" op_position_value = VALUES(op_position_value),"
			" target_position_value = VALUES(target_position_value)",
		.sql = BUF_INIT(MY_SQL_BYTES)};
	enum err_code code = find_tasks(my, b, &x, s, e);

	if (!code)
		code = add_positions(&r, b, &x, ret_missing, s, e);
	smap_done(&x.keys);
	buf_done(&r.sql);
	return code;
}

/* --- our own records --- */

static enum err_code add_exts(
	struct rows *r, const struct store_batch *b, struct stop *s, struct err *e)
{
	for (size_t i = 0; i < b->n_exts; i++) {
		const struct store_ext *x = &b->exts[i];
		CLEANUP(freep)
		char *key = keys_ext(r->my->root, x->key);
		if (!x->value) {
			if (delete_key(r->my, STORE_EXTS, key, s, e))
				return e->code;
			continue;
		}
		if (rows_begin(r, strlen(x->value), s, e))
			return e->code;
		mydb_quote(&r->sql, slice_str(key));
		buf_put_u8(&r->sql, ',');
		mydb_quote(&r->sql, slice_str(x->value));
		buf_put_u8(&r->sql, ')');
	}
	return rows_send(r, s, e);
}

static enum err_code exts_put(
	struct my *my, const struct store_batch *b, struct stop *s, struct err *e)
{
	struct rows r = {.my = my,
		.head = "INSERT INTO milvus_cdc_ext(ext_key, ext_value) VALUES(",
		.tail = " ON DUPLICATE KEY UPDATE ext_value = VALUES(ext_value)",
		.sql = BUF_INIT(MY_SQL_BYTES)};
	enum err_code code = add_exts(&r, b, s, e);

	buf_done(&r.sql);
	return code;
}

static enum err_code gone_delete(
	struct my *my, const struct store_batch *b, struct stop *s, struct err *e)
{
	for (size_t i = 0; i < b->n_gone; i++) {
		CLEANUP(freep)
		char *key = keys_position(my->root, b->gone[i].task_id, b->gone[i].collection_id);
		if (delete_key(my, STORE_POSITIONS, key, s, e))
			return e->code;
	}
	return ERR_OK;
}

enum err_code my_batch_write(struct my *my, const struct store_batch *b, const char **ret_missing,
	struct stop *s, struct err *e)
{
	for (size_t i = 0; i < b->n_texts; i++)
		if (task_put(my, b->texts[i].key, NULL, b->texts[i].value, s, e))
			return e->code;
	if (b->task && task_put(my, b->task->id, b->task, NULL, s, e))
		return e->code;
	if (gone_delete(my, b, s, e) || (b->n_positions && positions_put(my, b, ret_missing, s, e)))
		return e->code;
	return b->n_exts ? exts_put(my, b, s, e) : ERR_OK;
}
