#include "sink/sink.h"

#include <stdlib.h>

#include "base/mem.h"

void sink_collection_done(struct sink_collection *c)
{
	for (int i = 0; c->shards && i < c->shards_num; i++) {
		free(c->shards[i].vchannel);
		free(c->shards[i].pchannel);
	}
	for (size_t i = 0; i < c->n_partitions; i++)
		free(c->partitions[i].name);
	for (size_t i = 0; i < c->n_aliases; i++)
		free(c->aliases[i]);
	free(c->shards);
	free(c->partitions);
	free(c->aliases);
	free((void *)(uintptr_t)c->schema.p);
	*c = (struct sink_collection){.id = 0};
}

void sink_names_done(struct sink_names *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->names[i]);
	free(l->names);
	*l = (struct sink_names){.n = 0};
}

void sink_close(struct sink *k)
{
	if (k)
		k->ops->close(k);
}
