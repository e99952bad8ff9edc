/* Language helpers used everywhere: attributes, ownership macros, arithmetic.
 * CLEANUP(fn) runs fn(&var) when var leaves scope; TAKE(p) hands a pointer over and nulls it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NODISCARD __attribute__((warn_unused_result))
#define PRINTF(a, b) __attribute__((format(printf, a, b)))
#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define UNUSED __attribute__((unused))
#define NORETURN __attribute__((noreturn))

#define TAKE(p)                                                                                    \
	__extension__({                                                                            \
		__auto_type take_ = (p);                                                           \
		(p) = NULL;                                                                        \
		take_;                                                                             \
	})

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

/* Checked by clang's -Wthread-safety, nothing elsewhere. */
#if defined(__clang__)
#define CAPABILITY(x) __attribute__((capability(x)))
#define REQUIRES(x) __attribute__((requires_capability(x)))
#define ACQUIRES(x) __attribute__((acquire_capability(x)))
#define RELEASES(x) __attribute__((release_capability(x)))
#define NO_TSA __attribute__((no_thread_safety_analysis))
#else
#define CAPABILITY(x)
#define REQUIRES(x)
#define ACQUIRES(x)
#define RELEASES(x)
#define NO_TSA
#endif
