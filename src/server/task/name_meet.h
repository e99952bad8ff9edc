/* Two collections of the source that would be one on the target: in one task by its name mapping, or
 * in two tasks to one target. Pure: from the tasks and what the source has. */
#pragma once

#include "base/defs.h"
#include "model/task.h"
#include "source/catalog.h"

/* A collection that exists at the source. Texts are owned by the list. */
struct source_name {
	int64_t id;
	uint64_t create_ts;
	char *db, *name;
};

struct source_names {
	struct source_name *l;
	size_t n, cap;
};

/* The collections that the catalog holds as Created. */
struct source_names source_names_read(struct catalog *c);
void source_names_add(
	struct source_names *s, int64_t id, uint64_t create_ts, const char *db, const char *name);
void source_names_done(struct source_names *s);

/* One that stands in the way. Borrowed from the list, the tasks and the caller's buffer. */
struct name_meet {
	const struct source_name *a, *b; /* b is of the task */
	const struct task *task;
	char target_db[1024], target_name[1024];
};

/* Does `t` replicate a collection that was created before (id, create_ts) and is called
 * ret->target_db, ret->target_name (filled by the caller) on the target? Then b and task are set. */
bool name_meet_older(const struct task *t, const struct source_names *s, int64_t id,
	uint64_t create_ts, struct name_meet *ret);

/* Do two collections meet, of which t (a new task) replicates at least one? others: tasks to the
 * same target. */
bool name_meet_any(const struct task *t, struct task *const *others, size_t n_others,
	const struct source_names *s, struct name_meet *ret);
