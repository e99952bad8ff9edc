#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"

enum { LINE_BYTES = 4096 };

static const char *const comp_names[] = {
#define LOG_NAME(name) #name,
	LOG_COMPONENTS(LOG_NAME)
#undef LOG_NAME
};

/* The process's only mutable globals besides the stop flag: the levels and the file. */
static uint8_t levels[LOG_COMP_COUNT] = {[0 ... LOG_COMP_COUNT - 1] = LOG_INFO};
static int log_fd = -1;

enum err_code log_open(const char *path, struct err *e)
{
	if (!path || !*path)
		return ERR_OK;
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0)
		return err_errno(e, errno, "log file %s", path);
	log_close();
	log_fd = fd;
	return ERR_OK;
}

void log_close(void)
{
	if (log_fd >= 0)
		close(log_fd);
	log_fd = -1;
}

bool log_level_parse(const char *name, enum log_level *ret_level)
{
	static const struct {
		const char *name;
		enum log_level level;
	} names[] = {{"debug", LOG_DEBUG}, {"info", LOG_INFO}, {"warn", LOG_WARN},
		{"error", LOG_ERROR}, {"dpanic", LOG_ERROR}, {"panic", LOG_ERROR},
		{"fatal", LOG_ERROR}};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcasecmp(names[i].name, name) == 0) {
			*ret_level = names[i].level;
			return true;
		}
	}
	return false;
}

const char *log_level_name(enum log_level l)
{
	static const char *const names[] = {"debug", "info", "warn", "error", "off"};
	return names[l];
}

const char *log_comp_name(enum log_comp c)
{
	return comp_names[c];
}

void log_set_level(enum log_level l)
{
	for (size_t i = 0; i < LOG_COMP_COUNT; i++)
		log_set_comp_level((enum log_comp)i, l);
}

void log_set_comp_level(enum log_comp c, enum log_level l)
{
	__atomic_store_n(&levels[c], (uint8_t)l, __ATOMIC_RELAXED);
}

bool log_enabled(enum log_comp c, enum log_level l)
{
	return l >= __atomic_load_n(&levels[c], __ATOMIC_RELAXED);
}

struct line {
	char text[LINE_BYTES];
	size_t n;
};

static void add(struct line *l, const char *s)
{
	size_t n = strnlen(s, sizeof(l->text) - 2 - l->n);
	memcpy(l->text + l->n, s, n);
	l->n += n;
}

static void add_fields(struct line *l, const struct log_ctx *ctx)
{
	if (!ctx)
		return;
	add_fields(l, ctx->parent);
	const char *fields = __atomic_load_n(&ctx->fields, __ATOMIC_ACQUIRE);
	if (fields && *fields) {
		add(l, " ");
		add(l, fields);
	}
}

/* msg="..." with quotes, backslashes, control characters and what is no UTF-8 escaped, so that a line
 * is a line of text. */
static void add_quoted(struct line *l, const char *s)
{
	add(l, " msg=\"");
	for (; *s && l->n < sizeof(l->text) - 8; s++) {
		unsigned char c = (unsigned char)*s;
		size_t size = str_utf8_len((const uint8_t *)s, strnlen(s, 4));
		if (c == '"' || c == '\\')
			l->text[l->n++] = '\\';
		if (size > 1) {
			memcpy(l->text + l->n, s, size);
			l->n += size;
			s += size - 1;
		} else if (!size || c < 0x20 || c == 0x7f) {
			l->n += (size_t)snprintf(l->text + l->n, 5, "\\x%02x", c);
		} else {
			l->text[l->n++] = (char)c;
		}
	}
	add(l, "\"");
}

static void add_time(struct line *l)
{
	struct timespec ts;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	l->n += strftime(l->text, 32, "time=%Y-%m-%dT%H:%M:%S", &tm);
	l->n += (size_t)snprintf(l->text + l->n, 8, ".%03dZ", (int)(ts.tv_nsec / 1000000) % 1000);
}

void log_write(const struct log_ctx *ctx, enum log_level level, const char *fmt, ...)
{
	struct line l = {.n = 0};
	char msg[LINE_BYTES / 2];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	add_time(&l);
	add(&l, " level=");
	add(&l, log_level_name(level));
	add(&l, " comp=");
	add(&l, comp_names[ctx->comp]);
	add_fields(&l, ctx);
	add_quoted(&l, msg);
	l.text[l.n++] = '\n';
	/* One write a line keeps lines whole; a full disk must not stop replication. */
	ssize_t r = write(STDERR_FILENO, l.text, l.n);
	if (log_fd >= 0)
		r = write(log_fd, l.text, l.n);
	(void)r;
}
