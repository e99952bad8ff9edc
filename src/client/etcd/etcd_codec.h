/* Bytes of etcd's rpc.proto and kv.proto, the part we speak; no I/O. Written with base/wire.h and
 * not with generated code: keys and values are borrowed const bytes here and stay inside the
 * received message there, so a page of a thousand values costs one allocation. */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "client/etcd/etcd.h"

/* A received message that a range's or batch's slices point into. Owned by the list it is in. */
struct etcd_chunk {
	struct list link;
	struct buf body;
};

struct etcd_chunk *etcd_chunk_new(void);
void etcd_chunk_free(struct etcd_chunk *ch);
void etcd_chunk_freep(struct etcd_chunk **pch);

struct etcd_header {
	uint64_t cluster_id;
	int64_t revision;
};

/* The end of the range of all keys with the prefix is put to b (nothing: no upper end but "\0"). */
void etcd_prefix_end(struct buf *b, struct slice prefix);

struct etcd_range_req {
	struct slice key, end; /* end.n 0: one key */
	int64_t limit, revision;
	int64_t changed_from; /* not 0: only keys written at this revision or later, newest first */
	bool keys_only;
};

/* Requests. A request beyond the buffer's cap is seen by buf_failed. */
void etcd_encode_range(struct buf *b, const struct etcd_range_req *q);
void etcd_encode_put(struct buf *b, struct slice key, struct slice value, int64_t lease);
void etcd_encode_txn(struct buf *b, const struct etcd_cmp *cmps, size_t n_cmps,
	const struct etcd_op *ops, size_t n_ops);
void etcd_encode_watch(struct buf *b, struct slice prefix, int64_t start_revision);
void etcd_encode_auth(struct buf *b, const char *user, const char *password);
void etcd_encode_lease_grant(struct buf *b, int64_t ttl_s);
void etcd_encode_lease_id(struct buf *b, int64_t lease); /* keep alive and revoke */

/* Answers. All may fail with MALFORMED. */

/* Appends the page's keys to r and moves ch to r's chunks, on success only. */
NODISCARD enum err_code etcd_decode_range(
	struct etcd_chunk *ch, struct etcd_range *r, bool *ret_more, struct err *e);
NODISCARD enum err_code etcd_decode_txn(
	struct slice in, bool *ret_succeeded, int64_t *ret_revision, struct err *e);
/* ret_token: heap, the caller frees. */
NODISCARD enum err_code etcd_decode_auth(struct slice in, char **ret_token, struct err *e);
/* LeaseGrantResponse and LeaseKeepAliveResponse have the same fields up to the TTL. */
NODISCARD enum err_code etcd_decode_lease(
	struct slice in, int64_t *ret_id, int64_t *ret_ttl_s, struct err *e);

enum { ETCD_REASON_BYTES = 160 };

struct etcd_watch_answer {
	struct etcd_header header;
	int64_t watch_id, compact_revision;
	bool created, canceled, fragment;
	size_t n_events;
	char reason[ETCD_REASON_BYTES];
};

/* Appends the events to ev; if there are any, ch moves to ev's chunks, else the caller keeps it. */
NODISCARD enum err_code etcd_decode_watch(struct etcd_chunk *ch, struct etcd_watch_answer *ret_a,
	struct etcd_events *ev, struct err *e);
