/* Fails one system call of the program on purpose. Linked into the programs of this folder only: it
 * defines read, send, open ... itself, so that the calls of every library pass here before they reach
 * libc (or the sanitizer's own wrappers, which come next).
 *
 * Calls on threads that are exempt, and those to stdin, stdout and stderr, are never touched nor counted.
 * A new thread is what its maker is: a test's own peer is started by an exempt thread.
 * @thread any */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum fault_mode {
	FAULT_ONCE,    /* the call fails as a broken disk or network would have it */
	FAULT_LASTING, /* it and every later call of that function, until fault_io_off */
	FAULT_SHORT, /* a read or write of one byte; anything else is interrupted (EINTR) where it may be */
	FAULT_MODES
};

struct fault_plan {
	uint64_t at; /* the number of the call, from 1; 0: none, calls are only counted */
	enum fault_mode mode;
};

/* What became of it. May lie in memory shared with another process. */
struct fault_log {
	uint64_t calls; /* counted so far */
	bool struck;
	char what[32]; /* the function that failed */
};

/* Both stay where they are until fault_io_off. */
void fault_io_arm(const struct fault_plan *p, struct fault_log *log);
/* From now on nothing fails and nothing is counted. */
void fault_io_off(void);
/* For the calling thread and those it starts from now on; the value before. */
bool fault_io_exempt(bool yes);
