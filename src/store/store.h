/* The metastore behind a vtable: tasks, positions, and our own small records. Layouts of etcd (and
 * MySQL) are the reference's, so that its tasks are carried on. (server.md 3)
 * @thread any function any thread */
#pragma once

#include "base/err.h"
#include "base/stop.h"
#include "model/channel.h"
#include "model/position.h"
#include "model/task.h"

/* Special collection ids of position records. */
enum { STORE_ID_USER = -1, STORE_ID_OPS = -10 };

/* One channel's entry of a position record. */
struct store_position {
	char channel[CHANNEL_BYTES]; /* pchannel */
	struct position pos;         /* exact; pos.ts from our extension, else 0 */
	int64_t time_ms, start_time_ms;
	bool dropped;
	bool exact;                  /* written by us: pos.ts is valid and id matches the extension's copy */
};

/* The document of one (task, collection). */
struct store_positions {
	char *task_id;
	int64_t collection_id;
	char *collection_name;
	struct store_position *source, *op, *target; /* Positions, OpPositions, TargetPositions */
	size_t n_source, n_op, n_target;
};

void store_positions_done(struct store_positions *p);

/* What one write-behind batch changes. Any array may be empty. Values are borrowed. */
struct store_batch {
	const struct store_positions *positions;
	size_t n_positions;
	/* Our own records: key below the server's root, e.g. "object/<task>/<id>", JSON text; NULL value =
	 * delete. They live beside the reference's keys under "ext/". */
	const struct store_ext {
		const char *key, *value;
	} *exts;
	size_t n_exts;
};

struct store;
struct store_ext_kv;

struct store_ops {
	const char *name;
	/* Reachable and usable? */
	enum err_code (*check)(struct store *st, struct stop *s, struct err *e);
	enum err_code (*tasks)(struct store *st, struct stop *s, struct task ***ret_list, size_t *ret_n,
		struct err *e);
	enum err_code (*task_put)(struct store *st, const struct task *t, struct stop *s, struct err *e);
	/* The task, all its positions and all ext records below "object/<task>/" and "bound/<task>/" in
	 * one transaction. */
	enum err_code (*task_delete)(struct store *st, const char *id, struct stop *s, struct err *e);
	/* task_id NULL = of all tasks. */
	enum err_code (*positions)(struct store *st, const char *task_id, struct stop *s,
		struct store_positions **ret_list, size_t *ret_n, struct err *e);
	/* Atomic where the store can (SQLite: one transaction; etcd: transactions of at most
	 * LIMIT_ETCD_TXN_OPS; each record is valid by itself). */
	enum err_code (*write)(struct store *st, const struct store_batch *b, struct stop *s,
		struct err *e);
	/* All ext records whose key has the prefix; keys and values heap, freed by store_exts_free. */
	enum err_code (*exts)(struct store *st, const char *prefix, struct stop *s,
		struct store_ext_kv **ret_list, size_t *ret_n, struct err *e);
	void (*close)(struct store *st);
};

struct store_ext_kv {
	char *key, *value;
};

struct store {
	const struct store_ops *ops;
};

void store_exts_free(struct store_ext_kv *l, size_t n);
void store_positions_free(struct store_positions *l, size_t n);
void store_tasks_free(struct task **l, size_t n);
