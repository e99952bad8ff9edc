/* The reference's format. The inner text is the JSON of its parameter structs, so the order of fields
 * and what is left out when empty are part of the contract. */
#include "base/mem.h"
#include "base/str.h"
#include "base/wire.h"
#include "sink/event.h"
#include "sink/event_data.h"

enum { TICK_BYTES = 64, CHUNK = 3 << 12 };

/* {"data":"..."} around an inner text that is written by the caller in between. */
static void wrap(struct buf *out, const struct buf *inner, const char *kind)
{
	struct gojson o = {.b = out};

	gojson_open(&o, NULL, '{');
	gojson_str(&o, "data", buf_slice(inner));
	gojson_cstr(&o, "info", kind);
	gojson_close(&o, '}');
	out->failed = out->failed || inner->failed;
}

enum err_code event_envelope_change(
	struct buf *out, const struct sink_change *c, const char **ret_kind, struct err *e)
{
	CLEANUP(buf_done) struct buf inner = BUF_INIT(out->max);
	struct gojson o = {.b = &inner};

	if (event_data_change(&o, NULL, c, e))
		return e->code;
	*ret_kind = event_change_kind(c->kind);
	wrap(out, &inner, *ret_kind);
	return ERR_OK;
}

enum err_code event_envelope_call(
	struct buf *out, const struct sink_call *c, const char **ret_kind, struct err *e)
{
	CLEANUP(buf_done) struct buf inner = BUF_INIT(out->max);
	struct gojson o = {.b = &inner};

	if (event_data_call(&o, NULL, c, ret_kind, e))
		return e->code;
	wrap(out, &inner, *ret_kind);
	return ERR_OK;
}

/* Base64 of the slices as of one run of bytes. */
static void put_body(struct gojson *o, const struct iov *body)
{
	uint8_t carry[3];
	size_t n = 0;

	gojson_key(o, NULL);
	buf_put_u8(o->b, '"');
	for (size_t i = 0; i < body->n; i++) {
		struct slice s = body->v[i];
		while (s.n && n) {
			carry[n++] = *s.p++;
			s.n--;
			if (n == sizeof(carry)) {
				b64_encode(o->b, slice_of(carry, n));
				n = 0;
			}
		}
		size_t whole = s.n / 3 * 3;
		if (whole)
			b64_encode(o->b, slice_of(s.p, whole));
		for (size_t k = whole; k < s.n; k++)
			carry[n++] = s.p[k];
	}
	if (n)
		b64_encode(o->b, slice_of(carry, n));
	buf_put_u8(o->b, '"');
}

/* base{msg_type TimeTick, timestamp, sourceID -1} */
static void put_tick(struct gojson *o, uint64_t ts)
{
	CLEANUP(buf_done) struct buf base = BUF_INIT(TICK_BYTES);
	CLEANUP(buf_done) struct buf tick = BUF_INIT(TICK_BYTES);

	wire_put_u64(&base, 1, MSG_TIME_TICK);
	wire_put_u64(&base, 3, ts);
	wire_put_i64(&base, 4, -1);
	wire_put_bytes(&tick, 1, buf_slice(&base));
	gojson_b64(o, NULL, buf_slice(&tick));
}

static void put_position(
	struct gojson *o, const char *key, const char *channel, struct slice id, uint64_t ts)
{
	gojson_open(o, key, '[');
	gojson_open(o, NULL, '{');
	gojson_cstr(o, "channel_name", channel);
	if (id.n)
		gojson_b64(o, "msgID", id);
	if (ts)
		gojson_u64(o, "timestamp", ts);
	gojson_close(o, '}');
	gojson_close(o, ']');
}

void event_envelope_rows(struct buf *out, const struct event_rows *r)
{
	CLEANUP(buf_done) struct buf inner = BUF_INIT(out->max);
	struct gojson o = {.b = &inner};
	uint64_t end = r->last ? MAX(r->end_ts, r->dml->max_ts) : r->dml->max_ts;

	gojson_open(&o, NULL, '{');
	event_data_base(&o, "Base", 0);
	gojson_cstr(&o, "Database", "");
	gojson_cstr(&o, "ChannelName", r->pchannel);
	gojson_u64(&o, "BeginTs", r->dml->min_ts);
	gojson_u64(&o, "EndTs", end);
	gojson_open(&o, "MsgsBytes", '[');
	put_body(&o, r->body);
	if (r->last)
		put_tick(&o, end);
	gojson_close(&o, ']');
	put_position(&o, "StartPositions", r->pchannel, r->end_id, r->dml->min_ts);
	put_position(&o, "EndPositions", r->pchannel, r->end_id, end);
	gojson_cstr(&o, "TargetMsgPosition", "");
	gojson_close(&o, '}');
	wrap(out, &inner, "replicate message");
}
