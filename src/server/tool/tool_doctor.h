/* The command doctor: opens the peers of the configuration one by one, what fails is a finding. */
#pragma once

#include "server/tool/cli.h"

/* The exit code. */
int tool_doctor_main(const struct cli *c);
