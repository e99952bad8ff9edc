#include "support/stream_fakes.h"

#include <stdio.h>
#include <stdlib.h>

enum stream_partition stream_fake_partition(
	struct stream *st, int64_t source_id, struct slice name, int64_t *ret)
{
	(void)st;
	(void)name;
	*ret = source_id + 1000;
	return STREAM_PARTITION_OK;
}

void stream_fake_drop(struct stream *st, const struct dml *d)
{
	(void)st;
	(void)d;
}

void stream_fake_failed(struct stream *st, const struct err *e)
{
	fprintf(stderr, "stream %s failed: %s\n", st->shard, e->text);
	abort();
}

void stream_fake_waiting(void *arg, const struct tchan *c, const struct err *e, int64_t delay_ms)
{
	(void)arg;
	(void)c;
	(void)e;
	(void)delay_ms;
}
