#include "sweep/sweep.h"

#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "sweep/fault_io.h"

enum { LIMIT_MS = 60000, POINTS_SHORT = 12, POINTS_RARE = 4, EXIT_WRONG = 9, EXIT_LEAK = 10 };

/* The sanitizer's; not there in other builds. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static const char *const mode_names[] = {"once", "lasting", "short"};

/* Written by the child, read by the parent after its end. */
struct report {
	struct fault_log fault;
	enum err_code code; /* of the first run */
	char text[ERR_TEXT_BYTES];
	char wrong[ERR_TEXT_BYTES]; /* "" = nothing is */
};

struct figures {
	unsigned runs, failed, survived, missed, findings;
};

static struct report *report;

void sweep_wrong(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(report->wrong, sizeof(report->wrong), fmt, ap);
	va_end(ap);
	_exit(EXIT_WRONG);
}

static int remove_one(
	const char *path, const struct stat *st UNUSED, int flag UNUSED, struct FTW *ftw UNUSED)
{
	return remove(path);
}

/* ---- the child ---- */

static bool names_the_thing(const struct sweep *s, const char *text)
{
	for (const char *const *w = s->words; *w; w++)
		if (strstr(text, *w))
			return true;
	return false;
}

static void check_error(const struct sweep *s, enum err_code code, const struct err *e)
{
	report->code = code;
	snprintf(report->text, sizeof(report->text), "%s", e->text);
	if (code != e->code)
		sweep_wrong("answers %s, but the error is %s", err_name(code), err_name(e->code));
	if (code && !names_the_thing(s, e->text))
		sweep_wrong("an error that names nothing: %s", e->text);
}

static void scenario(const struct sweep *s, const struct fault_plan *plan, unsigned number)
{
	struct sweep_run r = {.number = number, .dir = "/tmp/cdc-sweep-XXXXXX"};
	struct err e = ERR_INIT, again = ERR_INIT;

	log_set_level(LOG_OFF);
	if (!mkdtemp(r.dir))
		sweep_wrong("%s: %s", r.dir, strerror(errno));
	stop_init(&r.stop, NULL);
	fault_io_exempt(true);
	r.peer = s->prepare ? s->prepare() : NULL;
	fault_io_exempt(false);
	fault_io_arm(plan, &report->fault);
	enum err_code code = s->run(&r, &e);
	fault_io_off();
	check_error(s, code, &e);
	if (s->run(&r, &again))
		sweep_wrong("with nothing in the way: %s (after: %s)", again.text, e.text);
	fault_io_exempt(true);
	if (s->release)
		s->release(r.peer);
	stop_done(&r.stop);
	nftw(r.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- the parent ---- */

/* The write end of a pipe is the child's alone: it closes when that ends. */
static bool wait_end(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct deadline d = deadline_in(ms);
	int n;

	do
		n = poll(&p, 1, (int)deadline_left_ms(d));
	while (n < 0 && errno == EINTR);
	return n > 0;
}

/* "" or what is wrong. */
static void judge(bool ended, int status, char *ret, size_t cap)
{
	ret[0] = '\0';
	if (!ended)
		snprintf(ret, cap, "hangs for %d s", LIMIT_MS / 1000);
	else if (WIFSIGNALED(status))
		snprintf(ret, cap, "dies of signal %d", WTERMSIG(status));
	else if (report->wrong[0])
		snprintf(ret, cap, "%s", report->wrong);
	else if (WEXITSTATUS(status))
		snprintf(ret, cap, "exit code %d, a sanitizer's", WEXITSTATUS(status));
}

static void run_one(const struct sweep *s, const struct fault_plan *plan, char *ret, size_t cap)
{
	static unsigned number;
	int ends[2], status = 0;

	memset(report, 0, sizeof(*report));
	number++;
	fflush(stdout);
	if (pipe(ends))
		abort();
	pid_t pid = fork();
	if (pid == 0) {
		close(ends[0]);
		scenario(s, plan, number);
		_exit(__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check()
				? EXIT_LEAK
				: 0);
	}
	close(ends[1]);
	bool ended = pid > 0 && wait_end(ends[0], LIMIT_MS);
	if (!ended && pid > 0)
		kill(pid, SIGABRT);
	if (pid > 0)
		waitpid(pid, &status, 0);
	close(ends[0]);
	judge(ended, status, ret, cap);
}

static void strike(
	const struct sweep *s, uint64_t at, enum fault_mode mode, struct figures *f, bool verbose)
{
	const struct fault_plan plan = {.at = at, .mode = mode};
	char wrong[2 * ERR_TEXT_BYTES];

	run_one(s, &plan, wrong, sizeof(wrong));
	f->runs++;
	f->missed += !report->fault.struck;
	f->failed += report->fault.struck && report->code;
	f->survived += report->fault.struck && !report->code;
	if (wrong[0]) {
		f->findings++;
		printf("FINDING %s --at %llu %d (%s, %s): %s\n", s->name, (unsigned long long)at,
			(int)mode, report->fault.what, mode_names[mode], wrong);
	} else if (verbose && report->fault.struck) {
		printf("%s %llu %s %s: %s\n", s->name, (unsigned long long)at, mode_names[mode],
			report->fault.what, report->code ? report->text : "survived");
	}
}

/* Evenly spread over all calls, at most `points`. */
static void spread(const struct sweep *s, uint64_t calls, enum fault_mode mode, uint64_t points,
	struct figures *f, bool verbose)
{
	uint64_t step = calls / points + (calls % points != 0);

	for (uint64_t at = 1; at <= calls; at += MAX(step, (uint64_t)1))
		strike(s, at, mode, f, verbose);
}

/* How many calls it makes when nothing fails. */
static uint64_t count_calls(const struct sweep *s)
{
	const struct fault_plan none = {.at = 0};
	char wrong[2 * ERR_TEXT_BYTES];

	run_one(s, &none, wrong, sizeof(wrong));
	if (!wrong[0] && report->code)
		snprintf(wrong, sizeof(wrong), "%s", report->text);
	if (wrong[0])
		printf("FINDING %s without a fault: %s\n", s->name, wrong);
	return wrong[0] ? 0 : report->fault.calls;
}

static int one(const struct sweep *s, char **argv)
{
	struct figures f = {.runs = 0};
	uint64_t at = 0, mode = 0;

	if (!str_to_u64(argv[2], &at) || !str_to_u64(argv[3], &mode) || mode >= FAULT_MODES)
		return 2;
	strike(s, at, (enum fault_mode)mode, &f, true);
	return f.findings ? 1 : 0;
}

static int many(const struct sweep *s, bool all)
{
	struct figures f = {.runs = 0};
	uint64_t calls = count_calls(s);

	for (int mode = 0; calls && mode < FAULT_MODES; mode++) {
		uint64_t points = mode == FAULT_ONCE ? POINTS_SHORT : POINTS_RARE;
		if (all)
			points = calls;
		else if (s->slow)
			points /= 2;
		spread(s, calls, (enum fault_mode)mode, points, &f, all);
	}
	printf("%s: %llu calls, %u failed on purpose: %u errors, %u survived, %u not reached; %u "
	       "findings\n",
		s->name, (unsigned long long)calls, f.runs, f.failed, f.survived, f.missed,
		f.findings);
	return f.findings || !calls ? 1 : 0;
}

int sweep_main(int argc, char **argv, const struct sweep *s)
{
	report = mmap(
		NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED)
		return 2;
	signal(SIGPIPE, SIG_IGN); /* as main does */
	if (s->before)
		s->before();
	int r = argc == 4 ? one(s, argv) : many(s, argc == 2 && strcmp(argv[1], "--all") == 0);
	if (s->after)
		s->after();
	return r;
}
