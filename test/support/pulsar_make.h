/* Builds what Pulsar brokers and producers write, for tests. */
#pragma once

#include "base/buf.h"
#include "client/pulsar/codec.h"

struct pulsar_make {
	const char *producer; /* NULL: "p" */
	uint64_t sequence;
	int compression; /* enum pulsar_compression */
	bool no_checksum, damaged, broker_metadata, encrypted, null_value;
	const char *const *properties; /* key, value, ..., NULL */
	uint32_t batch;                /* messages in the body, 0: it is no batch */
	size_t inflated;               /* claimed size; 0: the true one */
	const char *uuid;              /* of a piece */
	uint32_t chunk, chunks;
	size_t chunked;
};

/* body is what the messages say; it is compressed here. Pieces are taken as they are. */
void pulsar_make_payload(struct buf *b, const struct pulsar_make *m, struct slice body);
/* One more message of a batch's body. */
void pulsar_make_single(struct buf *b, struct slice body, const char *const *properties);
/* body compressed, as a producer does before it cuts a message into pieces. */
void pulsar_make_compressed(struct buf *b, int compression, struct slice body);

/* A frame of a command with this body, and a payload part (n 0: none). */
void pulsar_make_frame(struct buf *b, int type, struct slice body, struct slice payload);
void pulsar_make_message(
	struct buf *b, uint64_t consumer, const struct pulsar_id *id, struct slice payload);
