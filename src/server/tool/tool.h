/* What the side tools share: the peers of the configuration, opened for reading, and the channels
 * that the command line asks for. A tool prints to standard output, complains to standard error and
 * writes nothing anywhere. @thread main only */
#pragma once

#include <stdio.h>

#include "base/stop.h"
#include "model/channel.h"
#include "model/collection.h"
#include "model/position.h"
#include "server/tool/cli.h"
#include "source/mq.h"

struct catalog;
struct config;
struct etcd;
struct grpc;
struct store;

enum { TOOL_NAME_BYTES = 512, TOOL_TIME_BYTES = 32, TOOL_ID_BYTES = 2 * MQ_ID_BYTES + 32 };

enum tool_needs { TOOL_CATALOG = 1, TOOL_QUEUE = 2, TOOL_STORE = 4 };

struct tool {
	struct config *config;
	struct grpc *grpc;
	struct etcd *source_etcd, *store_etcd;
	struct catalog *catalog; /* its first snapshot is there */
	struct mq *mq;
	struct store *store;
	struct stop stop;
};

/* Loads the configuration; INVALID with all that is wrong with it. */
NODISCARD enum err_code tool_config(const char *path, struct config **ret_c, struct err *e);
/* Opens what `needs` (tool_needs) says, and waits for the catalog. */
NODISCARD enum err_code tool_open(
	struct tool *t, const char *config_path, unsigned needs, struct err *e);
void tool_close(struct tool *t);
/* Prints the error; the exit code of a tool that ended with it. */
int tool_exit(const char *tool, const struct err *e);

/* The collection that the options name: --collection-id, or --collection with --db. NULL without an
 * error: none is named. The caller unrefs. */
NODISCARD enum err_code tool_collection(
	struct tool *t, const struct cli *c, struct collection **ret_c, struct err *e);
/* db.name of a collection id, or "" if the catalog does not know it (t->catalog may be NULL). */
void tool_name(struct tool *t, int64_t collection_id, char out[TOOL_NAME_BYTES]);

/* A channel to look at: a whole pchannel, or one collection on it. */
struct tool_channel {
	char pchannel[CHANNEL_BYTES];
	int64_t collection_id; /* 0 = all */
	struct position from;  /* what is at or below from.ts is left out; no id = the earliest */
};

struct tool_plan {
	struct tool_channel *list; /* by pchannel */
	size_t n, cap;
};

void tool_plan_done(struct tool_plan *p);
/* The channels that the options ask for: --channel, --task, or a collection; with --from. */
NODISCARD enum err_code tool_plan(
	struct tool *t, const struct cli *c, struct tool_plan *ret_p, struct err *e);

/* "2026-11-23 03:10:11.123" of a source time, UTC; "-" for 0. */
void tool_time(uint64_t ts, char out[TOOL_TIME_BYTES]);
/* An id as people write it: Kafka's offset, Pulsar's ledger:entry[:partition[:batch]], else hex. */
void tool_id(const struct mq_id *id, char out[TOOL_ID_BYTES]);
