/* Which tasks of one target may stand beside each other: no collection is replicated by two of
 * them. Pure: everything is derived from the stored tasks, so there is no state that could disagree
 * with them. Full names are (database, collection), either may be "*". (Better
 * than the reference where two selections cross without one covering the other: the new task leaves
 * the crossing to the old one.) */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "model/task.h"

/* Do both tasks go to the same place? How the address is spelled makes no difference
 * (address_of_target); of a Kafka target the topic counts too. */
bool task_names_same_target(const struct task *a, const struct task *b);

/* Checks t against the tasks that exist on its target (others are skipped) and sets t->excludes to
 * what they already replicate. INVALID with the reference's text: "the enable user role param is
 * duplicate", "the collection name is duplicate with existing task, [..]", "the collection name in
 * the name mapping is not in the collection info, checkout it". t->excludes is changed only on OK.
 */
NODISCARD enum err_code task_names_check(
	struct task *t, struct task *const *existing, size_t n, struct err *e);

/* INVALID if the request names a collection twice: "the collection name is duplicate in the
 * request, [..]". */
NODISCARD enum err_code task_names_check_repeats(const struct task *t, struct err *e);

/* Appends " db.name (id)" for what a deleted task replicated and `other` leaves out because of it. */
void task_names_orphans(const struct task *gone, const struct task *other, struct buf *ret);

/* Do both ask for the same selection on the same target? For a create with the id of a task that
 * exists. */
bool task_names_equal(const struct task *a, const struct task *b);

/* Printable UTF-8, not empty, at most TASK_NAMES_ID_BYTES bytes, no control characters. */
enum { TASK_NAMES_ID_BYTES = 128 };
NODISCARD enum err_code task_names_check_id(const char *id, struct err *e);
