/* The initial copy of a task with enable_user_role: the users, roles, grants and privilege groups
 * that the source has already go to the target, once, through its BackupRBAC and RestoreRBAC (Milvus
 * 2.5). What the target has stays as it is. One job ("users") does it and repeats what fails;
 * operations on users and roles wait for it, nothing else does.
 *   users.c        the job, its record and what it says
 *   users_plan.c   what is to be restored */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/stop.h"
#include "model/rbac.h"
#include "model/task.h"
#include "server/jobs.h"
#include "sink/sink.h"

struct users;
struct writer;

enum { USERS_TEXT_BYTES = 1024 };

/* For create's warnings. */
#define USERS_CREATE_NOTE                                                                          \
	"users, roles and grants from before the task are copied once if the target has "          \
	"BackupRBAC and RestoreRBAC (Milvus 2.5; 2.3 has not), see user_role in the task's "       \
	"detail; later changes come if the source writes them into its replicate channel (2.4 "    \
	"and later; 2.3 writes none)"

/* What remains to a person where there is no copy. */
#define USERS_NOTE                                                                                 \
	"users, roles and grants from before the task are not copied, only changes that the "      \
	"source writes into its replicate channel (2.4 and later; 2.3 writes none): make the "     \
	"existing ones on the target by hand"

/* All is borrowed and outlives the users. */
struct users_opts {
	const struct task *task;
	struct sink *sink;
	struct jobs *jobs;
	struct writer *writer;
	const struct log_ctx *log;
	struct stop *stop;
	bool dry_run;
	int64_t retry_first_ms, retry_most_ms; /* 0: its own */
	/* Reads what the source has now; left_out as rbac_decode. */
	enum err_code (*read)(void *arg, struct stop *s, struct rbac *ret, struct buf *left_out,
		size_t *ret_left_out, struct err *e);
	void *arg;
};

struct users *users_new(const struct users_opts *o);
/* It is stopped. NULL is fine. */
void users_free(struct users *u);

/* The name of its record below "object/<task>/". */
#define USERS_RECORD "rbac"
/* The stored record: an earlier run was done. Before users_start. */
void users_take_record(struct users *u, const char *json);
/* Begins, unless it was done before. Says at once what there is no copy for. */
void users_start(struct users *u);
/* Ends the job; a call under way is cancelled by the stop token. NULL is fine. */
void users_stop(struct users *u);

/* Is it over, whatever its end? False: operations on users and roles wait. NULL counts as over.
 * @thread any */
bool users_settled(struct users *u);
/* What it did, does or can't do. @thread any */
void users_status(struct users *u, char *ret_text, size_t cap);

/* users_plan.c: what of the source's is to be restored, with the target's names: without the
 * built-in root, admin and public, without what the target has by name, without roles of users and
 * grants whose role is on neither side. Returns how many were left out because the target has
 * them. */
size_t users_plan(const struct task *t, const struct rbac *source, const struct rbac *target,
	struct rbac *ret);
