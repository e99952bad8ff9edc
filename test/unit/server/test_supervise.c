/* supervise, notify and health: against a socket as systemd's, and a listener whose health is ours to
 * say. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/stop.h"
#include "base/thread.h"
#include "base/time.h"
#include "server/config/config.h"
#include "server/tool/health.h"
#include "server/api/http.h"
#include "server/notify.h"
#include "server/supervise.h"

enum { WAIT_MS = 10000, QUIET_MS = 400, STEP_US = 150000 };

static const struct log_ctx log_test = {.comp = LOG_server, .fields = ""};

/* systemd's end */
struct manager {
	char folder[32], path[64];
	int fd;
};

static void bind_to(struct manager *m, const char *name)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t n = strlen(name);

	memcpy(sa.sun_path, name, n);
	if (name[0] == '@')
		sa.sun_path[0] = '\0';
	m->fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	assert_int_equal(bind(m->fd, (const struct sockaddr *)(const void *)&sa,
				 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
		0);
	setenv("NOTIFY_SOCKET", name, 1);
}

static int setup(void **state)
{
	struct manager *m = xcalloc(1, sizeof(*m));

	snprintf(m->folder, sizeof(m->folder), "/tmp/cdc-notify-XXXXXX");
	if (!mkdtemp(m->folder))
		return -1;
	snprintf(m->path, sizeof(m->path), "%s/socket", m->folder);
	log_set_level(LOG_OFF);
	m->fd = -1;
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	struct manager *m = *state;

	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	if (m->fd >= 0)
		close(m->fd);
	unlink(m->path);
	rmdir(m->folder);
	free(m);
	return 0;
}

/* The next datagram, "" if none comes within ms. */
static const char *told(const struct manager *m, int ms)
{
	static char text[512];
	struct pollfd p = {.fd = m->fd, .events = POLLIN};
	ssize_t n = poll(&p, 1, ms) == 1 ? recv(m->fd, text, sizeof(text) - 1, 0) : 0;

	text[MAX(n, 0)] = '\0';
	return text;
}

static void test_notify(void **state)
{
	struct manager *m = *state;
	struct err e = ERR_INIT;
	char abstract[64];

	assert_int_equal(notify_send("READY=1", &e), ERR_OK); /* nobody to tell */
	bind_to(m, m->path);
	assert_int_equal(notify_send("READY=1\nSTATUS=x", &e), ERR_OK);
	assert_string_equal(told(m, WAIT_MS), "READY=1\nSTATUS=x");
	close(m->fd);
	snprintf(abstract, sizeof(abstract), "@cdc-notify-%d", (int)getpid());
	bind_to(m, abstract);
	assert_int_equal(notify_send("STOPPING=1", &e), ERR_OK);
	assert_string_equal(told(m, WAIT_MS), "STOPPING=1");
	setenv("NOTIFY_SOCKET", "/tmp/cdc-notify-nobody", 1);
	assert_int_equal(notify_send("READY=1", &e), ERR_SYSTEM);
	err_clear(&e);
	setenv("NOTIFY_SOCKET", "vsock:2:1", 1);
	assert_int_equal(notify_send("READY=1", &e), ERR_INVALID);
}

static void test_watchdog_time(void **state)
{
	char pid[16];

	(void)state;
	assert_int_equal(notify_watchdog_ms(), 0);
	setenv("WATCHDOG_USEC", "90000000", 1);
	assert_int_equal(notify_watchdog_ms(), 90000);
	setenv("WATCHDOG_PID", "1", 1); /* it is another process that is watched */
	assert_int_equal(notify_watchdog_ms(), 0);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(notify_watchdog_ms(), 90000);
	setenv("WATCHDOG_USEC", "soon", 1);
	assert_int_equal(notify_watchdog_ms(), 0);
}

/* ---- with a listener ---- */

static unsigned health; /* the status of /healthz; __atomic */

static unsigned get_page(void *arg, const char *path, struct buf *ret, const char **ret_type)
{
	(void)arg;
	(void)path;
	(void)ret_type;
	buf_put_str(ret, "thread reader hangs\nsecond line");
	return __atomic_load_n(&health, __ATOMIC_RELAXED);
}

static char no_cert[] = "";

struct serving {
	struct http *http;
	char address[32];
	struct config c;
};

static void serve(struct serving *s)
{
	struct http_opts o = {.address = "127.0.0.1:0", .get = get_page};
	struct err e = ERR_INIT;

	assert_int_equal(http_start(&o, &s->http, &e), ERR_OK);
	snprintf(s->address, sizeof(s->address), "0.0.0.0:%d", http_port(s->http));
	s->c = (struct config){.address = s->address, .api_tls_cert = no_cert};
	__atomic_store_n(&health, 200, __ATOMIC_RELAXED);
}

static void test_health(void **state)
{
	struct serving s;
	struct err e = ERR_INIT;

	(void)state;
	serve(&s);
	assert_int_equal(health_ask(&s.c, WAIT_MS, &e), ERR_OK);
	__atomic_store_n(&health, 503, __ATOMIC_RELAXED);
	assert_int_equal(health_ask(&s.c, WAIT_MS, &e), ERR_UNAVAILABLE);
	assert_non_null(strstr(e.text, "HTTP status 503: thread reader hangs"));
	assert_null(strstr(e.text, "second"));
	err_clear(&e);
	http_stop(s.http);
	assert_int_equal(health_ask(&s.c, WAIT_MS, &e), ERR_UNAVAILABLE);
	assert_non_null(strstr(e.text, "refused"));
}

/* A listener that takes connections and never answers. */
static void test_health_has_a_deadline(void **state)
{
	struct sockaddr_storage sa;
	socklen_t n = sizeof(sa);
	struct serving s;
	struct err e = ERR_INIT;

	(void)state;
	serve(&s);
	http_stop(s.http);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	const unsigned char *port = (const unsigned char *)&sa + 2;
	snprintf(s.address, sizeof(s.address), "127.0.0.1:%d", port[0] << 8 | port[1]);
	assert_int_equal(health_ask(&s.c, 50, &e), ERR_TIMEOUT);
	close(fd);
}

struct supervising {
	const struct serving *serving;
	int sig;
};

static void run_supervise(void *arg)
{
	struct supervising *s = arg;
	s->sig = supervise(&s->serving->c, s->serving->http, &log_test);
}

/* The watchdog is fed while the server is well, not while it is not, and again afterwards. */
static void test_watchdog(void **state)
{
	struct manager *m = *state;
	struct supervising sup = {.sig = 0};
	struct thread t = {.started = false};
	struct serving s;
	struct err e = ERR_INIT;
	char usec[16];

	serve(&s);
	sup.serving = &s;
	bind_to(m, m->path);
	snprintf(usec, sizeof(usec), "%d", STEP_US);
	setenv("WATCHDOG_USEC", usec, 1);
	assert_int_equal(thread_start(&t, "main", run_supervise, &sup, &e), ERR_OK);
	assert_non_null(strstr(told(m, WAIT_MS), "READY=1\nSTATUS=The API listens on 0.0.0.0:"));
	assert_string_equal(told(m, WAIT_MS), "WATCHDOG=1");
	assert_string_equal(told(m, WAIT_MS), "WATCHDOG=1");
	__atomic_store_n(&health, 503, __ATOMIC_RELAXED);
	/* What was asked before may still come; then it is quiet. */
	struct deadline d = deadline_in(WAIT_MS);
	while (*told(m, QUIET_MS) && !deadline_passed(d))
		continue;
	assert_false(deadline_passed(d));
	__atomic_store_n(&health, 200, __ATOMIC_RELAXED);
	assert_string_equal(told(m, WAIT_MS), "WATCHDOG=1");
	assert_int_equal(pthread_kill(t.id, SIGTERM), 0);
	const char *last = told(m, WAIT_MS);
	while (strcmp(last, "WATCHDOG=1") == 0)
		last = told(m, WAIT_MS);
	assert_non_null(strstr(last, "STOPPING=1"));
	thread_join(&t);
	assert_int_equal(sup.sig, SIGTERM);
	http_stop(s.http);
}

/* Connections on which nothing is ever asked. */
static void crowd(const struct serving *s, int fds[LIMIT_HTTP_CONNECTIONS])
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)http_port(s->http)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct deadline d = deadline_in(WAIT_MS);
	struct stop never;

	for (int i = 0; i < LIMIT_HTTP_CONNECTIONS; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(connect(fds[i], (const struct sockaddr *)&sa, sizeof(sa)), 0);
	}
	stop_init(&never, NULL);
	while (!http_is_crowded(s->http) && !deadline_passed(d))
		stop_sleep(&never, 1);
	stop_done(&never);
	assert_true(http_is_crowded(s->http));
}

/* Asks for /healthz from another address of this machine: does an answer come? */
static bool answers_another(const struct serving *s)
{
	static const char ask[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
	struct sockaddr_in sa = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
	struct pollfd p = {.fd = socket(AF_INET, SOCK_STREAM, 0), .events = POLLIN};
	char c;

	assert_int_equal(bind(p.fd, (const struct sockaddr *)&sa, sizeof(sa)), 0);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sa.sin_port = htons((uint16_t)http_port(s->http));
	assert_int_equal(connect(p.fd, (const struct sockaddr *)&sa, sizeof(sa)), 0);
	bool sent = send(p.fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) > 0;
	bool got = sent && poll(&p, 1, WAIT_MS) == 1 && recv(p.fd, &c, 1, 0) == 1;
	close(p.fd);
	return got;
}

/* Clients that hold all connections they may are no reason to end the server, and leave room for
 * others. */
static void test_watchdog_in_a_crowd(void **state)
{
	struct manager *m = *state;
	struct supervising sup = {.sig = 0};
	struct thread t = {.started = false};
	struct serving s;
	struct err e = ERR_INIT;
	char usec[16];
	int fds[LIMIT_HTTP_CONNECTIONS];

	serve(&s);
	crowd(&s, fds);
	assert_int_not_equal(health_ask(&s.c, QUIET_MS, &e), ERR_OK);
	err_clear(&e);
	assert_true(answers_another(&s));
	sup.serving = &s;
	bind_to(m, m->path);
	snprintf(usec, sizeof(usec), "%d", STEP_US);
	setenv("WATCHDOG_USEC", usec, 1);
	assert_int_equal(thread_start(&t, "main", run_supervise, &sup, &e), ERR_OK);
	assert_non_null(strstr(told(m, WAIT_MS), "READY=1"));
	assert_string_equal(told(m, WAIT_MS), "WATCHDOG=1");
	assert_string_equal(told(m, WAIT_MS), "WATCHDOG=1");
	for (int i = 0; i < LIMIT_HTTP_CONNECTIONS; i++)
		close(fds[i]);
	assert_string_equal(told(m, WAIT_MS), "WATCHDOG=1");
	assert_int_equal(pthread_kill(t.id, SIGTERM), 0);
	thread_join(&t);
	http_stop(s.http);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_notify),
		T(test_watchdog_time),
		T(test_health),
		T(test_health_has_a_deadline),
		T(test_watchdog),
		T(test_watchdog_in_a_crowd),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
