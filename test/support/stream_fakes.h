/* What streams and sinks of a target channel's tests do when the test does not look at it. */
#pragma once

#include "pipeline/stream.h"
#include "pipeline/tchan.h"

/* For stream_ops.partition: every partition exists, with id source_id + 1000. */
enum stream_partition stream_fake_partition(
	struct stream *st, int64_t source_id, struct slice name, int64_t *ret);
/* For stream_ops.drop: nothing. */
void stream_fake_drop(struct stream *st, const struct dml *d);
/* For stream_ops.failed: the test ends with the reason. */
void stream_fake_failed(struct stream *st, const struct err *e);
/* For chan_sink.waiting: nothing. */
void stream_fake_waiting(void *arg, const struct tchan *c, const struct err *e, int64_t delay_ms);
