#include "client/etcd/etcd_codec.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/wire.h"

/* Field numbers, by message of etcd's protocol. */
enum { HEADER_CLUSTER = 1, HEADER_REVISION = 3 };
enum { KV_KEY = 1, KV_CREATE_REV, KV_MOD_REV, KV_VERSION, KV_VALUE };
enum {
	RANGE_KEY = 1,
	RANGE_END,
	RANGE_LIMIT,
	RANGE_REVISION,
	RANGE_SORT_ORDER,
	RANGE_SORT_TARGET,
	RANGE_KEYS_ONLY = 8,
	RANGE_MIN_MOD_REVISION = 10
};
enum { SORT_DESCEND = 2, SORT_MOD = 3 };
enum { ANSWER_HEADER = 1 };
enum { RANGE_ANSWER_KVS = 2, RANGE_ANSWER_MORE };
enum { PUT_KEY = 1, PUT_VALUE, PUT_LEASE };
enum { DELETE_KEY = 1, DELETE_END };
enum { OP_PUT = 2, OP_DELETE };
enum { CMP_RESULT = 1, CMP_TARGET, CMP_KEY, CMP_MOD_REV = 6 };
enum { CMP_RESULT_EQUAL = 0, CMP_TARGET_MOD = 2 };
enum { TXN_COMPARE = 1, TXN_SUCCESS };
enum { TXN_ANSWER_SUCCEEDED = 2 };
enum { WATCH_CREATE = 1 };
enum { CREATE_KEY = 1, CREATE_END, CREATE_START_REV, CREATE_PROGRESS, CREATE_FRAGMENT = 8 };
enum {
	WATCH_ID = 2,
	WATCH_CREATED,
	WATCH_CANCELED,
	WATCH_COMPACT_REV,
	WATCH_REASON,
	WATCH_FRAGMENT,
	WATCH_EVENTS = 11
};
enum { EVENT_TYPE = 1, EVENT_KV };
enum { AUTH_NAME = 1, AUTH_PASSWORD };
enum { AUTH_ANSWER_TOKEN = 2 };
enum { LEASE_REQ_TTL = 1, LEASE_REQ_ID = 1, LEASE_ANSWER_ID = 2, LEASE_ANSWER_TTL };

struct etcd_chunk *etcd_chunk_new(void)
{
	struct etcd_chunk *ch = xcalloc(1, sizeof(*ch));
	list_init(&ch->link);
	buf_init(&ch->body, LIMIT_GRPC_RECV);
	return ch;
}

void etcd_chunk_free(struct etcd_chunk *ch)
{
	if (!ch)
		return;
	list_del(&ch->link);
	buf_done(&ch->body);
	free(ch);
}

void etcd_chunk_freep(struct etcd_chunk **pch)
{
	etcd_chunk_free(*pch);
}

static enum err_code malformed(struct err *e, const char *what)
{
	return err_set(e, ERR_MALFORMED, "etcd's %s can't be read", what);
}

/* Requests */

void etcd_prefix_end(struct buf *b, struct slice prefix)
{
	while (prefix.n && prefix.p[prefix.n - 1] == 0xff)
		prefix.n--;
	if (!prefix.n) {
		buf_put_u8(b, 0); /* etcd: from key on without an end */
		return;
	}
	buf_put(b, prefix.p, prefix.n - 1);
	buf_put_u8(b, (uint8_t)(prefix.p[prefix.n - 1] + 1));
}

static void put_prefix(struct buf *b, uint32_t key_num, uint32_t end_num, struct slice prefix)
{
	CLEANUP(buf_done) struct buf end = BUF_INIT(LIMIT_RECORD);

	etcd_prefix_end(&end, prefix);
	wire_put_bytes(b, key_num, prefix.n ? prefix : slice_of("", 1));
	wire_put_bytes(b, end_num, buf_slice(&end));
}

void etcd_encode_range(struct buf *b, const struct etcd_range_req *q)
{
	wire_put_bytes(b, RANGE_KEY, q->key);
	if (q->end.n)
		wire_put_bytes(b, RANGE_END, q->end);
	if (q->limit)
		wire_put_i64(b, RANGE_LIMIT, q->limit);
	if (q->revision)
		wire_put_i64(b, RANGE_REVISION, q->revision);
	if (q->changed_from) {
		wire_put_i64(b, RANGE_SORT_ORDER, SORT_DESCEND);
		wire_put_i64(b, RANGE_SORT_TARGET, SORT_MOD);
	}
	if (q->keys_only)
		wire_put_i64(b, RANGE_KEYS_ONLY, 1);
	if (q->changed_from)
		wire_put_i64(b, RANGE_MIN_MOD_REVISION, q->changed_from);
}

void etcd_encode_put(struct buf *b, struct slice key, struct slice value, int64_t lease)
{
	wire_put_bytes(b, PUT_KEY, key);
	wire_put_bytes(b, PUT_VALUE, value);
	if (lease)
		wire_put_i64(b, PUT_LEASE, lease);
}

static void put_compare(struct buf *b, struct buf *tmp, const struct etcd_cmp *c)
{
	buf_reset(tmp);
	wire_put_u64(tmp, CMP_RESULT, CMP_RESULT_EQUAL);
	wire_put_u64(tmp, CMP_TARGET, CMP_TARGET_MOD);
	wire_put_str(tmp, CMP_KEY, c->key);
	wire_put_i64(tmp, CMP_MOD_REV, c->mod_revision);
	wire_put_bytes(b, TXN_COMPARE, buf_slice(tmp));
}

static uint32_t put_op_body(struct buf *b, const struct etcd_op *op)
{
	switch (op->kind) {
	case ETCD_PUT:
		etcd_encode_put(b, slice_str(op->key), op->value, op->lease);
		return OP_PUT;
	case ETCD_DELETE:
		wire_put_str(b, DELETE_KEY, op->key);
		return OP_DELETE;
	case ETCD_DELETE_PREFIX:
		put_prefix(b, DELETE_KEY, DELETE_END, slice_str(op->key));
		return OP_DELETE;
	}
	return OP_PUT;
}

void etcd_encode_txn(struct buf *b, const struct etcd_cmp *cmps, size_t n_cmps,
	const struct etcd_op *ops, size_t n_ops)
{
	CLEANUP(buf_done) struct buf tmp = BUF_INIT(b->max);
	CLEANUP(buf_done) struct buf op = BUF_INIT(b->max);

	for (size_t i = 0; i < n_cmps; i++)
		put_compare(b, &tmp, &cmps[i]);
	for (size_t i = 0; i < n_ops; i++) {
		buf_reset(&tmp);
		buf_reset(&op);
		uint32_t num = put_op_body(&tmp, &ops[i]);
		wire_put_bytes(&op, num, buf_slice(&tmp));
		wire_put_bytes(b, TXN_SUCCESS, buf_slice(&op));
		b->failed = b->failed || buf_failed(&tmp) || buf_failed(&op);
	}
}

void etcd_encode_watch(struct buf *b, struct slice prefix, int64_t start_revision)
{
	CLEANUP(buf_done) struct buf tmp = BUF_INIT(b->max);

	put_prefix(&tmp, CREATE_KEY, CREATE_END, prefix);
	wire_put_i64(&tmp, CREATE_START_REV, start_revision);
	wire_put_u64(&tmp, CREATE_PROGRESS, 1);
	wire_put_u64(&tmp, CREATE_FRAGMENT, 1);
	wire_put_bytes(b, WATCH_CREATE, buf_slice(&tmp));
}

void etcd_encode_auth(struct buf *b, const char *user, const char *password)
{
	wire_put_str(b, AUTH_NAME, user);
	wire_put_str(b, AUTH_PASSWORD, password);
}

void etcd_encode_lease_grant(struct buf *b, int64_t ttl_s)
{
	wire_put_i64(b, LEASE_REQ_TTL, ttl_s);
}

void etcd_encode_lease_id(struct buf *b, int64_t lease)
{
	wire_put_i64(b, LEASE_REQ_ID, lease);
}

/* Answers */

static bool read_header(struct slice in, struct etcd_header *h)
{
	struct wire w = wire_open(in);
	struct wire_field f;

	while (wire_next(&w, &f)) {
		if (f.num == HEADER_CLUSTER)
			h->cluster_id = f.value;
		else if (f.num == HEADER_REVISION)
			h->revision = (int64_t)f.value;
	}
	return !w.bad;
}

static bool read_kv(struct slice in, struct etcd_kv *kv)
{
	struct wire w = wire_open(in);
	struct wire_field f;

	*kv = (struct etcd_kv){.key = ""};
	while (wire_next(&w, &f)) {
		if (f.num == KV_KEY && f.type == WIRE_LEN && f.data.n) {
			kv->key = (const char *)f.data.p;
			kv->key_n = f.data.n;
		} else if (f.num == KV_VALUE && f.type == WIRE_LEN) {
			kv->value = f.data;
		} else if (f.num == KV_CREATE_REV) {
			kv->create_revision = (int64_t)f.value;
		} else if (f.num == KV_MOD_REV) {
			kv->mod_revision = (int64_t)f.value;
		} else if (f.num == KV_VERSION) {
			kv->version = (int64_t)f.value;
		}
	}
	return !w.bad;
}

/* Puts a 0 behind a key, in place. The byte there is the tag of some next field (or the spare byte
 * behind the message), never part of a key or value: so this must wait until all is read. */
static void terminate_key(struct buf *body, const struct etcd_kv *kv)
{
	if (kv->key_n)
		body->p[(size_t)((const uint8_t *)kv->key - body->p) + kv->key_n] = '\0';
}

static bool read_range(struct slice in, struct etcd_range *r, bool *ret_more)
{
	struct wire w = wire_open(in);
	struct wire_field f;
	struct etcd_header h = {0};

	while (wire_next(&w, &f)) {
		if (f.num == ANSWER_HEADER && f.type == WIRE_LEN && !read_header(f.data, &h))
			return false;
		if (f.num == RANGE_ANSWER_MORE && f.type == WIRE_VARINT)
			*ret_more = f.value != 0;
		if (f.num != RANGE_ANSWER_KVS || f.type != WIRE_LEN)
			continue;
		mem_grow(&r->kvs, &r->cap, r->n + 1, sizeof(*r->kvs));
		if (!read_kv(f.data, &r->kvs[r->n]))
			return false;
		r->n++;
	}
	r->revision = h.revision;
	return !w.bad;
}

enum err_code etcd_decode_range(
	struct etcd_chunk *ch, struct etcd_range *r, bool *ret_more, struct err *e)
{
	size_t first = r->n;

	buf_cstr(&ch->body); /* room for the last key's 0, before slices point inside */
	*ret_more = false;
	if (!read_range(buf_slice(&ch->body), r, ret_more)) {
		r->n = first;
		return malformed(e, "RangeResponse");
	}
	for (size_t i = first; i < r->n; i++)
		terminate_key(&ch->body, &r->kvs[i]);
	list_push(&r->chunks, &ch->link);
	return ERR_OK;
}

enum err_code etcd_decode_txn(
	struct slice in, bool *ret_succeeded, int64_t *ret_revision, struct err *e)
{
	struct wire w = wire_open(in);
	struct wire_field f;
	struct etcd_header h = {0};

	*ret_succeeded = false;
	while (wire_next(&w, &f)) {
		if (f.num == ANSWER_HEADER && f.type == WIRE_LEN && !read_header(f.data, &h))
			return malformed(e, "TxnResponse");
		if (f.num == TXN_ANSWER_SUCCEEDED && f.type == WIRE_VARINT)
			*ret_succeeded = f.value != 0;
	}
	*ret_revision = h.revision;
	return w.bad ? malformed(e, "TxnResponse") : ERR_OK;
}

enum err_code etcd_decode_auth(struct slice in, char **ret_token, struct err *e)
{
	struct wire w = wire_open(in);
	struct wire_field f;
	struct slice token = {0};

	while (wire_next(&w, &f))
		if (f.num == AUTH_ANSWER_TOKEN && f.type == WIRE_LEN)
			token = f.data;
	if (w.bad || !token.n || memchr(token.p, 0, token.n))
		return malformed(e, "AuthenticateResponse");
	*ret_token = xstrndup((const char *)token.p, token.n);
	return ERR_OK;
}

enum err_code etcd_decode_lease(struct slice in, int64_t *ret_id, int64_t *ret_ttl_s, struct err *e)
{
	struct wire w = wire_open(in);
	struct wire_field f;

	*ret_id = *ret_ttl_s = 0;
	while (wire_next(&w, &f)) {
		if (f.num == LEASE_ANSWER_ID && f.type == WIRE_VARINT)
			*ret_id = (int64_t)f.value;
		else if (f.num == LEASE_ANSWER_TTL && f.type == WIRE_VARINT)
			*ret_ttl_s = (int64_t)f.value;
	}
	return w.bad ? malformed(e, "lease answer") : ERR_OK;
}

static bool read_event(struct slice in, struct etcd_event *event)
{
	struct wire w = wire_open(in);
	struct wire_field f;
	uint64_t type = 0;

	*event = (struct etcd_event){.kv = {.key = ""}};
	while (wire_next(&w, &f)) {
		if (f.num == EVENT_TYPE && f.type == WIRE_VARINT)
			type = f.value;
		else if (f.num == EVENT_KV && f.type == WIRE_LEN && !read_kv(f.data, &event->kv))
			return false;
	}
	event->kind = type ? ETCD_EVENT_DELETE : ETCD_EVENT_PUT;
	return !w.bad && type <= 1;
}

static bool add_event(struct etcd_events *ev, struct slice in)
{
	mem_grow(&ev->events, &ev->cap, ev->n + 1, sizeof(*ev->events));
	if (!read_event(in, &ev->events[ev->n]))
		return false;
	ev->n++;
	return true;
}

static bool read_watch_field(
	const struct wire_field *f, struct etcd_watch_answer *a, struct etcd_events *ev)
{
	switch (f->num) {
	case ANSWER_HEADER:
		return read_header(f->data, &a->header);
	case WATCH_ID:
		a->watch_id = (int64_t)f->value;
		return true;
	case WATCH_CREATED:
		a->created = f->value != 0;
		return true;
	case WATCH_CANCELED:
		a->canceled = f->value != 0;
		return true;
	case WATCH_COMPACT_REV:
		a->compact_revision = (int64_t)f->value;
		return true;
	case WATCH_REASON:
		memcpy(a->reason, f->data.p, MIN(f->data.n, sizeof(a->reason) - 1));
		return true;
	case WATCH_FRAGMENT:
		a->fragment = f->value != 0;
		return true;
	case WATCH_EVENTS:
		return add_event(ev, f->data);
	default: /* fields of newer servers */
		return true;
	}
}

static bool watch_field_is_bytes(uint32_t num)
{
	return num == ANSWER_HEADER || num == WATCH_REASON || num == WATCH_EVENTS;
}

enum err_code etcd_decode_watch(struct etcd_chunk *ch, struct etcd_watch_answer *ret_a,
	struct etcd_events *ev, struct err *e)
{
	size_t first = ev->n;
	bool ok = true;

	buf_cstr(&ch->body);
	struct wire w = wire_open(buf_slice(&ch->body));
	struct wire_field f;
	*ret_a = (struct etcd_watch_answer){0};
	while (ok && wire_next(&w, &f)) {
		if (watch_field_is_bytes(f.num) == (f.type == WIRE_LEN))
			ok = read_watch_field(&f, ret_a, ev);
	}
	if (!ok || w.bad) {
		ev->n = first;
		return malformed(e, "WatchResponse");
	}
	ret_a->n_events = ev->n - first;
	for (size_t i = first; i < ev->n; i++)
		terminate_key(&ch->body, &ev->events[i].kv);
	if (ret_a->n_events)
		list_push(&ev->chunks, &ch->link);
	return ERR_OK;
}
