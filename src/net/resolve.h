/* Asks the resolver on a thread of its own, because getaddrinfo can block for long. A lookup that
 * nobody waits for any more ends by itself. */
#pragma once

#include "net/loop.h"
#include "net/sock.h"

struct resolve;

/* done runs on the I/O thread, unless the lookup was cancelled before; then resolve_free is due. */
NODISCARD enum err_code resolve_start(struct loop *l, const char *host, const char *port,
	void (*done)(void *arg), void *arg, struct resolve **ret_r, struct err *e);
/* The result, inside done. */
NODISCARD enum err_code resolve_result(
	const struct resolve *r, struct sock_addrs *ret_addrs, struct err *e);
/* Cancels if it still runs. NULL is fine. @thread I/O */
void resolve_free(struct resolve *r);
