/* The control plane of a target that remembers what is created on it and says so when asked: enough
 * of a Milvus for thousands of collections at a cost that does not blur what is measured. @thread the
 * server's */
#pragma once

#include "base/buf.h"
#include "support/grpc_server.h"

struct describe;

struct describe *describe_new(void);
void describe_free(struct describe *d);
/* The answer to a call, whatever its method; those that are not known change nothing and succeed. */
void describe_answer(struct describe *d, const struct gs_call *c, struct buf *answer);
size_t describe_count(const struct describe *d); /* collections that are there now */
