/* Stored records as JSON: tasks and position documents in the reference's exact format, plus our
 * extension, which the reference ignores (and drops when it writes a record itself).
 *
 * Task: the extra fields "UserPaused": true and "OnUnsupportedOperation", left out when false or
 * empty. Fields that we don't know belong
 * to whoever wrote them: they are kept by writing over the stored text (record_task_merge), not in
 * struct task.
 * Position entry: an extra object "Ext": {"V":1,"TS":"<uint64>","ID":"<base64>"} when the entry is
 * exact: TS is the exact source end time (a string, for JSON numbers end at 2^53 elsewhere), ID a
 * copy of DataPair.data; "End" is end_ms, left out when 0. If the copy or Time no longer fit,
 * somebody else moved the position: exact is false. Time is then the wall-clock milliseconds of TS less one: the reference resumes at (Time
 * + 1) << 18, which must never lie above TS, so it repeats rows but never skips any. */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "store/store.h"

/* Appends compact JSON. INVALID when a text is not UTF-8, LIMIT when it is too long. */
NODISCARD enum err_code record_task_encode(struct buf *b, const struct task *t, struct err *e);
/* As encode, written over the stored record: members of it that we don't know stay where they are,
 * at any depth, as long as what stands around them is unchanged. MALFORMED if the stored one is
 * damaged. */
NODISCARD enum err_code record_task_merge(
	struct buf *b, struct slice stored, const struct task *t, struct err *e);
/* MALFORMED says what is wrong. */
NODISCARD enum err_code record_task_decode(struct slice in, struct task **ret_t, struct err *e);
/* The record stored for id, damaged or not; never NULL. */
struct task *record_task_read(const char *id, struct slice in);

/* What stands for a record that can't be read: Paused, with the reason; it never starts. */
struct task *record_task_damaged(const char *id, const char *why);

/* What Time holds for an exact position with this source end time; 0 stays 0. */
int64_t record_time_ms(uint64_t ts);

NODISCARD enum err_code record_positions_encode(
	struct buf *b, const struct store_positions *p, struct err *e);
/* *p is overwritten; empty on failure. */
NODISCARD enum err_code record_positions_decode(
	struct slice in, struct store_positions *p, struct err *e);
/* The document stored for (task, collection), damaged or not. */
void record_positions_read(
	const char *task_id, int64_t collection_id, struct slice in, struct store_positions *p);

/* One of the three maps by itself, for stores that keep them apart. "null" is an empty map. */
NODISCARD enum err_code record_entries_encode(
	struct buf *b, const struct store_position *l, size_t n, struct err *e);
NODISCARD enum err_code record_entries_decode(
	struct slice in, struct store_position **ret_l, size_t *ret_n, struct err *e);
/* The same from a row of the reference's SQL layout: Positions, OpPositions, TargetPositions. */
void record_row_read(const char *task_id, int64_t collection_id, const struct store_row *row,
	struct store_positions *p);

/* Lists of what a store holds, filled row by row. A key that we would not have written gives a
 * damaged task, or no document. */
struct record_tasks {
	struct task **v;
	size_t n, cap;
};
struct record_docs {
	struct store_positions *v;
	size_t n, cap;
};
void record_tasks_add(struct record_tasks *l, const struct store_row *row);
void record_docs_add(struct record_docs *l, const struct store_row *row);
void record_tasks_done(struct record_tasks *l);
void record_docs_done(struct record_docs *l);
