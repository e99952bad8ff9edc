#include "net/grpc_codec.h"

#include <ctype.h>
#include <stdio.h>

#include "base/limits.h"
#include "base/str.h"

enum { FIRST_RESERVE = 64 << 10 };

/* gRPC's status numbers (grpc.io/docs/guides/status-codes). */
enum {
	ST_OK,
	ST_CANCELLED,
	ST_UNKNOWN,
	ST_INVALID_ARGUMENT,
	ST_DEADLINE_EXCEEDED,
	ST_NOT_FOUND,
	ST_ALREADY_EXISTS,
	ST_PERMISSION_DENIED,
	ST_RESOURCE_EXHAUSTED,
	ST_FAILED_PRECONDITION,
	ST_ABORTED,
	ST_OUT_OF_RANGE,
	ST_UNIMPLEMENTED,
	ST_INTERNAL,
	ST_UNAVAILABLE,
	ST_DATA_LOSS,
	ST_UNAUTHENTICATED,
	ST_COUNT
};

static const char *const status_names[ST_COUNT] = {"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT",
	"DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
	"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"};

/* ---- messages ---- */

void grpc_prefix(uint8_t out[GRPC_PREFIX_BYTES], size_t n)
{
	out[0] = 0;
	out[1] = (uint8_t)(n >> 24);
	out[2] = (uint8_t)(n >> 16);
	out[3] = (uint8_t)(n >> 8);
	out[4] = (uint8_t)n;
}

static enum err_code begin(struct grpc_frames *f, struct err *e)
{
	const uint8_t *p = f->prefix;
	if (p[0] != 0)
		return err_set(
			e, ERR_MALFORMED, "a message with flag %u: we accept no compression", p[0]);
	f->left = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
	if (f->left > f->msg->max)
		return err_set(e, ERR_LIMIT, "an answer of %zu bytes; the limit is %zu", f->left,
			f->msg->max);
	/* The length is a claim: memory follows the bytes that really come. */
	buf_reserve(f->msg, MIN(f->left, FIRST_RESERVE));
	return ERR_OK;
}

enum err_code grpc_frames_push(
	struct grpc_frames *f, struct slice *in, bool *ret_whole, struct err *e)
{
	*ret_whole = false;
	while (f->prefix_n < GRPC_PREFIX_BYTES) {
		if (!in->n)
			return ERR_OK;
		f->prefix[f->prefix_n++] = *in->p++;
		in->n--;
		enum err_code code = f->prefix_n == GRPC_PREFIX_BYTES ? begin(f, e) : ERR_OK;
		if (code)
			return code;
	}
	size_t part = MIN(f->left, in->n);
	buf_put(f->msg, in->p, part);
	in->p += part;
	in->n -= part;
	f->left -= part;
	if (f->left)
		return ERR_OK;
	f->prefix_n = 0;
	*ret_whole = true;
	return ERR_OK;
}

bool grpc_frames_idle(const struct grpc_frames *f)
{
	return f->prefix_n == 0;
}

/* ---- headers ---- */

void grpc_reply_init(struct grpc_reply *r)
{
	*r = (struct grpc_reply){.grpc_status = -1};
}

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (uint8_t)tolower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t grpc_unescape(struct slice in, char *out, size_t cap)
{
	size_t n = 0;
	for (size_t i = 0; i < in.n && n + 1 < cap; i++) {
		uint8_t c = in.p[i];
		if (c == '%' && in.n - i > 2 && hex(in.p[i + 1]) >= 0 && hex(in.p[i + 2]) >= 0) {
			c = (uint8_t)(hex(in.p[i + 1]) << 4 | hex(in.p[i + 2]));
			i += 2;
		}
		out[n++] = c ? (char)c : ' ';
	}
	out[n] = '\0';
	return n;
}

static int number_of(struct slice value)
{
	int64_t v;
	return slice_to_i64(value, &v) && v >= 0 && v < 1000 ? (int)v : ST_UNKNOWN;
}

static void take_content_type(struct grpc_reply *r, struct slice value)
{
	static const char want[] = "application/grpc";
	size_t n = sizeof(want) - 1;

	r->is_grpc = value.n >= n && memcmp(value.p, want, n) == 0 &&
		     (value.n == n || value.p[n] == '+' || value.p[n] == ';');
	n = MIN(value.n, sizeof(r->content_type) - 1);
	memcpy(r->content_type, value.p, n);
	r->content_type[n] = '\0';
}

enum err_code grpc_reply_header(
	struct grpc_reply *r, struct slice name, struct slice value, struct err *e)
{
	r->header_bytes += name.n + value.n + 32;
	if (r->header_bytes > LIMIT_GRPC_HEADERS)
		return err_set(
			e, ERR_LIMIT, "the answer's headers exceed %d bytes", LIMIT_GRPC_HEADERS);
	if (slice_eq_str(name, ":status"))
		r->http_status = number_of(value);
	else if (slice_eq_str(name, "grpc-status"))
		r->grpc_status = number_of(value);
	else if (slice_eq_str(name, "grpc-message"))
		grpc_unescape(value, r->message, sizeof(r->message));
	else if (slice_eq_str(name, "content-type"))
		take_content_type(r, value);
	return ERR_OK;
}

bool grpc_reply_is_grpc(const struct grpc_reply *r)
{
	return r->http_status == 200 && r->is_grpc;
}

static int status_of_http(int http)
{
	switch (http) {
	case 400:
		return ST_INTERNAL;
	case 401:
		return ST_UNAUTHENTICATED;
	case 403:
		return ST_PERMISSION_DENIED;
	case 404:
		return ST_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return ST_UNAVAILABLE;
	default:
		return ST_UNKNOWN;
	}
}

/* The table of gRPC over HTTP/2, "Errors". */
static int status_of_h2(uint32_t h2_code)
{
	switch (h2_code) {
	case 7: /* REFUSED_STREAM */
		return ST_UNAVAILABLE;
	case 8: /* CANCEL */
		return ST_CANCELLED;
	case 11: /* ENHANCE_YOUR_CALM */
		return ST_RESOURCE_EXHAUSTED;
	case 12: /* INADEQUATE_SECURITY */
		return ST_PERMISSION_DENIED;
	default:
		return ST_INTERNAL;
	}
}

static enum err_code code_of_status(int status, bool idempotent)
{
	static const enum err_code sure[ST_COUNT] = {
		[ST_INVALID_ARGUMENT] = ERR_INVALID,
		[ST_NOT_FOUND] = ERR_NOT_FOUND,
		[ST_ALREADY_EXISTS] = ERR_EXISTS,
		[ST_PERMISSION_DENIED] = ERR_DENIED,
		[ST_RESOURCE_EXHAUSTED] = ERR_BUSY,
		[ST_FAILED_PRECONDITION] = ERR_INVALID,
		[ST_ABORTED] = ERR_CONFLICT,
		[ST_OUT_OF_RANGE] = ERR_INVALID,
		[ST_UNIMPLEMENTED] = ERR_UNSUPPORTED,
		[ST_UNAVAILABLE] = ERR_UNAVAILABLE,
		[ST_UNAUTHENTICATED] = ERR_DENIED,
	};

	if (status == ST_DEADLINE_EXCEEDED)
		return idempotent ? ERR_TIMEOUT : ERR_UNCERTAIN;
	if (status >= 0 && status < ST_COUNT && sure[status])
		return sure[status];
	return idempotent ? ERR_UNAVAILABLE : ERR_UNCERTAIN;
}

static enum err_code status_err(int status, bool idempotent, const char *what, struct err *e)
{
	const char *name = status < ST_COUNT ? status_names[status] : "?";
	return err_set_origin(e, code_of_status(status, idempotent), status,
		"grpc-status %d %s: %s", status, name, what);
}

enum err_code grpc_reply_result(
	const struct grpc_reply *r, bool idempotent, uint32_t h2_code, struct err *e)
{
	char what[128];

	if (r->grpc_status == ST_OK)
		return ERR_OK;
	if (r->grpc_status > 0)
		return status_err(r->grpc_status, idempotent, r->message, e);
	if (r->http_status && r->http_status != 200) {
		snprintf(what, sizeof(what), "HTTP status %d", r->http_status);
		return status_err(status_of_http(r->http_status), idempotent, what, e);
	}
	if (h2_code) {
		snprintf(what, sizeof(what), "the stream was reset with HTTP/2 code %u", h2_code);
		return status_err(status_of_h2(h2_code), idempotent, what, e);
	}
	if (r->http_status && !r->is_grpc) {
		snprintf(what, sizeof(what), "no gRPC: content-type \"%s\"", r->content_type);
		return status_err(ST_UNKNOWN, idempotent, what, e);
	}
	return status_err(ST_INTERNAL, idempotent, "the answer has no grpc-status", e);
}

void grpc_timeout_text(int64_t left_ms, char out[GRPC_TIMEOUT_BYTES])
{
	static const struct {
		char unit;
		int64_t ms;
	} units[] = {{'m', 1}, {'S', 1000}, {'M', 60000}, {'H', 3600000}};
	int64_t v = MAX(left_ms, 1);
	size_t i = 0;

	while (i + 1 < ARRAY_LEN(units) && v / units[i].ms > 99999999)
		i++;
	snprintf(out, GRPC_TIMEOUT_BYTES, "%lld%c", (long long)MIN(v / units[i].ms, 99999999),
		units[i].unit);
}
