#include <stdio.h>

#include "base/failpoint.h"
#include "base/limits.h"
#include "base/mem.h"
#include "client/etcd/etcd_codec.h"
#include "client/etcd/etcd_conn.h"

enum { PAGE_KEYS = 1000, LIST_STARTS = 3 };

static struct etcd_rpc read_of(const struct etcd *c, const char *path, const struct buf *req)
{
	return (struct etcd_rpc){path, buf_slice(req), true, deadline_in(c->timeout_ms)};
}

static struct etcd_rpc write_of(const struct etcd *c, const char *path, const struct buf *req)
{
	return (struct etcd_rpc){path, buf_slice(req), false, deadline_in(c->timeout_ms)};
}

static void chunks_free(struct list *chunks)
{
	list_foreach (it, chunks)
		etcd_chunk_free(LIST_ITEM(it, struct etcd_chunk, link));
}

void etcd_range_init(struct etcd_range *r)
{
	*r = (struct etcd_range){0};
	list_init(&r->chunks);
}

void etcd_range_done(struct etcd_range *r)
{
	chunks_free(&r->chunks);
	freep(&r->kvs);
	etcd_range_init(r);
}

void etcd_events_init(struct etcd_events *ev)
{
	*ev = (struct etcd_events){0};
	list_init(&ev->chunks);
}

void etcd_events_done(struct etcd_events *ev)
{
	chunks_free(&ev->chunks);
	freep(&ev->events);
	etcd_events_init(ev);
}

static void range_empty(struct etcd_range *r)
{
	chunks_free(&r->chunks);
	r->n = 0;
	r->revision = 0;
}

/* Reading */

static enum err_code read_page(struct etcd *c, const struct etcd_range_req *q, struct stop *s,
	struct etcd_range *r, bool *ret_more, struct err *e)
{
	CLEANUP(buf_done) struct buf req = BUF_INIT(LIMIT_RECORD);
	CLEANUP(etcd_chunk_freep) struct etcd_chunk *ch = etcd_chunk_new();

	etcd_encode_range(&req, q);
	if (buf_failed(&req))
		return err_set(e, ERR_INVALID, "etcd key of %zu bytes", q->key.n);
	struct etcd_rpc rpc = read_of(c, "/etcdserverpb.KV/Range", &req);
	if (FAILPOINTS("etcd.range", etcd_call(c, &rpc, s, &ch->body, e)))
		return err_ctx(e, "range of %.*s", (int)MIN(q->key.n, 128), (const char *)q->key.p);
	if (etcd_decode_range(ch, r, ret_more, e))
		return e->code;
	(void)TAKE(ch); /* r owns it */
	return ERR_OK;
}

enum err_code etcd_get(
	struct etcd *c, const char *key, struct stop *s, struct etcd_range *r, struct err *e)
{
	struct etcd_range_req q = {.key = slice_str(key), .limit = 1};
	bool more;

	range_empty(r);
	return read_page(c, &q, s, r, &more, e);
}

enum err_code etcd_first_from(
	struct etcd *c, struct slice from, struct stop *s, struct etcd_range *r, struct err *e)
{
	/* an end of one 0 byte is no end */
	struct etcd_range_req q = {
		.key = from, .end = slice_of("", 1), .limit = 1, .keys_only = true};
	bool more;

	range_empty(r);
	return read_page(c, &q, s, r, &more, e);
}

/* The smallest key above the last one read: that key and a 0, which stands there already. */
static struct slice next_start(const struct etcd_range *r)
{
	const struct etcd_kv *last = &r->kvs[r->n - 1];
	return slice_of(last->key, last->key_n + 1);
}

/* q says all but the keys. */
static enum err_code read_pages(struct etcd *c, struct slice prefix, struct etcd_range_req q,
	struct stop *s, struct etcd_range *r, struct err *e)
{
	CLEANUP(buf_done) struct buf end = BUF_INIT(LIMIT_RECORD);
	bool more = true;

	q.limit = PAGE_KEYS;
	etcd_prefix_end(&end, prefix);
	q.key = prefix.n ? prefix : slice_of("", 1);
	q.end = buf_slice(&end);
	range_empty(r);
	while (more) {
		size_t before = r->n;
		int64_t pinned = q.revision;
		if (read_page(c, &q, s, r, &more, e))
			return e->code;
		if (more && r->n == before)
			return err_set(e, ERR_MALFORMED, "etcd's page has no keys but more follow");
		/* Later pages read at the first one's revision; their header says the newest. */
		q.revision = pinned ? pinned : r->revision;
		r->revision = q.revision;
		if (more)
			q.key = next_start(r);
	}
	return ERR_OK;
}

enum err_code etcd_get_prefix(struct etcd *c, const char *prefix, int64_t revision, struct stop *s,
	struct etcd_range *r, struct err *e)
{
	const struct etcd_range_req q = {.revision = revision};

	for (int start = 1;; start++) {
		enum err_code code = read_pages(c, slice_str(prefix), q, s, r, e);
		/* A compaction between pages concerns the caller only if it chose the revision. */
		if (code != ERR_GONE || revision)
			return code;
		if (start == LIST_STARTS) {
			e->code = ERR_BUSY;
			return err_ctx(e, "compacted during %d listings", start);
		}
		err_clear(e);
	}
}

enum err_code etcd_get_keys(struct etcd *c, const char *prefix, int64_t revision, struct stop *s,
	struct etcd_range *r, struct err *e)
{
	const struct etcd_range_req q = {.revision = revision, .keys_only = true};

	return read_pages(c, slice_str(prefix), q, s, r, e);
}

enum err_code etcd_newest(struct etcd *c, const char *prefix, int64_t from, struct stop *s,
	int64_t *ret_revision, struct err *e)
{
	CLEANUP(etcd_range_done) struct etcd_range r;
	CLEANUP(buf_done) struct buf end = BUF_INIT(LIMIT_RECORD);
	struct etcd_range_req q = {
		.key = slice_str(prefix), .limit = 1, .changed_from = from, .keys_only = true};
	bool more;

	etcd_prefix_end(&end, q.key);
	q.end = buf_slice(&end);
	etcd_range_init(&r);
	if (read_page(c, &q, s, &r, &more, e))
		return e->code;
	*ret_revision = r.n ? r.kvs[0].mod_revision : 0;
	return ERR_OK;
}

/* Writing */

enum err_code etcd_txn(struct etcd *c, const struct etcd_cmp *cmps, size_t n_cmps,
	const struct etcd_op *ops, size_t n_ops, struct stop *s, int64_t *ret_revision,
	struct err *e)
{
	CLEANUP(buf_done) struct buf req = BUF_INIT(LIMIT_CALL_BYTES);
	CLEANUP(buf_done) struct buf answer = BUF_INIT(LIMIT_GRPC_RECV);
	int64_t revision;
	bool succeeded;

	if (n_ops > LIMIT_ETCD_TXN_OPS || n_cmps > LIMIT_ETCD_TXN_OPS)
		return err_set(e, ERR_LIMIT, "etcd transaction of %zu operations, more than %d",
			MAX(n_ops, n_cmps), LIMIT_ETCD_TXN_OPS);
	etcd_encode_txn(&req, cmps, n_cmps, ops, n_ops);
	if (buf_failed(&req))
		return err_set(
			e, ERR_LIMIT, "etcd transaction of more than %d bytes", LIMIT_CALL_BYTES);
	struct etcd_rpc rpc = write_of(c, "/etcdserverpb.KV/Txn", &req);
	if (FAILPOINTS("etcd.txn", etcd_call(c, &rpc, s, &answer, e)))
		return err_ctx(e, "transaction of %zu operations, the first on %.128s", n_ops,
			n_ops ? ops[0].key : "none");
	if (etcd_decode_txn(buf_slice(&answer), &succeeded, &revision, e))
		return e->code;
	if (ret_revision)
		*ret_revision = revision;
	if (!succeeded)
		return err_set(
			e, ERR_CONFLICT, "somebody else changed an etcd key of the transaction");
	return ERR_OK;
}

enum err_code etcd_put(
	struct etcd *c, const char *key, struct slice value, struct stop *s, struct err *e)
{
	CLEANUP(buf_done) struct buf req = BUF_INIT(LIMIT_CALL_BYTES);
	CLEANUP(buf_done) struct buf answer = BUF_INIT(LIMIT_GRPC_RECV);

	etcd_encode_put(&req, slice_str(key), value, 0);
	if (buf_failed(&req))
		return err_set(e, ERR_LIMIT, "etcd value of %zu bytes", value.n);
	struct etcd_rpc rpc = write_of(c, "/etcdserverpb.KV/Put", &req);
	if (etcd_call(c, &rpc, s, &answer, e))
		return err_ctx(e, "put of %s", key);
	return ERR_OK;
}

/* Leases */

enum err_code etcd_lease_grant(
	struct etcd *c, int64_t ttl_s, struct stop *s, int64_t *ret_lease, struct err *e)
{
	CLEANUP(buf_done) struct buf req = BUF_INIT(LIMIT_GRPC_HEADERS);
	CLEANUP(buf_done) struct buf answer = BUF_INIT(LIMIT_GRPC_HEADERS);
	int64_t ttl;

	etcd_encode_lease_grant(&req, ttl_s);
	/* Safe to repeat: a lease whose answer was lost expires by itself. */
	struct etcd_rpc rpc = read_of(c, "/etcdserverpb.Lease/LeaseGrant", &req);
	if (etcd_call(c, &rpc, s, &answer, e))
		return err_ctx(e, "lease grant");
	if (etcd_decode_lease(buf_slice(&answer), ret_lease, &ttl, e))
		return e->code;
	if (!*ret_lease)
		return err_set(e, ERR_MALFORMED, "etcd granted a lease without an id");
	return ERR_OK;
}

enum err_code etcd_lease_revoke(struct etcd *c, int64_t lease, struct stop *s, struct err *e)
{
	CLEANUP(buf_done) struct buf req = BUF_INIT(LIMIT_GRPC_HEADERS);
	CLEANUP(buf_done) struct buf answer = BUF_INIT(LIMIT_GRPC_HEADERS);

	etcd_encode_lease_id(&req, lease);
	struct etcd_rpc rpc = read_of(c, "/etcdserverpb.Lease/LeaseRevoke", &req);
	if (etcd_call(c, &rpc, s, &answer, e))
		return err_ctx(e, "lease revoke");
	return ERR_OK;
}

static void stream_closep(struct grpc_stream **pst)
{
	grpc_stream_close(*pst);
}

enum err_code etcd_lease_renew(struct etcd *c, int64_t lease, struct stop *s, struct err *e)
{
	CLEANUP(buf_done) struct buf req = BUF_INIT(LIMIT_GRPC_HEADERS);
	CLEANUP(buf_done) struct buf answer = BUF_INIT(LIMIT_GRPC_HEADERS);
	CLEANUP(stream_closep) struct grpc_stream *st = NULL;
	struct etcd_rpc rpc = read_of(c, "/etcdserverpb.Lease/LeaseKeepAlive", &req);
	size_t peer = 0;
	int64_t id, ttl;

	etcd_encode_lease_id(&req, lease);
	if (etcd_stream(c, &rpc, s, &st, &peer, e))
		return err_ctx(e, "lease renewal");
	if (grpc_stream_send(st, buf_slice(&req), e) ||
		grpc_stream_recv(st, rpc.deadline, s, &answer, e)) {
		if (etcd_is_token_text(e->text))
			etcd_token_drop(c);
		else if (e->code != ERR_CANCELLED)
			etcd_peer_failed(c, peer);
		return err_ctx(e, "lease renewal");
	}
	if (etcd_decode_lease(buf_slice(&answer), &id, &ttl, e))
		return e->code;
	if (ttl <= 0) /* etcd's way to say that it no longer knows the lease */
		return err_set(e, ERR_NOT_FOUND, "etcd lease %llx has expired", (long long)lease);
	return ERR_OK;
}

/* Status */

enum err_code etcd_status(struct etcd *c, struct stop *s, struct err *e)
{
	CLEANUP(buf_done) struct buf dead = BUF_INIT(LIMIT_GRPC_HEADERS);
	const struct buf nothing = BUF_INIT(0);
	struct err last = ERR_INIT;
	size_t alive = 0;

	for (size_t i = 0; i < c->n_peers; i++) {
		CLEANUP(buf_done) struct buf answer = BUF_INIT(LIMIT_GRPC_HEADERS);
		struct etcd_rpc rpc = read_of(c, "/etcdserverpb.Maintenance/Status", &nothing);
		struct err one = ERR_INIT;
		if (!etcd_call_peer(c, i, &rpc, s, &answer, &one)) {
			alive++;
			continue;
		}
		if (one.code == ERR_CANCELLED)
			return err_set(e, one.code, "%s", one.text);
		buf_putf(&dead, "%s%s", dead.n ? "; " : "", one.text);
		last = one;
	}
	if (!alive)
		return err_set_origin(e, last.code, last.origin, "%s", buf_cstr(&dead));
	if (dead.n) /* no error, but worth a line */
		snprintf(e->text, sizeof(e->text), "%s", buf_cstr(&dead));
	return ERR_OK;
}
