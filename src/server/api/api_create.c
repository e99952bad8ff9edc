/* create: validate, reach the target, then - one create at a time, so that two can't take the same
 * collection - look at the tasks there are and hand over to the engine. */
#include "server/api/api_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "server/task/task_names.h"

enum { GATE_WAIT_MS = 60000, WARNING_BYTES = 64 << 10 };

/* Not a lock: the engine's calls block, and nothing may block under a mutex. */
static enum err_code gate_enter(struct api *a, struct err *e)
{
	struct deadline d = deadline_in(GATE_WAIT_MS);

	mutex_lock(&a->mtx);
	while (a->creating && cond_wait(&a->cond, &a->mtx, d))
		continue;
	bool busy = a->creating;
	a->creating = true;
	mutex_unlock(&a->mtx);
	return busy ? err_set(e, ERR_BUSY, "another create request is still running, try again")
		    : ERR_OK;
}

static void gate_leave(struct api *a)
{
	mutex_lock(&a->mtx);
	a->creating = false;
	cond_signal(&a->cond);
	mutex_unlock(&a->mtx);
}

struct task_list {
	struct task **l;
	size_t n;
};

static void list_done(struct task_list *s)
{
	store_tasks_free(s->l, s->n);
}

static enum err_code list_tasks(struct api *a, struct task_list *s, struct err *e)
{
	char **extras = NULL;

	enum err_code code = a->engine.list(a->engine.arg, &s->l, &extras, &s->n, e);
	for (size_t i = 0; !code && extras && i < s->n; i++)
		free(extras[i]);
	free(extras);
	return code;
}

static const struct task *find_task(const struct task_list *s, const char *id)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->l[i]->id, id) == 0)
			return s->l[i];
	return NULL;
}

/* findings: JSON members or "". */
static void put_answer(
	struct json_out *o, const char *id, struct buf *warnings, const char *findings)
{
	json_out_str(o, "task_id", id);
	json_out_members(o, findings);
	if (!warnings->n)
		return;
	json_out_open(o, "warnings", '[');
	for (const char *line = buf_cstr(warnings); *line;) {
		size_t n = strcspn(line, "\n");
		CLEANUP(freep)
		char *one = xstrndup(line, n);
		if (n)
			json_out_str(o, NULL, one);
		line += n + (line[n] == '\n');
	}
	json_out_close(o, ']');
}

/* A repeated create answers with the task that is there; it says so if that is another one. */
static void answer_known(struct api_call *call, const struct task *known)
{
	CLEANUP(buf_done)
	struct buf warnings = BUF_INIT(WARNING_BYTES);

	if (!task_names_equal(call->task, known))
		buf_put_str(&warnings,
			"a task with this task_id exists already, with another target or other "
			"collections; it was not changed\n");
	put_answer(call->ret, known->id, &warnings, "");
}

static enum err_code check_against(
	struct api_call *call, const struct task_list *have, struct err *e)
{
	int64_t most = call->a->c->max_task_num;

	if (task_names_check(call->task, have->l, have->n, e) ||
		api_create_check_names(
			call->task, have->l, have->n, call->a->c->max_name_length, e))
		return e->code;
	if ((int64_t)have->n >= most)
		return err_set(
			e, ERR_LIMIT, "the task num has reach the limit, %lld", (long long)most);
	return ERR_OK;
}

static void ensure_id(struct task *t)
{
	if (*t->id)
		return;
	free(t->id);
	t->id = xmalloc(33);
	str_random_id(t->id);
}

/* A name that no Milvus takes selects nothing; "foo*" may be meant as a pattern. */
static void warn_names(const struct task_collection *l, size_t n, struct buf *warnings)
{
	for (size_t i = 0; i < n; i++)
		if (!api_name_possible(l[i].name))
			buf_putf(warnings,
				"%s can't be the name of a collection and selects nothing: names "
				"are taken literally, only `*` alone stands for all\n",
				l[i].name);
}

static enum err_code hand_over(struct api_call *call, struct err *e)
{
	CLEANUP(buf_done)
	struct buf warnings = BUF_INIT(WARNING_BYTES);
	const struct api_engine *en = &call->a->engine;
	struct store_positions *pos = NULL;
	size_t n_pos = 0;

	ensure_id(call->task);
	if (api_create_positions(call->task, call->a->c, &pos, &n_pos, e))
		return e->code;
	warn_names(call->task->collection_infos, call->task->n_collection_infos, &warnings);
	for (size_t i = 0; i < call->task->n_dbs; i++)
		warn_names(call->task->dbs[i].collections, call->task->dbs[i].n_collections,
			&warnings);
	CLEANUP(freep)
	char *id = xstrdup(call->task->id);
	enum err_code code = en->create(en->arg, TAKE(call->task), pos, n_pos, &warnings, e);
	store_positions_free(pos, n_pos);
	if (code)
		return code;
	CLEANUP(freep)
	char *findings = en->findings(en->arg, id);
	put_answer(call->ret, id, &warnings, findings);
	return ERR_OK;
}

static enum err_code create_gated(struct api_call *call, struct err *e)
{
	CLEANUP(list_done)
	struct task_list have = {.n = 0};

	enum err_code code = list_tasks(call->a, &have, e);
	if (code) {
		(void)err_ctx(e, "fail to get task list to check num");
		return code;
	}
	const struct task *known = find_task(&have, call->task->id);
	if (known) {
		answer_known(call, known);
		return ERR_OK;
	}
	code = check_against(call, &have, e);
	return code ? code : hand_over(call, e);
}

/* Asked before the target is: a repeated create must not need it. */
static enum err_code look_up(struct api_call *call, bool *ret_known, struct err *e)
{
	CLEANUP(list_done)
	struct task_list have = {.n = 0};

	*ret_known = false;
	if (!*call->task->id)
		return ERR_OK;
	enum err_code code = list_tasks(call->a, &have, e);
	const struct task *known = code ? NULL : find_task(&have, call->task->id);
	if (known)
		answer_known(call, known);
	*ret_known = known != NULL;
	return code;
}

enum err_code api_create(struct api_call *call, struct err *e)
{
	struct api *a = call->a;
	bool known;

	if (api_create_validate(call->task, a->c, e) || look_up(call, &known, e))
		return e->code;
	if (known)
		return ERR_OK;
	enum err_code code = a->engine.check_target(a->engine.arg, call->task, e);
	if (code || (code = gate_enter(a, e)))
		return code;
	code = create_gated(call, e);
	gate_leave(a);
	return code;
}
