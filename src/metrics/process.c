#include "metrics/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { TEXT_BYTES = 4096 };

/* What we want of /proc/self/stat, which counts its fields from 1 and puts the name in brackets. */
struct stat_fields {
	unsigned long long utime, stime, threads, start_ticks, vsize, rss_pages;
};

static void put(struct buf *b, const char *name, const char *type, const char *help, double v)
{
	buf_putf(b, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", name, help, name, type, name, v);
}

static bool read_text(const char *path, char *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, out, TEXT_BYTES - 1);
	close(fd);
	out[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static bool read_stat(struct stat_fields *f)
{
	char text[TEXT_BYTES];

	if (!read_text("/proc/self/stat", text))
		return false;
	const char *p = strrchr(text, ')');
	return p && sscanf(p + 1,
			    " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d"
			    " %llu %*d %llu %llu %llu",
			    &f->utime, &f->stime, &f->threads, &f->start_ticks, &f->vsize,
			    &f->rss_pages) == 6;
}

static bool boot_time(double *ret_s)
{
	char text[TEXT_BYTES];
	unsigned long long s;
	const char *at = NULL;
	FILE *f = fopen("/proc/stat", "re");

	while (f && !at && fgets(text, sizeof(text), f))
		at = strncmp(text, "btime ", 6) == 0 ? text : NULL;
	if (f)
		fclose(f);
	if (!at || sscanf(at, "btime %llu", &s) != 1)
		return false;
	*ret_s = (double)s;
	return true;
}

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	if (!d)
		return -1;
	for (struct dirent *de; (de = readdir(d));)
		n += de->d_name[0] != '.';
	closedir(d);
	return n - 1; /* without the folder's own */
}

void process_metrics_write(struct buf *b)
{
	struct stat_fields f;
	struct rlimit limit;
	double boot, ticks = (double)sysconf(_SC_CLK_TCK);

	if (read_stat(&f)) {
		put(b, "process_cpu_seconds_total", "counter", "CPU time used, user and system.",
			(double)(f.utime + f.stime) / ticks);
		put(b, "process_resident_memory_bytes", "gauge", "Memory in RAM.",
			(double)f.rss_pages * (double)sysconf(_SC_PAGESIZE));
		put(b, "process_virtual_memory_bytes", "gauge", "Address space.", (double)f.vsize);
		put(b, "process_threads", "gauge", "Threads.", (double)f.threads);
		if (boot_time(&boot))
			put(b, "process_start_time_seconds", "gauge",
				"Start, seconds since the epoch.",
				boot + (double)f.start_ticks / ticks);
	}
	int fds = count_fds();
	if (fds >= 0)
		put(b, "process_open_fds", "gauge", "Open file descriptors.", fds);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		put(b, "process_max_fds", "gauge", "Limit of open file descriptors.",
			(double)limit.rlim_cur);
}
