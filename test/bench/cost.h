/* What a bench's own program has cost so far. */
#pragma once

#include <stdio.h>
#include <time.h>

static inline double cost_clock_s(clockid_t clock)
{
	struct timespec ts;
	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* VmHWM: getrusage's ru_maxrss begins with what the process was forked from. */
static inline double cost_peak_rss_mb(void)
{
	char line[128];
	unsigned long kb = 0;
	FILE *f = fopen("/proc/self/status", "re");

	while (f && !kb && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmHWM: %lu", &kb) != 1)
			kb = 0;
	if (f)
		fclose(f);
	return (double)kb * 1024 / 1e6;
}
