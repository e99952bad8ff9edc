#include "server/tool/cli.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "server/config/config.h"

enum { COLUMN = 20 };

const struct cli_option cli_common[] = {
	{"--config", CLI_TEXT, "FILE",
		"the configuration; else ./configs/cdc.yaml, ./server/configs/cdc.yaml, "
		"/etc/milvus-cdc/cdc.yaml"},
	{"--version", CLI_FLAG, NULL, "version and commit (-V)"},
	{"--help", CLI_FLAG, NULL, "this text, or that of the command (-h)"},
	{.name = NULL},
};

static const char *default_config(void)
{
	static const char *const places[] = {
		"configs/cdc.yaml", "server/configs/cdc.yaml", CONFIG_SYSTEM_FOLDER "/cdc.yaml"};

	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (access(places[i], F_OK) == 0)
			return places[i];
	return places[0];
}

/* ---- help ---- */

static void put_line(struct buf *out, const char *name, const char *value, const char *help)
{
	char left[64];

	snprintf(left, sizeof(left), "%s%s%s", name, value ? " " : "", value ? value : "");
	buf_putf(out, "  %-*s %s\n", COLUMN, left, help);
}

static void put_options(struct buf *out, const char *title, const struct cli_option *o)
{
	if (!o)
		return;
	buf_put_str(out, title);
	for (; o->name; o++)
		put_line(out, o->name, o->value, o->help);
}

static void put_usage(struct buf *out)
{
	buf_put_str(out, "Usage: milvus-cdc COMMAND [OPTION]\n"
			 "Keeps Milvus clusters, or a Kafka topic, equal to a source Milvus.\n\n"
			 "Commands:\n");
	for (const struct cli_row *r = cli_rows; r->name; r++)
		put_line(out, r->name, r->words, r->help);
	put_options(out, "\nOptions:\n", cli_common);
	buf_put_str(out, "\nmilvus-cdc COMMAND --help tells more of a command.\n"
			 "Exit code: 0 well, 1 failed, 2 wrong arguments, 3 no server answers "
			 "(task, status).\n");
}

static void put_help(struct buf *out, const struct cli_row *r)
{
	buf_putf(out, "Usage: milvus-cdc %s%s%s [OPTION]\n%s\n", r->name, r->words ? " " : "",
		r->words ? r->words : "", r->help);
	if (r->more)
		buf_putf(out, "\n%s", r->more);
	put_options(out, "\nOptions:\n", r->options);
	put_options(out, r->options ? "" : "\nOptions:\n", cli_common);
}

/* ---- parsing ---- */

struct parser {
	int argc, i;
	char *const *argv;
	struct cli *c;
	struct buf *out;
	bool help, version;
};

static int complain(struct buf *out, const char *what, const char *arg)
{
	buf_putf(out, "milvus-cdc: %s%s\nTry: milvus-cdc --help\n", what, arg);
	return CLI_USAGE_ERROR;
}

/* --config wants a file, --limit wants a number */
static int complain_value(struct buf *out, const struct cli_option *o)
{
	char text[96];
	bool file = strcmp(o->value, "FILE") == 0;

	snprintf(text, sizeof(text), "%s wants %s", o->name,
		o->kind == CLI_NUMBER ? "a number"
		: file                ? "a file"
				      : o->value);
	return complain(out, text, "");
}

static const struct cli_row *row_of(const char *name)
{
	for (const struct cli_row *r = cli_rows; r->name; r++)
		if (strcmp(r->name, name) == 0)
			return r;
	return NULL;
}

/* arg is --name or --name=value. */
static const struct cli_option *option_of(const struct cli_option *o, const char *arg)
{
	size_t n = strcspn(arg, "=");

	for (; o && o->name; o++)
		if (strlen(o->name) == n && memcmp(o->name, arg, n) == 0)
			return o;
	return NULL;
}

/* What follows =, or the next argument; NULL if there is none. */
static const char *value_of(struct parser *p, const char *arg)
{
	const char *equals = strchr(arg, '=');

	if (equals)
		return equals[1] ? equals + 1 : NULL;
	return p->i + 1 < p->argc && *p->argv[p->i + 1] ? p->argv[++p->i] : NULL;
}

static int take_value(struct parser *p, const struct cli_option *o, const char *value)
{
	int64_t number;

	if (!value || (o->kind == CLI_NUMBER && !str_to_i64(value, &number)))
		return complain_value(p->out, o);
	if (strcmp(o->name, "--config") == 0) {
		p->c->config_path = value;
		return 0;
	}
	if (p->c->n_given == CLI_GIVEN_MAX)
		return complain(p->out, "too many options", "");
	p->c->given[p->c->n_given++] = (struct cli_given){.option = o, .value = value};
	return 0;
}

static int take_option(struct parser *p, const char *arg)
{
	const struct cli_option *o = option_of(cli_common, arg);

	if (strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0) {
		p->help = true;
		return 0;
	}
	if (strcmp(arg, "-V") == 0 || strcmp(arg, "--version") == 0) {
		p->version = true;
		return 0;
	}
	if (!o)
		o = option_of(p->c->row->options, arg);
	if (!o || (o->kind == CLI_FLAG && strchr(arg, '=')))
		return complain(p->out, "unknown option ", arg);
	return take_value(p, o, o->kind == CLI_FLAG ? "" : value_of(p, arg));
}

static bool is_common(const char *arg)
{
	return strcmp(arg, "-h") == 0 || strcmp(arg, "-V") == 0 || option_of(cli_common, arg);
}

/* The row of one word, or of this one and the next: "task list". *ret_words is how many it took. */
static const struct cli_row *row_at(const struct parser *p, int at, int *ret_words)
{
	char both[64];

	*ret_words = 1;
	const struct cli_row *r = row_of(p->argv[at]);
	if (r || at + 1 >= p->argc)
		return r;
	*ret_words = 2;
	snprintf(both, sizeof(both), "%s %s", p->argv[at], p->argv[at + 1]);
	return row_of(both);
}

/* The first word of a command that has a second one. */
static bool is_half(const char *word)
{
	size_t n = strlen(word);

	for (const struct cli_row *r = cli_rows; r->name; r++)
		if (strncmp(r->name, word, n) == 0 && r->name[n] == ' ')
			return true;
	return false;
}

static int complain_half(struct buf *out, const char *word)
{
	size_t n = strlen(word);
	const char *sep = "";

	buf_putf(out, "milvus-cdc: %s what? ", word);
	for (const struct cli_row *r = cli_rows; r->name; r++)
		if (strncmp(r->name, word, n) == 0 && r->name[n] == ' ') {
			buf_putf(out, "%s%s", sep, r->name + n + 1);
			sep = ", ";
		}
	buf_put_str(out, "\nTry: milvus-cdc --help\n");
	return CLI_USAGE_ERROR;
}

/* The command is found first: its options stand behind it, those of all commands anywhere. */
static int find_command(struct parser *p, int *ret_at, int *ret_words)
{
	*ret_at = *ret_words = 0;
	p->c->row = &cli_rows[0];
	for (int i = 1; i < p->argc; i++) {
		const char *arg = p->argv[i];
		if (strcmp(arg, "--config") == 0) {
			i++;
			continue;
		}
		if (arg[0] == '-' && is_common(arg))
			continue;
		if (arg[0] == '-')
			return complain(p->out, "unknown option ", arg);
		p->c->row = row_at(p, i, ret_words);
		*ret_at = i;
		if (!p->c->row && is_half(arg))
			return complain_half(p->out, arg);
		return p->c->row ? 0 : complain(p->out, "unknown command ", arg);
	}
	return 0;
}

static int take_all(struct parser *p, int command_at, int words)
{
	const struct cli_row *r = p->c->row;

	for (p->i = 1; p->i < p->argc; p->i++) {
		const char *arg = p->argv[p->i];
		if (p->i >= command_at && p->i < command_at + words)
			continue;
		if (arg[0] == '-') {
			if (take_option(p, arg))
				return CLI_USAGE_ERROR;
		} else if (r->words && !p->c->word) {
			p->c->word = arg;
		} else {
			return complain(p->out, "unexpected argument ", arg);
		}
	}
	return 0;
}

static int done(struct parser *p)
{
	p->c->command = CLI_DONE;
	return 0;
}

int cli_parse(int argc, char *const *argv, const char *version, struct cli *ret_c, struct buf *out)
{
	struct parser p = {.argc = argc, .argv = argv, .c = ret_c, .out = out};
	int command_at, words;

	*ret_c = (struct cli){.row = NULL};
	if (find_command(&p, &command_at, &words) || take_all(&p, command_at, words))
		return CLI_USAGE_ERROR;
	const struct cli_row *r = ret_c->row;
	ret_c->command = r->command;
	if (p.version) {
		buf_putf(out, "%s\n", version);
		return done(&p);
	}
	if (p.help) {
		if (command_at)
			put_help(out, r);
		else
			put_usage(out);
		return done(&p);
	}
	if (r->word_needed && !ret_c->word) {
		buf_putf(out, "milvus-cdc: %s wants a %s\nTry: milvus-cdc %s --help\n", r->name,
			r->words, r->name);
		return CLI_USAGE_ERROR;
	}
	if (!ret_c->config_path)
		ret_c->config_path = default_config();
	return 0;
}

const char *cli_text(const struct cli *c, const char *option)
{
	for (size_t i = c->n_given; i-- > 0;)
		if (strcmp(c->given[i].option->name, option) == 0)
			return c->given[i].value;
	return NULL;
}

int64_t cli_number(const struct cli *c, const char *option, int64_t fallback)
{
	const char *text = cli_text(c, option);
	int64_t v;

	return text && str_to_i64(text, &v) ? v : fallback;
}

bool cli_flag(const struct cli *c, const char *option)
{
	return cli_text(c, option) != NULL;
}
