/* milvus-cdc inspect: the messages of a channel, one line each. */
#pragma once

#include "server/tool/tool_scan.h"

/* The command; its exit code. */
int tool_inspect_main(const struct cli *c);

struct tool_inspect {
	FILE *out;
	bool json;
	bool ticks;    /* show time ticks too */
	int64_t limit; /* lines; 0 = no limit */
	int64_t keys;  /* primary keys shown of a message */
	int64_t shown;
	const struct tool_plan *plan;
	size_t first, last; /* the plan's channels that are read now */
	const struct mq *mq;
	struct tool *tool; /* for names and key fields; NULL = ids only */
};

/* A tool_scan callback. */
bool tool_inspect_message(void *inspect, const struct tool_message *m);
