/* The envelope: {"request_type", "request_data"} in, {"code", "message", "data"} out, one table of
 * requests. Each answer is counted. Secrets of a request never reach the log: only type and outcome
 * are logged. */
#include "server/api/api.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/time.h"
#include "metrics/metrics.h"
#include "server/api/api_priv.h"

enum { DATA_BYTES = 256 << 20, PROBLEM_BYTES = 64 << 10 };

static const struct log_ctx log_api = {.comp = LOG_api};

static enum err_code (*const handlers[API_REQUEST_COUNT])(struct api_call *, struct err *) = {
	[API_CREATE] = api_create,
	[API_DELETE] = api_delete,
	[API_PAUSE] = api_pause,
	[API_RESUME] = api_resume,
	[API_GET] = api_get,
	[API_POSITION] = api_position,
	[API_LIST_TASKS] = api_list,
	[API_MAINTENANCE] = api_maintenance,
	[API_DOCTOR] = api_doctor,
};

enum err_code api_new(
	const struct config *c, const struct api_engine *engine, struct api **ret_a, struct err *e)
{
	(void)e;
	/* Threads of the listener parse JSON; jansson wants its hash seed set before. */
	json_object_seed(0);
	struct api *a = xcalloc(1, sizeof(*a));
	a->c = c;
	a->engine = *engine;
	mutex_init(&a->mtx, "api");
	cond_init(&a->cond);
	*ret_a = a;
	return ERR_OK;
}

void api_free(struct api *a)
{
	if (!a)
		return;
	cond_done(&a->cond);
	mutex_done(&a->mtx);
	free(a);
}

static void count(const char *type, const char *status)
{
	metrics_add(metrics_get(METRIC_request_total, type, status, NULL), 1);
}

static void put_error(struct buf *ret, int code, struct slice message)
{
	CLEANUP(freep)
	char *text = xstrndup(message.n ? (const char *)message.p : "", message.n);
	struct json_out o = {.b = ret};

	json_out_open(&o, NULL, '{');
	json_out_i64(&o, "code", code);
	json_out_str_if(&o, "message", text);
	json_out_close(&o, '}');
	buf_put_u8(ret, '\n');
}

void api_refuse(struct buf *ret, int code, const char *why, const char *status)
{
	count("unknown", status);
	put_error(ret, code, slice_str(why));
}

/* The texts of the reference's decoder (goccy/go-json 0.10.3) for what starts or ends wrong or is no
 * object; for what is wrong in the middle ours, which names line and column. */
static void unmarshal_text(struct buf *b, struct slice body, const struct err *pe)
{
	size_t i = 0;

	while (i < body.n && memchr(" \t\r\n", body.p[i], 4))
		i++;
	uint8_t c = i < body.n ? body.p[i] : 0;
	if (i == body.n)
		buf_put_str(b, "unexpected end of JSON input");
	else if (c != '{' && c != 'n' && c > ' ' && c < 0x7f)
		buf_putf(b, "invalid character '%c' looking for beginning of value", c);
	else
		buf_put_str(b, pe->text);
}

static void unmarshal_error(struct buf *ret, struct slice body, const struct err *pe)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(PROBLEM_BYTES);

	buf_put_str(&b, "fail to unmarshal the request, error: ");
	unmarshal_text(&b, body, pe);
	api_refuse(ret, 500, buf_cstr(&b), "unmarshal_error");
}

static void unknown_request(struct buf *ret)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(PROBLEM_BYTES);

	buf_put_str(&b, "invalid 'request_type' param, can be set [");
	/* the reference's text, so without what is ours */
	for (size_t i = 0; i < API_DOCTOR; i++)
		buf_putf(&b, "%s%s", i ? " " : "", api_requests[i].name);
	buf_put_u8(&b, ']');
	count("unknown", "total");
	api_refuse(ret, 400, buf_cstr(&b), "fail");
}

static void request_failed(
	struct buf *ret, enum api_request r, int code, const char *what, const char *why)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(PROBLEM_BYTES * 2);
	const char *name = api_requests[r].name;

	buf_putf(&b, "fail to %s the %s request, error: %s", what, name, why);
	log_warn(&log_api, "request %s refused with code %d: %s", name, code, why);
	count(name, "fail");
	put_error(ret, code, buf_slice(&b));
}

static void put_success(struct buf *ret, const struct buf *data)
{
	buf_put_str(ret, "{\"code\":200");
	if (data->n) {
		buf_put_str(ret, ",\"data\":{");
		buf_put(ret, data->p, data->n);
		buf_put_u8(ret, '}');
	}
	buf_put_str(ret, "}\n");
}

static void run(struct api_call *call, enum api_request r, struct buf *ret)
{
	CLEANUP(buf_done)
	struct buf data = BUF_INIT(DATA_BYTES);
	struct json_out out = {.b = &data};
	struct err e = ERR_INIT;
	int64_t start_us = time_mono_us();
	const char *name = api_requests[r].name;

	call->ret = &out;
	enum err_code code = handlers[r](call, &e);
	if (code == ERR_OK && buf_failed(&data))
		code = err_set(&e, ERR_LIMIT, "the answer is larger than %d bytes", DATA_BYTES);
	if (code) {
		request_failed(ret, r, err_http(code), "handle", e.text);
		return;
	}
	put_success(ret, &data);
	count(name, "success");
	metrics_observe(metrics_get(METRIC_request_latency, name, NULL),
		(double)(time_mono_us() - start_us) / 1000);
}

static void decode_and_run(struct api *a, enum api_request r, const json_t *data, struct buf *ret)
{
	CLEANUP(buf_done)
	struct buf problems = BUF_INIT(PROBLEM_BYTES);
	struct api_call call = {.a = a};
	void *to = &call.args;

	call.args = (struct api_args){.task_id = xstrdup(""), .operation = xstrdup("")};
	if (r == API_CREATE || r == API_DOCTOR)
		to = call.task = task_new();
	count(api_requests[r].name, "total");
	if (api_decode(api_requests[r].fields, data, to, &problems))
		request_failed(ret, r, 500, "decode", buf_cstr(&problems));
	else
		run(&call, r, ret);
	task_free(call.task);
	free(call.args.task_id);
	free(call.args.operation);
}

static const struct api_request_row *find_request(const json_t *envelope)
{
	const json_t *type = api_member(envelope, "request_type");
	const char *name = type && json_is_string(type) ? json_string_value(type) : "";

	for (size_t i = 0; i < API_REQUEST_COUNT; i++)
		if (strcmp(api_requests[i].name, name) == 0)
			return &api_requests[i];
	return NULL;
}

static const char *type_fault(const json_t *type)
{
	switch (json_typeof(type)) {
	case JSON_OBJECT:
		return "json: cannot unmarshal object into Go struct field "
		       "CDCRequest.RequestType of type string";
	case JSON_ARRAY:
		return "json: cannot unmarshal array into Go struct field "
		       "CDCRequest.RequestType of type string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "json: cannot unmarshal number into Go struct field "
		       "CDCRequest.RequestType of type string";
	case JSON_TRUE:
		return "invalid character 't' looking for beginning of value";
	case JSON_FALSE:
		return "invalid character 'f' looking for beginning of value";
	case JSON_STRING:
	case JSON_NULL:
		break;
	}
	return NULL;
}

/* False with the error text in pe if the document is no envelope. */
static bool check_envelope(const json_t *envelope, struct err *pe)
{
	if (!json_is_object(envelope))
		return json_is_null(envelope);
	const json_t *type = api_member(envelope, "request_type");
	const json_t *data = api_member(envelope, "request_data");
	const char *fault = type ? type_fault(type) : NULL;
	if (!fault && data && !json_is_object(data))
		fault = "expected { character for map value";
	if (fault)
		(void)err_set(pe, ERR_MALFORMED, "%s", fault);
	return !fault;
}

bool api_only_reads(struct slice body)
{
	CLEANUP(json_in_freep)
	json_t *envelope = NULL;
	struct err e = ERR_INIT;

	if (json_in_parse(body, &envelope, &e) || !check_envelope(envelope, &e))
		return true;
	const struct api_request_row *r = find_request(envelope);
	return !r || r->reads;
}

void api_handle(struct api *a, const char *method, struct slice body, struct buf *ret)
{
	CLEANUP(json_in_freep)
	json_t *envelope = NULL;
	struct err pe = ERR_INIT;

	if (strcmp(method, "POST") != 0) {
		api_refuse(ret, 405, "only support the POST method", "invalid_method");
		return;
	}
	if (json_in_parse(body, &envelope, &pe) || !check_envelope(envelope, &pe)) {
		unmarshal_error(ret, body, &pe);
		return;
	}
	const struct api_request_row *r = find_request(envelope);
	if (!r)
		unknown_request(ret);
	else
		decode_and_run(a, (enum api_request)(r - api_requests),
			api_member(envelope, "request_data"), ret);
}
