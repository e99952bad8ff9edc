#include "base/failpoint.h"

#ifdef CDC_FAILPOINTS

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

enum { NAME_BYTES = 64 };

/* The linker's; both are missing where no point is linked. */
extern const char *const __start_cdc_failpoints[] __attribute__((weak));
extern const char *const __stop_cdc_failpoints[] __attribute__((weak));

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char armed[NAME_BYTES]; /* "" = none; set once */
static long left;              /* hits until it strikes, atomic */

static bool exists(const char *name)
{
	for (const char *const *p = __start_cdc_failpoints; p < __stop_cdc_failpoints; p++)
		if (strcmp(*p, name) == 0)
			return true;
	return false;
}

/* A test that arms nothing would prove nothing: a wrong setting ends the program. */
static void arm(void)
{
	const char *text = getenv("MILVUS_CDC_FAILPOINT");
	char name[NAME_BYTES], how[8];

	if (!text)
		return;
	if (sscanf(text, "%63[^:]:%ld:%7s", name, &left, how) != 3 || left < 1 ||
		strcmp(how, "kill") != 0 || !exists(name)) {
		fprintf(stderr,
			"MILVUS_CDC_FAILPOINT=%s: wants NAME:COUNT:kill, NAME one of "
			"milvus-cdc print-docs failpoints\n",
			text);
		abort();
	}
	memcpy(armed, name, sizeof(armed));
}

void failpoint_hit(const char *name)
{
	pthread_once(&once, arm);
	if (strcmp(armed, name) == 0 && __atomic_sub_fetch(&left, 1, __ATOMIC_RELAXED) == 0)
		raise(SIGKILL);
}

static int by_name(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;
	return strcmp(*x, *y);
}

bool failpoint_list(struct buf *out)
{
	size_t n = (size_t)(__stop_cdc_failpoints - __start_cdc_failpoints);
	const char **l = malloc((n + 1) * sizeof(*l));

	if (!l)
		abort();
	memcpy(l, __start_cdc_failpoints, n * sizeof(*l));
	qsort(l, n, sizeof(*l), by_name);
	for (size_t i = 0; i < n; i++)
		if (!i || strcmp(l[i], l[i - 1]) != 0)
			buf_putf(out, "%s\n", l[i]);
	free(l);
	return true;
}

#endif
