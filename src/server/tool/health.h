/* Asks a server by HTTP whether it is well: what the command "health" and the watchdog do. */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct cli;
struct config;

/* GET /healthz of the server at c->address (an address of all interfaces is asked on the loopback
 * one). OK if it answers 200 in time. UNAVAILABLE with what it said, TIMEOUT, SYSTEM. @thread any */
NODISCARD enum err_code health_ask(const struct config *c, int64_t timeout_ms, struct err *e);
/* The command: 0 well, 1 not. */
int health_main(const struct cli *c);
