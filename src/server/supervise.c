#include "server/supervise.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/log.h"
#include "server/config/config.h"
#include "server/tool/health.h"
#include "server/notify.h"

enum { IDLE_MS = 3600000, PARTS = 3 };

static void tell(const struct log_ctx *log, const char *text)
{
	struct err e = ERR_INIT;

	if (notify_send(text, &e))
		log_warn(log, "systemd can't be told: %s", e.text);
}

/* One line when it begins and one when it ends. */
static void feed(const struct config *c, const struct log_ctx *log, int64_t within_ms, bool *failed)
{
	struct err e = ERR_INIT;

	if (!health_ask(c, within_ms, &e)) {
		if (*failed)
			log_info(log, "the server answers itself again");
		*failed = false;
		tell(log, "WATCHDOG=1");
		return;
	}
	if (!*failed)
		log_error(log, "the server does not answer itself: %s; the watchdog is not fed",
			e.text);
	*failed = true;
}

int supervise(const struct config *c, const struct log_ctx *log)
{
	int64_t watchdog_ms = notify_watchdog_ms();
	int64_t step_ms = watchdog_ms ? MAX(watchdog_ms / PARTS, 1) : IDLE_MS;
	struct timespec step = {.tv_sec = step_ms / 1000, .tv_nsec = step_ms % 1000 * 1000000};
	bool failed = false;
	sigset_t set;
	char text[128];
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	snprintf(text, sizeof(text), "READY=1\nSTATUS=The API listens on %.64s", c->address);
	tell(log, text);
	while ((sig = sigtimedwait(&set, NULL, &step)) < 0)
		if (errno == EAGAIN && watchdog_ms)
			feed(c, log, step_ms, &failed);
	tell(log, "STOPPING=1\nSTATUS=Positions are stored");
	return sig;
}
