/* The inside of the engine, shared by engine.c and engine_status.c. */
#pragma once

#include "base/mutex.h"
#include "base/stop.h"
#include "base/thread.h"
#include "server/engine.h"
#include "server/msglog.h"

struct etask {
	struct task *task; /* changed only by who holds busy, under engine->mtx where shown */
	struct target *target;
	struct run *run; /* NULL while paused */
	bool busy;       /* a request works on it */
};

struct engine {
	struct services sv;
	struct stop stop;
	struct thread loader;
	int64_t started_mono_ms;
	struct msglog msglog;

	struct mutex mtx;
	struct cond cond;
	struct etask **tasks;
	size_t n, cap;
	bool loaded;
	char loading[ERR_TEXT_BYTES]; /* what loading waits for */
};

/* Ids in order, heap; the caller frees each and the array. */
char **engine_ids(struct engine *en, size_t *ret_n);
struct msglog *engine_msglog(struct engine *en);
