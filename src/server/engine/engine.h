/* The engine behind the API: all tasks, stored and running. Requests about one task are served one
 * after the other; a request about one task never waits for another's.
 *
 *            create            pause (API)
 *   (none) ─────────▶ Running ────────────▶ Paused        a remote failure changes neither: the run goes on trying
 *                        ▲    ◀────────────    │          and says what it waits for
 *                        │      resume (API)   │
 *                        └── server restart ───┘ only if the user did not pause it
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "server/api/api.h"
#include "server/services.h"

struct engine;

NODISCARD enum err_code engine_new(const struct services *sv, struct engine **ret_e, struct err *e);
/* Starts loading the stored tasks and starting them; returns at once. Until all are loaded,
 * requests are answered with what it waits for. */
NODISCARD enum err_code engine_start(struct engine *en, struct err *e);
/* Requests in flight end soon, with CANCELLED; runs go on. Before the listener waits for its
 * requests. @thread any */
void engine_cancel(struct engine *en);
/* Stops all runs with positions stored, keeps the stored states. */
void engine_stop(struct engine *en, int64_t patience_ms);
void engine_free(struct engine *en);

/* Are the stored tasks loaded, and is the metastore in order? What is missing goes to why, a line
 * each. @thread any */
bool engine_ready(struct engine *en, struct buf *why);

/* The vtable for api_new. */
struct api_engine engine_api(struct engine *en);

/* Brings gauges that are computed (task_num, lag, ...) up to date, for a scrape. */
void engine_refresh_metrics(struct engine *en);
/* The JSON text of the status page (status_page.h). */
void engine_status(struct engine *en, struct buf *ret);
/* Notes messages that are read, as set_force_log_msg and reset_log_msg ask for. */
struct msglog *engine_msglog(struct engine *en);
