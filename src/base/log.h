/* The log: one line of key=value an event, to standard error (and a file). A context chain (server
 * > task > channel) adds its fields; each component has a level that can change at run time. error
 * = someone must act; warn = we go on, and say how; one failure, one line. */
#pragma once

#include "base/defs.h"
#include "base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };

/* clang-format off */
#define LOG_COMPONENTS(X)                                                                          \
	X(server) X(api) X(config) X(task) X(catalog) X(reader) X(channel) X(sink) X(ddl) X(store)      \
	X(etcd) X(grpc) X(kafka) X(pulsar) X(checkpoint)

enum log_comp {
#define LOG_ENUM(name) LOG_##name,
	LOG_COMPONENTS(LOG_ENUM)
#undef LOG_ENUM
	LOG_COMP_COUNT
};
/* clang-format on */

/* fields is a ready "key=value key=value" text, borrowed; it must live as long as the context. */
struct log_ctx {
	const struct log_ctx *parent;
	enum log_comp comp;
	const char *fields;
};

/* Opens path for appending besides standard error; NULL or "" for standard error only. */
NODISCARD enum err_code log_open(const char *path, struct err *e);
void log_close(void);

/* Level by zap's names (debug info warn error dpanic panic fatal, any case); false if unknown. */
bool log_level_parse(const char *name, enum log_level *ret_level);
const char *log_level_name(enum log_level l);
const char *log_comp_name(enum log_comp c);
void log_set_level(enum log_level l);                       /* all components */
void log_set_comp_level(enum log_comp c, enum log_level l); /* one */
bool log_enabled(enum log_comp c, enum log_level l);

/* One line. ctx must not be NULL. Control characters of the text are escaped. @thread any */
void log_write(const struct log_ctx *ctx, enum log_level l, const char *fmt, ...) PRINTF(3, 4);

#define log_at(ctx, level, ...)                                                                    \
	do {                                                                                       \
		if (log_enabled((ctx)->comp, level))                                               \
			log_write(ctx, level, __VA_ARGS__);                                        \
	} while (0)
#define log_debug(ctx, ...) log_at(ctx, LOG_DEBUG, __VA_ARGS__)
#define log_info(ctx, ...) log_at(ctx, LOG_INFO, __VA_ARGS__)
#define log_warn(ctx, ...) log_at(ctx, LOG_WARN, __VA_ARGS__)
#define log_error(ctx, ...) log_at(ctx, LOG_ERROR, __VA_ARGS__)
