/* gRPC's own encoding on top of HTTP/2: messages behind a 5-byte prefix, statuses in headers. Pure:
 * no I/O, any thread. */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/time.h"

enum { GRPC_PREFIX_BYTES = 5, GRPC_MESSAGE_BYTES = 384, GRPC_TIMEOUT_BYTES = 24 };

/* Cuts a stream of DATA into messages. */
struct grpc_frames {
	struct buf *msg; /* where the current message grows; its max is the limit */
	uint8_t prefix[GRPC_PREFIX_BYTES];
	size_t prefix_n;
	size_t left; /* of the message, once the prefix is whole */
};

/* Takes bytes from *in up to the end of one message. *ret_whole: msg holds it; the next call
 * begins the next message at the end of *f->msg, so take or reset it before. MALFORMED, LIMIT. */
NODISCARD enum err_code grpc_frames_push(
	struct grpc_frames *f, struct slice *in, bool *ret_whole, struct err *e);
/* No message has been cut off in the middle. */
bool grpc_frames_idle(const struct grpc_frames *f);
/* The prefix of an uncompressed message of n bytes. */
void grpc_prefix(uint8_t out[GRPC_PREFIX_BYTES], size_t n);

/* What the headers and trailers of an answer said. */
struct grpc_reply {
	int http_status; /* 0 = none yet */
	int grpc_status; /* -1 = none */
	bool is_grpc;    /* content-type application/grpc or a +suffix of it */
	size_t header_bytes;
	char content_type[64];
	char message[GRPC_MESSAGE_BYTES]; /* decoded, cut */
};

void grpc_reply_init(struct grpc_reply *r);
/* One header or trailer. LIMIT beyond LIMIT_GRPC_HEADERS. */
NODISCARD enum err_code grpc_reply_header(
	struct grpc_reply *r, struct slice name, struct slice value, struct err *e);
/* Whether what follows the headers are messages. */
bool grpc_reply_is_grpc(const struct grpc_reply *r);
/* OK for grpc-status 0; else the error of our table. h2_code is the RST_STREAM's, 0 if the stream
 * ended in good order; it counts only if there is no grpc-status. */
NODISCARD enum err_code grpc_reply_result(
	const struct grpc_reply *r, bool idempotent, uint32_t h2_code, struct err *e);

/* %XX undone; what is no valid escape stays. Returns the bytes written (cut at cap - 1,
 * 0-ended). */
size_t grpc_unescape(struct slice in, char *out, size_t cap);
/* The value of grpc-timeout: at most 8 digits and a unit. */
void grpc_timeout_text(int64_t left_ms, char out[GRPC_TIMEOUT_BYTES]);
