#include "store/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/keys.h"

void record_tasks_add(struct record_tasks *l, const struct store_row *row)
{
	CLEANUP(freep)
	char *id = keys_decode_id(row->rest);
	CLEANUP(freep)
	char *raw = xstrndup((const char *)row->rest.p, row->rest.n);

	mem_grow(&l->v, &l->cap, l->n + 1, sizeof(*l->v));
	l->v[l->n++] = id ? record_task_read(id, row->texts[0])
			  : record_task_damaged(raw, "its key is not one that this server writes");
}

void record_docs_add(struct record_docs *l, const struct store_row *row)
{
	int64_t collection_id;
	CLEANUP(freep)
	char *id = keys_decode_position(row->rest, &collection_id);

	if (!id)
		return;
	mem_grow(&l->v, &l->cap, l->n + 1, sizeof(*l->v));
	struct store_positions *p = &l->v[l->n++];
	if (row->name)
		record_row_read(id, collection_id, row, p);
	else
		record_positions_read(id, collection_id, row->texts[0], p);
}

void record_tasks_done(struct record_tasks *l)
{
	store_tasks_free(l->v, l->n);
	*l = (struct record_tasks){.n = 0};
}

void record_docs_done(struct record_docs *l)
{
	store_positions_free(l->v, l->n);
	*l = (struct record_docs){.n = 0};
}
