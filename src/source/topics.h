/* The topics of the source's queue, as the collections in its catalog name them. */
#pragma once

#include "base/err.h"
#include "base/stop.h"
#include "model/channel.h"

struct catalog;
struct mq;

enum { TOPICS_MAX = 256 };

struct topics {
	char (*v)[CHANNEL_BYTES];
	size_t n;
};

/* Those of the collections there are, each once, at most TOPICS_MAX; freed with topics_done. */
void topics_of(struct topics *t, struct catalog *c);
void topics_done(struct topics *t);
/* The shortest time for which the queue keeps messages of one of them, *ret_topic; INT64_MAX = for
 * ever, -1 = unknown. Blocks. */
int64_t topics_retention_ms(const struct topics *t, struct mq *q, struct stop *s,
	const char **ret_topic, struct err *e);
