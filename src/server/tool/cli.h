/* The command line: what to do and with which configuration. Only parses; main acts. Commands and
 * their options are the table in cli_table.c, help included. */
#pragma once

#include "base/buf.h"
#include "base/defs.h"

enum cli_command {
	CLI_SERVER,
	CLI_CHECK_CONFIG,
	CLI_HEALTH,
	CLI_PRINT_DOCS,
	CLI_POSITIONS,
	CLI_COUNT,
	CLI_INSPECT,
	CLI_MIGRATE_STORE,
	CLI_DOCTOR,
	CLI_TASK_CREATE,
	CLI_TASK_LIST,
	CLI_TASK_GET,
	CLI_TASK_PAUSE,
	CLI_TASK_RESUME,
	CLI_TASK_DELETE,
	CLI_TASK_POSITION,
	CLI_TASK_WATCH,
	CLI_STATUS,
	CLI_VERIFY,
	CLI_COMPLETION,
	CLI_DONE, /* not in the table: out holds all there is to say */
};

enum cli_kind { CLI_FLAG, CLI_TEXT, CLI_NUMBER };

struct cli_option {
	const char *name; /* with its dashes; NULL ends a list */
	enum cli_kind kind;
	const char *value; /* what help shows for the value, e.g. "NAME" */
	const char *help;
};

/* A command. All of them take --config, --help and --version too. */
struct cli_row {
	enum cli_command command;
	const char *name;  /* one word or two: "task list" */
	const char *words; /* what follows the name, as help shows it; NULL: nothing may */
	bool word_needed;  /* one word at least */
	const char *help;  /* one line for the list of commands */
	const char *more;  /* for its own help, lines ended by \n; NULL: none */
	const struct cli_option *options; /* NULL: none */
};

enum { CLI_GIVEN_MAX = 16, CLI_USAGE_ERROR = 2 };

struct cli_given {
	const struct cli_option *option;
	const char *value; /* "" of a flag; borrowed from argv */
};

struct cli {
	enum cli_command command;
	const struct cli_row *row;
	const char *config_path; /* borrowed from argv, or one of the default places */
	const char *word;        /* what stands behind the command; NULL if nothing does */
	struct cli_given given[CLI_GIVEN_MAX];
	size_t n_given;
};

/* Options that every command takes; ended by one without a name. */
extern const struct cli_option cli_common[];
/* The table, ended by a row without a name. Without a command the first one is meant. */
extern const struct cli_row cli_rows[];

/* 0, or CLI_USAGE_ERROR with a message in out (for standard error). With 0 and CLI_DONE out goes to
 * standard output. version is what --version shows. */
NODISCARD int cli_parse(
	int argc, char *const *argv, const char *version, struct cli *ret_c, struct buf *out);
/* The value of an option, the last one if it stands twice; NULL if it was not given. */
const char *cli_text(const struct cli *c, const char *option);
/* The same of a CLI_NUMBER. */
int64_t cli_number(const struct cli *c, const char *option, int64_t fallback);
bool cli_flag(const struct cli *c, const char *option);
