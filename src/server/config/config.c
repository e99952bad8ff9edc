/* Loading: read the file, make a tree, fill the rows, check. The struct is published only if
 * nothing is wrong; every finding goes to the caller's buffers, which log or print them. */
#include "server/config/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "server/config/config_priv.h"

enum { SHOWN_BYTES = 80 };

/* Cut and without control characters, so that a finding is one line. */
static void put_clean(struct buf *b, const char *text)
{
	size_t n = strnlen(text, SHOWN_BYTES);

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];
		buf_put_u8(b, c < 0x20 || c == 0x7f ? '?' : c);
	}
	if (text[n])
		buf_put_str(b, "...");
}

static void PRINTF(6, 0) put_finding(struct buf *b, const struct config_load *l, int line,
	const char *setting, const char *value, const char *fmt, va_list ap)
{
	const struct config_row *r = setting ? config_row_find(setting) : NULL;
	char text[512];

	vsnprintf(text, sizeof(text), fmt, ap);
	buf_putf(b, "%s:%d: ", l->path, line);
	if (setting)
		put_clean(b, setting);
	if (setting && value) {
		buf_put_str(b, " = \"");
		put_clean(b, r && (r->flags & CONFIG_SECRET) && *value ? "***" : value);
		buf_put_u8(b, '"');
	}
	buf_putf(b, "%s%s\n", setting ? ": " : "", text);
}

void config_problem(struct config_load *l, int line, const char *setting, const char *value,
	const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	put_finding(l->problems, l, line, setting, value, fmt, ap);
	va_end(ap);
}

void config_warning(struct config_load *l, int line, const char *setting, const char *value,
	const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	put_finding(l->warnings, l, line, setting, value, fmt, ap);
	va_end(ap);
}

const struct config_row *config_row_find(const char *path)
{
	for (size_t i = 0; i < config_rows_count; i++) {
		const struct config_row *r = &config_rows[i];
		if (strcasecmp(r->path, path) == 0 || (r->alias && strcasecmp(r->alias, path) == 0))
			return r;
	}
	return NULL;
}

/* Walks down path as far as the file goes; *ret_whole says whether it went to the end. */
static const struct yml_node *walk(const struct config_load *l, const char *path, bool *ret_whole)
{
	const struct yml_node *n = l->root;
	char part[64];

	for (;;) {
		size_t len = strcspn(path, ".");
		snprintf(part, sizeof(part), "%.*s", (int)len, path);
		const struct yml_node *c = yml_get(n, part);
		*ret_whole = c && !path[len];
		if (!c || !path[len])
			return c ? c : n;
		n = c;
		path += len + 1;
	}
}

const struct yml_node *config_node(const struct config_load *l, const char *path)
{
	bool whole;
	const struct yml_node *n = walk(l, path, &whole);
	bool empty = n->kind == YML_NULL || (n->kind == YML_LIST && !n->n_children);
	return whole && !empty ? n : NULL;
}

int config_line(const struct config_load *l, const char *path)
{
	bool whole;
	return walk(l, path, &whole)->line;
}

/* The parser's "line N: text" becomes "path:N: text". */
static void syntax_problem(struct config_load *l, const struct err *pe)
{
	int line = 1, at = 0;

	if (sscanf(pe->text, "line %d: %n", &line, &at) != 1)
		at = 0;
	config_problem(l, line, NULL, NULL, "%s", pe->text + at);
}

static void read_tree(struct config_load *l, struct yml_node *root)
{
	config_expand(l, root);
	config_fill(l);
	config_review_names(l);
	config_check(l);
}

static void freep_config(struct config **c)
{
	config_free(*c);
}

enum err_code config_load(const char *path, struct config **ret_c, struct buf *problems,
	struct buf *warnings, struct err *e)
{
	CLEANUP(buf_done)
	struct buf text = BUF_INIT(LIMIT_CONFIG_FILE);
	CLEANUP(freep_config)
	struct config *c = xcalloc(1, sizeof(*c));
	CLEANUP(yml_freep)
	struct yml_node *root = NULL;
	struct config_load l = {.c = c, .path = path, .problems = problems, .warnings = warnings};
	struct err pe = ERR_INIT;
	size_t before = problems->n;

	c->path = xstrdup(path);
	c->no_effect = xstrdup("");
	if (file_read(path, &text, &pe))
		buf_putf(problems, "%s: give a readable file with --config\n", pe.text);
	else if (yml_parse(buf_slice(&text), &root, &pe))
		syntax_problem(&l, &pe);
	else if ((l.root = root)->kind != YML_MAP && root->kind != YML_NULL)
		config_problem(
			&l, root->line, NULL, NULL, "the file must hold settings, name: value");
	else
		read_tree(&l, root);
	if (problems->n > before)
		return err_set(e, ERR_INVALID, "the configuration %s can't be used", path);
	*ret_c = TAKE(c);
	return ERR_OK;
}

void config_free(struct config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < config_rows_count; i++) {
		const struct config_row *r = &config_rows[i];
		void *at = (char *)c + r->offset;
		if (r->type == CONFIG_STRING)
			freep(at);
		if (r->type != CONFIG_LIST && r->type != CONFIG_PAIRS)
			continue;
		char **list = *(char ***)at;
		for (char **s = list; s && *s; s++)
			free(*s);
		free(list);
	}
	free(c->path);
	free(c->no_effect);
	free(c);
}
