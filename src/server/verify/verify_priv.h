/* What the files of verify share:
 *   verify.c         plan, collections, partitions
 *   verify_read.c    questions to both sides, the common time
 *   verify_scan.c    ranges of a partition
 *   verify_settle.c  rows that differed
 *   verify_report.c  the result */
#pragma once

#include "client/milvus/milvus.h"
#include "server/verify/row_page.h"
#include "server/verify/verify.h"
#include "store/store.h"

enum {
	VERIFY_LISTED_MAX = 10000, /* differences listed of a collection; more are counted */
	VERIFY_SUSPECTS_MAX = 4096,
	VERIFY_BATCH = 256, /* keys asked for at once */
	/* Keys of a repair with a partition key: the server takes each by itself, and must have
	 * done before who asks loses patience. */
	VERIFY_REPAIR_BATCH = 32,
	VERIFY_EXPR_BYTES = 8 << 20,
	VERIFY_NAME_BYTES = 1024,
};

enum verify_kind { VERIFY_MISSING, VERIFY_EXTRA, VERIFY_DIFFERS, VERIFY_COPIES };

struct verify_diff {
	enum verify_kind kind;
	char *partition; /* NULL: not told apart */
	char *key;       /* as an expression writes it; NULL: of no row */
	char *what;      /* the fields that differ, or numbers of rows; may be NULL */
};

/* Strings are owned. */
struct verify_coll {
	int64_t id;
	char *db, *name, *target_db, *target_name, *pk_name;
	bool varchar, has_partition_key;
	/* Read as one: Milvus takes no names of partitions where it chooses them by a key, and with
	 * ignore_partition rows stand in another partition of the target. */
	bool undivided;
	enum verify_state state;
	char *reason;            /* of UNKNOWN */
	int64_t rows, safe_rows; /* equal ones; those up to after */
	int64_t total;           /* what the source counted */
	int64_t n_different, n_changing, n_repaired;
	struct verify_diff *diffs;
	size_t n_diffs, cap;
	/* Where it goes on: the partition ("" = all together), the last key done; NULL = at the
	 * beginning. at_done: at is through, it goes on with what comes behind. */
	char *at, *after;
	bool at_done;
};

struct verify {
	struct verify_opts o;
	struct verify_coll *colls;
	size_t n, cap, present;
	uint64_t since_ts; /* the pass began: what is said is true of all up to it */
	uint64_t meet_ts;  /* what collections have to reach at first */
	int64_t meet_end_ms;
	uint64_t source_ts, target_ts; /* for queries: all up to them is to be seen */
	struct store_positions *pos;   /* of the task, as read last */
	size_t n_pos;
	/* When the rows read so far are paid for at the wanted rate, and thousandths of rows that
	 * are not in it. */
	int64_t paced_ms, pace_rest;
	size_t page_rows;
	struct buf answer;
};

/* A partition that is read: NULL = the whole collection. */
struct verify_part {
	struct verify *v;
	struct verify_coll *c;
	const char *name;
	bool on_source, on_target;
	struct arena arena; /* keys of the suspects */
	struct suspect {
		struct row_key key;
		bool there; /* at the source, with this digest */
		uint8_t digest[ROW_DIGEST_BYTES];
		bool repaired;
	} * suspects;
	size_t n, cap;
};

enum verify_side { VERIFY_SOURCE, VERIFY_TARGET };

/* verify.c: looks again which sides have the partition. */
NODISCARD enum err_code verify_place(struct verify_part *p, struct err *e);

/* verify_read.c */
/* Takes a time of the source, waits until the task has replicated c up to it. TIMEOUT. */
NODISCARD enum err_code verify_meet(struct verify *v, const struct verify_coll *c, struct err *e);
/* The same with the pass' own time: waits until the pass' deadline only. */
NODISCARD enum err_code verify_meet_first(
	struct verify *v, const struct verify_coll *c, struct err *e);
/* Rows of a part; what may pass is tried again. */
NODISCARD enum err_code verify_query(struct verify_part *p, enum verify_side side, const char *expr,
	int64_t limit, bool detail, struct row_page *ret, struct err *e);
/* How many rows of a part fit expr ("" = all), physically: copies of a key count. */
NODISCARD enum err_code verify_count(struct verify_part *p, enum verify_side side, const char *expr,
	int64_t *ret_n, struct err *e);

/* verify_scan.c: compares a part, from c->after on. */
NODISCARD enum err_code verify_scan(struct verify_part *p, struct err *e);
/* verify_settle.c: finds out about the suspects; there are none left. */
NODISCARD enum err_code verify_settle(struct verify_part *p, struct err *e);
/* Takes what, which may be NULL; key is copied. */
void verify_note(struct verify_part *p, enum verify_kind kind, const char *key, char *what);
const char *verify_kind_name(enum verify_kind k);
