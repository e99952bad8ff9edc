/* The metastore in MySQL or MariaDB: the reference's tables, so that its tasks are carried on, and
 * two of our own, milvus_cdc_ext and milvus_cdc_owner. */
#pragma once

#include "base/err.h"
#include "store/mysql_dsn.h"
#include "store/store.h"

/* No network yet. Takes what dsn holds; *dsn is empty afterwards.
 *
 * Every change is a transaction that first locks the root's row of milvus_cdc_owner and at its end
 * replaces it, so changes form one chain: one whose answer was lost is waited for by the next,
 * which then sees whether it is there. A second server that writes to the same root cuts the first
 * one off, as in etcd (store_etcd.h). */
struct store *store_mysql_open(struct mysql_dsn *dsn, const char *root_path);
