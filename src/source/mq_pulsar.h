/* Pulsar as the source's queue. Ids are those of the source (see client/pulsar/id.h). */
#pragma once

#include "client/pulsar/pulsar.h"
#include "source/mq.h"

/* No network. INVALID, UNSUPPORTED for settings that can't be used. */
NODISCARD enum err_code mq_pulsar_new(
	const struct pulsar_opts *o, struct mq **ret_q, struct err *e);
