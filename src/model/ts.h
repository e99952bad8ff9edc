/* Hybrid timestamps of Milvus (TSO): milliseconds since the epoch << 18 | logical counter. */
#pragma once

#include "base/defs.h"

enum { TS_LOGICAL_BITS = 18 };

static inline uint64_t ts_from_ms(int64_t ms)
{
	return (uint64_t)ms << TS_LOGICAL_BITS;
}

static inline int64_t ts_ms(uint64_t ts)
{
	return (int64_t)(ts >> TS_LOGICAL_BITS);
}
