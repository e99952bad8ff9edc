/* The metastore behind a vtable: tasks, positions, and our own small records. Layouts of etcd (and
 * MySQL) are the reference's, so that its tasks are carried on.
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
	bool exact; /* written by us: pos.ts is valid and id matches the extension's copy */
};

/* The document of one (task, collection). */
struct store_positions {
	char *task_id;
	int64_t collection_id;
	char *collection_name;
	struct store_position *source, *op, *target; /* Positions, OpPositions, TargetPositions */
	size_t n_source, n_op, n_target;
	/* NULL, or why the stored document can't be read: there are no entries then, and the true
	 * position is unknown. A stream must not start from nothing because of it. */
	char *damaged;
};

/* Frees what p holds; p is empty then. */
void store_positions_done(struct store_positions *p);
/* A deep copy; done with store_positions_done. */
void store_positions_copy(struct store_positions *to, const struct store_positions *from);

/* What one write-behind batch changes. Any array may be empty, no key stands twice. Values are
 * borrowed. */
struct store_batch {
	/* NULL, or a task put in the same transaction: creates a task together with its first
	 * positions, so that neither is ever seen without the other. */
	const struct task *task;
	const struct store_positions *positions;
	size_t n_positions;
	/* Our own records: key below the server's root, e.g. "object/<task>/<id>", JSON text; NULL
	 * value = delete. They live beside the reference's keys under "ext/". Build keys that hold
	 * a task id with keys_ext_task (store/keys.h): an id may hold '/'. */
	const struct store_ext {
		const char *key, *value;
	} * exts;
	size_t n_exts;
};

struct store;
struct store_ext_kv;

struct store_ops {
	const char *name;
	/* Reachable and usable? */
	enum err_code (*check)(struct store *st, struct stop *s, struct err *e);
	/* One damaged record hides no other: it comes as a task with its id, Paused, and the reason
	 * "stored record damaged: <why>". */
	enum err_code (*tasks)(struct store *st, struct stop *s, struct task ***ret_list,
		size_t *ret_n, struct err *e);
	/* Creates or changes. JSON fields of the stored record that we don't know stay. MALFORMED
	 * if the stored record is damaged: only task_delete gets rid of it. */
	enum err_code (*task_put)(
		struct store *st, const struct task *t, struct stop *s, struct err *e);
	/* The task, all its positions and all ext records below "object/<task>/" and
	 * "bound/<task>/" in one transaction. OK if there is none. */
	enum err_code (*task_delete)(
		struct store *st, const char *id, struct stop *s, struct err *e);
	/* task_id NULL = of all tasks. Damaged documents come with p->damaged set. */
	enum err_code (*positions)(struct store *st, const char *task_id, struct stop *s,
		struct store_positions **ret_list, size_t *ret_n, struct err *e);
	/* Atomic where the store can (SQLite: one transaction; etcd: transactions of at most
	 * LIMIT_ETCD_TXN_OPS; each record is valid by itself). Positions of a task that has no
	 * record (it was deleted meanwhile) are left out; the rest is stored and the answer is
	 * NOT_FOUND. */
	enum err_code (*write)(
		struct store *st, const struct store_batch *b, struct stop *s, struct err *e);
	/* All ext records whose key has the prefix; keys and values heap, freed by
	 * store_exts_free. */
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

/* Lists as the functions above return them; NULL is fine. */
void store_exts_free(struct store_ext_kv *l, size_t n);
void store_positions_free(struct store_positions *l, size_t n);
void store_tasks_free(struct task **l, size_t n);
