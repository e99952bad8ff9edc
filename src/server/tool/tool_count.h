/* milvus-cdc count: messages and rows by channel, collection and type, from a position to the end
 * of the topic; or all primary keys as CSV. */
#pragma once

#include "server/tool/tool_scan.h"

/* The command; its exit code. */
int tool_count_main(const struct cli *c);

enum { TOOL_COUNT_TYPES = 16 };

struct tool_type_count {
	int type; /* enum msg_type; -1 = can't be read */
	int64_t messages, bytes;
	uint64_t rows;
};

/* One collection on one channel; collection_id 0: messages that name none (ticks). */
struct tool_tally {
	char pchannel[CHANNEL_BYTES];
	int64_t collection_id;
	uint64_t first_ts, last_ts; /* of messages that are no ticks */
	struct tool_type_count types[TOOL_COUNT_TYPES];
	size_t n_types;
};

struct tool_count {
	const struct mq *mq;
	const struct tool_plan *plan;
	size_t first, last; /* the plan's channels that are read now */
	struct tool_tally *list;
	size_t n, cap;
	FILE *csv;         /* keys go there instead; NULL: count only */
	struct tool *tool; /* for names and key fields; NULL = ids only */
};

/* A tool_scan callback. */
bool tool_count_message(void *count, const struct tool_message *m);
void tool_count_print(FILE *out, const struct tool_count *n, bool json);
void tool_count_done(struct tool_count *n);
