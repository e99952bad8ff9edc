/* A pair of Milvus that answer by script, and a pass of verify over one collection of them. Failures
 * end the test. */
#pragma once

#include "server/verify/verify_priv.h"
#include "support/grpc_server.h"

enum { VB_ROWS_MAX = 30000, VB_COLLECTION = 449, VB_EVERY_TIME = -1 };

/* Ordered by key; a key may stand several times. */
struct fake_row {
	int64_t key, value;
	int segment;    /* 0 or 1: each answers as many physical rows as the limit says */
	bool elsewhere; /* in the second partition */
};

/* One Milvus. The test changes it before and after a pass, its server's thread during one. */
struct fake_side {
	struct gs *server;
	struct milvus *m;
	struct fake_row rows[VB_ROWS_MAX];
	size_t n;
	int64_t restless; /* this key's value changes with every look at it; -1 = none */
	int64_t late_key; /* is added when the clock has been read so often */
	int clock_reads, late_after;
	bool not_loaded;
	int queries;
	int64_t second; /* id of the partition "second"; 0 = there is none */
	int64_t second_next;
	/* second becomes the next one when partitions have been listed so often; with
	 * VB_EVERY_TIME it is another one each time. */
	int listings, listed_after;
	bool ends_when_asked; /* second is gone with the first query of a partition */
};

struct verify_bed {
	struct grpc *grpc;
	struct store *store;
	struct task *task;
	struct stop stop;
	struct fake_side source, target;
	struct verify v;
	int repairs; /* for the test's own */
	struct err e;
};

/* For cmocka: *state is the bed. */
int vb_up(void **state);
int vb_down(void **state);
/* The same rows on both sides: keys from .. to - 1, value = key. */
void vb_fill(struct verify_bed *b, int64_t from, int64_t to);
void vb_add_row(struct fake_side *s, int64_t key, int64_t value);
struct fake_row *vb_row_of(struct fake_side *s, int64_t key);
void vb_take_out(struct fake_side *s, int64_t key);
/* The whole collection as one part. */
NODISCARD enum err_code vb_scan(struct verify_bed *b);
/* The same; it succeeds. */
struct verify_coll *vb_good_scan(struct verify_bed *b);
