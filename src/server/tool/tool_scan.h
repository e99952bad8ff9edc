/* Reads one topic for the tools, message by message, to its end as it was at the start, or for
 * ever. */
#pragma once

#include "server/tool/tool.h"
#include "source/raw.h"

struct tool_message {
	const char *pchannel;
	const struct mq_msg *msg;
	const struct dml *dml; /* NULL: it can't be read, see why */
	uint64_t ts;           /* as the source's consumers see it */
	const char *why;
};

struct tool_scan {
	struct mq *mq;
	struct stop *stop;
	const char *pchannel;
	struct mq_id from; /* inclusive; n 0 = the earliest */
	bool follow;       /* do not end with the topic */
	/* False ends the scan. */
	bool (*message)(void *arg, const struct tool_message *m);
	void *arg;
};

/* NOT_FOUND if there is no such topic, GONE if `from` is not kept any more. */
NODISCARD enum err_code tool_scan(const struct tool_scan *s, struct err *e);
/* Does the channel of a plan want this message? */
bool tool_wants(const struct mq *q, const struct tool_channel *ch, const struct tool_message *m);
/* The smallest position of channels first .. last - 1 of a plan, all of one pchannel; and where
 * those end. */
struct mq_id tool_first_id(
	const struct mq *q, const struct tool_plan *p, size_t first, size_t *ret_last);
