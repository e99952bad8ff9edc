#include "model/collection.h"

#include <assert.h>
#include <stdlib.h>

static void free_slice(struct slice s)
{
	/* The one owner gives the bytes back; nobody else may write them. */
	free((void *)(uintptr_t)s.p);
}

struct collection *collection_ref(struct collection *c)
{
	int before = __atomic_fetch_add(&c->ref, 1, __ATOMIC_RELAXED);
	assert(before > 0);
	(void)before;
	return c;
}

struct collection *collection_unref(struct collection *c)
{
	if (!c || __atomic_sub_fetch(&c->ref, 1, __ATOMIC_ACQ_REL) > 0)
		return NULL;
	for (int i = 0; i < c->shards_num; i++) {
		free(c->shards[i].vchannel);
		free(c->shards[i].pchannel);
	}
	free(c->shards);
	free(c->name);
	free_slice(c->schema);
	free_slice(c->properties);
	free(c);
	return NULL;
}
