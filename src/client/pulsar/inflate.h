/* The compressions of Pulsar's payloads. */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

enum pulsar_compression {
	PULSAR_NONE,
	PULSAR_LZ4,
	PULSAR_ZLIB,
	PULSAR_ZSTD,
	PULSAR_SNAPPY,
	PULSAR_COMPRESSIONS
};

/* Fills the n bytes at out, exactly. MALFORMED when in holds more, less or something else;
 * UNSUPPORTED for a compression we do not know. @thread any */
NODISCARD enum err_code pulsar_inflate(
	uint64_t compression, struct slice in, uint8_t *out, size_t n, struct err *e);
