/* A thin face over libmariadb for store_mysql: one connection, statements, errors as ours. A lost
 * connection is closed at once; nothing reconnects by itself.
 * @thread one at a time, the owner sees to that; calls block up to the address' timeouts */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"
#include "base/stop.h"
#include "store/mysql_dsn.h"

struct st_mysql;

struct mydb {
	const struct mysql_dsn *dsn; /* borrowed */
	struct st_mysql *h;          /* NULL = not connected */
	char *where;                 /* the server's address, for messages */
};

/* No network. */
void mydb_init(struct mydb *db, const struct mysql_dsn *dsn);
void mydb_done(struct mydb *db);

/* Connects, and sets what we rely on: utf8mb4, strict mode, short lock waits, and that the server
 * ends a session it has not heard of for a minute, whose transaction would hold its locks. DENIED,
 * NOT_FOUND (no such database), UNAVAILABLE. */
NODISCARD enum err_code mydb_open(struct mydb *db, struct stop *s, struct err *e);
bool mydb_is_open(const struct mydb *db);
/* Without a farewell: what is open there is rolled back. */
void mydb_close(struct mydb *db);

/* What a query gives: up to MYDB_COLUMNS columns, valid during the call; p is NULL for SQL NULL. */
enum { MYDB_COLUMNS = 8 };
typedef void mydb_row_fn(void *arg, const struct slice *columns);

/* One statement; fn (NULL = its rows are of no interest) gets each row. The code is about the
 * statement: not executed as a whole, or UNAVAILABLE/TIMEOUT/CANCELLED with the connection closed
 * and its fate unknown. BUSY: lock wait or deadlock, the transaction is gone. NOT_FOUND: no such
 * table. LIMIT: a value is too long. */
NODISCARD enum err_code mydb_query(struct mydb *db, struct buf *sql, mydb_row_fn *fn, void *arg,
	struct stop *s, struct err *e);
/* The same for a fixed text without rows. */
NODISCARD enum err_code mydb_exec(struct mydb *db, const char *sql, struct stop *s, struct err *e);

/* Appends text as a literal, in quotes. */
void mydb_quote(struct buf *sql, struct slice text);
/* Appends the literal of a LIKE pattern for everything that starts with prefix; with ESCAPE. */
void mydb_quote_prefix(struct buf *sql, const char *prefix);
