/* Client of a target Milvus: connection, headers, the generic call, and the reads. One HTTP/2
 * connection carries all calls of a target. Any thread may call; the only shared state is the
 * identifier, which a reconnect replaces. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/milvus/milvus_codec.h"
#include "client/milvus/milvus_priv.h"

enum { METHOD_BYTES = 128, NUMBER_BYTES = 24, HOST_BYTES = 256, SMALL_ANSWER = 64 << 10 };
enum { CONNECT_MS = 5000 };

static bool given(const char *s)
{
	return s && *s;
}

/* server_pem_path: we check the server; ca, cert and key: both sides check. */
static enum err_code choose_tls(
	struct grpc_tls *t, const struct milvus_opts *o, bool by_uri, struct err *e)
{
	int mutual = given(o->ca_pem_path) + given(o->client_pem_path) + given(o->client_key_path);

	if (mutual && mutual != 3)
		return err_set(e, ERR_INVALID,
			"ca_pem_path, client_pem_path and client_key_path belong together");
	*t = (struct grpc_tls){.enable = by_uri || mutual || given(o->server_pem_path),
		.server_name = given(o->server_name) ? o->server_name : NULL,
		.late_files = o->late_files};
	if (mutual) {
		t->ca_path = o->ca_pem_path;
		t->cert_path = o->client_pem_path;
		t->key_path = o->client_key_path;
	} else if (given(o->server_pem_path)) {
		t->ca_path = o->server_pem_path;
	}
	return ERR_OK;
}

enum err_code milvus_open(
	struct grpc *g, const struct milvus_opts *o, struct milvus **ret_m, struct err *e)
{
	struct milvus_address a;
	struct grpc_chan_opts c = {.connect_timeout_ms = o->connect_timeout_ms};
	struct grpc_chan *chan;

	if (milvus_address_parse(&a, o->uri ? o->uri : "", e) || choose_tls(&c.tls, o, a.tls, e))
		return e->code;
	c.address = a.host_port;
	if (grpc_chan_new(g, &c, &chan, e))
		return err_ctx(e, "target %s", a.host_port);
	struct milvus *m = xcalloc(1, sizeof(*m));
	m->chan = chan;
	m->connect_timeout_ms = o->connect_timeout_ms ? o->connect_timeout_ms : CONNECT_MS;
	if (given(o->token))
		m->authorization = b64_text(slice_str(o->token));
	mutex_init(&m->mtx, "milvus");
	*ret_m = m;
	return ERR_OK;
}

void milvus_close(struct milvus *m)
{
	if (!m)
		return;
	grpc_chan_free(m->chan);
	mutex_done(&m->mtx);
	freep(&m->authorization);
	free(m);
}

static int64_t get_identifier(struct milvus *m)
{
	mutex_lock(&m->mtx);
	int64_t v = m->identifier;
	mutex_unlock(&m->mtx);
	return v;
}

/* Milvus 2.3.5 writes down who grants, and wants to know it even where it asks nobody for a
 * password: then it is root. */
static const char *authorization(const struct milvus *m, const char *method)
{
	static const char root[] = "cm9vdDo="; /* base64 of "root:" */

	return m->authorization || strncmp(method, "OperatePrivilege", 16) ? m->authorization
									   : root;
}

enum err_code milvus_send(struct milvus *m, const struct milvus_req *r, struct stop *s,
	struct buf *ret_body, struct err *e)
{
	char path[METHOD_BYTES], now[NUMBER_BYTES], id[NUMBER_BYTES];
	int64_t identifier = get_identifier(m);
	int64_t ms = r->deadline_ms;
	struct grpc_meta meta[4];
	size_t n = 0;

	snprintf(path, sizeof(path), "/milvus.proto.milvus.MilvusService/%s", r->method);
	snprintf(now, sizeof(now), "%" PRId64, time_wall_ms());
	snprintf(id, sizeof(id), "%" PRId64, identifier);
	meta[n++] = (struct grpc_meta){"dbname", given(r->db) ? r->db : "default"};
	meta[n++] = (struct grpc_meta){"client-request-unixmsec", now};
	if (identifier)
		meta[n++] = (struct grpc_meta){"identifier", id};
	const char *who = authorization(m, r->method);
	if (who)
		meta[n++] = (struct grpc_meta){"authorization", who};
	if (!ms)
		ms = r->idempotent ? MILVUS_READ_MS : MILVUS_WRITE_MS;
	struct grpc_call call = {.path = path,
		.meta = meta,
		.n_meta = n,
		.body = r->body,
		.n_body = r->n_body,
		.deadline = deadline_in(ms),
		.idempotent = r->idempotent};
	return grpc_unary(m->chan, &call, s, ret_body, e);
}

enum err_code milvus_do(struct milvus *m, const struct milvus_req *r, struct stop *s,
	struct buf *ret_body, struct err *e)
{
	enum err_code code = milvus_send(m, r, s, ret_body, e);

	/* AlterIndex of Milvus 2.3.5: the method is there and answers nothing at all. */
	if (code && strstr(e->text, "Marshal called with nil")) {
		err_clear(e);
		code = err_set(e, ERR_UNSUPPORTED, "this Milvus has only the name of the method");
	}
	if (code || milvus_status_read(buf_slice(ret_body), e))
		return err_ctx(e, "%s", r->method);
	return ERR_OK;
}

enum err_code milvus_do_buf(struct milvus *m, struct milvus_req *r, const struct buf *body,
	struct stop *s, struct buf *ret_body, struct err *e)
{
	struct slice one = buf_slice(body);

	if (buf_failed(body))
		return err_set(
			e, ERR_INVALID, "%s: the request is too big or unreadable", r->method);
	r->body = &one;
	r->n_body = 1;
	enum err_code code = milvus_do(m, r, s, ret_body, e);
	r->body = NULL;
	r->n_body = 0;
	return code;
}

enum err_code milvus_call(struct milvus *m, const char *method, const char *db,
	const struct slice *body, size_t n_body, int64_t deadline_ms, struct stop *s,
	struct buf *ret_body, struct err *e)
{
	CLEANUP(buf_done)
	struct buf own = BUF_INIT(LIMIT_GRPC_RECV);
	struct milvus_req r = {.method = method,
		.db = db,
		.body = body,
		.n_body = n_body,
		.deadline_ms = deadline_ms};

	return milvus_do(m, &r, s, ret_body ? ret_body : &own, e);
}

enum err_code milvus_connect(
	struct milvus *m, struct stop *s, struct milvus_info *ret_info, struct err *e)
{
	CLEANUP(buf_done)
	struct buf body = BUF_INIT(SMALL_ANSWER), answer = BUF_INIT(SMALL_ANSWER);
	struct milvus_req r = {
		.method = "Connect", .deadline_ms = m->connect_timeout_ms, .idempotent = true};
	char host[HOST_BYTES] = "";

	*ret_info = (struct milvus_info){0};
	if (gethostname(host, sizeof(host) - 1))
		host[0] = '\0';
	milvus_put_connect(&body, host);
	enum err_code code = milvus_do_buf(m, &r, &body, s, &answer, e);
	if (code == ERR_UNSUPPORTED) {
		err_clear(e);
		return ERR_OK;
	}
	if (code || milvus_info_read(ret_info, buf_slice(&answer), e))
		return e->code;
	mutex_lock(&m->mtx);
	m->identifier = ret_info->identifier;
	mutex_unlock(&m->mtx);
	return ERR_OK;
}

enum err_code milvus_clock(struct milvus *m, struct stop *s, uint64_t *ret_ts, struct err *e)
{
	CLEANUP(buf_done)
	struct buf body = BUF_INIT(SMALL_ANSWER), answer = BUF_INIT(SMALL_ANSWER);
	struct milvus_req r = {.method = "AllocTimestamp",
		.deadline_ms = m->connect_timeout_ms,
		.idempotent = true};
	struct milvus_info info;

	enum err_code code = milvus_do_buf(m, &r, &body, s, &answer, e);
	if (code != ERR_UNSUPPORTED)
		return code ? code : milvus_clock_read(ret_ts, buf_slice(&answer), e);
	err_clear(e);
	if (milvus_connect(m, s, &info, e))
		return e->code;
	*ret_ts = (uint64_t)info.identifier;
	return *ret_ts ? ERR_OK : err_set(e, ERR_UNSUPPORTED, "the target does not tell its time");
}
