/* The page for people: what each task does and what it waits for. One self-contained HTML text,
 * made from the engine's status, which is also served as /cdc/status.json:
 *
 *   {"version", "uptime_s", "source": {"address", "status"}, "store": {"kind", "status"},
 *    "tasks": [{"task_id", "target", "state", "reason", "waits_for", "lag_ms", "collections",
 *               "rows_written", "skipped_operations": [...]}]}
 *
 * Members may be missing; others of source and store are shown as they are. */
#pragma once

#include "base/buf.h"

/* Appends the page. Everything that comes from outside is escaped. A status that is no JSON makes a
 * page that says so. @thread any */
void status_page_write(struct buf *out, const char *status_json);
