#include "sweep/store_steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const char task_id[] = "t", ext_key[] = "object/t/x", channel[] = "by-dev-rootcoord-dml_0";

/* Of this process. What may be there: `acked`, or one of those tried since. */
static int acked, tried;

static bool may_be(int value)
{
	return value >= acked && value <= tried;
}

static enum err_code put(struct store *st, int value, struct sweep_run *r, struct err *e)
{
	char text[32], id[8] = "12345678";
	struct store_position p = {.exact = true, .time_ms = value};
	struct store_positions doc = {.task_id = (char *)(uintptr_t)task_id,
		.collection_id = 7,
		.collection_name = (char *)(uintptr_t) "c",
		.source = &p,
		.n_source = 1};
	struct store_ext ext = {.key = ext_key, .value = text};
	struct store_batch b = {.positions = &doc, .n_positions = 1, .exts = &ext, .n_exts = 1};

	snprintf(text, sizeof(text), "{\"value\":%d}", value);
	snprintf(p.channel, sizeof(p.channel), "%s", channel);
	p.pos.ts = (uint64_t)value;
	p.pos.id.n = sizeof(id);
	memcpy(p.pos.id.b, id, sizeof(id));
	return store_write(st, &b, &r->stop, e);
}

static enum err_code read_back(struct store *st, int *ret, struct sweep_run *r, struct err *e)
{
	struct store_positions *list = NULL;
	struct store_ext_kv *kv = NULL;
	size_t n = 0, n_kv = 0;
	int ext = 0;

	if (store_read_positions(st, task_id, &r->stop, &list, &n, e) ||
		store_read_exts(st, ext_key, &r->stop, &kv, &n_kv, e)) {
		store_positions_free(list, n);
		return e->code;
	}
	*ret = n == 1 && !list[0].damaged && list[0].n_source == 1 ? (int)list[0].source[0].pos.ts
								   : 0;
	if (n_kv == 1 && sscanf(kv[0].value, "{\"value\":%d}", &ext) != 1)
		sweep_wrong("the record reads %s", kv[0].value);
	if (n && (list[0].damaged || list[0].n_source != 1))
		sweep_wrong("the position is damaged: %s", list[0].damaged);
	if (ext != *ret)
		sweep_wrong("half a transaction: position %d, record %d", *ret, ext);
	store_positions_free(list, n);
	store_exts_free(kv, n_kv);
	return ERR_OK;
}

static enum err_code put_first(struct store *st, struct sweep_run *r, struct err *e)
{
	struct task *t = task_new();

	free(t->id);
	t->id = xstrdup(task_id);
	enum err_code code = store_put_task(st, t, &r->stop, e);
	task_free(t);
	return code;
}

static enum err_code check_tasks(struct store *st, struct sweep_run *r, struct err *e)
{
	struct task **list = NULL;
	size_t n = 0;

	if (store_read_tasks(st, &r->stop, &list, &n, e))
		return e->code;
	if (n != 1 || strcmp(list[0]->id, task_id) != 0)
		sweep_wrong("%zu tasks are there", n);
	store_tasks_free(list, n);
	return ERR_OK;
}

enum err_code store_steps(struct store *st, struct sweep_run *r, struct err *e)
{
	int found = 0;

	if (st->ops->check(st, &r->stop, e) || put_first(st, r, e) || read_back(st, &found, r, e))
		return e->code;
	if (!may_be(found))
		sweep_wrong("%d is stored, not %d to %d", found, acked, tried);
	for (int i = 0; i < 3; i++) {
		if (put(st, ++tried, r, e))
			return e->code;
		acked = tried;
		if (read_back(st, &found, r, e))
			return e->code;
		if (found != acked)
			sweep_wrong("%d is read, %d was stored", found, acked);
	}
	return check_tasks(st, r, e);
}
