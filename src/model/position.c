#include "model/position.h"

#include "base/str.h"
#include "base/wire.h"

enum { TEXT_BYTES = 4096, F_CHANNEL = 1, F_ID = 2, F_TS = 4 };

enum err_code mq_id_set(struct mq_id *id, struct slice s, struct err *e)
{
	if (s.n > MQ_ID_BYTES)
		return err_set(e, ERR_INVALID, "a message id of %zu bytes; at most %d are known",
			s.n, MQ_ID_BYTES);
	*id = (struct mq_id){.n = (uint8_t)s.n};
	if (s.n)
		memcpy(id->b, s.p, s.n);
	return ERR_OK;
}

static enum err_code decode(struct position *p, struct slice in, struct err *e)
{
	struct wire w = wire_open(in);
	struct wire_field f;

	*p = (struct position){.ts = 0};
	while (wire_next(&w, &f)) {
		if (f.num == F_ID && f.type == WIRE_LEN) {
			if (mq_id_set(&p->id, f.data, e))
				return e->code;
		} else if (f.num == F_TS && f.type == WIRE_VARINT) {
			p->ts = f.value;
		}
	}
	if (w.bad)
		return err_set(e, ERR_INVALID, "the position is not a MsgPosition message");
	return ERR_OK;
}

enum err_code position_from_b64(struct position *p, const char *text, struct err *e)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(TEXT_BYTES);

	if (!b64_decode(&b, text))
		return err_set(
			e, ERR_INVALID, "the position is not base64 (standard alphabet, padded)");
	return decode(p, buf_slice(&b), e);
}

char *position_to_b64(const char *channel, const struct position *p, bool with_ts)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(TEXT_BYTES);

	wire_put_str(&b, F_CHANNEL, channel);
	wire_put_bytes(&b, F_ID, mq_id_slice(&p->id));
	if (with_ts)
		wire_put_u64(&b, F_TS, p->ts);
	return b64_text(buf_slice(&b));
}
