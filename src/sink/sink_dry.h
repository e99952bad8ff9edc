/* A target of a dry run: questions go to the real one, changes go to the log and are remembered, so
 * that what was "created" is found again. Nothing is ever written. */
#pragma once

#include "base/log.h"
#include "sink/sink.h"

/* Takes real, which may be NULL: then the target is empty and its clock is ours. log is borrowed. */
struct sink *sink_dry_open(struct sink *real, const struct log_ctx *log);
