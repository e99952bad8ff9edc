/* What store_mysql says to the server: its statements, on a connection whose turn the caller has.
 * Private to store_mysql. Changes run inside the caller's transaction. */
#pragma once

#include "base/err.h"
#include "base/stop.h"
#include "store/mydb.h"
#include "store/store.h"

/* One statement: a record and what stands around it, with every character escaped. */
enum { MY_SQL_BYTES = 20 << 20 };

struct my {
	struct mydb db;
	char *root;
};

/* Makes the tables that are missing; UNSUPPORTED if one that is there knows no transactions. */
NODISCARD enum err_code my_tables_make(struct my *my, struct stop *s, struct err *e);

struct my_listing {
	const struct store_listing *l;
	bool given; /* rows have been given */
	size_t skip;
	struct slice prefix;
};

/* NOT_FOUND: there is no such table. */
NODISCARD enum err_code my_list(
	struct my *my, struct my_listing *ml, struct stop *s, struct err *e);
NODISCARD enum err_code my_task_delete(
	struct my *my, const char *id, struct stop *s, struct err *e);
/* *ret_missing: a task of the batch that has no record. */
NODISCARD enum err_code my_batch_write(struct my *my, const struct store_batch *b,
	const char **ret_missing, struct stop *s, struct err *e);
