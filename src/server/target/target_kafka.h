/* The Kafka side of a target session: its options from a task, and the way of rows from a channel's
 * worker to the topic. */
#pragma once

#include "base/err.h"
#include "base/log.h"
#include "model/task.h"
#include "pipeline/feed.h"
#include "sink/sink.h"

/* One text for tasks that may share a session: address, topic and a hash of everything else. */
void target_kafka_key(const struct task *t, char *out, size_t cap);
/* INVALID for settings that can't be; no network. */
NODISCARD enum err_code target_kafka_open(
	const struct task *t, const struct log_ctx *log, struct sink **ret_k, struct err *e);

/* A worker's feed; its arg is the session. */
extern const struct feed_ops target_kafka_feed;
