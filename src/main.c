/* Arguments and signals; no logic. */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>

#include "base/buf.h"
#include "server/tool/cli.h"
#include "server/docs.h"
#include "server/tool/health.h"
#include "server/server.h"
#include "server/tool/tool_count.h"
#include "server/tool/tool_doctor.h"
#include "server/tool/tool_inspect.h"
#include "server/tool/tool_migrate.h"
#include "server/tool/tool_positions.h"
#include "server/tool/tool_task.h"
#include "server/tool/tool_verify.h"

enum { TEXT_BYTES = 1 << 20, ARENAS = 2 };

/* Signals are taken by the main thread alone; writes to closed connections are plain errors. */
static void set_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* Messages are allocated by readers and freed by target channels: with an arena a thread each would
 * keep its own peak. */
static void set_memory(void)
{
	mallopt(M_ARENA_MAX, ARENAS);
}

int main(int argc, char **argv)
{
	static const char version[] = CDC_VERSION " (" CDC_COMMIT ")";
	CLEANUP(buf_done) struct buf out = BUF_INIT(TEXT_BYTES);
	struct cli cli;

	int code = cli_parse(argc, argv, version, &cli, &out);
	if (code) {
		fputs(buf_cstr(&out), stderr);
		return code;
	}
	switch (cli.command) {
	case CLI_SERVER:
		set_memory();
		set_signals();
		return server_main(cli.config_path, version);
	case CLI_CHECK_CONFIG:
		return server_check_config(cli.config_path);
	case CLI_HEALTH:
		return health_main(&cli);
	case CLI_PRINT_DOCS:
		if (!docs_write(cli.word, &out)) {
			fprintf(stderr, "there is no page named %s\n", cli.word);
			return CLI_USAGE_ERROR;
		}
		break;
	case CLI_POSITIONS:
		return tool_positions_main(&cli);
	case CLI_COUNT:
		return tool_count_main(&cli);
	case CLI_INSPECT:
		return tool_inspect_main(&cli);
	case CLI_MIGRATE_STORE:
		return tool_migrate_main(&cli);
	case CLI_DOCTOR:
		return tool_doctor_main(&cli);
	case CLI_TASK_CREATE:
	case CLI_TASK_LIST:
	case CLI_TASK_GET:
	case CLI_TASK_PAUSE:
	case CLI_TASK_RESUME:
	case CLI_TASK_DELETE:
	case CLI_TASK_POSITION:
	case CLI_TASK_WATCH:
		return tool_task_main(&cli);
	case CLI_STATUS:
		return tool_status_main(&cli);
	case CLI_VERIFY:
		return tool_verify_main(&cli);
	case CLI_COMPLETION:
		cli_completion_write(&out);
		break;
	case CLI_DONE:
		break;
	}
	fputs(buf_cstr(&out), stdout);
	return 0;
}
