/* TCP sockets: names to addresses, connects that do not block, options. */
#pragma once

#include <sys/socket.h>

#include "base/defs.h"
#include "base/err.h"

enum { SOCK_ADDRS = 8, SOCK_HOST_BYTES = 256, SOCK_PORT_BYTES = 6, SOCK_TEXT_BYTES = 64 };

struct sock_addr {
	struct sockaddr_storage ss;
	socklen_t n;
};

struct sock_addrs {
	struct sock_addr v[SOCK_ADDRS];
	size_t n;
};

/* Splits "host:port" or "[v6]:port". INVALID if it is neither. */
NODISCARD enum err_code sock_split(
	const char *address, char host[SOCK_HOST_BYTES], char port[SOCK_PORT_BYTES], struct err *e);
/* Whether host is an address rather than a name, so that sock_resolve does not block. */
bool sock_is_numeric(const char *host);
/* Asks the system's resolver and may block for seconds. UNAVAILABLE with the reason. */
NODISCARD enum err_code sock_resolve(
	const char *host, const char *port, struct sock_addrs *ret_addrs, struct err *e);
/* "1.2.3.4:80" or "[::1]:80" */
void sock_text(const struct sock_addr *a, char out[SOCK_TEXT_BYTES]);

/* Starts a connect: *ret_fd is non-blocking and becomes writable at the end. */
NODISCARD enum err_code sock_connect(const struct sock_addr *a, int *ret_fd, struct err *e);
/* The errno of a connect that has ended, 0 if it succeeded. */
int sock_connect_result(int fd);
/* No Nagle delay; unacknowledged data older than timeout_ms ends the connection. */
void sock_tune(int fd, int64_t timeout_ms);
