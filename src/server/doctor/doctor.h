/* The doctor looks at everything a task needs and says what is wrong or soon will be, before it
 * costs somebody a night. It reads only: nothing is changed on any peer, no position moves.
 *
 *   doctor_table.h     all codes, with meaning and fix
 *   doctor.c           the list of findings; what is looked at, in which order
 *   doctor_text.c      as a table, as JSON, as docs/doctor.md
 *   doctor_etcd.c      the source's etcd, its prefixes
 *   doctor_catalog.c   what a task covers
 *   doctor_queue.c     topics, ticks, retention, stored positions
 *   doctor_target.c    a target: mode, clock, what it has already
 *   doctor_store.c     the metastore
 *   doctor_host.c      certificates, ports, limits of this machine
 *
 * It runs as a command with the server's configuration, as a request of the API inside the server,
 * and, for what is quick, when a task is created. @thread any; each look blocks for some seconds at
 * most, a peer that is away included */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/stop.h"
#include "model/task.h"
#include "server/doctor/doctor_table.h"

struct catalog;
struct config;
struct etcd;
struct grpc;
struct mq;
struct sink;
struct store;
struct store_positions;

enum doctor_severity { DOCTOR_NOTE, DOCTOR_WARNING, DOCTOR_ERROR, DOCTOR_SEVERITY_COUNT };

enum doctor_code {
#define DOCTOR_ENUM(name, code, severity, means, fix) DOCTOR_CODE_##name,
	DOCTOR_TABLE(DOCTOR_ENUM)
#undef DOCTOR_ENUM
		DOCTOR_CODE_COUNT
};

struct doctor_row {
	const char *code;
	enum doctor_severity severity;
	const char *means, *fix;
};

extern const struct doctor_row doctor_rows[DOCTOR_CODE_COUNT];
const char *doctor_severity_name(enum doctor_severity s); /* "note" "warning" "error" */

/* subject is what it is about ("target 10.0.0.7:19530"), seen what was observed. Owned. */
struct finding {
	enum doctor_code code;
	char *subject, *seen;
	char *fix; /* NULL: the table's */
};

/* What was looked at and is in order. Owned. */
struct doctor_fact {
	char *subject, *seen;
};

enum { DOCTOR_FINDINGS_MAX = 200, DOCTOR_FACTS_MAX = 200 };

struct doctor {
	struct finding *list;
	size_t n, cap;
	size_t left_out; /* beyond DOCTOR_FINDINGS_MAX */
	struct doctor_fact *facts;
	size_t n_facts, cap_facts;
};

void doctor_done(struct doctor *d);
void doctor_note(struct doctor *d, enum doctor_code code, const char *subject, const char *fmt, ...)
	PRINTF(4, 5);
/* Says for the last finding what to do exactly, instead of the table's text. */
void doctor_fix(struct doctor *d, const char *fmt, ...) PRINTF(2, 3);
void doctor_fact(struct doctor *d, const char *subject, const char *fmt, ...) PRINTF(3, 4);
size_t doctor_count(const struct doctor *d, enum doctor_severity s);
void doctor_drop_notes(struct doctor *d);
/* 0: in order, notes at most; 1: warnings; 2: errors. */
int doctor_exit(const struct doctor *d);

/* Everything it looks at; borrowed. What is NULL could not be opened, or is not to be looked at. */
struct doctor_env {
	const struct config *config;
	struct grpc *grpc;
	struct etcd *etcd;
	struct catalog *catalog; /* with or without its first snapshot */
	struct mq *mq;
	struct store *store;
	struct stop *stop;
	int64_t outage_ms;  /* how long a task may have to stand still */
	uint64_t source_ts; /* the source's last tick, a TSO, and when it was seen; 0 = unknown */
	int64_t source_mono_ms;
};

enum { DOCTOR_OUTAGE_MS = 24 * 3600 * 1000 };

/* False if the catalog can't be read. Where there is none yet it is opened: the caller frees it. */
bool doctor_etcd(struct doctor_env *env, struct doctor *d);
/* Sets source_ts. */
void doctor_queue(struct doctor_env *env, struct doctor *d);
void doctor_store(struct doctor_env *env, struct doctor *d);
void doctor_host(struct doctor_env *env, struct doctor *d);
/* Our own port: is it free, or do we run there already? Only outside of the server. */
void doctor_port(const struct config *c, struct doctor *d);

/* A task, stored or not. */
void doctor_catalog(const struct doctor_env *env, const struct task *t, struct doctor *d);
/* Its stored positions against what the queue keeps. */
void doctor_positions(const struct doctor_env *env, const struct task *t,
	const struct store_positions *list, size_t n, struct doctor *d);
void doctor_task_files(const struct task *t, struct doctor *d);
/* most: so many collections are compared with the target's. */
void doctor_target(
	const struct doctor_env *env, const struct task *t, size_t most, struct doctor *d);
/* The same over a connection that is there, for tests. */
void doctor_sink(const struct doctor_env *env, const struct task *t, struct sink *k, size_t most,
	struct doctor *d);

/* Everything: source, metastore, this machine, and each task of the list with its positions from
 * the metastore. */
void doctor_all(struct doctor_env *env, struct task *const *tasks, size_t n, struct doctor *d);
/* What is quick and concerns the task alone, for create. */
void doctor_quick(struct doctor_env *env, const struct task *t, struct doctor *d);

/* doctor_text.c. The JSON is the members of an object. */
struct json_out;
void doctor_write_text(const struct doctor *d, struct buf *out);
void doctor_write_json(const struct doctor *d, bool with_facts, struct json_out *o);
