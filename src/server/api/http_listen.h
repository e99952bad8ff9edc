/* A listening TCP socket for "host:port". */
#pragma once

#include "base/err.h"

/* ":port" listens on every address, IPv6 and IPv4. *ret_fd is the caller's; *ret_port the real
 * port. */
NODISCARD enum err_code http_listen(const char *address, int *ret_fd, int *ret_port, struct err *e);
