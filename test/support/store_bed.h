/* Metastores under test: memory, SQLite in a temporary folder, a real etcd, a real MariaDB. Setup and teardown
 * functions for cmocka; the test's state is a struct store_bed. Keys are below the root "cdc". */
#pragma once

#include "base/stop.h"
#include "store/store.h"

struct etcd;
struct mysql_server;

struct store_bed {
	struct store *st;
	struct stop stop;
	/* Plants a raw value: a task record, or the Positions of a document, under a key below
	 * root. */
	void (*plant_task)(struct store_bed *b, const char *element, const char *text);
	char *(*raw_task)(struct store_bed *b, const char *element); /* heap */
	void (*plant_doc)(struct store_bed *b, const char *element, int64_t cid, const char *text);
	void (*reopen)(struct store_bed *b); /* NULL: what is in it is gone then */
	char dir[64], path[96];              /* SQLite */
	struct etcd *c;                      /* etcd */
	struct mysql_server *my;             /* MariaDB */
};

int store_bed_mem_up(void **state);
int store_bed_sqlite_up(void **state);
/* One etcd serves a whole group of tests, each starts on an empty root. */
int store_bed_etcd_group_up(void **state);
int store_bed_etcd_group_down(void **state);
int store_bed_etcd_up(void **state);
/* The same with a MariaDB. */
int store_bed_mysql_group_up(void **state);
int store_bed_mysql_group_down(void **state);
int store_bed_mysql_up(void **state);
int store_bed_down(void **state); /* of all */
