#include "store/sqdb.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/mem.h"

enum { BUSY_MS = 2000, APPLICATION_ID = 0x4d434443, SCHEMA_VERSION = 1 };

static enum err_code code_of(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ERR_BUSY;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return ERR_DENIED;
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		return ERR_MALFORMED;
	case SQLITE_TOOBIG:
		return ERR_LIMIT;
	default:
		return ERR_SYSTEM;
	}
}

static const char *reason_of(int rc, sqlite3 *h)
{
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return "locked by another process";
	case SQLITE_FULL:
		return "the disk is full";
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return "the file is read-only";
	case SQLITE_NOTADB:
		return "not a SQLite database";
	case SQLITE_CORRUPT:
		return "the database is damaged";
	default:
		return h ? sqlite3_errmsg(h) : sqlite3_errstr(rc);
	}
}

static enum err_code db_err(const struct sqdb *db, int rc, struct err *e)
{
	int sys = db->h ? sqlite3_system_errno(db->h) : 0;
	bool io = (rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CANTOPEN;
	char why[128];

	return err_set_origin(e, code_of(rc), rc, "SQLite file %s: %s%s%s", db->path,
		reason_of(rc, db->h), io && sys ? ": " : "",
		io && sys ? strerror_r(sys, why, sizeof(why)) : "");
}

/* --- the file --- */

/* The path without links, so that two names of one file share one lock; the file need not exist. */
static char *resolve(const char *path, struct err *e)
{
	CLEANUP(freep)
	char *for_dir = xstrdup(path);
	CLEANUP(freep)
	char *for_base = xstrdup(path);
	char real[PATH_MAX];

	if (realpath(path, real))
		return xstrdup(real);
	if (!realpath(dirname(for_dir), real)) {
		err_errno(e, errno, "folder of the SQLite file %s", path);
		return NULL;
	}
	return xasprintf("%s/%s", real, basename(for_base));
}

static enum err_code open_errno(int errnum, const char *path, struct err *e)
{
	if (errnum == EACCES || errnum == EROFS || errnum == EPERM)
		return err_set_origin(e, ERR_DENIED, errnum, "SQLite file %s can't be written: %s",
			path, errnum == EROFS ? "read-only file system" : "permission denied");
	return err_errno(e, errnum, "SQLite file %s", path);
}

/* Says who holds the lock, from what that process wrote into the file. */
static enum err_code locked_by_other(const struct sqdb *db, int fd, struct err *e)
{
	char who[128] = "";
	ssize_t n = pread(fd, who, sizeof(who) - 1, 0);

	who[n > 0 ? (size_t)n : 0] = '\0';
	who[strcspn(who, "\n")] = '\0';
	return err_set(e, ERR_CONFLICT, "SQLite file %s is in use by another server (%s)", db->path,
		*who ? who : "unknown process");
}

/* Two servers on one metastore would run every task twice. */
static enum err_code take_lock(struct sqdb *db, struct err *e)
{
	CLEANUP(freep)
	char *path = xasprintf("%s.lock", db->path);
	char host[64] = "";

	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return open_errno(errno, path, e);
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		enum err_code code = errno == EWOULDBLOCK ? locked_by_other(db, fd, e)
							  : err_errno(e, errno, "lock of %s", path);
		close(fd);
		return code;
	}
	db->lock_fd = fd;
	gethostname(host, sizeof(host) - 1);
	/* Only a help for people: a failure to write it changes nothing. */
	if (ftruncate(fd, 0) || dprintf(fd, "process %d on %s\n", (int)getpid(), host) < 0)
		return ERR_OK;
	return ERR_OK;
}

/* Creates the file for its owner alone, since it holds the tokens of the targets, or narrows it. */
static enum err_code prepare_file(struct sqdb *db, struct err *e)
{
	struct stat st;

	int fd = open(db->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return open_errno(errno, db->path, e);
	bool ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	if (ok && (st.st_mode & 077) && st.st_uid == geteuid())
		ok = fchmod(fd, 0600) == 0;
	close(fd);
	if (!ok)
		return err_set(e, ERR_INVALID, "SQLite file %s is not a regular file", db->path);
	db->dev = st.st_dev;
	db->ino = st.st_ino;
	return ERR_OK;
}

enum err_code sqdb_present(const struct sqdb *db, struct err *e)
{
	struct stat st;

	if (stat(db->path, &st) == 0 && st.st_dev == db->dev && st.st_ino == db->ino)
		return ERR_OK;
	return err_set(e, ERR_SYSTEM,
		"SQLite file %s was removed or replaced while in use; restart the server",
		db->path);
}

/* --- statements --- */

enum err_code sqdb_exec(struct sqdb *db, const char *sql, struct err *e)
{
	int rc = sqlite3_exec(db->h, sql, NULL, NULL, NULL);
	return rc == SQLITE_OK ? ERR_OK : db_err(db, rc, e);
}

enum err_code sqdb_prepare(struct sqdb *db, const char *sql, sqlite3_stmt **ret_stmt, struct err *e)
{
	int rc = sqlite3_prepare_v2(db->h, sql, -1, ret_stmt, NULL);
	return rc == SQLITE_OK ? ERR_OK : db_err(db, rc, e);
}

void sqdb_bind(sqlite3_stmt *q, int at, const char *s)
{
	/* Fails only for more than a gigabyte; the parameter is NULL then, which a column refuses.
	 */
	sqlite3_bind_text(q, at, s, -1, SQLITE_STATIC);
}

enum err_code sqdb_step(struct sqdb *db, sqlite3_stmt *q, bool *ret_row, struct err *e)
{
	int rc = sqlite3_step(q);

	*ret_row = rc == SQLITE_ROW;
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? ERR_OK : db_err(db, rc, e);
}

enum err_code sqdb_run(struct sqdb *db, sqlite3_stmt *q, struct err *e)
{
	bool row;
	enum err_code code = sqdb_step(db, q, &row, e);

	sqlite3_reset(q);
	sqlite3_clear_bindings(q);
	return code;
}

struct slice sqdb_column(sqlite3_stmt *q, int at)
{
	const unsigned char *p = sqlite3_column_text(q, at);
	return p ? slice_of(p, (size_t)sqlite3_column_bytes(q, at)) : slice_of("", 0);
}

void sqdb_stmt_freep(sqlite3_stmt **q)
{
	sqlite3_finalize(*q);
	*q = NULL;
}

enum err_code sqdb_begin(struct sqdb *db, struct err *e)
{
	if (sqdb_present(db, e))
		return ERR_SYSTEM;
	return sqdb_exec(db, "BEGIN IMMEDIATE", e);
}

enum err_code sqdb_end(struct sqdb *db, enum err_code code, struct err *e)
{
	if (!code)
		code = FAILPOINTS("sqlite.commit", sqdb_exec(db, "COMMIT", e));
	/* Some failures have ended the transaction already. */
	if (code && !sqlite3_get_autocommit(db->h))
		sqlite3_exec(db->h, "ROLLBACK", NULL, NULL, NULL);
	return code;
}

/* --- opening --- */

static enum err_code query_int(struct sqdb *db, const char *sql, int64_t *ret_v, struct err *e)
{
	CLEANUP(sqdb_stmt_freep)
	sqlite3_stmt *q = NULL;
	bool row = false;
	enum err_code code = sqdb_prepare(db, sql, &q, e);

	if (!code)
		code = sqdb_step(db, q, &row, e);
	*ret_v = row ? sqlite3_column_int64(q, 0) : 0;
	return code;
}

static enum err_code set_modes(struct sqdb *db, struct err *e)
{
	CLEANUP(sqdb_stmt_freep)
	sqlite3_stmt *q = NULL;
	bool row;

	sqlite3_busy_timeout(db->h, BUSY_MS);
	if (sqdb_prepare(db, "PRAGMA journal_mode=WAL", &q, e) || sqdb_step(db, q, &row, e))
		return e->code;
	if (!slice_eq_str(sqdb_column(q, 0), "wal"))
		return err_set(e, ERR_UNSUPPORTED,
			"SQLite file %s: this file system can't hold a write-ahead log", db->path);
	sqdb_stmt_freep(&q);
	/* NORMAL may lose the last commits at a power cut, and with them what was acknowledged. */
	return sqdb_exec(db, "PRAGMA synchronous=FULL; PRAGMA trusted_schema=OFF", e);
}

/* Tables and columns as in the reference's MySQL store, and one for our own records. */
static const char create_tables[] =
	"CREATE TABLE schema_version(version INTEGER NOT NULL);"
	"INSERT INTO schema_version VALUES(1);"
	"CREATE TABLE task_info(task_info_key TEXT NOT NULL PRIMARY KEY, task_id TEXT NOT NULL,"
	" task_info_value TEXT NOT NULL);"
	"CREATE TABLE task_position(task_position_key TEXT NOT NULL PRIMARY KEY,"
	" task_id TEXT NOT NULL, collection_id INTEGER NOT NULL, collection_name TEXT NOT NULL,"
	" task_position_value TEXT NOT NULL, op_position_value TEXT, target_position_value TEXT);"
	"CREATE TABLE ext(ext_key TEXT NOT NULL PRIMARY KEY, ext_value TEXT NOT NULL);";

static enum err_code create_schema(struct sqdb *db, struct err *e)
{
	char pragma[64];

	snprintf(pragma, sizeof(pragma), "PRAGMA application_id=%d", APPLICATION_ID);
	if (sqdb_begin(db, e))
		return e->code;
	enum err_code code = sqdb_exec(db, create_tables, e);
	if (!code)
		code = sqdb_exec(db, pragma, e);
	return sqdb_end(db, code, e);
}

static enum err_code check_schema(struct sqdb *db, struct err *e)
{
	int64_t app, tables, version;

	if (query_int(db, "PRAGMA application_id", &app, e) ||
		query_int(db, "SELECT count(*) FROM sqlite_schema", &tables, e))
		return e->code;
	if (!app && !tables)
		return create_schema(db, e);
	if (app != APPLICATION_ID)
		return err_set(
			e, ERR_INVALID, "SQLite file %s belongs to another program", db->path);
	if (query_int(db, "SELECT version FROM schema_version", &version, e))
		return e->code;
	if (version > SCHEMA_VERSION)
		return err_set(e, ERR_UNSUPPORTED,
			"SQLite file %s has schema %lld, written by a newer version; this one "
			"knows %d",
			db->path, (long long)version, SCHEMA_VERSION);
	return ERR_OK;
}

static enum err_code open_all(struct sqdb *db, struct err *e)
{
	if (take_lock(db, e) || prepare_file(db, e))
		return e->code;
	int rc = sqlite3_open_v2(
		db->path, &db->h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK)
		return db_err(db, rc, e);
	sqlite3_extended_result_codes(db->h, 1);
	if (set_modes(db, e))
		return e->code;
	return check_schema(db, e);
}

static enum err_code open_for_reading(struct sqdb *db, struct err *e)
{
	struct stat st;
	int64_t app;

	if (stat(db->path, &st))
		return err_set(e, ERR_NOT_FOUND, "there is no SQLite file %s", db->path);
	db->dev = st.st_dev;
	db->ino = st.st_ino;
	int rc =
		sqlite3_open_v2(db->path, &db->h, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK)
		return db_err(db, rc, e);
	sqlite3_busy_timeout(db->h, BUSY_MS);
	if (query_int(db, "PRAGMA application_id", &app, e))
		return e->code;
	return app == APPLICATION_ID
		       ? check_schema(db, e)
		       : err_set(e, ERR_INVALID, "SQLite file %s belongs to another program",
				 db->path);
}

static enum err_code open_with(struct sqdb *db, const char *path,
	enum err_code (*open_it)(struct sqdb *, struct err *), struct err *e)
{
	struct err mine = ERR_INIT;

	*db = (struct sqdb){.lock_fd = -1, .path = resolve(path, &mine)};
	if (!db->path || open_it(db, &mine)) {
		sqdb_close(db);
		return err_set_origin(e, mine.code, mine.origin, "%s", mine.text);
	}
	return ERR_OK;
}

enum err_code sqdb_open(struct sqdb *db, const char *path, struct err *e)
{
	return open_with(db, path, open_all, e);
}

enum err_code sqdb_open_read(struct sqdb *db, const char *path, struct err *e)
{
	return open_with(db, path, open_for_reading, e);
}

void sqdb_close(struct sqdb *db)
{
	if (!db->path)
		return;
	sqlite3_close(db->h);
	if (db->lock_fd >= 0)
		close(db->lock_fd);
	free(db->path);
	*db = (struct sqdb){.lock_fd = -1};
}
