/* The SQLite metastore: the reference's SQL layout in one file, every change one durable
 * transaction. Threads: any; one mutex serialises them. It is held over SQLite's own calls, which
 * is the one exception to "no I/O under a lock": a connection can't be used by two threads in turn
 * inside a transaction, the calls are local and end within the busy timeout. */
#include "store/store_sqlite.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/mutex.h"
#include "store/keys.h"
#include "store/record.h"
#include "store/sqdb.h"

struct store_sqlite {
	struct store st;
	char *root;
	struct mutex mtx;
	struct sqdb db; /* under mtx */
};

static struct store_sqlite *self(struct store *st)
{
	return CONTAINER_OF(st, struct store_sqlite, st);
}

static enum err_code sq_check(struct store *st, struct stop *s, struct err *e)
{
	struct store_sqlite *me = self(st);

	if (stop_is_set(s))
		return stop_err(e);
	mutex_lock(&me->mtx);
	enum err_code code = sqdb_present(&me->db, e);
	if (!code)
		code = sqdb_exec(&me->db, "SELECT version FROM schema_version", e);
	mutex_unlock(&me->mtx);
	return code;
}

/* The three kinds as tables, in the order of enum store_kind: key, then name and texts as a row
 * has them. */
static const char *const list_sql[] = {
	"SELECT task_info_key, NULL, task_info_value FROM task_info"
	" WHERE task_info_key >= ?1 AND task_info_key < ?2 ORDER BY task_info_key",
	"SELECT task_position_key, collection_name, task_position_value, op_position_value,"
	" target_position_value FROM task_position"
	" WHERE task_position_key >= ?1 AND task_position_key < ?2 ORDER BY task_position_key",
	"SELECT ext_key, NULL, ext_value FROM ext"
	" WHERE ext_key >= ?1 AND ext_key < ?2 ORDER BY ext_key",
};

static void give_row(const struct store_listing *l, size_t skip, sqlite3_stmt *q)
{
	struct slice key = sqdb_column(q, 0), name = sqdb_column(q, 1);
	CLEANUP(freep)
	char *text = xstrndup((const char *)name.p, name.n);
	struct store_row row = {
		.rest = slice_of(key.p + MIN(skip, key.n), key.n - MIN(skip, key.n)),
		.name = l->kind == STORE_POSITIONS ? text : NULL};

	for (int i = 0; i < (int)ARRAY_LEN(row.texts) && i + 2 < sqlite3_column_count(q); i++)
		row.texts[i] = sqdb_column(q, i + 2);
	l->fn(l->arg, &row);
}

static enum err_code list_locked(
	struct store_sqlite *me, const struct store_listing *l, struct err *e) REQUIRES(me->mtx)
{
	CLEANUP(sqdb_stmt_freep)
	sqlite3_stmt *q = NULL;
	CLEANUP(freep)
	char *all = keys_kind_prefix(me->root, l->kind);
	CLEANUP(freep)
	char *prefix = xasprintf("%s%s", all, l->below);
	CLEANUP(freep)
	char *end = keys_prefix_end(prefix);
	bool row;

	if (sqdb_present(&me->db, e) || sqdb_prepare(&me->db, list_sql[l->kind], &q, e))
		return e->code;
	sqdb_bind(q, 1, prefix);
	sqdb_bind(q, 2, end);
	for (;;) {
		if (sqdb_step(&me->db, q, &row, e))
			return e->code;
		if (!row)
			return ERR_OK;
		give_row(l, strlen(all), q);
	}
}

static enum err_code sq_list(
	struct store *st, const struct store_listing *l, struct stop *s, struct err *e)
{
	struct store_sqlite *me = self(st);
	struct err mine = ERR_INIT;

	if (stop_is_set(s))
		return stop_err(e);
	mutex_lock(&me->mtx);
	enum err_code code = list_locked(me, l, &mine);
	mutex_unlock(&me->mtx);
	return code ? err_set_origin(e, code, mine.origin, "%s", mine.text) : ERR_OK;
}

/* The lock on the file is the fence: whoever has it open is the only one. */
static enum err_code sq_fence(struct store *st UNUSED, struct stop *s UNUSED,
	struct store_fence *ret, struct err *e UNUSED)
{
	*ret = (struct store_fence){.text = ""};
	return ERR_OK;
}

/* --- changes --- */

/* The record of t over what is stored. */
static enum err_code merge_locked(struct store_sqlite *me, const char *key, const struct task *t,
	struct buf *b, struct err *e) REQUIRES(me->mtx)
{
	CLEANUP(sqdb_stmt_freep)
	sqlite3_stmt *q = NULL;
	bool row;

	if (sqdb_prepare(&me->db, "SELECT task_info_value FROM task_info WHERE task_info_key = ?1",
		    &q, e))
		return e->code;
	sqdb_bind(q, 1, key);
	if (sqdb_step(&me->db, q, &row, e))
		return e->code;
	return row ? record_task_merge(b, sqdb_column(q, 0), t, e) : record_task_encode(b, t, e);
}

static enum err_code text_put_locked(
	struct store_sqlite *me, const char *id, const char *text, struct err *e) REQUIRES(me->mtx)
{
	CLEANUP(sqdb_stmt_freep)
	sqlite3_stmt *q = NULL;
	CLEANUP(freep)
	char *key = keys_task(me->root, id);

	if (sqdb_prepare(&me->db,
		    "INSERT INTO task_info VALUES(?1, ?2, ?3) ON CONFLICT(task_info_key)"
		    " DO UPDATE SET task_info_value = excluded.task_info_value",
		    &q, e))
		return e->code;
	sqdb_bind(q, 1, key);
	sqdb_bind(q, 2, id);
	sqdb_bind(q, 3, text);
	return sqdb_run(&me->db, q, e);
}

static enum err_code task_put_locked(struct store_sqlite *me, const struct task *t, struct err *e)
	REQUIRES(me->mtx)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(LIMIT_RECORD);
	CLEANUP(freep)
	char *key = keys_task(me->root, t->id);

	if (merge_locked(me, key, t, &b, e))
		return e->code;
	return text_put_locked(me, t->id, buf_cstr(&b), e);
}

/* Deletes by a key range, or one key when prefix is false. */
static enum err_code delete_locked(struct store_sqlite *me, const char *sql, const char *key,
	bool prefix, struct err *e) REQUIRES(me->mtx)
{
	CLEANUP(sqdb_stmt_freep)
	sqlite3_stmt *q = NULL;
	CLEANUP(freep)
	char *end = keys_prefix_end(key);

	if (sqdb_prepare(&me->db, sql, &q, e))
		return e->code;
	sqdb_bind(q, 1, key);
	if (prefix)
		sqdb_bind(q, 2, end);
	return sqdb_run(&me->db, q, e);
}

static enum err_code exts_delete_locked(
	struct store_sqlite *me, const char *kind, const char *id, struct err *e) REQUIRES(me->mtx)
{
	CLEANUP(freep)
	char *key = keys_ext_task(kind, id, "");
	CLEANUP(freep)
	char *full = keys_ext(me->root, key);

	return delete_locked(
		me, "DELETE FROM ext WHERE ext_key >= ?1 AND ext_key < ?2", full, true, e);
}

static enum err_code task_delete_locked(struct store_sqlite *me, const char *id, struct err *e)
	REQUIRES(me->mtx)
{
	CLEANUP(freep)
	char *task = keys_task(me->root, id);
	CLEANUP(freep)
	char *positions = keys_position_prefix(me->root, id);

	if (delete_locked(me, "DELETE FROM task_info WHERE task_info_key = ?1", task, false, e) ||
		delete_locked(me,
			"DELETE FROM task_position"
			" WHERE task_position_key >= ?1 AND task_position_key < ?2",
			positions, true, e) ||
		exts_delete_locked(me, "object", id, e) || exts_delete_locked(me, "bound", id, e))
		return e->code;
	return ERR_OK;
}

/* Stores p if its task has a record, else sets *ret_missing to the task. */
static enum err_code position_put_locked(struct store_sqlite *me, sqlite3_stmt *q,
	const struct store_positions *p, const char **ret_missing, struct err *e) REQUIRES(me->mtx)
{
	const struct store_position *lists[] = {p->source, p->op, p->target};
	size_t counts[] = {p->n_source, p->n_op, p->n_target};
	CLEANUP(freep)
	char *key = keys_position(me->root, p->task_id, p->collection_id);
	CLEANUP(freep)
	char *task = keys_task(me->root, p->task_id);
	struct buf maps[3] = {
		BUF_INIT(LIMIT_RECORD), BUF_INIT(LIMIT_RECORD), BUF_INIT(LIMIT_RECORD)};
	enum err_code code = ERR_OK;

	for (int i = 0; i < 3 && !code; i++)
		code = record_entries_encode(&maps[i], lists[i], counts[i], e);
	if (!code) {
		sqdb_bind(q, 1, key);
		sqdb_bind(q, 2, p->task_id);
		sqlite3_bind_int64(q, 3, p->collection_id);
		sqdb_bind(q, 4, p->collection_name ? p->collection_name : "");
		for (int i = 0; i < 3; i++)
			sqdb_bind(q, 5 + i, buf_cstr(&maps[i]));
		sqdb_bind(q, 8, task);
		code = sqdb_run(&me->db, q, e);
	}
	if (!code && sqlite3_changes(me->db.h) == 0)
		*ret_missing = p->task_id;
	for (int i = 0; i < 3; i++)
		buf_done(&maps[i]);
	return code;
}

static enum err_code positions_put_locked(struct store_sqlite *me, const struct store_batch *b,
	const char **ret_missing, struct err *e) REQUIRES(me->mtx)
{
	CLEANUP(sqdb_stmt_freep)
	sqlite3_stmt *q = NULL;

	if (sqdb_prepare(&me->db,
		    "INSERT INTO task_position SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7"
		    " WHERE EXISTS(SELECT 1 FROM task_info WHERE task_info_key = ?8)"
		    " ON CONFLICT(task_position_key) DO UPDATE SET"
		    " collection_name = excluded.collection_name,"
		    " task_position_value = excluded.task_position_value,"
		    " op_position_value = excluded.op_position_value,"
		    " target_position_value = excluded.target_position_value",
		    &q, e))
		return e->code;
	for (size_t i = 0; i < b->n_positions; i++)
		if (position_put_locked(me, q, &b->positions[i], ret_missing, e))
			return e->code;
	return ERR_OK;
}

static enum err_code exts_put_locked(
	struct store_sqlite *me, const struct store_batch *b, struct err *e) REQUIRES(me->mtx)
{
	CLEANUP(sqdb_stmt_freep)
	sqlite3_stmt *put = NULL;
	CLEANUP(sqdb_stmt_freep)
	sqlite3_stmt *del = NULL;

	if (sqdb_prepare(&me->db, "DELETE FROM ext WHERE ext_key = ?1", &del, e) ||
		sqdb_prepare(&me->db,
			"INSERT INTO ext VALUES(?1, ?2) ON CONFLICT(ext_key)"
			" DO UPDATE SET ext_value = excluded.ext_value",
			&put, e))
		return e->code;
	for (size_t i = 0; i < b->n_exts; i++) {
		CLEANUP(freep)
		char *key = keys_ext(me->root, b->exts[i].key);
		sqlite3_stmt *q = b->exts[i].value ? put : del;
		sqdb_bind(q, 1, key);
		if (b->exts[i].value)
			sqdb_bind(q, 2, b->exts[i].value);
		if (sqdb_run(&me->db, q, e))
			return e->code;
	}
	return ERR_OK;
}

static enum err_code gone_delete_locked(
	struct store_sqlite *me, const struct store_batch *b, struct err *e) REQUIRES(me->mtx)
{
	for (size_t i = 0; i < b->n_gone; i++) {
		CLEANUP(freep)
		char *key = keys_position(me->root, b->gone[i].task_id, b->gone[i].collection_id);
		if (delete_locked(me, "DELETE FROM task_position WHERE task_position_key = ?1", key,
			    false, e))
			return e->code;
	}
	return ERR_OK;
}

static enum err_code batch_locked(struct store_sqlite *me, const struct store_batch *b,
	const char **ret_missing, struct err *e) REQUIRES(me->mtx)
{
	for (size_t i = 0; i < b->n_texts; i++)
		if (text_put_locked(me, b->texts[i].key, b->texts[i].value, e))
			return e->code;
	if (b->task && task_put_locked(me, b->task, e))
		return e->code;
	if (b->n_gone && gone_delete_locked(me, b, e))
		return e->code;
	if (b->n_positions && positions_put_locked(me, b, ret_missing, e))
		return e->code;
	return b->n_exts ? exts_put_locked(me, b, e) : ERR_OK;
}

/* One transaction around change(me, arg). */
typedef enum err_code change_fn(struct store_sqlite *me, const void *arg, struct err *e);

static enum err_code transact(
	struct store *st, change_fn *change, const void *arg, struct stop *s, struct err *e)
{
	struct store_sqlite *me = self(st);
	struct err mine = ERR_INIT;

	if (stop_is_set(s))
		return stop_err(e);
	mutex_lock(&me->mtx);
	enum err_code code = sqdb_begin(&me->db, &mine);
	if (!code) {
		code = change(me, arg, &mine);
		code = sqdb_end(&me->db, code, &mine);
	}
	mutex_unlock(&me->mtx);
	return code ? err_set_origin(e, code, mine.origin, "%s", mine.text) : ERR_OK;
}

static enum err_code change_delete(struct store_sqlite *me, const void *arg, struct err *e)
	REQUIRES(me->mtx)
{
	return task_delete_locked(me, arg, e);
}

struct write_call {
	const struct store_batch *batch;
	const char **missing;
};

static enum err_code change_batch(struct store_sqlite *me, const void *arg, struct err *e)
	REQUIRES(me->mtx)
{
	const struct write_call *w = arg;
	return batch_locked(me, w->batch, w->missing, e);
}

static enum err_code sq_task_delete(struct store *st, const char *id, struct stop *s, struct err *e)
{
	return transact(st, change_delete, id, s, e);
}

static enum err_code sq_write(
	struct store *st, const struct store_batch *b, struct stop *s, struct err *e)
{
	const char *missing = NULL;
	struct write_call w = {.batch = b, .missing = &missing};
	enum err_code code = transact(st, change_batch, &w, s, e);

	return !code && missing ? store_no_task(missing, e) : code;
}

static void sq_close(struct store *st)
{
	struct store_sqlite *me = self(st);

	sqdb_close(&me->db);
	mutex_done(&me->mtx);
	free(me->root);
	free(me);
}

static const struct store_ops sqlite_ops = {
	.name = "sqlite",
	.check = sq_check,
	.list = sq_list,
	.write = sq_write,
	.task_delete = sq_task_delete,
	.fence = sq_fence,
	.close = sq_close,
};

static enum err_code open_with(const char *path, const char *root_path,
	enum err_code (*open_it)(struct sqdb *, const char *, struct err *), struct store **ret,
	struct err *e)
{
	struct store_sqlite *me = xcalloc(1, sizeof(*me));
	enum err_code code = open_it(&me->db, path, e);

	if (code) {
		free(me);
		return code;
	}
	me->st.ops = &sqlite_ops;
	me->root = keys_root(root_path);
	mutex_init(&me->mtx, "store sqlite");
	*ret = &me->st;
	return ERR_OK;
}

enum err_code store_sqlite_open(
	const char *path, const char *root_path, struct store **ret, struct err *e)
{
	return open_with(path, root_path, sqdb_open, ret, e);
}

enum err_code store_sqlite_open_read(
	const char *path, const char *root_path, struct store **ret, struct err *e)
{
	return open_with(path, root_path, sqdb_open_read, ret, e);
}
