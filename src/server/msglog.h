/* The message log of the maintenance API: short summaries of the insert and delete messages read,
 * the first few of a server's life, or while forced. No field values are written: a log is no place
 * for data. */
#pragma once

#include "base/log.h"
#include "base/mutex.h"
#include "model/dml.h"

struct msglog {
	struct mutex mtx;
	bool force, active;
	int64_t printed, target; /* messages */
	int64_t since_ms, for_ms;
};

void msglog_init(struct msglog *m);
void msglog_done(struct msglog *m);
void msglog_force(struct msglog *m, bool on);
void msglog_reset(struct msglog *m, int64_t count, int64_t minutes);
void msglog_note(struct msglog *m, const struct log_ctx *log, const struct dml *d);
