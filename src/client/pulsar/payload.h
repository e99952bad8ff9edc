/* What stands behind a MESSAGE command: metadata, compression, batches. Bytes <-> structs, no I/O.
 *
 *   [0x0e02][size][BrokerEntryMetadata]      only from brokers that add it
 *   [0x0e01][CRC32C of what follows]         absent from very old producers
 *   [size][MessageMetadata][payload]
 *
 * A payload of several messages, after decompression: [size][SingleMessageMetadata][bytes] of each.
 * Slices point into the input. */
#pragma once

#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"

struct pulsar_meta {
	struct slice bytes; /* MessageMetadata itself, for pulsar_property */
	struct slice producer;
	uint64_t sequence, publish_ms;
	uint64_t compression;
	size_t inflated; /* size of the payload without compression */
	bool batch;      /* the payload is a batch, maybe of one */
	uint32_t n;      /* messages in it, 1 if it is none */
	bool null_value;
	/* A piece of a message that was too big: piece chunk of chunks, of chunked_bytes in all. */
	bool chunk;
	struct slice uuid;
	uint32_t chunk_id, chunks;
	size_t chunked_bytes;
};

enum pulsar_properties { PULSAR_PROPERTIES_SINGLE = 1, PULSAR_PROPERTIES = 4 };

/* Checks the checksum and reads the metadata; *ret_payload is still compressed. MALFORMED;
 * UNSUPPORTED for an encrypted message; LIMIT for sizes above ours. */
NODISCARD enum err_code pulsar_payload_read(
	struct slice in, struct pulsar_meta *m, struct slice *ret_payload, struct err *e);

/* The messages of an inflated batch, one by one. */
struct pulsar_batch {
	struct slice rest;
	uint32_t index, n;
};

struct pulsar_single {
	struct slice bytes; /* SingleMessageMetadata, for pulsar_property */
	struct slice payload;
	uint32_t index;
	bool null_value, compacted_out;
};

static inline struct pulsar_batch pulsar_batch_open(struct slice payload, uint32_t n)
{
	return (struct pulsar_batch){.rest = payload, .n = n};
}

/* The next message, *ret_end at the end. MALFORMED. */
NODISCARD enum err_code pulsar_batch_next(
	struct pulsar_batch *b, struct pulsar_single *s, bool *ret_end, struct err *e);

/* The value of property key in metadata of the kind that has its properties in this field; p NULL
 * if there is none. */
struct slice pulsar_property(struct slice meta, enum pulsar_properties field, const char *key);
