#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/etcd_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/wire.h"

enum { START_MS = 30000, POLL_MS = 20, CALL_MS = 10000, NO_EXEC = 127 };

static int free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, n) ||
		getsockname(fd, (struct sockaddr *)&a, &n))
		fail_msg("no free port: %s", strerror(errno));
	close(fd);
	return ntohs(a.sin_port);
}

static void run_etcd(const struct etcd_server *s)
{
	char data[128], client[64], peer[64], cluster[96], log[128];

	snprintf(data, sizeof(data), "%s/data", s->dir);
	snprintf(log, sizeof(log), "%s/log", s->dir);
	snprintf(client, sizeof(client), "http://127.0.0.1:%d", s->client_port);
	snprintf(peer, sizeof(peer), "http://127.0.0.1:%d", s->peer_port);
	snprintf(cluster, sizeof(cluster), "t=%s", peer);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	execlp("etcd", "etcd", "--name", "t", "--data-dir", data, "--listen-client-urls", client,
		"--advertise-client-urls", client, "--listen-peer-urls", peer,
		"--initial-advertise-peer-urls", peer, "--initial-cluster", cluster,
		/* A restarted single member waits for an election. */
		"--heartbeat-interval", "20", "--election-timeout", "200", "--auth-token-ttl", "2",
		"--experimental-watch-progress-notify-interval", "200ms", (char *)NULL);
	_exit(NO_EXEC);
}

static void check_running(struct etcd_server *s)
{
	int status = 0;

	if (waitpid(s->pid, &status, WNOHANG) != s->pid)
		return;
	s->pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_EXEC)
		fail_msg("the program etcd is missing: run tools/install test");
	fail_msg("etcd ended with status %x, its log is %s/log", status, s->dir);
}

static bool answers(struct etcd_server *s, struct grpc *g, struct stop *stop)
{
	const char *endpoint = s->address;
	struct etcd_opts o = {.endpoints = &endpoint, .n_endpoints = 1, .op_timeout_ms = 1000};
	struct err e = ERR_INIT;
	struct etcd *c;

	assert_int_equal(etcd_open(g, &o, &c, &e), ERR_OK);
	bool ok = etcd_status(c, stop, &e) == ERR_OK;
	etcd_close(c);
	return ok;
}

static void wait_ready(struct etcd_server *s)
{
	struct deadline d = deadline_in(START_MS);
	struct err e = ERR_INIT;
	struct stop stop;
	struct grpc *g;

	stop_init(&stop, NULL);
	assert_int_equal(grpc_new(&g, &e), ERR_OK);
	while (!answers(s, g, &stop)) {
		check_running(s);
		if (deadline_passed(d))
			fail_msg("etcd does not answer, its log is %s/log", s->dir);
		stop_sleep(&stop, POLL_MS);
	}
	grpc_free(g);
	stop_done(&stop);
}

void etcd_server_restart(struct etcd_server *s)
{
	snprintf(s->address, sizeof(s->address), "127.0.0.1:%d", s->client_port);
	s->pid = fork();
	if (s->pid < 0)
		fail_msg("fork: %s", strerror(errno));
	if (s->pid == 0)
		run_etcd(s);
	wait_ready(s);
}

void etcd_server_start(struct etcd_server *s)
{
	*s = (struct etcd_server){.dir = "/tmp/cdc-etcd-XXXXXX"};
	if (!mkdtemp(s->dir))
		fail_msg("mkdtemp: %s", strerror(errno));
	s->client_port = free_port();
	s->peer_port = free_port();
	etcd_server_restart(s);
}

void etcd_server_restart_on(struct etcd_server *s, int client_port)
{
	s->client_port = client_port;
	etcd_server_restart(s);
}

void etcd_server_restart_elsewhere(struct etcd_server *s)
{
	etcd_server_restart_on(s, free_port());
}

void etcd_server_kill(struct etcd_server *s)
{
	if (s->pid <= 0)
		return;
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	s->pid = 0;
}

void etcd_server_freeze(struct etcd_server *s)
{
	kill(s->pid, SIGSTOP);
	waitpid(s->pid, NULL, WUNTRACED); /* until its last thread stands still */
}

void etcd_server_thaw(struct etcd_server *s)
{
	kill(s->pid, SIGCONT);
}

static int remove_one(
	const char *path, const struct stat *st UNUSED, int flag UNUSED, struct FTW *ftw UNUSED)
{
	return remove(path);
}

void etcd_server_wipe(struct etcd_server *s)
{
	char data[128];

	snprintf(data, sizeof(data), "%s/data", s->dir);
	nftw(data, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void etcd_server_stop(struct etcd_server *s)
{
	etcd_server_kill(s);
	if (s->dir[0])
		nftw(s->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	s->dir[0] = '\0';
}

void etcd_server_call(struct etcd_server *s, struct grpc *g, const char *path, struct slice request,
	const char *token)
{
	CLEANUP(buf_done) struct buf answer = BUF_INIT(1 << 20);
	struct grpc_chan_opts o = {.address = s->address};
	struct grpc_meta meta = {"token", token};
	struct grpc_call call = {.path = path,
		.meta = &meta,
		.n_meta = token ? 1 : 0,
		.body = &request,
		.n_body = 1,
		.deadline = deadline_in(CALL_MS)};
	struct grpc_chan *ch = NULL;
	struct err e = ERR_INIT;

	if (grpc_chan_new(g, &o, &ch, &e) || grpc_unary(ch, &call, NULL, &answer, &e)) {
		grpc_chan_free(ch);
		fail_msg("%s", e.text);
	}
	grpc_chan_free(ch);
}

void etcd_server_compact(struct etcd_server *s, struct grpc *g, int64_t revision)
{
	CLEANUP(buf_done) struct buf req = BUF_INIT(64);

	wire_put_i64(&req, 1, revision);
	wire_put_u64(&req, 2, 1); /* physical: done when answered */
	etcd_server_call(s, g, "/etcdserverpb.KV/Compact", buf_slice(&req), NULL);
}
