/* The command line: what to do and with which configuration. Only parses; main acts. */
#pragma once

#include "base/buf.h"
#include "base/defs.h"

enum cli_command { CLI_SERVER, CLI_CHECK_CONFIG, CLI_PRINT_DOCS, CLI_DONE };

struct cli {
	enum cli_command command; /* CLI_DONE: out holds all there is to say */
	const char *config_path;  /* borrowed from argv, or one of the default places */
	const char *doc;          /* CLI_PRINT_DOCS: the page's name */
};

enum { CLI_USAGE_ERROR = 2 };

/* 0, or CLI_USAGE_ERROR with a message in out (for standard error). With 0 and CLI_DONE out goes to
 * standard output. version is what --version shows. */
NODISCARD int cli_parse(
	int argc, char *const *argv, const char *version, struct cli *ret_c, struct buf *out);
