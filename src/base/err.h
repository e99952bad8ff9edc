/* Errors as values. A function that can fail returns enum err_code (ERR_OK = 0) and fills the
 * caller's struct err; the first error wins, each layer may add who and which with err_ctx. */
#pragma once

#include "base/defs.h"
#include "base/err_table.h"

enum err_code {
#define ERR_ENUM(name, retry, http, label, text) ERR_##name,
	ERR_TABLE(ERR_ENUM)
#undef ERR_ENUM
		ERR_COUNT
};

enum err_retry { ERR_RETRY_NO, ERR_RETRY_YES, ERR_RETRY_IDEM };

enum { ERR_TEXT_BYTES = 512 };

/* Lives on the caller's stack; owns nothing. origin is the peer's own number (errno, grpc status,
 * Milvus code, Kafka code), 0 if there is none. */
struct err {
	enum err_code code;
	int origin;
	char text[ERR_TEXT_BYTES];
};

#define ERR_INIT                                                                                   \
	{                                                                                          \
		.code = ERR_OK                                                                     \
	}

/* Sets e unless it holds an error already. Returns code, so that "return err_set(...)" reads well.
 * e may be NULL. Text beyond ERR_TEXT_BYTES is cut. */
enum err_code err_set(struct err *e, enum err_code code, const char *fmt, ...) PRINTF(3, 4);

/* As err_set, with the peer's own number. */
enum err_code err_set_origin(struct err *e, enum err_code code, int origin, const char *fmt, ...)
	PRINTF(4, 5);

/* Puts "fmt: " before the text. Returns e->code. */
enum err_code err_ctx(struct err *e, const char *fmt, ...) PRINTF(2, 3);

/* SYSTEM with errno's text; the errno is the origin. */
enum err_code err_errno(struct err *e, int errnum, const char *fmt, ...) PRINTF(3, 4);

void err_clear(struct err *e);

const char *err_name(enum err_code code); /* metric label, stable */
const char *err_meaning(enum err_code code);
enum err_retry err_retry_class(enum err_code code);
int err_http(enum err_code code);
