/* The metastore: does it answer, do others write there, and can all tasks be read? Whether we may
 * write to an SQLite file is checked with the configuration. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "server/config/config.h"
#include "server/connect.h"
#include "server/doctor/doctor.h"
#include "store/store.h"

enum { SUBJECT_BYTES = 400 };

static void subject_of(const struct config *c, char out[SUBJECT_BYTES])
{
	if (c->store_kind == CONFIG_STORE_SQLITE)
		snprintf(out, SUBJECT_BYTES, "metastore sqlite %.300s", c->sqlite_path);
	else
		snprintf(out, SUBJECT_BYTES, "metastore %s, root path \"%.100s\"",
			c->store_kind == CONFIG_STORE_ETCD ? "etcd" : "mysql", c->store_root_path);
}

static void look_at_tasks(const struct doctor_env *env, const char *subject, struct doctor *d)
{
	struct task **list = NULL;
	struct err e = ERR_INIT;
	size_t n = 0, bad = 0;

	enum err_code code = store_read_tasks(env->store, env->stop, &list, &n, &e);
	if (code) {
		doctor_note(d,
			code == ERR_CONFLICT ? DOCTOR_CODE_STORE_TAKEN
					     : DOCTOR_CODE_STORE_UNREACHABLE,
			subject, "%s", e.text);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (!str_starts(list[i]->reason, STORE_DAMAGED))
			continue;
		bad++;
		doctor_note(d, DOCTOR_CODE_STORE_DAMAGED, subject, "task %s: %s", list[i]->id,
			list[i]->reason);
	}
	store_tasks_free(list, n);
	doctor_fact(d, subject, "answers; %zu tasks", n - bad);
}

void doctor_store(struct doctor_env *env, struct doctor *d)
{
	const struct config *c = env->config;
	char subject[SUBJECT_BYTES];
	struct err e = ERR_INIT;

	subject_of(c, subject);
	if (!env->store && connect_store_is_missing(c))
		doctor_fact(d, subject, "no file yet; the server makes it");
	if (!env->store)
		return;
	enum err_code code = env->store->ops->check(env->store, env->stop, &e);
	if (code)
		doctor_note(d,
			code == ERR_CONFLICT ? DOCTOR_CODE_STORE_TAKEN
					     : DOCTOR_CODE_STORE_UNREACHABLE,
			subject, "%s", e.text);
	else
		look_at_tasks(env, subject, d);
}
