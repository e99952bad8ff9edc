/* The metastore behind a vtable: tasks, positions, and our own small records. Layouts of etcd (and
 * MySQL) are the reference's, so that its tasks are carried on.
 * @thread any function any thread */
#pragma once

#include "base/bytes.h"
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
	/* With exact: wall time at which the topic held nothing behind pos.id; 0 unknown. */
	int64_t end_ms;
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
	 * positions, so that neither is ever seen without the other. JSON fields of a stored record
	 * that we don't know stay. MALFORMED if the stored record is damaged: only deleting gets
	 * rid of it. */
	const struct task *task;
	const struct store_positions *positions;
	size_t n_positions;
	/* Documents to delete; those that are not there are no failure. */
	const struct store_doc_id {
		const char *task_id;
		int64_t collection_id;
	} * gone;
	size_t n_gone;
	/* Our own records: key below the server's root, e.g. "object/<task>/<id>", JSON text; NULL
	 * value = delete. They live beside the reference's keys under "ext/". Build keys that hold
	 * a task id with keys_ext_task (store/keys.h): an id may hold '/'. */
	const struct store_ext {
		const char *key, *value;
	} * exts;
	size_t n_exts;
	/* Task records as they are, key = id, put over what is there: for copies between stores. */
	const struct store_ext *texts;
	size_t n_texts;
};

enum store_kind { STORE_TASKS, STORE_POSITIONS, STORE_EXTS };

/* One stored record. rest is its key behind the common prefix of its kind. Stores that keep a
 * document as one text leave name NULL and use texts[0]; SQL layouts give the name and the three
 * maps. Valid during the call. */
struct store_row {
	struct slice rest;
	const char *name;
	struct slice texts[3];
};

/* Which records: those whose key behind the kind's prefix starts with `below`; fn gets each, in the
 * order of their keys' bytes. */
struct store_listing {
	enum store_kind kind;
	const char *below;
	void (*fn)(void *arg, const struct store_row *row);
	void *arg;
};

/* Who writes here, as far as the store can tell. */
struct store_fence {
	char text[256];   /* "" = nobody ever */
	int64_t revision; /* grows with every change made by any server */
};

struct store;

struct store_ops {
	const char *name;
	/* Reachable and usable? CONFLICT when another server has taken over. */
	enum err_code (*check)(struct store *st, struct stop *s, struct err *e);
	enum err_code (*list)(
		struct store *st, const struct store_listing *l, struct stop *s, struct err *e);
	/* Atomic where the store can (SQLite, MySQL: one transaction; etcd: transactions of at most
	 * LIMIT_ETCD_TXN_OPS; each record is valid by itself). Positions of a task that has no
	 * record (it was deleted meanwhile) are left out; the rest is stored and the answer is
	 * NOT_FOUND. UNCERTAIN: the answer was lost; repeating the same batch is right. */
	enum err_code (*write)(
		struct store *st, const struct store_batch *b, struct stop *s, struct err *e);
	/* The task, all its positions and all ext records below "object/<task>/" and
	 * "bound/<task>/" in one transaction. OK if there is none. */
	enum err_code (*task_delete)(
		struct store *st, const char *id, struct stop *s, struct err *e);
	enum err_code (*fence)(
		struct store *st, struct stop *s, struct store_fence *ret, struct err *e);
	void (*close)(struct store *st);
};

struct store {
	const struct store_ops *ops;
	struct vault *vault; /* NULL: credentials are stored as they are. Owned */
};

/* From now on credentials of tasks are encrypted before they are written; what is read is decrypted in
 * any case. Takes v; once, before the store is used. */
void store_use_vault(struct store *st, struct vault *v);
/* Writes the tasks again whose credentials are not encrypted with the first key; *ret_n of them. To
 * be called before others write tasks. INVALID if a key is missing: nothing is changed then. */
NODISCARD enum err_code store_reseal(
	struct store *st, struct stop *s, size_t *ret_n, struct err *e);

/* How the reason of a task begins whose record can't be read. */
#define STORE_DAMAGED "stored record damaged"

/* INVALID if credentials are encrypted and the key is not there: to go on without would lose them.
 * One damaged record hides no other: it comes as a task with its id, Paused, and the reason
 * STORE_DAMAGED ": <why>". *ret_list is freed by store_tasks_free. */
NODISCARD enum err_code store_read_tasks(
	struct store *st, struct stop *s, struct task ***ret_list, size_t *ret_n, struct err *e);
/* task_id NULL = of all tasks. Damaged documents come with p->damaged set. */
NODISCARD enum err_code store_read_positions(struct store *st, const char *task_id, struct stop *s,
	struct store_positions **ret_list, size_t *ret_n, struct err *e);

struct store_ext_kv {
	char *key, *value;
};

/* All ext records whose key has the prefix; keys and values heap, freed by store_exts_free. */
NODISCARD enum err_code store_read_exts(struct store *st, const char *prefix, struct stop *s,
	struct store_ext_kv **ret_list, size_t *ret_n, struct err *e);
/* The task records as stored: key = id, damaged ones left out and counted. For store_exts_free. */
NODISCARD enum err_code store_read_texts(struct store *st, struct stop *s,
	struct store_ext_kv **ret_list, size_t *ret_n, size_t *ret_damaged, struct err *e);

/* A write of this task alone. */
NODISCARD enum err_code store_put_task(
	struct store *st, const struct task *t, struct stop *s, struct err *e);
NODISCARD enum err_code store_write(
	struct store *st, const struct store_batch *b, struct stop *s, struct err *e);
NODISCARD enum err_code store_delete_task(
	struct store *st, const char *id, struct stop *s, struct err *e);
/* NULL is fine. */
void store_close(struct store *st);

/* The answer of a write that left out positions of a task without a record. */
enum err_code store_no_task(const char *task_id, struct err *e);

/* Lists as the functions above return them; NULL is fine. */
void store_exts_free(struct store_ext_kv *l, size_t n);
void store_positions_free(struct store_positions *l, size_t n);
void store_tasks_free(struct task **l, size_t n);
