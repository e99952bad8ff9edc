/* A table for people: columns as wide as their widest cell. @thread main only */
#pragma once

#include <stdio.h>

#include "base/defs.h"

enum { TOOL_COLUMNS = 8 };

struct tool_table {
	const char *const *heads; /* n_columns of them */
	size_t n_columns;
	char **cells; /* row by row */
	size_t n, cap;
};

/* Fills the next cell; the last column may be of any length. */
void tool_table_put(struct tool_table *t, const char *fmt, ...) PRINTF(2, 3);
void tool_table_print(const struct tool_table *t, FILE *out);
void tool_table_done(struct tool_table *t);
