/* CRC-32C (Castagnoli), as Pulsar's checksums. */
#pragma once

#include "base/bytes.h"

uint32_t pulsar_crc32c(struct slice s);
