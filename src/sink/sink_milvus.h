/* A Milvus cluster as a target. */
#pragma once

#include "base/err.h"
#include "client/milvus/milvus.h"
#include "sink/sink.h"

/* Checks the options (see milvus_open); no network. sink_close ends it. */
NODISCARD enum err_code sink_milvus_open(
	struct grpc *g, const struct milvus_opts *o, struct sink **ret_k, struct err *e);
