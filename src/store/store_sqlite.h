/* The embedded metastore: one SQLite file beside the configuration. */
#pragma once

#include "base/err.h"
#include "store/store.h"

/* Opens or creates path; failures as sqdb_open. root_path as in the other stores' keys. */
NODISCARD enum err_code store_sqlite_open(
	const char *path, const char *root_path, struct store **ret, struct err *e);
/* For a look at the file of a running or stopped server: only reading works. As
 * sqdb_open_read. */
NODISCARD enum err_code store_sqlite_open_read(
	const char *path, const char *root_path, struct store **ret, struct err *e);
