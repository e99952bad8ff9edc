#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/mutex.h"
#include "base/stop.h"
#include "base/thread.h"
#include "metrics/metrics.h"
#include "server/config/address.h"
#include "server/api/api.h"
#include "server/config/config.h"
#include "server/api/http.h"

enum { WAIT_MS = 5000, CLIENTS = 8 };

/* Calls of the engine meet here: the test decides when they go on. */
struct gate {
	struct mutex mtx;
	struct cond cond;
	int inside;
	bool open;
};

static struct gate gate;
static char chan0[] = "c";
static struct config conf = {
	.max_task_num = 100, .max_name_length = 256, .replicate_channel = chan0};
static struct api *api;
static struct http *http;

static enum err_code gated(void *arg, const char *id, struct err *e)
{
	struct deadline d = deadline_in(WAIT_MS);

	(void)arg;
	(void)id;
	mutex_lock(&gate.mtx);
	gate.inside++;
	cond_broadcast(&gate.cond);
	while (!gate.open && cond_wait(&gate.cond, &gate.mtx, d))
		continue;
	bool open = gate.open;
	mutex_unlock(&gate.mtx);
	return open ? ERR_OK : err_set(e, ERR_TIMEOUT, "the gate stayed shut");
}

static enum err_code refuse(void *arg, const char *id, struct err *e)
{
	(void)arg;
	return err_set(e, ERR_NOT_FOUND, "not found the task, task_id: %s", id);
}

static bool wait_inside(int n)
{
	struct deadline d = deadline_in(WAIT_MS);

	mutex_lock(&gate.mtx);
	while (gate.inside < n && cond_wait(&gate.cond, &gate.mtx, d))
		continue;
	bool ok = gate.inside >= n;
	mutex_unlock(&gate.mtx);
	return ok;
}

static void open_gate(void)
{
	mutex_lock(&gate.mtx);
	gate.open = true;
	cond_broadcast(&gate.cond);
	mutex_unlock(&gate.mtx);
}

static unsigned get_page(void *arg, const char *path, struct buf *ret, const char **ret_type)
{
	(void)arg;
	if (strcmp(path, "/healthz") != 0)
		return 0;
	buf_put_str(ret, "ok\n");
	*ret_type = "text/x-test";
	return 200;
}

static int setup(void **state)
{
	static const struct api_engine vt = {.pause = gated, .resume = refuse};
	struct http_opts o = {.address = "127.0.0.1:0", .get = get_page, .idle_s = 1};
	struct err e = ERR_INIT;

	(void)state;
	log_set_level(LOG_OFF);
	gate = (struct gate){.inside = 0};
	mutex_init(&gate.mtx, "gate");
	cond_init(&gate.cond);
	if (api_new(&conf, &vt, &api, &e))
		return -1;
	o.api = api;
	return http_start(&o, &http, &e) ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	http_stop(http);
	api_free(api);
	cond_done(&gate.cond);
	mutex_done(&gate.mtx);
	metrics_done();
	return 0;
}

static int dial(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)http_port(http)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval tv = {.tv_sec = WAIT_MS / 1000};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	return connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0 ? fd : -1;
}

static bool send_all(int fd, const char *text, size_t n)
{
	while (n) {
		ssize_t k = send(fd, text, n, MSG_NOSIGNAL);
		if (k <= 0)
			return false;
		text += k;
		n -= (size_t)k;
	}
	return true;
}

static void send_request(int fd, const char *method, const char *path, const char *body)
{
	CLEANUP(freep)
	char *text = xasprintf("%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s", method,
		path, strlen(body), body);
	send_all(fd, text, strlen(text));
}

/* Reads one answer: head and body by Content-Length. "" if there is none. */
static char *read_answer(int fd)
{
	struct buf b = BUF_INIT(1 << 20);
	char c[4096];
	size_t want = SIZE_MAX;

	while (b.n < want) {
		ssize_t n = recv(fd, c, want == SIZE_MAX ? 1 : MIN(sizeof(c), want - b.n), 0);
		if (n <= 0)
			break;
		buf_put(&b, c, (size_t)n);
		const char *end = want == SIZE_MAX ? strstr(buf_cstr(&b), "\r\n\r\n") : NULL;
		const char *len = end ? strstr(buf_cstr(&b), "Content-Length: ") : NULL;
		if (len)
			want = b.n + (size_t)strtol(len + 16, NULL, 10);
	}
	return buf_take(&b);
}

static void expect_parts(int fd, const char *status, const char *type, const char *body)
{
	CLEANUP(freep)
	char *got = read_answer(fd);
	CLEANUP(freep)
	char *line = xasprintf("HTTP/1.1 %s ", status);
	CLEANUP(freep)
	char *head = xasprintf("Content-Type: %s\r\n", type);
	const char *end = strstr(got, "\r\n\r\n");

	if (strncmp(got, line, strlen(line)) != 0 || !strstr(got, head) || !end ||
		strcmp(end + 4, body) != 0)
		fail_msg("got %s\nwant %s %s %s", got, status, type, body);
}

static void expect_json(int fd, const char *body)
{
	expect_parts(fd, "200", "application/json", body);
}

static const char not_found[] =
	"{\"code\":400,\"message\":\"fail to handle the resume request, error: not found the task, "
	"task_id: x\"}\n";
static const char resume[] = "{\"request_type\":\"resume\",\"request_data\":{\"task_id\":\"x\"}}";
static const char pause_x[] = "{\"request_type\":\"pause\",\"request_data\":{\"task_id\":\"x\"}}";

static void test_keep_alive(void **state)
{
	int fd = dial();

	(void)state;
	for (int i = 0; i < 3; i++) {
		send_request(fd, "POST", "/cdc", resume);
		expect_json(fd, not_found);
	}
	send_request(fd, "GET", "/cdc", "");
	expect_json(fd, "{\"code\":405,\"message\":\"only support the POST method\"}\n");
	send_request(fd, "PUT", "/cdc", "x");
	expect_json(fd, "{\"code\":405,\"message\":\"only support the POST method\"}\n");
	send_request(fd, "GET", "/healthz", "");
	expect_parts(fd, "200", "text/x-test", "ok\n");
	send_request(fd, "GET", "/nothing", "");
	expect_parts(fd, "404", "text/plain; charset=utf-8", "404 page not found\n");
	send_request(fd, "DELETE", "/healthz", "");
	expect_parts(fd, "405", "text/plain; charset=utf-8", "405 method not allowed\n");
	send_request(fd, "POST", "/cdc", "");
	expect_json(fd,
		"{\"code\":500,\"message\":\"fail to unmarshal the request, error: unexpected end "
		"of JSON input\"}\n");
	close(fd);
}

static void test_body_in_pieces(void **state)
{
	static const char head[] =
		"POST /cdc HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
	int fd = dial();

	(void)state;
	send_all(fd, head, strlen(head));
	for (const char *s = resume; *s; s++) {
		char piece[8];
		int n = snprintf(piece, sizeof(piece), "1\r\n%c\r\n", *s);
		send_all(fd, piece, (size_t)n);
	}
	send_all(fd, "0\r\n\r\n", 5);
	expect_json(fd, not_found);
	close(fd);
}

static const char too_large[] =
	"{\"code\":413,\"message\":\"the request body is larger than 4 MiB\"}\n";

static void test_too_large(void **state)
{
	size_t n = (4 << 20) + 1;
	char *body = xmalloc(n);
	char head[128];
	int fd = dial();

	(void)state;
	memset(body, ' ', n);
	snprintf(head, sizeof(head), "POST /cdc HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
		n);
	send_all(fd, head, strlen(head));
	assert_true(send_all(fd, body, n));
	expect_parts(fd, "413", "application/json", too_large);
	/* The connection is still good: the body was read to its end. */
	send_request(fd, "POST", "/cdc", resume);
	expect_json(fd, not_found);
	close(fd);
	/* One byte less is a request. */
	fd = dial();
	snprintf(head, sizeof(head), "POST /cdc HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
		n - 1);
	send_all(fd, head, strlen(head));
	send_all(fd, body, n - 1);
	expect_json(fd,
		"{\"code\":500,\"message\":\"fail to unmarshal the request, error: unexpected end "
		"of JSON input\"}\n");
	close(fd);
	free(body);
	assert_int_equal(
		metrics_value(metrics_get(METRIC_request_total, "unknown", "read_error", NULL)), 1);
}

static void test_announced_too_large(void **state)
{
	static const char head[] =
		"POST /cdc HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n";
	int fd = dial();

	(void)state;
	send_all(fd, head, strlen(head));
	expect_parts(fd, "413", "application/json", too_large);
	close(fd);
}

static void client(void *arg)
{
	char **ret = arg;
	int fd = dial();

	send_request(fd, "POST", "/cdc", pause_x);
	*ret = read_answer(fd);
	close(fd);
}

/* All are in the engine at once: no request waits for another. */
static void test_parallel(void **state)
{
	struct thread t[CLIENTS] = {{.started = false}};
	char *got[CLIENTS];
	struct err e = ERR_INIT;

	(void)state;
	for (int i = 0; i < CLIENTS; i++)
		assert_int_equal(thread_start(&t[i], "client", client, &got[i], &e), ERR_OK);
	bool all = wait_inside(CLIENTS);
	open_gate();
	for (int i = 0; i < CLIENTS; i++) {
		thread_join(&t[i]);
		assert_non_null(strstr(got[i], "\r\n\r\n{\"code\":200}\n"));
		free(got[i]);
	}
	assert_true(all);
}

/* An engine call that lasts longer than the idle timeout of 1 s still gets its answer out. */
static void test_long_call_outlives_idle_timeout(void **state)
{
	struct thread t = {.started = false};
	struct stop never;
	char *got = NULL;
	struct err e = ERR_INIT;

	(void)state;
	stop_init(&never, NULL);
	assert_int_equal(thread_start(&t, "client", client, &got, &e), ERR_OK);
	bool in = wait_inside(1);
	(void)stop_sleep(&never, 1500); /* time passing is what is tested */
	open_gate();
	thread_join(&t);
	stop_done(&never);
	assert_true(in);
	assert_non_null(strstr(got, "{\"code\":200}\n"));
	free(got);
}

static void test_idle_connection_is_closed(void **state)
{
	int fd = dial();
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char c;

	(void)state;
	send_all(fd, "POST /cdc HTTP/1.1\r\n", 20);
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	while (recv(fd, &c, 1, 0) > 0)
		continue;
	close(fd);
}

/* No token is asked for: a page of another site must not send what its reader's browser can reach. */
static void test_page_of_another_site(void **state)
{
	static const struct {
		const char *headers, *status;
	} asks[] = {
		{"", "200"},
		{"Origin: http://here.test:1\r\n", "200"},
		{"Origin: https://evil.test\r\n", "403"},
		{"Origin: null\r\n", "403"},
		{"Origin: https://evil.test\r\nAuthorization: Basic eDp5\r\n", "403"},
		/* only our own page can add it */
		{"Origin: https://outside.test\r\nX-Requested-With: milvus-cdc\r\n", "200"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
		int fd = dial();
		CLEANUP(freep)
		char *text =
			xasprintf("POST /cdc HTTP/1.1\r\nHost: here.test:1\r\n%sContent-Length: "
				  "%zu\r\n\r\n%s",
				asks[i].headers, strlen(resume), resume);
		send_all(fd, text, strlen(text));
		CLEANUP(freep) char *got = read_answer(fd);
		CLEANUP(freep) char *want = xasprintf("HTTP/1.1 %s ", asks[i].status);
		assert_memory_equal(got, want, strlen(want));
		close(fd);
	}
}

static void stop_http(void *arg)
{
	http_stop(arg);
}

static void test_stop_lets_requests_end(void **state)
{
	struct thread t = {.started = false};
	struct thread stopper = {.started = false};
	char *got = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(thread_start(&t, "client", client, &got, &e), ERR_OK);
	bool in = wait_inside(1);
	assert_int_equal(thread_start(&stopper, "stopper", stop_http, http, &e), ERR_OK);
	open_gate();
	thread_join(&t);
	thread_join(&stopper);
	http = NULL;
	assert_true(in);
	assert_non_null(strstr(got, "{\"code\":200}\n"));
	free(got);
}

static void test_address_in_use(void **state)
{
	char address[32];
	struct http_opts o = {.address = address, .api = api, .get = get_page};
	struct http *h = NULL;
	struct err e = ERR_INIT;

	(void)state;
	snprintf(address, sizeof(address), "127.0.0.1:%d", http_port(http));
	assert_int_equal(http_start(&o, &h, &e), ERR_SYSTEM);
	assert_non_null(strstr(e.text, "Address already in use"));
	assert_null(h);
	err_clear(&e);
	snprintf(address, sizeof(address), "nonsense");
	assert_int_equal(http_start(&o, &h, &e), ERR_INVALID);
}

static void test_any_address(void **state)
{
	struct http_opts o = {.address = ":0", .api = api, .get = get_page};
	struct http *own = http, *h = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(http_start(&o, &h, &e), ERR_OK);
	http = h;
	int fd = dial();
	http = own;
	send_request(fd, "GET", "/healthz", "");
	expect_parts(fd, "200", "text/x-test", "ok\n");
	close(fd);
	http_stop(h);
}

static void test_address_split(void **state)
{
	static const struct {
		const char *text, *host;
		int port;
	} cases[] = {{"h:1", "h", 1}, {":80", "", 80}, {"[::1]:8", "::1", 8}, {"[::]:0", "::", 0},
		{"http://a.b:2379/", "a.b", 2379}, {"https://x:65535", "x", 65535}, {"h", NULL, 0},
		{"", NULL, 0}, {"h:", NULL, 0}, {"h:-1", NULL, 0}, {"h:65536", NULL, 0},
		{"::1:8", NULL, 0}, {"a b:1", NULL, 0}, {"a/b:1", NULL, 0}, {"[::1:1", NULL, 0},
		{"h:1x", NULL, 0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char host[ADDRESS_HOST_BYTES];
		int port = -1;
		assert_int_equal(address_split(cases[i].text, host, &port), cases[i].host != NULL);
		if (!cases[i].host)
			continue;
		assert_string_equal(host, cases[i].host);
		assert_int_equal(port, cases[i].port);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void test_address_url(void **state)
{
	static const char *cases[][2] = {{":8444", "http://127.0.0.1:8444"},
		{"0.0.0.0:1", "http://127.0.0.1:1"}, {"[::]:2", "http://[::1]:2"},
		{"[fe80::1]:3", "http://[fe80::1]:3"}, {"cdc.example:4", "http://cdc.example:4"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(freep) char *url = address_url(cases[i][0], false);
		assert_string_equal(url, cases[i][1]);
	}
	CLEANUP(freep) char *secure = address_url("h:5", true);
	assert_string_equal(secure, "https://h:5");
	assert_null(address_url("nothing", false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_keep_alive),
		T(test_body_in_pieces),
		T(test_too_large),
		T(test_announced_too_large),
		T(test_parallel),
		T(test_long_call_outlives_idle_timeout),
		T(test_idle_connection_is_closed),
		T(test_page_of_another_site),
		T(test_stop_lets_requests_end),
		T(test_address_in_use),
		T(test_any_address),
		cmocka_unit_test(test_address_split),
		cmocka_unit_test(test_address_url),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
