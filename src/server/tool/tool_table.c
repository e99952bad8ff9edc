#include "server/tool/tool_table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { CELL_BYTES = 4096 };

void tool_table_put(struct tool_table *t, const char *fmt, ...)
{
	char text[CELL_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	mem_grow(&t->cells, &t->cap, t->n + 1, sizeof(*t->cells));
	t->cells[t->n++] = xstrdup(text);
}

static void print_row(
	const struct tool_table *t, const char *const *cells, const size_t *widths, FILE *out)
{
	for (size_t i = 0; i + 1 < t->n_columns; i++)
		fprintf(out, "%-*s  ", (int)widths[i], cells[i]);
	fprintf(out, "%s\n", cells[t->n_columns - 1]);
}

void tool_table_print(const struct tool_table *t, FILE *out)
{
	size_t widths[TOOL_COLUMNS] = {0};

	for (size_t i = 0; i < t->n_columns; i++)
		widths[i] = strlen(t->heads[i]);
	for (size_t i = 0, at = 0; i < t->n; i++, at = at + 1 < t->n_columns ? at + 1 : 0)
		widths[at] = MAX(widths[at], strlen(t->cells[i]));
	print_row(t, t->heads, widths, out);
	for (size_t i = 0; i + t->n_columns <= t->n; i += t->n_columns)
		print_row(t, (const char *const *)t->cells + i, widths, out);
}

void tool_table_done(struct tool_table *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->cells[i]);
	free(t->cells);
	t->cells = NULL;
	t->n = t->cap = 0;
}
