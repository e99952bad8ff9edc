#include "model/msg_base.h"

#include "base/wire.h"

enum { F_BASE = 1, B_TYPE = 1, B_ID = 2, B_TS = 3, B_REPLICATE = 7, R_IS = 1, R_TS = 2, R_ID = 3 };
enum { REPLICATE_BYTES = 32 };

/* One after the other is how protobuf defines the merge of a repeated message. */
static enum err_code merged_base(
	struct slice payload, struct arena *a, struct slice *ret_base, struct err *e)
{
	struct wire w = wire_open(payload);
	struct wire_field f;
	size_t count = 0, bytes = 0;

	while (wire_next(&w, &f)) {
		if (f.num != F_BASE)
			continue;
		if (f.type != WIRE_LEN)
			return err_set(
				e, ERR_MALFORMED, "the message's base (field 1) is a number");
		*ret_base = f.data;
		bytes += f.data.n;
		count++;
	}
	if (w.bad || !count)
		return err_set(
			e, ERR_MALFORMED, "a message of %zu bytes has no readable base", payload.n);
	if (count == 1)
		return ERR_OK;
	uint8_t *all = arena_alloc(a, bytes);
	*ret_base = slice_of(all, bytes);
	for (w = wire_open(payload); wire_next(&w, &f);) {
		if (f.num == F_BASE && f.data.n) {
			memcpy(all, f.data.p, f.data.n);
			all += f.data.n;
		}
	}
	return ERR_OK;
}

struct scan {
	bool one_type;
	bool has_replicate;
};

static bool scan_base(struct scan *s, struct slice base)
{
	struct wire w = wire_open(base);
	struct wire_field f;
	uint64_t type = 0;

	*s = (struct scan){.one_type = true};
	while (wire_next(&w, &f)) {
		if (f.num == B_TYPE) {
			s->one_type =
				s->one_type && f.type == WIRE_VARINT && (!type || type == f.value);
			type = f.value;
		} else if (f.num == B_REPLICATE) {
			s->has_replicate = true;
		}
	}
	return !w.bad;
}

struct slice msg_base_replicate_info(uint64_t ts, const char *id, struct arena *a)
{
	size_t id_n = id ? strlen(id) : 0, n = 0;
	uint8_t *p = arena_alloc(a, REPLICATE_BYTES + id_n);

	p[n++] = R_IS << 3 | WIRE_VARINT;
	p[n++] = 1;
	if (ts) {
		p[n++] = R_TS << 3 | WIRE_VARINT;
		n += wire_varint_put(p + n, ts);
	}
	if (id_n) {
		p[n++] = R_ID << 3 | WIRE_LEN;
		n += wire_varint_put(p + n, id_n);
		memcpy(p + n, id, id_n);
	}
	return slice_of(p, n + id_n);
}

enum err_code msg_base_rewrite(struct slice payload, const struct msg_base_change *c,
	struct arena *a, struct slice *ret_base, struct err *e)
{
	struct slice base = {0}, info = {0};
	struct splice_field fields[3];
	struct scan scan;
	size_t n = 0;

	if (merged_base(payload, a, &base, e))
		return e->code;
	if (!scan_base(&scan, base) || !scan.one_type)
		return err_set(e, ERR_MALFORMED, "the message's base (field 1) can't be read");
	bool set = c->replicated || c->replicate_ts || (c->replicate_id && *c->replicate_id);
	if (set)
		info = msg_base_replicate_info(c->replicate_ts, c->replicate_id, a);
	if (c->msg_id)
		fields[n++] = (struct splice_field){.num = B_ID, .value = (uint64_t)c->msg_id};
	if (c->set_ts)
		fields[n++] = (struct splice_field){.num = B_TS, .value = c->ts};
	if (set)
		fields[n++] = (struct splice_field){
			.num = B_REPLICATE, .kind = SPLICE_BYTES, .list = &info, .n = 1};
	else if (scan.has_replicate)
		fields[n++] = (struct splice_field){.num = B_REPLICATE, .kind = SPLICE_DROP};
	*ret_base = base;
	return n ? splice_flat(base, fields, n, a, ret_base, e) : ERR_OK;
}
