/* dml_read on foreign bytes: slices stay inside the payload, times and counts agree, and the
 * header's type changes the layout only. */
#include <stdlib.h>

#include "model/dml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool cond)
{
	if (!cond)
		abort();
}

static void inside(struct slice part, struct slice whole)
{
	if (part.n)
		must(part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void check(const struct dml *d, struct slice in)
{
	inside(d->base.raw, in);
	inside(d->shard, in);
	inside(d->collection_name, in);
	inside(d->partition_name, in);
	inside(d->timestamps, in);
	must(d->min_ts <= d->max_ts);
	must(d->one_ts == (d->min_ts == d->max_ts));
	must(d->rows <= in.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int types[] = {MSG_UNDEFINED, MSG_INSERT, MSG_DELETE, MSG_DROP_COLLECTION,
		MSG_DROP_PARTITION, MSG_TIME_TICK, MSG_IMPORT};
	struct slice in = slice_of(data, size);

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct err e = ERR_INIT;
		struct dml d;
		if (dml_read_as(&d, in, types[i], &e))
			must(e.code == ERR_MALFORMED);
		else
			check(&d, in);
	}
	return 0;
}
