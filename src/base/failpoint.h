/* Failpoints: named places where a test ends the process, as kill -9 would, to see what a restart
 * makes of it. They are compiled only with CDC_FAILPOINTS (presets asan and tsan); elsewhere they
 * cost nothing and no name is left.
 *
 *   MILVUS_CDC_FAILPOINT=store.bound.after:3:kill     dies when it gets there for the third time
 *   milvus-cdc print-docs failpoints                  all there are, a line each
 *
 * @thread any */
#pragma once

#include <stdbool.h>

struct buf;

#ifdef CDC_FAILPOINTS

enum { FAILPOINTS_ON = 1 };

/* The linker gathers the names of all places in one section. */
#define FAILPOINT(name)                                                                            \
	do {                                                                                       \
		static const char *const failpoint_here                                            \
			__attribute__((section("cdc_failpoints"), used)) = name;                   \
		failpoint_hit(failpoint_here);                                                     \
	} while (0)

/* The value of call, a call to a peer or a store, between two points. */
#define FAILPOINTS(name, call)                                                                     \
	__extension__({                                                                            \
		FAILPOINT(name ".before");                                                         \
		__typeof__(call) failpoint_value = (call);                                         \
		FAILPOINT(name ".after");                                                          \
		failpoint_value;                                                                   \
	})

void failpoint_hit(const char *name);
/* Writes their names; false if this build has none. */
bool failpoint_list(struct buf *out);

#else

enum { FAILPOINTS_ON = 0 };

#define FAILPOINT(name) ((void)0)
#define FAILPOINTS(name, call) (call)

static inline bool failpoint_list(struct buf *out)
{
	(void)out;
	return false;
}

#endif
