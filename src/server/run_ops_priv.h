/* The inside of a task's replicate channel, shared by run_ops.c (reading, order, positions) and
 * run_op.c (one operation). */
#pragma once

#include "base/arena.h"
#include "base/list.h"
#include "server/run_priv.h"
#include "sink/ops.h"
#include "source/mq.h"

enum { OP_KEY_BYTES = NAME_BYTES * 2 };

struct op_event {
	struct list link;
	struct oplog *log;
	struct job job;
	struct retry backoff;
	struct arena arena;
	struct op op;
	struct mq_msg *msg;
	struct mq_id id;
	char key[OP_KEY_BYTES]; /* operations with equal keys keep their order */
	char db[NAME_BYTES];
	int64_t read_mono_ms;
	const char **names; /* scratch of map_names */
	struct slice *kept;
	bool done;
};

struct oplog {
	struct run *run;
	struct thread thread;
	struct stop stop;
	struct position start;

	struct mutex mtx;
	struct cond room;
	struct list events; /* in channel order */
	size_t n;
	struct position at; /* of the last operation done in order */
	bool known;
	char status[COLL_REASON_BYTES];
	char waits[COLL_REASON_BYTES];
};

/* "Flush", ...; "unknown". */
const char *op_type_name(const struct op_event *v);
/* Copies s, cut to cap, with a 0 behind it. */
void op_text(struct slice s, char *out, size_t cap);
/* Is it one of the task's, by database and collection name? */
bool op_selected(const struct op_event *v, const char *name);
/* It is over: its position may be passed. Returns JOB_IDLE. */
int64_t op_finish(struct op_event *v);
/* The job: one try when it is the operation's turn. */
int64_t op_step(void *arg);
