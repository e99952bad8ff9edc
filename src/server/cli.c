#include "server/cli.h"

#include <string.h>
#include <unistd.h>

#include "base/str.h"

static const char usage[] =
	"Usage: milvus-cdc COMMAND [OPTION]\n"
	"Keeps Milvus clusters, or a Kafka topic, equal to a source Milvus.\n\n"
	"Commands:\n"
	"  server         replicate and serve the API (without a command too)\n"
	"  check-config   check the configuration, report every problem, start nothing\n"
	"  print-docs P   print a page made from the code: config, sample, metrics or api\n\n"
	"Options:\n"
	"  --config FILE  the configuration; else ./configs/cdc.yaml, else\n"
	"                 ./server/configs/cdc.yaml\n"
	"  --version, -V  version and commit\n"
	"  --help, -h     this text\n\n"
	"Exit code: 0 well, 1 failed, 2 wrong arguments.\n";

static const char *default_config(void)
{
	static const char *const places[] = {"configs/cdc.yaml", "server/configs/cdc.yaml"};

	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (access(places[i], F_OK) == 0)
			return places[i];
	return places[0];
}

static int complain(struct buf *out, const char *what, const char *arg)
{
	buf_putf(out, "milvus-cdc: %s%s\nTry: milvus-cdc --help\n", what, arg);
	return CLI_USAGE_ERROR;
}

static bool is_command(const char *arg, enum cli_command *ret)
{
	static const struct {
		const char *name;
		enum cli_command command;
	} names[] = {{"server", CLI_SERVER}, {"check-config", CLI_CHECK_CONFIG},
		{"print-docs", CLI_PRINT_DOCS}};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i].name, arg) == 0) {
			*ret = names[i].command;
			return true;
		}
	}
	return false;
}

/* --config=F or --config F; *i moves past what was used. NULL if the file is missing. */
static const char *config_value(int argc, char *const *argv, int *i)
{
	const char *arg = argv[*i];

	if (arg[8] == '=')
		return arg[9] ? arg + 9 : NULL;
	return *i + 1 < argc && *argv[*i + 1] ? argv[++*i] : NULL;
}

static bool is_one_of(const char *arg, const char *a, const char *b)
{
	return strcmp(arg, a) == 0 || strcmp(arg, b) == 0;
}

/* Words that are not options: the command, then what it wants. */
static int take_word(const char *arg, struct cli *c, bool *has_command, struct buf *out)
{
	if (!*has_command) {
		*has_command = true;
		return is_command(arg, &c->command) ? 0 : complain(out, "unknown command ", arg);
	}
	if (c->command == CLI_PRINT_DOCS && !c->doc) {
		c->doc = arg;
		return 0;
	}
	return complain(out, "unexpected argument ", arg);
}

int cli_parse(int argc, char *const *argv, const char *version, struct cli *ret_c, struct buf *out)
{
	bool has_command = false;

	*ret_c = (struct cli){.command = CLI_SERVER};
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];
		if (is_one_of(arg, "--help", "-h") || is_one_of(arg, "--version", "-V")) {
			buf_putf(out, "%s%s", arg[1] == 'h' || arg[2] == 'h' ? usage : version,
				arg[1] == 'h' || arg[2] == 'h' ? "" : "\n");
			ret_c->command = CLI_DONE;
			return 0;
		}
		if (strcmp(arg, "--config") == 0 || str_starts(arg, "--config=")) {
			ret_c->config_path = config_value(argc, argv, &i);
			if (!ret_c->config_path)
				return complain(out, "--config wants a file", "");
			continue;
		}
		if (arg[0] == '-')
			return complain(out, "unknown option ", arg);
		if (take_word(arg, ret_c, &has_command, out))
			return CLI_USAGE_ERROR;
	}
	if (ret_c->command == CLI_PRINT_DOCS && !ret_c->doc)
		return complain(out, "print-docs wants a page: config, sample, metrics or api", "");
	if (!ret_c->config_path)
		ret_c->config_path = default_config();
	return 0;
}
