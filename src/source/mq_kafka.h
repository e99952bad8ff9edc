/* Kafka as the source's queue, over librdkafka: topic = pchannel, partition 0, id = offset as 8
 * bytes little endian. */
#pragma once

#include "source/mq.h"

struct mq_kafka_opts {
	const char *address; /* bootstrap servers */
	const char *sasl_username, *sasl_password, *sasl_mechanisms, *security_protocol;
	/* extra librdkafka settings of the config's `consumer` map: key, value, key, value, ...,
	 * NULL */
	const char *const *extra;
};

/* Checks the settings; no network. */
NODISCARD enum err_code mq_kafka_new(
	const struct mq_kafka_opts *o, struct mq **ret_q, struct err *e);
