/* Endpoints, fail-over and authentication below the verbs of etcd.h. For this folder only.
 *
 * peer      one endpoint with its gRPC channel. A failed one rests for a while (backoff) and is
 *           asked again when its rest is over or when nobody else is left.
 * current   the peer that answered last; calls go there first.
 * token     what Authenticate gave us; dropped and asked for again when a server refuses it. */
#pragma once

#include "base/mutex.h"
#include "base/retry.h"
#include "client/etcd/etcd.h"

enum { ETCD_PEERS_MAX = 32, ETCD_OP_TIMEOUT_MS = 5000 };

struct etcd_peer {
	char *address; /* host:port */
	struct grpc_chan *chan;
	struct retry backoff;   /* under etcd.mtx */
	int64_t rests_until_ms; /* under etcd.mtx */
};

struct etcd {
	struct etcd_peer *peers;
	size_t n_peers;
	char *username, *password; /* NULL = no auth */
	int64_t timeout_ms;

	struct mutex mtx;
	size_t current;     /* under mtx */
	char *token;        /* under mtx; NULL = none yet */
	uint64_t token_gen; /* under mtx; grows with each new token */
};

struct etcd_rpc {
	const char *path;
	struct slice body;
	bool idempotent;
	struct deadline deadline;
};

/* One call at some peer: peers that certainly did not execute it are passed over. A server's
 * refusal for lack of a good token is answered with a new token, once. @thread any, blocks */
NODISCARD enum err_code etcd_call(struct etcd *c, const struct etcd_rpc *rpc, struct stop *s,
	struct buf *ret_body, struct err *e);
/* The same at one peer, without a pass to others. */
NODISCARD enum err_code etcd_call_peer(struct etcd *c, size_t peer, const struct etcd_rpc *rpc,
	struct stop *s, struct buf *ret_body, struct err *e);
/* Opens a stream at some peer; ret_peer is for etcd_peer_failed. */
NODISCARD enum err_code etcd_stream(struct etcd *c, const struct etcd_rpc *rpc, struct stop *s,
	struct grpc_stream **ret_st, size_t *ret_peer, struct err *e);
/* A stream of this peer was lost: let the peer rest. */
void etcd_peer_failed(struct etcd *c, size_t peer);
/* The next call authenticates anew. */
void etcd_token_drop(struct etcd *c);
/* Whether the server's text says that the token (not the user's rights) is the problem. */
bool etcd_is_token_text(const char *text);
