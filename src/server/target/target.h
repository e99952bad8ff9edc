/* A task's way to its target. Tasks of one address share a session: the target's clock and the
 * target channels with their workers. The session lives as long as a task of it exists, paused or
 * not: without ticks the target would stop answering queries. Tasks with equal credentials and TLS
 * settings also share the client. A Kafka topic is a target, too: its session has no clock, its
 * channels are untimed. */
#pragma once

#include "base/err.h"
#include "base/log.h"
#include "base/stop.h"
#include "model/task.h"
#include "pipeline/tchan.h"
#include "sink/sink.h"
#include "store/store.h"

struct grpc;
struct milvus_opts;
struct target;
struct targets;
struct jobs;
struct writer;

struct targets_opts {
	struct grpc *grpc;
	struct writer *writer;
	struct store *store;
	int64_t late_bound_ms, keepalive_ms;
	int64_t retry_first_ms, retry_most_ms; /* 0: the workers' own */
	size_t call_bytes;                     /* most bytes of one call */
	bool dry_run;                          /* write nothing: sink_dry.h */
	const char *replicate_id;              /* of the configuration; "" = active/standby */
	const struct log_ctx *log;
};

NODISCARD enum err_code targets_new(
	const struct targets_opts *o, struct targets **ret_s, struct err *e);
/* Closes all sessions: calls in flight get patience_ms. */
void targets_free(struct targets *s, int64_t patience_ms);

/* Connected or not; waits only for the close of an earlier session of that address. Certificate
 * files are read at each connection, so that INVALID is only for settings that can't be right. */
NODISCARD enum err_code target_get(
	struct targets *s, const struct task *t, struct target **ret_t, struct err *e);
void target_put(struct target *t, int64_t patience_ms);

/* Opens a client for the task's target and connects once, without a session. */
NODISCARD enum err_code target_check(
	struct targets *s, const struct task *t, struct stop *stop, struct err *e);

/* A client of the task's target, to be closed by the caller; no network yet. strict: certificate
 * files that can't be read are INVALID, else an error of its calls. */
NODISCARD enum err_code target_open_sink(struct grpc *g, const struct log_ctx *log,
	const struct task *t, bool strict, struct sink **ret, struct err *e);

/* The settings of the task's target Milvus. uri and token (task_target, task_token) are borrowed, as
 * is the rest. */
struct milvus_opts target_milvus_opts(
	const struct task *t, const char *uri, const char *token, bool strict);

/* No channel sends anything any more, ticks included, until the session is closed. */
void target_silence(struct target *t);

/* Each source collection is one task's on a target, also when a rename brings it into the selection
 * of another. False if another owner has it. @thread any */
bool target_claim(struct target *t, int64_t source_id, const void *owner);
/* Does some task of ours replicate this source collection to the target? @thread any */
bool target_has_claim(struct target *t, int64_t source_id);
/* The owner gives this one back. */
void target_unclaim_one(struct target *t, int64_t source_id, const void *owner);
/* The owner gives all of its own back. */
void target_unclaim(struct target *t, const void *owner);

/* A name on the target is one source collection's. Returns 0 and holds it for source_id (and t's
 * task, also while that is paused), or the source id of the collection that has it. @thread any */
int64_t target_claim_name(struct target *t, const char *db, const char *name, int64_t source_id);
/* Holds the names of what t's task has on the target, as its records in the store say. */
NODISCARD enum err_code target_claim_recorded(
	struct target *t, struct store *st, struct stop *s, struct err *e);
/* Nothing happens if another collection holds it. */
void target_release_name(struct target *t, const char *db, const char *name, int64_t source_id);
/* All names of t's task: it is deleted. */
void target_release_task(struct target *t);
/* Calls fn with each task of t's session, its own included, until it answers true. Under a lock: fn
 * must not block. @thread any */
bool target_any_task(struct target *t, bool (*fn)(void *arg, const struct task *task), void *arg);

struct sink *target_sink(struct target *t);
/* For what blocks on this target, and only on it. */
struct jobs *target_jobs(struct target *t);
/* The target's clock now, a TSO; 0 while it was never reached. @thread any, does not block */
uint64_t target_clock(void *target);
/* The channel, made with its worker when new. UNAVAILABLE while the target's clock is unknown. */
NODISCARD enum err_code target_chan(
	struct target *t, const char *pchannel, struct tchan **ret_c, struct err *e);
/* After an unclean stop: the source time up to which rows of the stream `key` may be on the channel;
 * 0 = unknown. To be asked once before the stream is attached. */
uint64_t target_window_end(
	struct target *t, const char *pchannel, struct tchan *c, const char *key);
/* "" when in order, else what calls to the target wait for. */
void target_status(struct target *t, char *ret_text, size_t cap);
