#include "server/supervise.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/thread.h"
#include "server/api/http.h"
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

/* Clients hold all the connections there may be; nothing of ours hangs. */
static bool only_crowded(const struct http *http)
{
	char role[16];

	return http_is_crowded(http) && !thread_stuck(SUPERVISE_STUCK_MS, role);
}

enum answers { ANSWERS, CROWDED, SILENT };

/* One line when it changes. */
static void feed(const struct config *c, const struct http *http, const struct log_ctx *log,
	int64_t within_ms, enum answers *last)
{
	struct err e = ERR_INIT;
	enum answers now = ANSWERS;

	if (health_ask(c, within_ms, &e))
		now = only_crowded(http) ? CROWDED : SILENT;
	if (now != SILENT)
		tell(log, "WATCHDOG=1");
	if (now == ANSWERS && *last != ANSWERS)
		log_info(log, "the server answers itself again");
	if (now == CROWDED && *last != CROWDED)
		log_warn(log,
			"the server can't ask itself whether it is well: clients hold the "
			"connections of its API (%d in all, %d of one address)",
			LIMIT_HTTP_CONNECTIONS, LIMIT_HTTP_CONNECTIONS_EACH);
	if (now == SILENT && *last != SILENT)
		log_error(log, "the server does not answer itself: %s; the watchdog is not fed",
			e.text);
	*last = now;
}

int supervise(const struct config *c, const struct http *http, const struct log_ctx *log)
{
	int64_t watchdog_ms = notify_watchdog_ms();
	int64_t step_ms = watchdog_ms ? MAX(watchdog_ms / PARTS, 1) : IDLE_MS;
	struct timespec step = {.tv_sec = step_ms / 1000, .tv_nsec = step_ms % 1000 * 1000000};
	enum answers last = ANSWERS;
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
			feed(c, http, log, step_ms, &last);
	tell(log, "STOPPING=1\nSTATUS=Positions are stored");
	return sig;
}
