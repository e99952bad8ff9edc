/* ReplicateMessage, the one call that is not idempotent: here it is decided which refusals are
 * definite, that is, come before the target wrote the first message to its queue. */
#include "base/limits.h"
#include "base/retry.h"
#include "client/milvus/milvus_codec.h"
#include "client/milvus/milvus_priv.h"

enum { GRPC_UNAVAILABLE = 14, CODE_UNEXPECTED = 65535 };

/* Statuses that Milvus 2.3-2.5 gives before it produces. */
static bool status_is_definite(const struct err *e)
{
	/* Memory, requests, disk, rate and quota are refused before a handler sees the call; 2.2's
	 * numbers for them are 48 to 55. */
	static const int codes[] = {1 /* not ready */, 3, 4, 7, 8, 9, 11, 12, 48, 49, 52, 53, 54,
		55, 108 /* no replicate id */, 1100 /* no channel */, 1900, 1901, 1902, 1903};

	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (e->origin == codes[i])
			return true;
	return e->origin == CODE_UNEXPECTED &&
	       (strstr(e->text, "getSegmentID failed") || strstr(e->text, "empty msgs"));
}

/* Errors below the Status. A proxy before the target may say 14 when it lost the target in the
 * middle of a call, so only a peer that was never reached (no status: origin is not 14) is
 * definite. */
static bool call_is_definite(const struct err *e)
{
	switch (e->code) {
	case ERR_UNAVAILABLE:
		return e->origin != GRPC_UNAVAILABLE;
	case ERR_OK:
	case ERR_CANCELLED:
	case ERR_TIMEOUT: /* the request never left */
	case ERR_BUSY:
	case ERR_INVALID:
	case ERR_DENIED:
	case ERR_UNSUPPORTED:
	case ERR_UNCERTAIN:
		return true;
	case ERR_NOT_FOUND:
	case ERR_EXISTS:
	case ERR_LIMIT:
	case ERR_CONFLICT:
	case ERR_GONE:
	case ERR_MALFORMED:
	case ERR_SYSTEM:
	case ERR_COUNT:
		return false;
	}
	return false;
}

/* What gRPC says; the origin stays only if it is the target's word. */
static void judge_call(struct err *e)
{
	bool definite = call_is_definite(e);

	e->origin = 0;
	if (strstr(e->text, "received message larger than max"))
		e->code = ERR_LIMIT;
	else if (!definite)
		e->code = ERR_UNCERTAIN;
}

/* What Milvus says. A message that is too large for its queue keeps its code. What will pass is no
 * word about the messages. */
static void judge_status(struct err *e)
{
	if (e->code == ERR_LIMIT || status_is_definite(e))
		return;
	if (retry_may(e->code, true))
		e->origin = 0;
	e->code = ERR_UNCERTAIN;
}

enum err_code milvus_replicate(struct milvus *m, const struct slice *body, size_t n_body,
	int64_t deadline_ms, struct stop *s, uint8_t *ret_position, size_t cap, size_t *ret_n,
	struct err *e)
{
	CLEANUP(buf_done)
	struct buf answer = BUF_INIT(LIMIT_GRPC_RECV);
	struct milvus_req r = {.method = "ReplicateMessage",
		.body = body,
		.n_body = n_body,
		.deadline_ms = deadline_ms};
	struct err unread = ERR_INIT;

	*ret_n = 0;
	if (milvus_send(m, &r, s, &answer, e))
		judge_call(e);
	else if (milvus_status_read(buf_slice(&answer), e))
		judge_status(e);
	if (e->code)
		return err_ctx(e, "%s", r.method);
	/* It is done, whatever the position looks like. */
	if (milvus_position_read(ret_position, cap, ret_n, buf_slice(&answer), &unread))
		*ret_n = 0;
	return ERR_OK;
}
