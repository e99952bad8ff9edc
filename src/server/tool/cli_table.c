/* What the program can be asked to do. A new command is a row here, a value in enum cli_command and
 * a case in main. */
#include "server/tool/cli.h"

#define OPTIONS_COLLECTION                                                                         \
	{"--db", CLI_TEXT, "NAME", "database of --collection; default: default"},                  \
		{"--collection", CLI_TEXT, "NAME",                                                 \
			"a collection of the source, the newest of that name"},                    \
	{                                                                                          \
		"--collection-id", CLI_NUMBER, "ID", "the same by its id"                          \
	}
#define OPTION_JSON                                                                                \
	{                                                                                          \
		"--json", CLI_FLAG, NULL, "print JSON"                                             \
	}
#define OPTIONS_CHANNEL                                                                            \
	{"--channel", CLI_TEXT, "NAME", "one pchannel or vchannel, or the replicate channel"},     \
		{"--task", CLI_TEXT, "ID", "the channels of a task, from its stored positions"},   \
	{                                                                                          \
		"--from", CLI_TEXT, "POSITION",                                                    \
			"earliest, latest or a base64 MsgPosition instead of the start"            \
	}

static const struct cli_option positions_options[] = {
	OPTIONS_COLLECTION,
	{"--latest", CLI_FLAG, NULL, "where the queue ends now instead of the collection's start"},
	{"--decode", CLI_TEXT, "POSITION", "tell what a base64 position says; asks no peer"},
	OPTION_JSON,
	{.name = NULL},
};

static const struct cli_option count_options[] = {
	OPTIONS_COLLECTION,
	OPTIONS_CHANNEL,
	{"--csv", CLI_FLAG, NULL, "list all primary keys instead: op,collection_id,ts,key"},
	OPTION_JSON,
	{.name = NULL},
};

static const struct cli_option inspect_options[] = {
	OPTIONS_COLLECTION,
	OPTIONS_CHANNEL,
	{"--limit", CLI_NUMBER, "N", "stop after N messages"},
	{"--follow", CLI_FLAG, NULL, "go on when the end is reached, until interrupted"},
	{"--ticks", CLI_FLAG, NULL, "show time ticks too"},
	{"--keys", CLI_NUMBER, "N", "primary keys shown of a message; default 3"},
	OPTION_JSON,
	{.name = NULL},
};

static const struct cli_option health_options[] = {
	{"--timeout", CLI_NUMBER, "MS", "how long to wait for the answer; default 5000"},
	{.name = NULL},
};

static const struct cli_option migrate_options[] = {
	{"--from", CLI_TEXT, "FILE", "the configuration whose metaStoreConfig is read"},
	{"--to", CLI_TEXT, "FILE", "the one whose metaStoreConfig is written"},
	{"--dry-run", CLI_FLAG, NULL, "only look, and tell what would be copied"},
	{"--force", CLI_FLAG, NULL, "write over what the target holds, leave damaged records out"},
	{.name = NULL},
};

#define OPTIONS_API                                                                                \
	{"--server", CLI_TEXT, "URL",                                                              \
		"the server; else MILVUS_CDC_SERVER, else the address of the configuration"},      \
		{"--token", CLI_TEXT, "TOKEN",                                                     \
			"its bearer token; better --token-file or MILVUS_CDC_TOKEN, which ps "     \
			"does not show"},                                                          \
		{"--token-file", CLI_TEXT, "FILE", "the token is the file's first line"},          \
		{"--ca", CLI_TEXT, "FILE", "https: certificates the server's must be signed by"},  \
		{"--cert", CLI_TEXT, "FILE", "https: our certificate"},                            \
		{"--key", CLI_TEXT, "FILE", "https: its key"}, OPTION_JSON

static const struct cli_option api_options[] = {OPTIONS_API, {.name = NULL}};

static const struct cli_option create_options[] = {
	{"--request", CLI_TEXT, "FILE",
		"the request_data of docs/api.md as JSON; - is standard input"},
	{"--target", CLI_TEXT, "URI", "instead of a request: the target Milvus"},
	{"--target-token", CLI_TEXT, "TOKEN", "its user:password; else MILVUS_CDC_TARGET_TOKEN"},
	{"--collections", CLI_TEXT, "LIST",
		"db.name, db.* or name (of default), commas between; default: all"},
	{"--id", CLI_TEXT, "ID", "the task's id; else the server makes one up"},
	OPTIONS_API,
	{.name = NULL},
};

static const struct cli_option delete_options[] = {
	{"--ignore-not-found", CLI_FLAG, NULL, "a task that is not there is no failure"},
	OPTIONS_API,
	{.name = NULL},
};

static const struct cli_option watch_options[] = {
	{"--until-lag", CLI_NUMBER, "MS", "end when it runs, waits for nothing and lags no more"},
	{"--timeout", CLI_NUMBER, "S", "give up after so many seconds, with exit code 1"},
	{"--interval", CLI_NUMBER, "S", "seconds between two lines; default 2"},
	OPTIONS_API,
	{.name = NULL},
};

static const struct cli_option status_options[] = {
	{"--once", CLI_FLAG, NULL, "show it once and end"},
	{"--interval", CLI_NUMBER, "S", "seconds between two looks; default 2"},
	OPTIONS_API,
	{.name = NULL},
};

static const struct cli_option doctor_options[] = {
	{"--task", CLI_TEXT, "ID", "only this stored task"},
	{"--request", CLI_TEXT, "FILE",
		"a task that does not exist yet: the request_data of its create"},
	{"--outage", CLI_TEXT, "TIME", "how long a task may have to stand still; default 24h"},
	OPTION_JSON,
	{.name = NULL},
};

static const struct cli_option verify_options[] = {
	{"--collection", CLI_TEXT, "NAME", "only this collection of the source"},
	{"--db", CLI_TEXT, "NAME", "its database; default: default"},
	{"--rate", CLI_NUMBER, "ROWS", "rows to compare in a second at most"},
	{"--state", CLI_TEXT, "FILE", "keeps the progress there, and goes on from it"},
	{"--wait", CLI_NUMBER, "S",
		"for the task to reach the present; default 60, or 25 checkpointIntervals"},
	{"--repair", CLI_FLAG, NULL,
		"let the server make rows that differ what they are at the source"},
	OPTIONS_API,
	{.name = NULL},
};

const struct cli_row cli_rows[] = {
	{CLI_SERVER, "server", .help = "replicate and serve the API (without a command too)"},
	{CLI_CHECK_CONFIG, "check-config",
		.help = "check the configuration, report every problem, start nothing"},
	{CLI_HEALTH, "health", .help = "ask the running server whether it is well",
		.more = "For health checks of containers and scripts: GET /healthz of the address "
			"in the\nconfiguration. Exit code 0 if it is.\n",
		.options = health_options},
	{CLI_PRINT_DOCS, "print-docs", .words = "PAGE", .word_needed = true,
		.help = "print a page made from the code",
		.more = "PAGE is config, sample, metrics, api, openapi, doctor, cli or man.\n"},
	{CLI_POSITIONS, "positions", .help = "print the start positions of a collection",
		.more = "For the positions of a create request. Reads the source's etcd (and with "
			"--latest its queue).\n",
		.options = positions_options},
	{CLI_COUNT, "count", .help = "count messages and rows of channels of the source",
		.more = "From the start (of a collection), the stored positions (of a task) or "
			"--from "
			"to the end\nof the topic as it is now. Reads only.\n",
		.options = count_options},
	{CLI_INSPECT, "inspect", .help = "print the messages of channels of the source",
		.more = "From the same places as count, one line a message. Reads only.\n",
		.options = inspect_options},
	{CLI_MIGRATE_STORE, "migrate-store",
		.help = "copy tasks and positions to another metastore",
		.more = "From sqlite, etcd or mysql to any of them; reads back what it wrote. The "
			"target is empty, or\nholds part of the same from a copy that was cut off. "
			"No "
			"server may run on either.\n",
		.options = migrate_options},
	{CLI_DOCTOR, "doctor", .help = "find out what is wrong with the set-up, and how to mend it",
		.more = "Looks at the source's etcd and queue, the metastore, the tasks' targets, "
			"certificates,\nports and limits. Reads only; may run beside the server. "
			"docs/doctor.md has all findings.\nExit code: 0 in order, 1 warnings, 2 "
			"errors.\n",
		.options = doctor_options},
	{CLI_TASK_CREATE, "task create", .help = "make a task and start it",
		.more = "Prints its id; what the server warns of goes to standard error.\n",
		.options = create_options},
	{CLI_TASK_LIST, "task list", .help = "all tasks, a line each", .options = api_options},
	{CLI_TASK_GET, "task get", .words = "TASK", .word_needed = true,
		.help = "all about one task", .options = api_options},
	{CLI_TASK_PAUSE, "task pause", .words = "TASK", .word_needed = true,
		.help = "stop a task; it stays stopped over a restart", .options = api_options},
	{CLI_TASK_RESUME, "task resume", .words = "TASK", .word_needed = true,
		.help = "start a stopped task where it was", .options = api_options},
	{CLI_TASK_DELETE, "task delete", .words = "TASK", .word_needed = true,
		.help = "stop a task and forget it and its positions", .options = delete_options},
	{CLI_TASK_POSITION, "task position", .words = "TASK",
		.help = "where a task is in the source's channels; without TASK: all tasks",
		.options = api_options},
	{CLI_TASK_WATCH, "task watch", .words = "TASK", .word_needed = true,
		.help = "a line every two seconds: state, lag, rows, what it waits for",
		.options = watch_options},
	{CLI_STATUS, "status", .help = "all tasks, live", .options = status_options},
	{CLI_VERIFY, "verify", .words = "TASK", .word_needed = true,
		.help = "prove that source and target of a task are equal",
		.more = "Compares every row of the task's collections while they are replicated. "
			"Reads the source\nat sourceConfig.milvus; collections must be loaded on "
			"both sides. Exit code: 0 identical,\n1 different, 2 not known.\n",
		.options = verify_options},
	{CLI_COMPLETION, "completion", .help = "print the completion for bash",
		.more = "Put it where bash looks for it:\n"
			"  milvus-cdc completion > /etc/bash_completion.d/milvus-cdc\n"},
	{.name = NULL},
};
