/* The fault sweep: a scenario is run once for each of its system calls, with that one failing, each time in a
 * process of its own (a fork). However it goes, it must not crash, hang, leak or lie: it ends well, or with an
 * error that names the thing; and done again with nothing in the way it ends well.
 *
 *     sweep_sqlite             a choice of calls, spread evenly: some seconds
 *     sweep_sqlite --all       every call in every mode
 *     sweep_sqlite --at 17 0   one of them: the number of the call and the mode (enum fault_mode)
 *
 * A program is one scenario: it fills a struct sweep and returns sweep_main. */
#pragma once

#include "base/defs.h"
#include "base/err.h"
#include "base/stop.h"

struct sweep_run {
	char dir[64];     /* empty, of this process alone */
	unsigned number;  /* of this process, for names in a shared peer */
	void *peer;       /* what prepare gave */
	struct stop stop; /* never set */
};

struct sweep {
	const char *name;
	const char *const *words; /* up to NULL: an error says at least one of them */
	bool slow;                /* a run takes a second and more: fewer of them are chosen */
	/* Peers in processes of their own, before the first run; may be NULL. */
	void (*before)(void);
	void (*after)(void);
	/* Peers in this process: exempt from faults. May be NULL. */
	void *(*prepare)(void);
	void (*release)(void *peer);
	/* The scenario: everything opened is closed at its end. Called twice a process, the second time
	 * without a fault. What is wrong (and not just failed) is told by sweep_wrong. */
	enum err_code (*run)(struct sweep_run *r, struct err *e);
};

int sweep_main(int argc, char **argv, const struct sweep *s);
/* The data is not what it must be: ends the process. */
NORETURN void sweep_wrong(const char *fmt, ...) PRINTF(1, 2);
