/* The requests that name a task: delete, pause, resume, get, position, doctor; and list. */
#include "server/api/api_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum err_code api_delete(struct api_call *call, struct err *e)
{
	const struct api_engine *en = &call->a->engine;

	enum err_code code = en->remove(en->arg, call->args.task_id, e);
	if (code == ERR_NOT_FOUND && call->args.ignore_not_found) {
		err_clear(e);
		return ERR_OK;
	}
	return code;
}

enum err_code api_pause(struct api_call *call, struct err *e)
{
	const struct api_engine *en = &call->a->engine;
	return en->pause(en->arg, call->args.task_id, e);
}

enum err_code api_resume(struct api_call *call, struct err *e)
{
	const struct api_engine *en = &call->a->engine;
	return en->resume(en->arg, call->args.task_id, e);
}

enum err_code api_get(struct api_call *call, struct err *e)
{
	const struct api_engine *en = &call->a->engine;
	const char *id = call->args.task_id;
	CLEANUP(task_freep)
	struct task *t = NULL;
	CLEANUP(freep)
	char *extra = NULL;

	if (!*id)
		return err_set(e, ERR_INVALID, "task_id is empty");
	enum err_code code = en->get(en->arg, id, &t, &extra, e);
	if (code == ERR_NOT_FOUND) {
		err_clear(e);
		return err_set(e, ERR_NOT_FOUND, "not found: [%s]", id);
	}
	if (code)
		return code;
	api_view_task(call->ret, "task", t, extra ? extra : "", true);
	return ERR_OK;
}

enum err_code api_list(struct api_call *call, struct err *e)
{
	const struct api_engine *en = &call->a->engine;
	struct task **tasks = NULL;
	char **extras = NULL;
	size_t n = 0;

	enum err_code code = en->list(en->arg, &tasks, &extras, &n, e);
	if (code)
		return code;
	json_out_open(call->ret, "tasks", '[');
	for (size_t i = 0; i < n; i++) {
		api_view_task(
			call->ret, NULL, tasks[i], extras && extras[i] ? extras[i] : "", false);
		if (extras)
			free(extras[i]);
	}
	json_out_close(call->ret, ']');
	free(extras);
	store_tasks_free(tasks, n);
	return ERR_OK;
}

enum err_code api_doctor(struct api_call *call, struct err *e)
{
	const struct api_engine *en = &call->a->engine;
	bool is_new =
		*call->task->milvus.uri || *call->task->milvus.host || *call->task->kafka.address;

	if (is_new && api_create_validate(call->task, call->a->c, e))
		return e->code;
	return en->doctor(en->arg, call->task, call->ret, e);
}

static void put_position(struct json_out *o, int64_t collection_id, const struct store_position *p)
{
	CLEANUP(freep)
	char *id = position_to_b64(p->channel, &p->pos, collection_id > 0 && p->exact && p->pos.ts);

	json_out_open(o, NULL, '{');
	json_out_i64(o, "collection_id", collection_id);
	json_out_str(o, "channel_name", p->channel);
	json_out_i64(o, "time", p->time_ms);
	json_out_u64(o, "tt", (uint64_t)(p->time_ms + 1) << 18);
	json_out_str(o, "msg_id", id);
	json_out_close(o, '}');
}

/* One of a record's three lists. */
static const struct store_position *list_of(
	const struct store_positions *r, int which, size_t *ret_n)
{
	if (which == 0) {
		*ret_n = r->n_op;
		return r->op;
	}
	*ret_n = which == 1 ? r->n_source : r->n_target;
	return which == 1 ? r->source : r->target;
}

/* null where there is nothing, as ever. */
static void put_positions(struct json_out *o, const struct store_positions *l, size_t n, int which)
{
	static const char *const keys[] = {"op_positions", "positions", "target_positions"};
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		size_t n_list;
		const struct store_position *list = list_of(&l[i], which, &n_list);
		for (size_t k = 0; k < n_list; k++) {
			if (list[k].dropped)
				continue;
			if (!any)
				json_out_open(o, keys[which], '[');
			any = true;
			put_position(o, l[i].collection_id, &list[k]);
		}
	}
	if (any)
		json_out_close(o, ']');
	else
		json_out_null(o, keys[which]);
}

enum err_code api_position(struct api_call *call, struct err *e)
{
	const struct api_engine *en = &call->a->engine;
	struct store_positions *list = NULL;
	size_t n = 0;

	enum err_code code = en->positions(en->arg, call->args.task_id, &list, &n, e);
	if (code)
		return code;
	for (int which = 0; which < 3; which++)
		put_positions(call->ret, list, n, which);
	store_positions_free(list, n);
	return ERR_OK;
}
