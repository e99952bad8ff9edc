/* What systemd is told, by the datagrams of its sd_notify protocol: a line VARIABLE=value each, to
 * the socket $NOTIFY_SOCKET. Without that variable nothing happens. */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* Sends text, e.g. "READY=1\nSTATUS=...". Nothing to do is OK. SYSTEM if the socket can't be
 * used. */
NODISCARD enum err_code notify_send(const char *text, struct err *e);
/* Milliseconds within which WATCHDOG=1 is expected of this process, 0 if it is not. */
int64_t notify_watchdog_ms(void);
