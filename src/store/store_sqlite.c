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

/* What a listing does with one row; skip is the length of the common prefix of all keys. */
typedef void row_fn(void *out, size_t skip, sqlite3_stmt *q);

/* Which rows: those whose key starts with prefix, in key order. */
struct listing {
	const char *sql; /* ?1 <= key < ?2 */
	const char *prefix;
	size_t skip;
	row_fn *fn;
	void *out;
};

static enum err_code list_locked(struct store_sqlite *me, const struct listing *l, struct err *e)
	REQUIRES(me->mtx)
{
	CLEANUP(sqdb_stmt_freep)
	sqlite3_stmt *q = NULL;
	CLEANUP(freep)
	char *end = keys_prefix_end(l->prefix);
	bool row;

	if (sqdb_present(&me->db, e) || sqdb_prepare(&me->db, l->sql, &q, e))
		return e->code;
	sqdb_bind(q, 1, l->prefix);
	sqdb_bind(q, 2, end);
	for (;;) {
		if (sqdb_step(&me->db, q, &row, e))
			return e->code;
		if (!row)
			return ERR_OK;
		l->fn(l->out, l->skip, q);
	}
}

static enum err_code list(
	struct store_sqlite *me, const struct listing *l, struct stop *s, struct err *e)
{
	struct err mine = ERR_INIT;

	if (stop_is_set(s))
		return stop_err(e);
	mutex_lock(&me->mtx);
	enum err_code code = list_locked(me, l, &mine);
	mutex_unlock(&me->mtx);
	return code ? err_set_origin(e, code, mine.origin, "%s", mine.text) : ERR_OK;
}

/* The key of the row's first column behind the prefix. */
static struct slice rest_of(sqlite3_stmt *q, size_t skip)
{
	struct slice key = sqdb_column(q, 0);
	return slice_of(key.p + MIN(skip, key.n), key.n - MIN(skip, key.n));
}

static void add_task(void *out, size_t skip, sqlite3_stmt *q)
{
	struct slice rest = rest_of(q, skip);
	record_tasks_add(out, rest, sqdb_column(q, 1));
}

static enum err_code sq_tasks(
	struct store *st, struct stop *s, struct task ***ret_list, size_t *ret_n, struct err *e)
{
	CLEANUP(freep)
	char *prefix = keys_task_prefix(self(st)->root);
	CLEANUP(record_tasks_done)
	struct record_tasks out = {.n = 0};
	struct listing l = {.sql = "SELECT task_info_key, task_info_value FROM task_info"
				   " WHERE task_info_key >= ?1 AND task_info_key < ?2"
				   " ORDER BY task_info_key",
		.prefix = prefix,
		.skip = strlen(prefix),
		.fn = add_task,
		.out = &out};
	enum err_code code = list(self(st), &l, s, e);

	if (code)
		return code;
	*ret_n = out.n;
	*ret_list = TAKE(out.v);
	out.n = 0;
	return ERR_OK;
}

static void add_doc(void *out, size_t skip, sqlite3_stmt *q)
{
	CLEANUP(freep)
	char *name = xstrndup((const char *)sqdb_column(q, 1).p, sqdb_column(q, 1).n);
	struct record_row row = {
		.name = name, .maps = {sqdb_column(q, 2), sqdb_column(q, 3), sqdb_column(q, 4)}};

	record_docs_add_row(out, rest_of(q, skip), &row);
}

static enum err_code sq_positions(struct store *st, const char *task_id, struct stop *s,
	struct store_positions **ret_list, size_t *ret_n, struct err *e)
{
	CLEANUP(freep)
	char *all = keys_position_prefix(self(st)->root, NULL);
	CLEANUP(freep)
	char *prefix = keys_position_prefix(self(st)->root, task_id);
	CLEANUP(record_docs_done)
	struct record_docs out = {.n = 0};
	struct listing l = {.sql = "SELECT task_position_key, collection_name, task_position_value,"
				   " op_position_value, target_position_value FROM task_position"
				   " WHERE task_position_key >= ?1 AND task_position_key < ?2"
				   " ORDER BY task_position_key",
		.prefix = prefix,
		.skip = strlen(all),
		.fn = add_doc,
		.out = &out};
	enum err_code code = list(self(st), &l, s, e);

	if (code)
		return code;
	*ret_n = out.n;
	*ret_list = TAKE(out.v);
	out.n = 0;
	return ERR_OK;
}

struct ext_list {
	struct store_ext_kv *v;
	size_t n, cap;
};

static void add_ext(void *arg, size_t skip, sqlite3_stmt *q)
{
	struct ext_list *out = arg;
	struct slice key = rest_of(q, skip), value = sqdb_column(q, 1);

	mem_grow(&out->v, &out->cap, out->n + 1, sizeof(*out->v));
	out->v[out->n++] = (struct store_ext_kv){.key = xstrndup((const char *)key.p, key.n),
		.value = xstrndup((const char *)value.p, value.n)};
}

static enum err_code sq_exts(struct store *st, const char *prefix, struct stop *s,
	struct store_ext_kv **ret_list, size_t *ret_n, struct err *e)
{
	CLEANUP(freep)
	char *all = keys_ext_prefix(self(st)->root);
	CLEANUP(freep)
	char *full = keys_ext(self(st)->root, prefix);
	struct ext_list out = {.n = 0};
	struct listing l = {.sql = "SELECT ext_key, ext_value FROM ext"
				   " WHERE ext_key >= ?1 AND ext_key < ?2 ORDER BY ext_key",
		.prefix = full,
		.skip = strlen(all),
		.fn = add_ext,
		.out = &out};
	enum err_code code = list(self(st), &l, s, e);

	if (code) {
		store_exts_free(out.v, out.n);
		return code;
	}
	*ret_list = out.v;
	*ret_n = out.n;
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

static enum err_code task_put_locked(struct store_sqlite *me, const struct task *t, struct err *e)
	REQUIRES(me->mtx)
{
	CLEANUP(sqdb_stmt_freep)
	sqlite3_stmt *q = NULL;
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(LIMIT_RECORD);
	CLEANUP(freep)
	char *key = keys_task(me->root, t->id);

	if (merge_locked(me, key, t, &b, e))
		return e->code;
	if (sqdb_prepare(&me->db,
		    "INSERT INTO task_info VALUES(?1, ?2, ?3) ON CONFLICT(task_info_key)"
		    " DO UPDATE SET task_info_value = excluded.task_info_value",
		    &q, e))
		return e->code;
	sqdb_bind(q, 1, key);
	sqdb_bind(q, 2, t->id);
	sqdb_bind(q, 3, buf_cstr(&b));
	return sqdb_run(&me->db, q, e);
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

static enum err_code batch_locked(struct store_sqlite *me, const struct store_batch *b,
	const char **ret_missing, struct err *e) REQUIRES(me->mtx)
{
	if (b->task && task_put_locked(me, b->task, e))
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

static enum err_code change_task(struct store_sqlite *me, const void *arg, struct err *e)
	REQUIRES(me->mtx)
{
	return task_put_locked(me, arg, e);
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

static enum err_code sq_task_put(
	struct store *st, const struct task *t, struct stop *s, struct err *e)
{
	return transact(st, change_task, t, s, e);
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

	if (!code && missing)
		return err_set(
			e, ERR_NOT_FOUND, "positions of task %s, which does not exist", missing);
	return code;
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
	.tasks = sq_tasks,
	.task_put = sq_task_put,
	.task_delete = sq_task_delete,
	.positions = sq_positions,
	.write = sq_write,
	.exts = sq_exts,
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
