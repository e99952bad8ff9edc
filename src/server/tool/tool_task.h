/* The commands task ... and status, over the API of a running server. */
#pragma once

#include "server/tool/cli.h"

/* Each returns the exit code: 0 done, 1 refused, 2 wrong arguments, TOOL_NOT_REACHED. */
int tool_task_main(const struct cli *c);
int tool_status_main(const struct cli *c);
