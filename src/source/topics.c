#include "source/topics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "source/catalog.h"
#include "source/mq.h"

static void add(struct topics *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->v[i], name) == 0)
			return;
	if (t->n < TOPICS_MAX)
		snprintf(t->v[t->n++], CHANNEL_BYTES, "%s", name);
}

void topics_of(struct topics *t, struct catalog *c)
{
	struct collection **list = NULL;
	size_t n = catalog_collections(c, &list);

	*t = (struct topics){.v = xcalloc(TOPICS_MAX, sizeof(*t->v))};
	for (size_t i = 0; i < n; i++) {
		bool is_there = list[i]->state == OBJECT_CREATED;
		for (int k = 0; is_there && k < list[i]->shards_num; k++)
			add(t, list[i]->shards[k].pchannel);
		collection_unref(list[i]);
	}
	free(list);
}

void topics_done(struct topics *t)
{
	freep(&t->v);
	t->n = 0;
}

int64_t topics_retention_ms(
	const struct topics *t, struct mq *q, struct stop *s, const char **ret_topic, struct err *e)
{
	const char *names[TOPICS_MAX];
	int64_t ms[TOPICS_MAX], least = INT64_MAX;

	if (!t->n)
		return least;
	for (size_t i = 0; i < t->n; i++)
		names[i] = t->v[i];
	if (!q->ops->retention || q->ops->retention(q, names, t->n, s, ms, e))
		return -1;
	for (size_t i = 0; i < t->n; i++) {
		if (ms[i] < 0 || ms[i] >= least)
			continue;
		least = ms[i];
		*ret_topic = names[i];
	}
	return least;
}
