/* Client of etcd v3: range, put, txn, watch, lease, auth, several endpoints.
 * @thread any function may be called from any thread; calls block. */
#pragma once

#include "base/bytes.h"
#include "base/err.h"
#include "base/stop.h"
#include "base/time.h"
#include "net/grpc.h"

struct etcd;
struct etcd_watch;

struct etcd_opts {
	const char *const *endpoints; /* "host:port" or "http(s)://host:port" */
	size_t n_endpoints;
	const char *username, *password; /* NULL or "" = no auth */
	struct grpc_tls tls;
	int64_t op_timeout_ms; /* of one call; 0 = 5000 */
};

/* Only checks the options; no network. Strings are copied. */
NODISCARD enum err_code etcd_open(
	struct grpc *g, const struct etcd_opts *o, struct etcd **ret_c, struct err *e);
void etcd_close(struct etcd *c);

/* Asks every endpoint; OK if at least one answers. The text names the dead ones, also beside OK. */
NODISCARD enum err_code etcd_status(struct etcd *c, struct stop *s, struct err *e);

/* key is 0-terminated behind key_n bytes. All memory belongs to the range. */
struct etcd_kv {
	const char *key;
	size_t key_n;
	struct slice value;
	int64_t mod_revision, create_revision, version;
};

struct etcd_range {
	struct etcd_kv *kvs;
	size_t n, cap;
	int64_t revision;   /* of the store when read */
	struct list chunks; /* private */
};

void etcd_range_init(struct etcd_range *r);
void etcd_range_done(struct etcd_range *r);

/* One key; n is 0 if it does not exist. r must be initialised; it is emptied first. */
NODISCARD enum err_code etcd_get(
	struct etcd *c, const char *key, struct stop *s, struct etcd_range *r, struct err *e);
/* The first key at or above `from`, without its value; n is 0 if there is none. */
NODISCARD enum err_code etcd_first_from(
	struct etcd *c, struct slice from, struct stop *s, struct etcd_range *r, struct err *e);
/* All keys with the prefix in key order, read page by page at ONE revision (revision 0 = now). */
NODISCARD enum err_code etcd_get_prefix(struct etcd *c, const char *prefix, int64_t revision,
	struct stop *s, struct etcd_range *r, struct err *e);

/* The same without their values, at a revision the caller chose (GONE if it was compacted). */
NODISCARD enum err_code etcd_get_keys(struct etcd *c, const char *prefix, int64_t revision,
	struct stop *s, struct etcd_range *r, struct err *e);

/* The revision of the newest write at or after revision `from` to a key with the prefix that is still
 * there; 0: there is none. etcd looks at all keys of the prefix for it. */
NODISCARD enum err_code etcd_newest(struct etcd *c, const char *prefix, int64_t from,
	struct stop *s, int64_t *ret_revision, struct err *e);

enum etcd_op_kind { ETCD_PUT, ETCD_DELETE, ETCD_DELETE_PREFIX };

struct etcd_op {
	enum etcd_op_kind kind;
	const char *key;
	struct slice value; /* PUT */
	int64_t lease;      /* PUT; 0 = none */
};

/* Holds if the key's mod revision equals mod_revision (0 = the key does not exist). */
struct etcd_cmp {
	const char *key;
	int64_t mod_revision;
};

/* All ops in one transaction if all compares hold, else CONFLICT. At most LIMIT_ETCD_TXN_OPS ops.
 * UNCERTAIN when the answer was lost. ret_revision may be NULL. */
NODISCARD enum err_code etcd_txn(struct etcd *c, const struct etcd_cmp *cmps, size_t n_cmps,
	const struct etcd_op *ops, size_t n_ops, struct stop *s, int64_t *ret_revision,
	struct err *e);
NODISCARD enum err_code etcd_put(
	struct etcd *c, const char *key, struct slice value, struct stop *s, struct err *e);

enum etcd_event_kind { ETCD_EVENT_PUT, ETCD_EVENT_DELETE };

struct etcd_event {
	enum etcd_event_kind kind;
	struct etcd_kv kv; /* for DELETE only key and mod_revision */
};

/* A batch, never splitting one revision. Memory belongs to the batch. */
struct etcd_events {
	struct etcd_event *events;
	size_t n, cap;
	int64_t revision;   /* everything up to it was seen */
	struct list chunks; /* private */
};

void etcd_events_init(struct etcd_events *ev);
void etcd_events_done(struct etcd_events *ev);

/* Watches all keys with the prefix from revision `from` on (inclusive). No network yet: next opens,
 * and re-opens at the last seen revision + 1 when the connection is lost, without a gap. */
NODISCARD enum err_code etcd_watch_open(
	struct etcd *c, const char *prefix, int64_t from, struct etcd_watch **ret_w, struct err *e);
/* TIMEOUT: nothing until d (progress notifications may have moved ev->revision; ev->n is 0).
 * GONE: the revision was compacted away; list again. UNAVAILABLE etc.: may be called again. */
NODISCARD enum err_code etcd_watch_next(struct etcd_watch *w, struct deadline d, struct stop *s,
	struct etcd_events *ev, struct err *e);
/* Whether a server has confirmed the watch on the present connection. */
bool etcd_watch_live(const struct etcd_watch *w);
void etcd_watch_close(struct etcd_watch *w);

NODISCARD enum err_code etcd_lease_grant(
	struct etcd *c, int64_t ttl_s, struct stop *s, int64_t *ret_lease, struct err *e);
/* One renewal. NOT_FOUND when it has expired. */
NODISCARD enum err_code etcd_lease_renew(
	struct etcd *c, int64_t lease, struct stop *s, struct err *e);
NODISCARD enum err_code etcd_lease_revoke(
	struct etcd *c, int64_t lease, struct stop *s, struct err *e);
