#include "store/store.h"

#include <stdlib.h>

#include "base/mem.h"

void store_positions_done(struct store_positions *p)
{
	free(p->task_id);
	free(p->collection_name);
	free(p->source);
	free(p->op);
	free(p->target);
	free(p->damaged);
	*p = (struct store_positions){.task_id = NULL};
}

static struct store_position *entries_copy(const struct store_position *l, size_t n)
{
	return n ? xmemdup(l, n * sizeof(*l)) : NULL;
}

void store_positions_copy(struct store_positions *to, const struct store_positions *from)
{
	*to = *from;
	to->task_id = xstrdup(from->task_id);
	to->collection_name = xstrdup(from->collection_name ? from->collection_name : "");
	to->source = entries_copy(from->source, from->n_source);
	to->op = entries_copy(from->op, from->n_op);
	to->target = entries_copy(from->target, from->n_target);
	to->damaged = from->damaged ? xstrdup(from->damaged) : NULL;
}

void store_exts_free(struct store_ext_kv *l, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(l[i].key);
		free(l[i].value);
	}
	free(l);
}

void store_positions_free(struct store_positions *l, size_t n)
{
	for (size_t i = 0; i < n; i++)
		store_positions_done(&l[i]);
	free(l);
}

void store_tasks_free(struct task **l, size_t n)
{
	for (size_t i = 0; i < n; i++)
		task_free(l[i]);
	free(l);
}
