/* migrate-store: copies a metastore to another one of any kind. @thread main only */
#pragma once

#include <stdio.h>

#include "base/err.h"
#include "base/stop.h"
#include "server/tool/cli.h"
#include "store/store.h"

struct migrate_opts {
	bool dry_run; /* look only; to may be NULL then: it does not exist yet */
	bool force;   /* a target that holds other things, and damaged records, are no obstacle */
};

/* Reads all of `from`, writes it to `to`, reads it back and compares. EXISTS: the target holds
 * something else; MALFORMED: the source has damaged records. Says on out what it did. */
NODISCARD enum err_code migrate_stores(struct store *from, struct store *to,
	const struct migrate_opts *o, struct stop *s, FILE *out, struct err *e);
/* CONFLICT if somebody changes the metastore within wait_ms. A running server whose tasks all rest is
 * not noticed. SQLite's lock needs no look. */
NODISCARD enum err_code migrate_check_idle(
	struct store *st, int64_t wait_ms, struct stop *s, struct err *e);

int tool_migrate_main(const struct cli *c);
