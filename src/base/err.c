#include "base/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct row {
	const char *label;
	const char *meaning;
	enum err_retry retry;
	int http;
};

static const struct row rows[] = {
#define ERR_ROW(name, retry, http, label, text) {label, text, ERR_RETRY_##retry, http},
	ERR_TABLE(ERR_ROW)
#undef ERR_ROW
};
static_assert(ARRAY_LEN(rows) == ERR_COUNT, "one row per code");

static void PRINTF(4, 0)
	put_text(struct err *e, enum err_code code, int origin, const char *fmt, va_list ap)
{
	e->code = code;
	e->origin = origin;
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
}

enum err_code err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
	if (e && e->code == ERR_OK) {
		va_list ap;
		va_start(ap, fmt);
		put_text(e, code, 0, fmt, ap);
		va_end(ap);
	}
	return code;
}

enum err_code err_set_origin(struct err *e, enum err_code code, int origin, const char *fmt, ...)
{
	if (e && e->code == ERR_OK) {
		va_list ap;
		va_start(ap, fmt);
		put_text(e, code, origin, fmt, ap);
		va_end(ap);
	}
	return code;
}

enum err_code err_ctx(struct err *e, const char *fmt, ...)
{
	if (!e)
		return ERR_SYSTEM;
	char old[ERR_TEXT_BYTES];
	char who[ERR_TEXT_BYTES / 2];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(who, sizeof(who), fmt, ap);
	va_end(ap);
	memcpy(old, e->text, sizeof(old));
	if (snprintf(e->text, sizeof(e->text), "%s: %s", who, old) < 0)
		e->text[0] = '\0';
	return e->code;
}

enum err_code err_errno(struct err *e, int errnum, const char *fmt, ...)
{
	if (!e || e->code != ERR_OK)
		return ERR_SYSTEM;
	char why[128];
	va_list ap;

	va_start(ap, fmt);
	put_text(e, ERR_SYSTEM, errnum, fmt, ap);
	va_end(ap);
	size_t n = strlen(e->text);
	snprintf(e->text + n, sizeof(e->text) - n, ": %s", strerror_r(errnum, why, sizeof(why)));
	return ERR_SYSTEM;
}

void err_clear(struct err *e)
{
	e->code = ERR_OK;
	e->origin = 0;
	e->text[0] = '\0';
}

const char *err_name(enum err_code code)
{
	assert(code < ERR_COUNT);
	return rows[code].label;
}

const char *err_meaning(enum err_code code)
{
	assert(code < ERR_COUNT);
	return rows[code].meaning;
}

enum err_retry err_retry_class(enum err_code code)
{
	assert(code < ERR_COUNT);
	return rows[code].retry;
}

int err_http(enum err_code code)
{
	assert(code < ERR_COUNT);
	return rows[code].http;
}
