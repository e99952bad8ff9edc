#include "client/etcd/etcd_conn.h"

#include <stdlib.h>
#include <stdio.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/etcd/etcd_codec.h"

enum { REST_FIRST_MS = 500, REST_MOST_MS = 15000, GRPC_UNAVAILABLE = 14 };

/* Options */

static enum err_code check_opts(const struct etcd_opts *o, struct err *e)
{
	if (!o->n_endpoints)
		return err_set(e, ERR_INVALID, "no etcd endpoint is given");
	if (o->n_endpoints > ETCD_PEERS_MAX)
		return err_set(e, ERR_INVALID, "%zu etcd endpoints, more than %d", o->n_endpoints,
			ETCD_PEERS_MAX);
	return ERR_OK;
}

/* "http(s)://host:port/" to host:port; a scheme decides about TLS. */
static enum err_code parse_endpoint(
	const char *text, struct grpc_tls *tls, char **ret_address, struct err *e)
{
	const char *p = text;

	if (str_starts(p, "https://")) {
		p += strlen("https://");
		tls->enable = true;
	} else if (str_starts(p, "http://")) {
		p += strlen("http://");
		if (tls->enable)
			return err_set(e, ERR_INVALID,
				"etcd endpoint %s says http:// but TLS is enabled", text);
	}
	size_t n = strlen(p);
	while (n && p[n - 1] == '/')
		n--;
	if (!n || memchr(p, '/', n) || !memchr(p, ':', n))
		return err_set(e, ERR_INVALID, "etcd endpoint \"%s\" is not host:port", text);
	*ret_address = xstrndup(p, n);
	return ERR_OK;
}

static enum err_code open_peer(struct grpc *g, const struct etcd_opts *o, const char *endpoint,
	struct etcd *c, struct err *e)
{
	struct etcd_peer *p = &c->peers[c->n_peers];
	struct grpc_chan_opts co = {.tls = o->tls};

	p->backoff = (struct retry)RETRY_INIT(REST_FIRST_MS, REST_MOST_MS);
	if (parse_endpoint(endpoint, &co.tls, &p->address, e))
		return e->code;
	c->n_peers++; /* from here on etcd_close frees it */
	co.address = p->address;
	/* A silent host must leave time to ask another one. */
	co.connect_timeout_ms = o->n_endpoints > 1 ? c->timeout_ms / 3 : c->timeout_ms;
	if (grpc_chan_new(g, &co, &p->chan, e))
		return err_ctx(e, "etcd endpoint %s", endpoint);
	return ERR_OK;
}

enum err_code etcd_open(
	struct grpc *g, const struct etcd_opts *o, struct etcd **ret_c, struct err *e)
{
	if (check_opts(o, e))
		return e->code;
	struct etcd *c = xcalloc(1, sizeof(*c));
	mutex_init(&c->mtx, "etcd");
	c->timeout_ms = o->op_timeout_ms > 0 ? o->op_timeout_ms : ETCD_OP_TIMEOUT_MS;
	c->peers = xcalloc(o->n_endpoints, sizeof(*c->peers));
	if (o->username && *o->username) {
		c->username = xstrdup(o->username);
		c->password = xstrdup(o->password ? o->password : "");
	}
	for (size_t i = 0; i < o->n_endpoints; i++) {
		if (open_peer(g, o, o->endpoints[i], c, e)) {
			etcd_close(c);
			return e->code;
		}
	}
	*ret_c = c;
	return ERR_OK;
}

void etcd_close(struct etcd *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_peers; i++) {
		grpc_chan_free(c->peers[i].chan);
		free(c->peers[i].address);
	}
	free(c->peers);
	free(c->username);
	free(c->password);
	free(c->token);
	mutex_done(&c->mtx);
	free(c);
}

/* Peers */

void etcd_peer_failed(struct etcd *c, size_t peer)
{
	mutex_lock(&c->mtx);
	struct etcd_peer *p = &c->peers[peer];
	p->rests_until_ms = time_mono_ms() + retry_next_ms(&p->backoff);
	mutex_unlock(&c->mtx);
}

static void peer_answered(struct etcd *c, size_t peer)
{
	mutex_lock(&c->mtx);
	retry_reset(&c->peers[peer].backoff);
	c->peers[peer].rests_until_ms = 0;
	c->current = peer;
	mutex_unlock(&c->mtx);
}

/* The current peer, else the next one that does not rest, else the one whose rest ends first.
 * tried is a set of bits; false when all were tried. */
static bool next_peer(struct etcd *c, uint32_t tried, size_t *ret_peer)
{
	int64_t now = time_mono_ms(), best_ms = INT64_MAX;

	mutex_lock(&c->mtx);
	for (size_t i = 0; i < c->n_peers; i++) {
		size_t at = (c->current + i) % c->n_peers;
		int64_t rests = MAX(c->peers[at].rests_until_ms, now);
		if (!(tried >> at & 1) && rests < best_ms) {
			best_ms = rests;
			*ret_peer = at;
		}
	}
	mutex_unlock(&c->mtx);
	return best_ms != INT64_MAX;
}

/* Calls */

/* etcd answers 14 also when it gave a proposal to raft and lost sight of it; only the check for a
 * leader comes before. So a write is certainly undone only if it never left, or for that text. */
static enum err_code settle_write(enum err_code code, struct err *e)
{
	bool lost = code == ERR_UNAVAILABLE && e->origin == GRPC_UNAVAILABLE;

	if (lost && !strstr(e->text, "no leader"))
		e->code = ERR_UNCERTAIN;
	return e->code;
}

/* etcd refuses a request above --max-request-bytes as INVALID_ARGUMENT, one above that and 512 KiB
 * as RESOURCE_EXHAUSTED, which else means "later"; a proxy may refuse an answer in the same words. */
static bool is_too_large(const struct err *e)
{
	return strstr(e->text, "request is too large") || strstr(e->text, "message larger than");
}

static enum err_code settle_large(const struct etcd_rpc *rpc, struct err *e)
{
	enum { LEAST_MAX_BYTES = 128 << 10 }; /* no etcd is set to take less */
	struct err was = *e;
	bool request = rpc->body.n > LEAST_MAX_BYTES;

	err_clear(e);
	return err_set_origin(e, ERR_LIMIT, was.origin, "%s (request of %zu bytes): raise %s",
		was.text, rpc->body.n,
		request ? "etcd's --max-request-bytes"
			: "the limit for messages of the proxy before etcd");
}

/* etcd's own texts where its gRPC codes are coarser than ours. */
static enum err_code settle(const struct etcd_rpc *rpc, enum err_code code, struct err *e)
{
	if (code != ERR_CANCELLED &&
		(strstr(e->text, "has been compacted") || strstr(e->text, "is a future revision")))
		e->code = ERR_GONE;
	else if (etcd_is_token_text(e->text))
		e->code = ERR_DENIED;
	else if (is_too_large(e))
		return settle_large(rpc, e);
	else if (!rpc->idempotent)
		return settle_write(code, e);
	return e->code;
}

static bool passes_on(enum err_code code)
{
	return code == ERR_UNAVAILABLE || code == ERR_TIMEOUT;
}

/* While others are left, a peer gets only its share of the time. */
static struct deadline attempt_deadline(const struct etcd *c, uint32_t tried, struct deadline all)
{
	size_t left = c->n_peers - (size_t)__builtin_popcount(tried);
	int64_t ms = deadline_left_ms(all);

	return left > 1 ? deadline_in(MAX(ms / 2, 1)) : all;
}

/* token NULL = none. Never "authorization": etcd takes it for a token, even with auth off. */
static void fill_call(struct grpc_call *call, struct grpc_meta meta[2], const struct etcd_rpc *rpc,
	const char *token)
{
	size_t n = 0;

	/* Asks a member without a leader to refuse at once instead of hanging. */
	meta[n++] = (struct grpc_meta){"hasleader", "true"};
	if (token)
		meta[n++] = (struct grpc_meta){"token", token};
	*call = (struct grpc_call){.path = rpc->path,
		.meta = meta,
		.n_meta = n,
		.body = &rpc->body,
		.n_body = 1,
		.deadline = rpc->deadline,
		.idempotent = rpc->idempotent};
}

static enum err_code call_peer(struct etcd *c, size_t peer, const struct etcd_rpc *rpc,
	const char *token, struct stop *s, struct buf *ret_body, struct err *e)
{
	struct grpc_meta meta[2];
	struct grpc_call call;

	fill_call(&call, meta, rpc, token);
	enum err_code code = grpc_unary(c->peers[peer].chan, &call, s, ret_body, e);
	if (!code) {
		peer_answered(c, peer);
		return ERR_OK;
	}
	code = settle(rpc, code, e);
	if (passes_on(code) || code == ERR_UNCERTAIN)
		etcd_peer_failed(c, peer);
	return e->code;
}

/* One pass over the peers. */
static enum err_code call_any(struct etcd *c, const struct etcd_rpc *rpc, const char *token,
	struct stop *s, struct buf *ret_body, struct err *e)
{
	struct err last = ERR_INIT;
	uint32_t tried = 0;
	size_t peer = 0;

	while (next_peer(c, tried, &peer)) {
		struct etcd_rpc one = *rpc;
		one.deadline = attempt_deadline(c, tried, rpc->deadline);
		err_clear(&last);
		enum err_code code = call_peer(c, peer, &one, token, s, ret_body, &last);
		tried |= 1u << peer;
		if (!passes_on(code) || deadline_passed(rpc->deadline))
			break;
	}
	if (last.code)
		err_set_origin(e, last.code, last.origin, "%s", last.text);
	return last.code;
}

/* Authentication */

bool etcd_is_token_text(const char *text)
{
	return strstr(text, "invalid auth token") || strstr(text, "user name is empty") ||
	       strstr(text, "revision of auth store is old");
}

static bool is_token_error(const struct err *e)
{
	enum { GRPC_UNAUTHENTICATED = 16 };

	return e->origin == GRPC_UNAUTHENTICATED || etcd_is_token_text(e->text);
}

void etcd_token_drop(struct etcd *c)
{
	mutex_lock(&c->mtx);
	freep(&c->token);
	mutex_unlock(&c->mtx);
}

static void token_drop_gen(struct etcd *c, uint64_t gen)
{
	mutex_lock(&c->mtx);
	if (c->token_gen == gen) /* else somebody has a newer one already */
		freep(&c->token);
	mutex_unlock(&c->mtx);
}

static enum err_code authenticate(
	struct etcd *c, struct deadline d, struct stop *s, char **ret_token, struct err *e)
{
	CLEANUP(buf_done) struct buf req = BUF_INIT(LIMIT_GRPC_HEADERS);
	CLEANUP(buf_done) struct buf answer = BUF_INIT(LIMIT_GRPC_HEADERS);

	etcd_encode_auth(&req, c->username, c->password);
	struct etcd_rpc rpc = {.path = "/etcdserverpb.Auth/Authenticate",
		.body = buf_slice(&req),
		.idempotent = true,
		.deadline = d};
	if (call_any(c, &rpc, NULL, s, &answer, e)) {
		/* Credentials for a server without auth are no error, as in etcd's own client. */
		if (strstr(e->text, "authentication is not enabled")) {
			err_clear(e);
			*ret_token = xstrdup("");
			return ERR_OK;
		}
		if (strstr(e->text, "authentication failed"))
			e->code = ERR_DENIED;
		return err_ctx(e, "login of user %s", c->username);
	}
	return etcd_decode_auth(buf_slice(&answer), ret_token, e);
}

/* ret_token: heap; NULL for a client without a user or a server without auth. */
static enum err_code take_token(struct etcd *c, struct deadline d, struct stop *s, char **ret_token,
	uint64_t *ret_gen, struct err *e)
{
	CLEANUP(freep) char *token = NULL;

	*ret_token = NULL;
	*ret_gen = 0;
	if (!c->username)
		return ERR_OK;
	mutex_lock(&c->mtx);
	token = c->token ? xstrdup(c->token) : NULL;
	*ret_gen = c->token_gen;
	mutex_unlock(&c->mtx);
	if (!token) {
		if (authenticate(c, d, s, &token, e))
			return e->code;
		mutex_lock(&c->mtx);
		freep(&c->token);
		c->token = xstrdup(token);
		*ret_gen = ++c->token_gen;
		mutex_unlock(&c->mtx);
	}
	*ret_token = *token ? TAKE(token) : NULL;
	return ERR_OK;
}

static bool retry_with_new_token(struct etcd *c, int attempt, uint64_t gen, const struct err *e)
{
	if (!c->username || attempt > 0 || !is_token_error(e))
		return false;
	token_drop_gen(c, gen);
	return true;
}

enum err_code etcd_call(struct etcd *c, const struct etcd_rpc *rpc, struct stop *s,
	struct buf *ret_body, struct err *e)
{
	for (int attempt = 0;; attempt++) {
		CLEANUP(freep) char *token = NULL;
		uint64_t gen;
		if (take_token(c, rpc->deadline, s, &token, &gen, e))
			return e->code;
		if (!call_any(c, rpc, token, s, ret_body, e))
			return ERR_OK;
		if (!retry_with_new_token(c, attempt, gen, e))
			return e->code;
		err_clear(e);
	}
}

enum err_code etcd_call_peer(struct etcd *c, size_t peer, const struct etcd_rpc *rpc,
	struct stop *s, struct buf *ret_body, struct err *e)
{
	for (int attempt = 0;; attempt++) {
		CLEANUP(freep) char *token = NULL;
		uint64_t gen;
		if (take_token(c, rpc->deadline, s, &token, &gen, e))
			return e->code;
		if (!call_peer(c, peer, rpc, token, s, ret_body, e))
			return ERR_OK;
		if (!retry_with_new_token(c, attempt, gen, e))
			return e->code;
		err_clear(e);
	}
}

/* Streams: opening says nothing about the token yet; that comes with the first answer. */
enum err_code etcd_stream(struct etcd *c, const struct etcd_rpc *rpc, struct stop *s,
	struct grpc_stream **ret_st, size_t *ret_peer, struct err *e)
{
	CLEANUP(freep) char *token = NULL;
	struct err last = ERR_INIT;
	uint64_t gen;
	uint32_t tried = 0;

	/* Not the caller's deadline: that may be of a short poll, and logins that are cut off and
	 * begun anew keep a slow etcd busy for nothing. */
	if (take_token(c, deadline_in(c->timeout_ms), s, &token, &gen, e))
		return e->code;
	while (next_peer(c, tried, ret_peer)) {
		struct grpc_meta meta[2];
		struct grpc_call call;
		fill_call(&call, meta, rpc, token);
		call.deadline = attempt_deadline(c, tried, rpc->deadline);
		tried |= 1u << *ret_peer;
		err_clear(&last);
		if (!grpc_stream_open(c->peers[*ret_peer].chan, &call, s, ret_st, &last))
			return ERR_OK;
		etcd_peer_failed(c, *ret_peer);
		if (last.code == ERR_CANCELLED || deadline_passed(rpc->deadline))
			break;
	}
	return err_set_origin(e, last.code, last.origin, "%s", last.text);
}
