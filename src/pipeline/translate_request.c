/* The envelope: ReplicateMessageRequest around finished messages. Short messages and the heads of
 * long ones are copied behind their length, so a tick costs no slice of its own and an insert one.
 */
#include "base/splice.h"
#include "base/wire.h"
#include "pipeline/translate.h"

enum { Q_CHANNEL = 2, Q_BEGIN = 3, Q_END = 4, Q_MSGS = 5, Q_START_POS = 6, Q_END_POS = 7 };
enum { P_CHANNEL = 1, P_ID = 2, P_TS = 4 };
enum { FIELD_BYTES = 20, COPY_HEAD_BYTES = 512, ENVELOPE_BYTES = 256 };

static size_t bytes_field_size(struct slice s)
{
	return s.n ? 1 + wire_varint_size(s.n) + s.n : 0;
}

static void put_bytes(struct splice_out *o, uint32_t num, struct slice s)
{
	if (s.n)
		splice_put_bytes(o, num, s);
}

static void put_number(struct splice_out *o, uint32_t num, uint64_t v)
{
	if (v)
		splice_put_u64(o, num, v);
}

static void put_position(
	struct splice_out *o, uint32_t num, struct slice channel, struct slice id, uint64_t ts)
{
	size_t n = bytes_field_size(channel) + bytes_field_size(id) +
		   (ts ? 1 + wire_varint_size(ts) : 0);

	splice_put_head(o, num, n);
	put_bytes(o, P_CHANNEL, channel);
	put_bytes(o, P_ID, id);
	put_number(o, P_TS, ts);
}

/* What the envelope needs in the arena besides the messages' long slices. */
static size_t expected(const struct replicate_request *r)
{
	size_t n = ENVELOPE_BYTES + 3 * strlen(r->channel) + r->start_id.n + r->end_id.n;

	for (size_t i = 0; i < r->n_msgs; i++) {
		n += FIELD_BYTES;
		for (size_t j = 0; j < r->msgs[i].n; j++)
			n += r->msgs[i].v[j].n < COPY_HEAD_BYTES ? r->msgs[i].v[j].n : 0;
	}
	return n;
}

void translate_request(const struct replicate_request *r, struct arena *a, struct iov *out)
{
	/* base{replicateInfo{isReplicate}} */
	static const uint8_t base[] = {0x0a, 0x04, 0x3a, 0x02, 0x08, 0x01};
	struct slice channel = slice_str(r->channel);
	struct splice_out o;

	splice_begin(&o, a, out, expected(r));
	o.copy_below = COPY_HEAD_BYTES;
	splice_put(&o, slice_of(base, sizeof(base)));
	put_bytes(&o, Q_CHANNEL, channel);
	put_number(&o, Q_BEGIN, r->begin_ts);
	put_number(&o, Q_END, r->end_ts);
	for (size_t i = 0; i < r->n_msgs; i++) {
		splice_put_head(&o, Q_MSGS, r->msgs[i].bytes);
		for (size_t j = 0; j < r->msgs[i].n; j++)
			splice_put(&o, r->msgs[i].v[j]);
	}
	put_position(&o, Q_START_POS, channel, r->start_id, r->begin_ts);
	put_position(&o, Q_END_POS, channel, r->end_id, r->end_ts);
	splice_end(&o);
}
