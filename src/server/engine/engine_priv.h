/* The inside of the engine:
 *   engine.c            the list of tasks, their runs, start and stop of the whole
 *   engine_load.c       the stored tasks at the start
 *   engine_requests.c   what the API asks for
 *   engine_watch.c      lag, time to catch up, expiry of the source's log, once a second
 *   engine_doctor.c     what the doctor finds
 *   engine_verify.c     the rolling check
 *   engine_repair.c     rows that verify found different
 *   engine_status.c     status page and gauges */
#pragma once

#include "base/mutex.h"
#include "base/stop.h"
#include "base/thread.h"
#include "server/api/api.h"
#include "server/task/catchup.h"
#include "server/engine/engine.h"
#include "server/jobs.h"
#include "server/msglog.h"

enum { ENGINE_STOP_MS = 5000 };

/* The reference's text; a task stored as Paused with it stays so over a restart. */
#define ENGINE_MANUAL_PAUSE "manually pause through http interface"

/* What the thread "watch" saw last; under engine->mtx. */
struct etask_watch {
	struct catchup history;
	int64_t lag_ms; /* or RUN_LAG_UNKNOWN */
	int64_t catch_up_s;
	int64_t expires_ms; /* until the queue deletes what is read next; -1 = unknown */
	bool told;          /* that it is soon */
};

struct etask {
	struct task *task; /* changed only by who holds busy, and under engine->mtx */
	struct target *target;
	/* under engine->mtx */
	struct run *run; /* NULL while paused or being stopped */
	int readers;     /* use run: it is not stopped before they are gone */
	bool busy;       /* a request works on it */
	bool hidden;     /* being created: get and list do not show it */
	struct etask_watch watch;
	int64_t stored_ms; /* while paused: the oldest stored position, ms since the epoch; 0 unknown */
	char *findings; /* of the doctor: "findings":[...], "" or NULL = none */
};

struct engine {
	struct services sv;
	struct stop stop;
	struct thread loader, watcher, verifier;
	struct jobs *asking; /* its pool: one thread */
	struct job ask;
	int64_t started_mono_ms;
	struct msglog msglog;

	struct mutex mtx;
	struct cond cond;
	struct etask **tasks;
	size_t n, cap;
	int64_t retention_ms; /* of the source's queue; 0 = unknown */
	bool loaded;
	char loading[ERR_TEXT_BYTES]; /* what loading waits for */
};

/* Ids in order, heap; the caller frees each and the array. */
char **engine_ids(struct engine *en, size_t *ret_n);
/* NULL if there is none. */
struct etask *engine_find_locked(struct engine *en, const char *id) REQUIRES(en->mtx);
/* NOT_FOUND, or what the engine waits for before it can tell. */
enum err_code engine_absent_locked(struct engine *en, const char *id, struct err *e)
	REQUIRES(en->mtx);
/* The task for one request: others that change it wait. Also BUSY after a minute, and CANCELLED. */
NODISCARD enum err_code engine_acquire(
	struct engine *en, const char *id, struct etask **ret, struct err *e);
void engine_release(struct engine *en, struct etask *t);
/* Takes task; the new entry is busy, and shown to get and list unless hidden. */
struct etask *engine_add(struct engine *en, struct task *task, bool hidden);
/* Frees t, which has no run and is busy for the caller, and drops the task's series. */
void engine_take_out(struct engine *en, struct etask *t);
/* Publishes and logs; t is busy for the caller. */
void engine_set_task(struct engine *en, struct etask *t, enum task_state s, const char *reason);
/* Stores it; the caller publishes. */
NODISCARD enum err_code engine_persist_state(struct engine *en, struct etask *t, enum task_state s,
	const char *reason, bool user_paused, struct err *e);

/* Runs; t is busy for the caller. */
NODISCARD enum err_code engine_start_run(struct engine *en, struct etask *t, struct err *e);
void engine_stop_run(struct engine *en, struct etask *t, int64_t patience_ms);
/* The run, or NULL; if there is one it and t stay until engine_unpin, which must be soon. */
struct run *engine_pin_locked(struct etask *t);
void engine_unpin(struct engine *en, struct etask *t);

/* engine_watch.c */
NODISCARD enum err_code engine_watch_start(struct engine *en, struct err *e);
void engine_watch_stop(struct engine *en);
/* A task was made or stopped: what peers know of it is asked soon. */
void engine_watch_kick(struct engine *en);
/* JSON members for a task's own fields; has_run: those of run_status are there. Heap. */
char *engine_measures(struct engine *en, const char *id, bool has_run);

/* engine_verify.c: the thread, if the configuration wants it; it ends with en->stop. */
NODISCARD enum err_code engine_verify_start(struct engine *en, struct err *e);

/* engine_repair.c. The request repair: see api.h. */
NODISCARD enum err_code engine_repair(
	struct engine *en, const struct api_repair *asked, struct err *e);

/* engine_doctor.c. A look at what is quick when t was created; it is kept with the task. */
void engine_look_quick(struct engine *en, const struct task *t);
/* What was found at the last look, as JSON members; "" if nothing was. Heap. */
char *engine_findings(struct engine *en, const char *id);
/* Findings and measures into a task's own fields, a JSON object or "". */
void engine_add_own(struct engine *en, const char *id, char **extra);
/* The request doctor: see api.h. */
NODISCARD enum err_code engine_doctor(
	struct engine *en, const struct task *t, struct json_out *ret, struct err *e);

/* The loader's thread. */
void engine_load(void *arg);
