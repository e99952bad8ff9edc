/* The listener over libmicrohttpd: its thread accepts, a thread a connection serves. The handler is
 * entered several times a request (headers, pieces of the body, end); the request's state hangs on
 * *state from the first to the completion callback. A call of the API may last longer than the idle
 * timeout: with a thread a connection libmicrohttpd 0.9.75 looks at it only while it waits for
 * bytes. */
#include "server/api/http.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/mutex.h"
#include "base/str.h"
#include "server/api/api.h"
#include "server/api/http_listen.h"

enum {
	IDLE_S = 30,
	STOP_WAIT_MS = 5000,
	STACK_BYTES = 2 << 20,
	PAGE_BYTES = 64 << 20,
	ANSWER_BYTES = 256 << 20,
	DISCARD_BYTES =
		64 << 20, /* of a body that is too large, so that its sender reads our answer */
};

static const struct log_ctx log_http = {.comp = LOG_api};

struct http {
	struct http_opts o;
	struct http_guard *guard;
	struct MHD_Daemon *daemon;
	int fd, port;
	struct mutex mtx;
	struct cond idle; /* running became 0 */
	int running;      /* under mtx: requests being handled */
};

struct request {
	struct buf body;
	size_t seen; /* bytes of the body, kept or not */
	bool too_large;
	struct http_verdict verdict;
};

/* No other answer than the status page is for showing. */
#define NO_PAGE "default-src 'none'; frame-ancestors 'none'"

/* Does the status page's script ask? It asks for a token itself; a browser that sees `Basic` would put
 * its own question before it. */
static bool from_page(struct MHD_Connection *c)
{
	return MHD_lookup_connection_value(c, MHD_HEADER_KIND, "X-Requested-With") != NULL;
}

/* What keeps a browser from asking again and again, and tells all others what is wanted. */
static void add_hints(struct MHD_Connection *c, struct MHD_Response *r, unsigned status)
{
	if (status == MHD_HTTP_UNAUTHORIZED)
		MHD_add_response_header(r, "WWW-Authenticate", "Bearer realm=\"milvus-cdc\"");
	if (status == MHD_HTTP_UNAUTHORIZED && !from_page(c))
		MHD_add_response_header(r, "WWW-Authenticate", "Basic realm=\"milvus-cdc\"");
	if (status == MHD_HTTP_TOO_MANY_REQUESTS)
		MHD_add_response_header(r, "Retry-After", "1");
}

static enum MHD_Result answer_with(struct MHD_Connection *c, unsigned status, const char *type,
	const char *policy, struct buf *body)
{
	size_t n = body->n;
	char *text = buf_take(body);

	struct MHD_Response *r = MHD_create_response_from_buffer(n, text, MHD_RESPMEM_MUST_FREE);
	if (!r) {
		free(text);
		return MHD_NO;
	}
	MHD_add_response_header(r, "Content-Type", type);
	MHD_add_response_header(r, "Cache-Control", "no-store");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(r, "Content-Security-Policy", policy);
	MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
	add_hints(c, r, status);
	enum MHD_Result ok = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result answer(
	struct MHD_Connection *c, unsigned status, const char *type, struct buf *body)
{
	return answer_with(c, status, type, NO_PAGE, body);
}

static enum MHD_Result answer_text(struct MHD_Connection *c, unsigned status, const char *text)
{
	struct buf b = BUF_INIT(PAGE_BYTES);

	buf_put_str(&b, text);
	return answer(c, status, "text/plain; charset=utf-8", &b);
}

static enum MHD_Result answer_too_large(struct MHD_Connection *c)
{
	struct buf b = BUF_INIT(PAGE_BYTES);

	api_refuse(&b, 413, "the request body is larger than 4 MiB", "read_error");
	return answer(c, MHD_HTTP_CONTENT_TOO_LARGE, "application/json", &b);
}

static enum MHD_Result serve_page(
	struct http *h, struct MHD_Connection *c, const char *path, const char *method)
{
	struct buf b = BUF_INIT(PAGE_BYTES);
	const char *type = "text/plain; charset=utf-8";

	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return answer_text(c, MHD_HTTP_METHOD_NOT_ALLOWED, "405 method not allowed\n");
	unsigned status = h->o.get ? h->o.get(h->o.get_arg, path, &b, &type) : 0;
	bool page = str_starts(type, "text/html") && h->o.page_policy;
	if (status)
		return answer_with(c, status, type, page ? h->o.page_policy : NO_PAGE, &b);
	buf_done(&b);
	return answer_text(c, MHD_HTTP_NOT_FOUND, "404 page not found\n");
}

/* Who is not let in learns it in the form of what was asked for. */
static enum MHD_Result refuse(
	struct MHD_Connection *c, const char *path, unsigned status, const char *why)
{
	struct buf b = BUF_INIT(PAGE_BYTES);

	if (strcmp(path, "/cdc") == 0) {
		api_refuse(&b, (int)status, why, "denied");
		return answer(c, status, "application/json", &b);
	}
	buf_putf(&b, "%u %s\n", status, why);
	return answer(c, status, "text/plain; charset=utf-8", &b);
}

static enum MHD_Result serve_api(
	struct http *h, struct MHD_Connection *c, const char *method, const struct request *rq)
{
	struct buf b = BUF_INIT(ANSWER_BYTES);

	if (rq->too_large)
		return answer_too_large(c);
	if (rq->verdict.access != ACCESS_WRITE && !api_only_reads(buf_slice(&rq->body)))
		return refuse(c, "/cdc", MHD_HTTP_FORBIDDEN,
			"this token may only look; the request needs api.writeToken");
	api_handle(h->o.api, method, buf_slice(&rq->body), &b);
	return answer(c, MHD_HTTP_OK, "application/json", &b);
}

/* The size a client announces; 0 if it does not. */
static uint64_t announced(struct MHD_Connection *c)
{
	const char *text = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Length");
	uint64_t n = 0;

	if (text && !str_to_u64(text, &n))
		n = UINT64_MAX;
	return n;
}

/* Keeps a piece; beyond the limit pieces are read and dropped, to a limit again. */
static enum MHD_Result take_piece(struct request *rq, const char *data, size_t *size)
{
	size_t n = *size;

	*size = 0;
	rq->seen += n;
	if (rq->seen > DISCARD_BYTES)
		return MHD_NO;
	if (rq->seen > LIMIT_HTTP_BODY || rq->verdict.status) {
		rq->too_large = rq->seen > LIMIT_HTTP_BODY;
		buf_done(&rq->body);
		return MHD_YES;
	}
	buf_put(&rq->body, data, n);
	return MHD_YES;
}

static struct request *request_new(struct http *h)
{
	struct request *rq = xcalloc(1, sizeof(*rq));

	buf_init(&rq->body, LIMIT_HTTP_BODY);
	mutex_lock(&h->mtx);
	h->running++;
	mutex_unlock(&h->mtx);
	return rq;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *path,
	const char *method, const char *version, const char *data, size_t *size, void **state)
{
	struct http *h = arg;

	(void)version;
	if (!*state) {
		struct request *rq = *state = request_new(h);
		rq->verdict = http_guard_check(h->guard, c, method, path);
		/* An answer before the body closes the connection: only for what is not worth
		 * reading. */
		return announced(c) > DISCARD_BYTES ? answer_too_large(c) : MHD_YES;
	}
	if (*size)
		return take_piece(*state, data, size);
	const struct request *rq = *state;
	if (rq->verdict.status)
		return refuse(c, path, rq->verdict.status, rq->verdict.why);
	if (strcmp(path, "/cdc") == 0)
		return serve_api(h, c, method, *state);
	return serve_page(h, c, path, method);
}

static void on_done(
	void *arg, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode why)
{
	struct http *h = arg;
	struct request *rq = *state;

	(void)c;
	(void)why;
	*state = NULL;
	if (!rq)
		return;
	buf_done(&rq->body);
	free(rq);
	mutex_lock(&h->mtx);
	if (--h->running == 0)
		cond_broadcast(&h->idle);
	mutex_unlock(&h->mtx);
}

static void PRINTF(2, 0) on_log(void *arg, const char *fmt, va_list ap)
{
	char text[256];

	(void)arg;
	if (log_enabled(LOG_api, LOG_DEBUG) && vsnprintf(text, sizeof(text), fmt, ap) > 0)
		log_debug(&log_http, "listener: %s", text);
}

#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* libmicrohttpd takes what it only reads as void *. */
static struct MHD_OptionItem option(enum MHD_OPTION name, const char *text)
{
	union {
		const char *in;
		void *out;
	} u = {.in = text};

	return (struct MHD_OptionItem){name, 0, u.out};
}

static struct MHD_Daemon *start_daemon(struct http *h)
{
	unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
			 MHD_USE_POLL | MHD_USE_ITC | MHD_USE_ERROR_LOG;
	const char *cert = http_guard_cert(h->guard), *ca = http_guard_client_ca(h->guard);
	struct MHD_OptionItem tls[] = {{MHD_OPTION_END, 0, NULL}, {MHD_OPTION_END, 0, NULL},
		{MHD_OPTION_END, 0, NULL}, {MHD_OPTION_END, 0, NULL}, {MHD_OPTION_END, 0, NULL}};

	if (cert) {
		flags |= MHD_USE_TLS;
		tls[0] = option(MHD_OPTION_HTTPS_MEM_CERT, cert);
		tls[1] = option(MHD_OPTION_HTTPS_MEM_KEY, http_guard_key(h->guard));
		tls[2] = option(MHD_OPTION_HTTPS_PRIORITIES, TLS_PRIORITIES);
	}
	if (cert && ca)
		tls[3] = option(MHD_OPTION_HTTPS_MEM_TRUST, ca);
	return MHD_start_daemon(flags, 0, NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER,
		on_log, NULL, MHD_OPTION_LISTEN_SOCKET, h->fd, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)LIMIT_HTTP_CONNECTIONS, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
		(unsigned)LIMIT_HTTP_CONNECTIONS_EACH, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)(h->o.idle_s ? h->o.idle_s : IDLE_S), MHD_OPTION_THREAD_STACK_SIZE,
		(size_t)STACK_BYTES, MHD_OPTION_NOTIFY_COMPLETED, on_done, h, MHD_OPTION_ARRAY, tls,
		MHD_OPTION_END);
}

enum err_code http_start(const struct http_opts *o, struct http **ret_h, struct err *e)
{
	int fd = -1, port = 0;

	enum err_code code = http_listen(o->address, &fd, &port, e);
	if (code)
		return code;
	struct http *h = xcalloc(1, sizeof(*h));
	h->o = *o;
	h->fd = fd;
	h->port = port;
	mutex_init(&h->mtx, "http");
	cond_init(&h->idle);
	code = http_guard_new(&o->guard, &h->guard, e);
	h->daemon = code ? NULL : start_daemon(h);
	if (!h->daemon) {
		http_stop(h);
		return err_set(e, code ? code : ERR_SYSTEM,
			"the HTTP listener on %s can't start its thread", o->address);
	}
	*ret_h = h;
	return ERR_OK;
}

int http_port(const struct http *h)
{
	return h->port;
}

bool http_is_crowded(const struct http *h)
{
	const union MHD_DaemonInfo *i =
		MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return i && i->num_connections >= LIMIT_HTTP_CONNECTIONS_EACH;
}

static void wait_idle(struct http *h)
{
	struct deadline d = deadline_in(STOP_WAIT_MS);

	mutex_lock(&h->mtx);
	while (h->running && cond_wait(&h->idle, &h->mtx, d))
		continue;
	mutex_unlock(&h->mtx);
}

void http_stop(struct http *h)
{
	if (!h)
		return;
	if (h->daemon) {
		/* No new connections; what runs may end; then the rest is closed and joined. */
		MHD_quiesce_daemon(h->daemon);
		wait_idle(h);
		MHD_stop_daemon(h->daemon);
	}
	http_guard_free(h->guard);
	close(h->fd);
	cond_done(&h->idle);
	mutex_done(&h->mtx);
	free(h);
}
