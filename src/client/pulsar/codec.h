/* Pulsar's binary protocol: frames and commands, bytes <-> structs, no I/O.
 *
 *   simple frame    [totalSize][commandSize][BaseCommand]
 *   message frame   [totalSize][commandSize][BaseCommand][payload part, see payload.h]
 *
 * Sizes are big-endian 32-bit numbers; totalSize counts what follows it. Field numbers are those of
 * PulsarApi.proto; what we do not name is skipped. */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"
#include "client/pulsar/id.h"

enum { PULSAR_HEAD_BYTES = 4, PULSAR_COMMAND_MOST = 64 << 10, PULSAR_PROTOCOL = 20 };

/* Numbers of BaseCommand.Type, which are also the field of the command within BaseCommand. */
enum pulsar_type {
	PULSAR_CONNECT = 2,
	PULSAR_CONNECTED = 3,
	PULSAR_SUBSCRIBE = 4,
	PULSAR_MESSAGE = 9,
	PULSAR_FLOW = 11,
	PULSAR_SUCCESS = 13,
	PULSAR_ERROR = 14,
	PULSAR_CLOSE_CONSUMER = 16,
	PULSAR_PING = 18,
	PULSAR_PONG = 19,
	PULSAR_PARTITIONS = 21,
	PULSAR_PARTITIONS_ANSWER = 22,
	PULSAR_LOOKUP = 23,
	PULSAR_LOOKUP_ANSWER = 24,
	PULSAR_LAST_ID = 29,
	PULSAR_LAST_ID_ANSWER = 30,
	PULSAR_CHALLENGE = 36,
	PULSAR_CHALLENGE_ANSWER = 37,
};

enum pulsar_lookup { PULSAR_REDIRECT, PULSAR_GO, PULSAR_LOOKUP_FAILED };

/* What a broker sends. Slices point into the frame; fields a command lacks are 0. */
struct pulsar_cmd {
	int type; /* enum pulsar_type, or one we do not know */
	uint64_t request, consumer;
	bool has_request;
	/* ERROR and answers that failed */
	bool failed;
	int error;
	struct slice text;
	/* LOOKUP_ANSWER */
	enum pulsar_lookup lookup;
	struct slice url, url_tls;
	bool authoritative, through_service_url;
	/* PARTITIONS_ANSWER */
	uint32_t partitions;
	/* MESSAGE: its id. LAST_ID_ANSWER: the last one and where the consumer stands */
	struct pulsar_id id, mark_delete;
	bool has_mark_delete;
	uint32_t redelivered;
	/* CONNECTED */
	uint64_t max_message_bytes;
	struct slice version;
};

/* Of the 4 bytes before a frame: how many follow. LIMIT above most (*ret_n is set all the same),
 * MALFORMED when it can't hold a command. */
NODISCARD enum err_code pulsar_frame_size(
	const uint8_t head[PULSAR_HEAD_BYTES], size_t most, size_t *ret_n, struct err *e);
/* frame is what follows totalSize; *ret_rest is the payload part or empty. MALFORMED. */
NODISCARD enum err_code pulsar_frame_split(
	struct slice frame, struct slice *ret_command, struct slice *ret_rest, struct err *e);
/* MALFORMED when a field is missing that the protocol requires. */
NODISCARD enum err_code pulsar_cmd_read(struct pulsar_cmd *c, struct slice command, struct err *e);

/* A broker's refusal in our terms: code by ServerError, "name: text". */
enum err_code pulsar_cmd_error(const struct pulsar_cmd *c, struct err *e);

struct pulsar_hello {
	const char *version;     /* of this client */
	const char *auth_method; /* NULL: none */
	struct slice auth_data;
	const char *proxy_to; /* NULL: no proxy between us and the broker */
};

struct pulsar_subscribe {
	const char *topic, *name;
	uint64_t consumer, request;
	struct pulsar_id start; /* inclusive */
};

/* Each appends one whole frame to b. */
void pulsar_put_connect(struct buf *b, const struct pulsar_hello *h);
void pulsar_put_challenge_answer(struct buf *b, const struct pulsar_hello *h);
void pulsar_put_partitions(struct buf *b, const char *topic, uint64_t request);
void pulsar_put_lookup(struct buf *b, const char *topic, uint64_t request, bool authoritative);
/* Exclusive, not durable, not creating the topic. */
void pulsar_put_subscribe(struct buf *b, const struct pulsar_subscribe *s);
void pulsar_put_flow(struct buf *b, uint64_t consumer, uint32_t permits);
void pulsar_put_last_id(struct buf *b, uint64_t consumer, uint64_t request);
void pulsar_put_close_consumer(struct buf *b, uint64_t consumer, uint64_t request);
void pulsar_put_ping(struct buf *b);
void pulsar_put_pong(struct buf *b);
