/* The MySQL metastore. One connection; reads and changes take turns on it (a turn, not a lock:
 * nothing is held over the network). A connection that was lost while idle is replaced unseen.
 *
 *   START TRANSACTION; lock our row of milvus_cdc_owner; the change; replace the row; COMMIT
 *
 * When the answer to the COMMIT is lost, the row tells its fate: it is locked until the server has
 * decided. Tables are made by the first change, never by a read.
 *
 * Keys are compared byte by byte, whatever collation the columns have: the reference makes its
 * tables with the database's, which mostly ignores case. */
#include "store/store_mysql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/keys.h"
#include "store/mydb.h"
#include "store/owner.h"
#include "store/store_mysql_sql.h"
#include "store/turn.h"

struct store_mysql {
	struct store st;
	struct mysql_dsn dsn;
	char *guard_key, *owner; /* our row of milvus_cdc_owner, and what we put there */
	struct turn turn;
	/* Of whoever has the turn: */
	struct my my;
	bool claimed; /* the row was ours */
	bool ready;   /* all tables are there */
};

static struct store_mysql *self(struct store *st)
{
	return CONTAINER_OF(st, struct store_mysql, st);
}

/* --- the owner's row --- */

struct owner_row {
	bool found;
	char text[256];
	int64_t revision;
};

static void take_owner(void *arg, const struct slice *c)
{
	struct owner_row *o = arg;

	o->found = true;
	snprintf(o->text, sizeof(o->text), "%.*s", (int)c[0].n, (const char *)c[0].p);
	if (!slice_to_i64(c[1], &o->revision))
		o->revision = 0;
}

static enum err_code read_owner(
	struct store_mysql *me, bool lock, struct stop *s, struct owner_row *ret, struct err *e)
{
	CLEANUP(buf_done) struct buf sql = BUF_INIT(MY_SQL_BYTES);

	*ret = (struct owner_row){.found = false};
	buf_put_str(&sql, "SELECT owner_value, revision FROM milvus_cdc_owner WHERE owner_key = ");
	mydb_quote(&sql, slice_str(me->guard_key));
	buf_put_str(&sql, lock ? " FOR UPDATE" : "");
	return mydb_query(&me->my.db, &sql, take_owner, ret, s, e);
}

static enum err_code refuse_if_taken(
	const struct store_mysql *me, const struct owner_row *o, struct err *e)
{
	if (!me->claimed || strcmp(o->text, me->owner) == 0)
		return ERR_OK;
	return store_taken_over(me->my.root, slice_str(o->text), e);
}

static enum err_code put_owner(
	struct store_mysql *me, int64_t revision, struct stop *s, struct err *e)
{
	CLEANUP(buf_done) struct buf sql = BUF_INIT(MY_SQL_BYTES);

	buf_put_str(&sql, "INSERT INTO milvus_cdc_owner(owner_key, owner_value, revision) VALUES(");
	mydb_quote(&sql, slice_str(me->guard_key));
	buf_put_u8(&sql, ',');
	mydb_quote(&sql, slice_str(me->owner));
	buf_putf(&sql,
		",%lld) ON DUPLICATE KEY UPDATE owner_value = VALUES(owner_value),"
		" revision = VALUES(revision)",
		(long long)revision);
	return mydb_query(&me->my.db, &sql, NULL, NULL, s, e);
}

/* --- the connection --- */

static enum err_code connect(struct store_mysql *me, bool tables, struct stop *s, struct err *e)
{
	if (!mydb_is_open(&me->my.db) && mydb_open(&me->my.db, s, e))
		return e->code;
	if (me->ready || !tables)
		return ERR_OK;
	if (my_tables_make(&me->my, s, e))
		return e->code;
	me->ready = true;
	return ERR_OK;
}

/* A connection that the server, or something between, closed while it was idle says so at its next
 * statement; nothing has happened then, and a new one may try. */
static bool was_idle_closed(
	const struct store_mysql *me, bool reused, enum err_code code, struct stop *s)
{
	return reused && code == ERR_UNAVAILABLE && !mydb_is_open(&me->my.db) && !stop_is_set(s);
}

/* --- changes --- */

typedef enum err_code change_fn(struct my *my, const void *arg, struct stop *s, struct err *e);

struct change {
	change_fn *fn;
	const void *arg;
};

/* The answer to the commit that would have left `revision` was lost. OK: it is done; UNAVAILABLE:
 * it is not; UNCERTAIN: nobody can be asked. */
static enum err_code settle(struct store_mysql *me, int64_t revision, struct stop *s, struct err *e)
{
	struct owner_row o;
	struct err mine = ERR_INIT;

	enum err_code code = connect(me, false, s, &mine);
	if (!code)
		code = mydb_exec(&me->my.db, "START TRANSACTION", s, &mine);
	if (!code)
		code = read_owner(me, true, s, &o, &mine);
	if (!code)
		code = mydb_exec(&me->my.db, "COMMIT", s, &mine);
	if (code) {
		mydb_close(&me->my.db);
		return err_set(e, ERR_UNCERTAIN,
			"the answer to a commit was lost and its fate could not be read: %s",
			mine.text);
	}
	if (strcmp(o.text, me->owner) != 0 && me->claimed)
		return store_taken_over(me->my.root, slice_str(o.text), e);
	if (strcmp(o.text, me->owner) == 0 && o.revision == revision)
		return ERR_OK;
	return err_set(e, ERR_UNAVAILABLE, "%s: the connection was lost before the commit",
		me->my.db.where);
}

static enum err_code commit(struct store_mysql *me, int64_t revision, struct stop *s, struct err *e)
{
	struct err mine = ERR_INIT;
	enum err_code code = FAILPOINTS("mysql.commit", mydb_exec(&me->my.db, "COMMIT", s, &mine));

	if (code && mydb_is_open(&me->my.db)) /* refused: a cluster's certification, a full disk */
		return err_set_origin(e, code, mine.origin, "%s", mine.text);
	if (code == ERR_CANCELLED)
		return err_set(e, code, "%s", mine.text);
	return code ? settle(me, revision, s, e) : ERR_OK;
}

static enum err_code in_transaction(
	struct store_mysql *me, const struct change *ch, struct stop *s, struct err *e)
{
	struct owner_row o;

	if (mydb_exec(&me->my.db, "START TRANSACTION", s, e) || read_owner(me, true, s, &o, e) ||
		refuse_if_taken(me, &o, e) || ch->fn(&me->my, ch->arg, s, e) ||
		put_owner(me, o.revision + 1, s, e))
		return e->code;
	if (commit(me, o.revision + 1, s, e))
		return e->code;
	me->claimed = true;
	return ERR_OK;
}

static enum err_code attempt(
	struct store_mysql *me, const struct change *ch, struct stop *s, struct err *e)
{
	struct err ignored = ERR_INIT;

	if (connect(me, true, s, e))
		return e->code;
	enum err_code code = in_transaction(me, ch, s, e);
	if (code && mydb_is_open(&me->my.db) && mydb_exec(&me->my.db, "ROLLBACK", s, &ignored))
		mydb_close(&me->my.db);
	return code;
}

static enum err_code change(
	struct store_mysql *me, const struct change *ch, struct stop *s, struct err *e)
{
	struct err mine = ERR_INIT;

	if (turn_take(&me->turn, s, e))
		return e->code;
	bool reused = mydb_is_open(&me->my.db);
	enum err_code code = attempt(me, ch, s, &mine);
	if (was_idle_closed(me, reused, code, s)) {
		err_clear(&mine);
		code = attempt(me, ch, s, &mine);
	}
	/* NOT_FOUND would be a task's: here tables or the database were taken away under us. */
	if (code == ERR_NOT_FOUND && mine.origin) {
		me->ready = false; /* they are made again */
		code = ERR_UNAVAILABLE;
	}
	turn_give(&me->turn);
	return code ? err_set_origin(e, code, mine.origin, "metastore: %s", mine.text) : ERR_OK;
}

static enum err_code change_delete(struct my *my, const void *arg, struct stop *s, struct err *e)
{
	return my_task_delete(my, arg, s, e);
}

static enum err_code ms_task_delete(struct store *st, const char *id, struct stop *s, struct err *e)
{
	struct change ch = {.fn = change_delete, .arg = id};
	return change(self(st), &ch, s, e);
}

struct write_call {
	const struct store_batch *batch;
	const char **missing;
};

static enum err_code change_batch(struct my *my, const void *arg, struct stop *s, struct err *e)
{
	const struct write_call *w = arg;

	*w->missing = NULL;
	return my_batch_write(my, w->batch, w->missing, s, e);
}

static enum err_code ms_write(
	struct store *st, const struct store_batch *b, struct stop *s, struct err *e)
{
	const char *missing = NULL;
	struct write_call w = {.batch = b, .missing = &missing};
	struct change ch = {.fn = change_batch, .arg = &w};
	enum err_code code = change(self(st), &ch, s, e);

	return !code && missing ? store_no_task(missing, e) : code;
}

/* --- reading --- */

struct reading {
	enum err_code (*fn)(struct store_mysql *me, void *arg, struct stop *s, struct err *e);
	void *arg;
	bool *started; /* rows were given: it can't be done over */
};

static enum err_code read_once(
	struct store_mysql *me, const struct reading *r, struct stop *s, struct err *e)
{
	if (connect(me, false, s, e))
		return e->code;
	enum err_code code = r->fn(me, r->arg, s, e);
	/* Nobody has written here yet. */
	if (code == ERR_NOT_FOUND && !me->ready) {
		err_clear(e);
		return ERR_OK;
	}
	return code;
}

static enum err_code reading(
	struct store_mysql *me, const struct reading *r, struct stop *s, struct err *e)
{
	struct err mine = ERR_INIT;

	if (turn_take(&me->turn, s, e))
		return e->code;
	bool reused = mydb_is_open(&me->my.db);
	enum err_code code = read_once(me, r, s, &mine);
	if (was_idle_closed(me, reused, code, s) && !*r->started) {
		err_clear(&mine);
		code = read_once(me, r, s, &mine);
	}
	turn_give(&me->turn);
	return code ? err_set_origin(e, code, mine.origin, "metastore: %s", mine.text) : ERR_OK;
}

static enum err_code read_list(struct store_mysql *me, void *arg, struct stop *s, struct err *e)
{
	return my_list(&me->my, arg, s, e);
}

static enum err_code ms_list(
	struct store *st, const struct store_listing *l, struct stop *s, struct err *e)
{
	struct my_listing ml = {.l = l};
	struct reading r = {.fn = read_list, .arg = &ml, .started = &ml.given};
	return reading(self(st), &r, s, e);
}

static enum err_code read_check(
	struct store_mysql *me, void *arg UNUSED, struct stop *s, struct err *e)
{
	struct owner_row o;

	if (read_owner(me, false, s, &o, e))
		return e->code;
	return refuse_if_taken(me, &o, e);
}

static enum err_code ms_check(struct store *st, struct stop *s, struct err *e)
{
	bool never = false;
	struct reading r = {.fn = read_check, .started = &never};
	return reading(self(st), &r, s, e);
}

static enum err_code read_fence(struct store_mysql *me, void *arg, struct stop *s, struct err *e)
{
	struct store_fence *f = arg;
	struct owner_row o;

	if (read_owner(me, false, s, &o, e))
		return e->code;
	snprintf(f->text, sizeof(f->text), "%s", o.text);
	f->revision = o.revision;
	return ERR_OK;
}

static enum err_code ms_fence(
	struct store *st, struct stop *s, struct store_fence *ret, struct err *e)
{
	bool never = false;
	struct reading r = {.fn = read_fence, .arg = ret, .started = &never};

	*ret = (struct store_fence){.text = ""};
	return reading(self(st), &r, s, e);
}

/* --- life --- */

static void ms_close(struct store *st)
{
	struct store_mysql *me = self(st);

	mydb_done(&me->my.db);
	turn_done(&me->turn);
	mysql_dsn_done(&me->dsn);
	free(me->my.root);
	free(me->guard_key);
	free(me->owner);
	free(me);
}

static const struct store_ops mysql_ops = {
	.name = "mysql",
	.check = ms_check,
	.list = ms_list,
	.write = ms_write,
	.task_delete = ms_task_delete,
	.fence = ms_fence,
	.close = ms_close,
};

struct store *store_mysql_open(struct mysql_dsn *dsn, const char *root_path)
{
	struct store_mysql *me = xcalloc(1, sizeof(*me));

	me->st.ops = &mysql_ops;
	me->dsn = *dsn;
	*dsn = (struct mysql_dsn){.user = NULL};
	me->my.root = keys_root(root_path);
	me->guard_key = keys_owner(me->my.root);
	me->owner = store_owner_text();
	turn_init(&me->turn, "store mysql");
	mydb_init(&me->my.db, &me->dsn);
	return &me->st;
}
