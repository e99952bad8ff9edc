/* Tasks as people read them. @thread main only */
#pragma once

#include <stdio.h>

#include "base/json.h"

/* One line: time, state, lag, rows, what it waits for. */
void tool_status_line(const json_t *task, FILE *out);
/* All there is of one task, a line each. */
void tool_status_task(const json_t *task, FILE *out);
/* A table of tasks; with the rows a second since `before`, an earlier list, ms ago (NULL: none). */
void tool_status_table(const json_t *tasks, const json_t *before, int64_t ms, FILE *out);
