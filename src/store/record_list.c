#include "store/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/keys.h"

void record_tasks_add(struct record_tasks *l, struct slice rest, struct slice value)
{
	CLEANUP(freep)
	char *id = keys_decode_id(rest);
	CLEANUP(freep)
	char *raw = xstrndup((const char *)rest.p, rest.n);

	mem_grow(&l->v, &l->cap, l->n + 1, sizeof(*l->v));
	l->v[l->n++] = id ? record_task_read(id, value)
			  : record_task_damaged(raw, "its key is not one that this server writes");
}

void record_docs_add(struct record_docs *l, struct slice rest, struct slice value)
{
	int64_t collection_id;
	CLEANUP(freep)
	char *id = keys_decode_position(rest, &collection_id);

	if (!id)
		return;
	mem_grow(&l->v, &l->cap, l->n + 1, sizeof(*l->v));
	record_positions_read(id, collection_id, value, &l->v[l->n++]);
}

void record_docs_add_row(struct record_docs *l, struct slice rest, const struct record_row *row)
{
	int64_t collection_id;
	CLEANUP(freep)
	char *id = keys_decode_position(rest, &collection_id);

	if (!id)
		return;
	mem_grow(&l->v, &l->cap, l->n + 1, sizeof(*l->v));
	record_row_read(id, collection_id, row, &l->v[l->n++]);
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
