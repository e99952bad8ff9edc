/* A thin face over SQLite for store_sqlite: opening the file safely, statements, errors as ours.
 * @thread one at a time, the owner locks */
#pragma once

#include <sqlite3.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"

struct sqdb {
	sqlite3 *h;
	char *path; /* resolved */
	int lock_fd;
	dev_t dev;
	ino_t ino;
};

/* Opens path, or creates it with mode 0600; WAL, synchronous=FULL, our tables. Holds an exclusive
 * advisory lock on "<path>.lock" until closed: CONFLICT names the process that has it.
 * DENIED: read-only; MALFORMED: not a database or damaged; INVALID: another program's database;
 * UNSUPPORTED: written by a newer version. *db needs no close on failure. */
NODISCARD enum err_code sqdb_open(struct sqdb *db, const char *path, struct err *e);
/* Opens an existing file for reading, beside a server that uses it: no lock, nothing is created or
 * changed. NOT_FOUND if there is none; else as above. */
NODISCARD enum err_code sqdb_open_read(struct sqdb *db, const char *path, struct err *e);
/* *db may be zeroed. */
void sqdb_close(struct sqdb *db);
/* Is the file still where it was? SQLite goes on writing to a removed one, and all would be lost.
 */
NODISCARD enum err_code sqdb_present(const struct sqdb *db, struct err *e);

/* BEGIN IMMEDIATE, and its end: COMMIT if code is OK, else ROLLBACK. end returns code, or the
 * failure of the commit (nothing is stored then). */
NODISCARD enum err_code sqdb_begin(struct sqdb *db, struct err *e);
NODISCARD enum err_code sqdb_end(struct sqdb *db, enum err_code code, struct err *e);

NODISCARD enum err_code sqdb_exec(struct sqdb *db, const char *sql, struct err *e);
NODISCARD enum err_code sqdb_prepare(
	struct sqdb *db, const char *sql, sqlite3_stmt **ret_stmt, struct err *e);
/* Parameter at (1 ..) as text; s must live until the next step. NULL = SQL NULL. */
void sqdb_bind(sqlite3_stmt *q, int at, const char *s);
/* *ret_row: there is a row to read. */
NODISCARD enum err_code sqdb_step(struct sqdb *db, sqlite3_stmt *q, bool *ret_row, struct err *e);
/* A statement that returns no rows, made ready for its next parameters. */
NODISCARD enum err_code sqdb_run(struct sqdb *db, sqlite3_stmt *q, struct err *e);
/* Column of the present row; valid until the next step. NULL is empty. */
struct slice sqdb_column(sqlite3_stmt *q, int at);
void sqdb_stmt_freep(sqlite3_stmt **q);
