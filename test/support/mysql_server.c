#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/mysql_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <mysql.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/stop.h"
#include "base/time.h"

enum { START_MS = 60000, POLL_MS = 20, NO_EXEC = 127, ANSWER_BYTES = 1 << 20, ARGS = 24 };

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

static void log_to(const struct mysql_server *s)
{
	char log[96];

	snprintf(log, sizeof(log), "%s/log", s->dir);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
}

/* The folder of a new server: its system tables, and what it runs at every start. */
static void install(struct mysql_server *s)
{
	char data[96], init[96];
	int status = 0;

	snprintf(data, sizeof(data), "--datadir=%s/data", s->dir);
	snprintf(init, sizeof(init), "%s/init.sql", s->dir);
	pid_t pid = fork();
	if (pid == 0) {
		log_to(s);
		execlp("mariadb-install-db", "mariadb-install-db", "--no-defaults", data,
			"--auth-root-authentication-method=normal", "--skip-test-db",
			"--skip-name-resolve", "--innodb-log-file-size=4M", (char *)NULL);
		_exit(NO_EXEC);
	}
	waitpid(pid, &status, 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail_msg("mariadb-install-db failed (%x; is it installed? tools/install test), "
			 "its log is %s/log",
			status, s->dir);
	FILE *f = fopen(init, "w");
	fprintf(f, "CREATE DATABASE IF NOT EXISTS cdc;\n"
		   "CREATE OR REPLACE USER 'cdc'@'%%' IDENTIFIED BY 'p@w:/x';\n"
		   "GRANT ALL ON cdc.* TO 'cdc'@'%%';\n");
	fclose(f);
}

static void run(const struct mysql_server *s)
{
	static const char *const places[] = {"/usr/sbin/mariadbd", "/usr/bin/mariadbd"};
	char *args[ARGS] = {xstrdup("mariadbd"), xstrdup("--no-defaults"),
		xasprintf("--datadir=%s/data", s->dir),
		xasprintf("--init-file=%s/init.sql", s->dir), xasprintf("--port=%d", s->port),
		xasprintf("--socket=%s", s->socket), xstrdup("--user=root"),
		xstrdup("--bind-address=127.0.0.1"), xstrdup("--skip-name-resolve"),
		xstrdup("--innodb-buffer-pool-size=16M"),
		xstrdup("--innodb-flush-log-at-trx-commit=2")};
	size_t n = 0;

	while (args[n])
		n++;
	for (size_t i = 0; s->extra && s->extra[i] && n < ARGS - 1; i++)
		args[n++] = xstrdup(s->extra[i]);
	log_to(s);
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		execv(places[i], args);
	_exit(NO_EXEC);
}

static MYSQL *login(struct mysql_server *s)
{
	MYSQL *h = mysql_init(NULL);

	if (mysql_real_connect(h, NULL, "root", NULL, NULL, 0, s->socket, 0))
		return h;
	mysql_close(h);
	return NULL;
}

/* The init file has run when user and database are there, which is before it listens. */
static void wait_ready(struct mysql_server *s)
{
	struct deadline d = deadline_in(START_MS);
	struct stop stop;
	MYSQL *h;

	stop_init(&stop, NULL);
	while (!(h = login(s))) {
		if (waitpid(s->pid, NULL, WNOHANG) == s->pid || deadline_passed(d))
			fail_msg("MariaDB does not come up, its log is %s/log", s->dir);
		stop_sleep(&stop, POLL_MS);
	}
	mysql_close(h);
	stop_done(&stop);
}

void mysql_server_restart(struct mysql_server *s)
{
	s->pid = fork();
	if (s->pid < 0)
		fail_msg("fork: %s", strerror(errno));
	if (s->pid == 0)
		run(s);
	wait_ready(s);
}

void mysql_server_start(struct mysql_server *s, const char *const *extra)
{
	*s = (struct mysql_server){.extra = extra};
	/* In memory if possible: a new server writes and syncs more than a test does. */
	snprintf(s->dir, sizeof(s->dir), "%s/cdc-my-XXXXXX",
		access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(s->dir))
		fail_msg("mkdtemp: %s", strerror(errno));
	s->port = free_port();
	snprintf(s->address, sizeof(s->address), "127.0.0.1:%d", s->port);
	snprintf(s->socket, sizeof(s->socket), "%s/s", s->dir);
	snprintf(s->dsn, sizeof(s->dsn), "cdc:p@w:/x@tcp(%s)/cdc?charset=utf8", s->address);
	install(s);
	mysql_server_restart(s);
}

void mysql_server_kill(struct mysql_server *s)
{
	if (s->pid <= 0)
		return;
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	s->pid = 0;
}

void mysql_server_freeze(struct mysql_server *s)
{
	kill(s->pid, SIGSTOP);
	waitpid(s->pid, NULL, WUNTRACED); /* until its last thread stands still */
}

void mysql_server_thaw(struct mysql_server *s)
{
	kill(s->pid, SIGCONT);
}

static int remove_one(
	const char *path, const struct stat *st UNUSED, int flag UNUSED, struct FTW *ftw UNUSED)
{
	return remove(path);
}

void mysql_server_stop(struct mysql_server *s)
{
	mysql_server_kill(s);
	if (s->dir[0])
		nftw(s->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	s->dir[0] = '\0';
}

static void add_rows(struct buf *out, MYSQL_RES *res)
{
	unsigned n = mysql_num_fields(res);
	MYSQL_ROW row;

	while ((row = mysql_fetch_row(res))) {
		buf_put_str(out, out->n ? "\n" : "");
		for (unsigned i = 0; i < n; i++)
			buf_putf(out, "%s%s", i ? "\t" : "", row[i] ? row[i] : "NULL");
	}
}

char *mysql_server_sql(struct mysql_server *s, const char *statement)
{
	CLEANUP(buf_done) struct buf out = BUF_INIT(ANSWER_BYTES);
	MYSQL *h = login(s);

	if (!h || mysql_set_character_set(h, "utf8mb4") || mysql_query(h, statement))
		fail_msg("%s: %s", statement, h ? mysql_error(h) : "MariaDB is away");
	MYSQL_RES *res = mysql_store_result(h);
	if (res)
		add_rows(&out, res);
	mysql_free_result(res);
	mysql_close(h);
	return buf_take(&out);
}
