/* What the program can be asked to do. A new command is a row here, a value in enum cli_command and
 * a case in main. */
#include "server/cli.h"

const struct cli_row cli_rows[] = {
	{CLI_SERVER, "server", .help = "replicate and serve the API (without a command too)"},
	{CLI_CHECK_CONFIG, "check-config",
		.help = "check the configuration, report every problem, start nothing"},
	{CLI_PRINT_DOCS, "print-docs", .words = "PAGE", .word_needed = true,
		.help = "print a page made from the code",
		.more = "PAGE is config, sample, metrics or api.\n"},
	{.name = NULL},
};
