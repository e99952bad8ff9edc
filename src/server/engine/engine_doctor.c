/* The doctor inside the server: with the connections that are there, for the API. What it finds of a
 * task is kept with the task until the next look. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "server/doctor/doctor.h"
#include "server/engine/engine_priv.h"
#include "store/store.h"

enum { FINDINGS_BYTES = 1 << 20 };

static struct doctor_env env_of(struct engine *en)
{
	return (struct doctor_env){.config = en->sv.config,
		.grpc = en->sv.grpc,
		.etcd = en->sv.source_etcd,
		.catalog = en->sv.catalog,
		.mq = en->sv.mq,
		.store = en->sv.store,
		.stop = &en->stop,
		.outage_ms = DOCTOR_OUTAGE_MS};
}

/* "findings":[...], or "" if there are none. Heap. */
static char *members(const struct doctor *d)
{
	struct buf b = BUF_INIT(FINDINGS_BYTES);
	struct json_out o = {.b = &b};

	if (!d->n)
		return xstrdup("");
	doctor_write_json(d, false, &o);
	if (buf_failed(&b))
		buf_done(&b);
	return buf_take(&b);
}

/* Takes text. */
static void keep(struct engine *en, const char *id, char *text)
{
	mutex_lock(&en->mtx);
	struct etask *t = engine_find_locked(en, id);
	char *old = t ? t->findings : text;
	if (t)
		t->findings = text;
	mutex_unlock(&en->mtx);
	free(old);
}

char *engine_findings(struct engine *en, const char *id)
{
	mutex_lock(&en->mtx);
	const struct etask *t = engine_find_locked(en, id);
	char *text = xstrdup(t && t->findings ? t->findings : "");
	mutex_unlock(&en->mtx);
	return text;
}

void engine_add_own(struct engine *en, const char *id, char **extra)
{
	CLEANUP(freep) char *found = engine_findings(en, id);
	size_t n = strlen(*extra);
	CLEANUP(freep) char *measures = engine_measures(en, id, n > 2);

	/* into the object, behind its last member */
	char *more = xasprintf("%.*s%s%s%s%s}", n > 2 ? (int)n - 1 : 1, n > 2 ? *extra : "{",
		n > 2 ? "," : "", measures, *found ? "," : "", found);
	free(*extra);
	*extra = more;
}

void engine_look_quick(struct engine *en, const struct task *t)
{
	CLEANUP(doctor_done) struct doctor d = {.n = 0};
	struct doctor_env env = env_of(en);

	doctor_quick(&env, t, &d);
	doctor_drop_notes(&d);
	keep(en, t->id, members(&d));
}

/* The tasks asked for, copied: by id, or all. */
static struct task **choose(struct engine *en, const char *id, size_t *ret_n)
{
	size_t n = 0;

	mutex_lock(&en->mtx);
	struct task **l = xcalloc(en->n + 1, sizeof(struct task *));
	for (size_t i = 0; i < en->n; i++)
		if (!en->tasks[i]->hidden && (!*id || strcmp(en->tasks[i]->task->id, id) == 0))
			l[n++] = task_copy(en->tasks[i]->task);
	mutex_unlock(&en->mtx);
	*ret_n = n;
	return l;
}

enum err_code engine_doctor(
	struct engine *en, const struct task *t, struct json_out *ret, struct err *e)
{
	CLEANUP(doctor_done) struct doctor d = {.n = 0};
	struct doctor_env env = env_of(en);
	bool is_new = *t->milvus.uri || *t->milvus.host || *t->kafka.address;
	struct task **l;
	size_t n = 1;

	if (is_new) {
		l = xcalloc(n, sizeof(struct task *));
		l[0] = task_copy(t);
	} else {
		l = choose(en, t->id, &n);
	}
	if (!n && *t->id) {
		store_tasks_free(l, n);
		return err_set(e, ERR_NOT_FOUND, "not found the task, task_id: %s", t->id);
	}
	doctor_all(&env, l, n, &d);
	store_tasks_free(l, n);
	doctor_write_json(&d, true, ret);
	doctor_drop_notes(&d);
	if (!is_new && *t->id)
		keep(en, t->id, members(&d));
	return ERR_OK;
}
