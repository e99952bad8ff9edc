/* milvus-cdc positions: where a collection starts in the source's queue, or where the queue ends
 * now, ready for a create request; and what a given position says. */
#pragma once

#include <stdio.h>

#include "base/err.h"
#include "server/tool/tool.h"

/* The command; its exit code. */
int tool_positions_main(const struct cli *c);

/* Prints what a base64 position (MsgPosition or bare message id) says. INVALID if it is neither. */
NODISCARD enum err_code tool_positions_decode(
	FILE *out, const char *text, bool json, struct err *e);
/* Prints the start positions of c; db is its database's name. latest (NULL = none): per shard the
 * end of its pchannel, printed instead. */
void tool_positions_print(FILE *out, const struct collection *c, const char *db,
	const struct mq_id *latest, bool json);
