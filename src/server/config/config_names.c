/* Names that no row has: a typing error must not pass in silence, and an old file must not fail. */
#include "server/config/config_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

enum { NAME_MAX_BYTES = 48, PATH_BYTES = 256, NEAR = 3 };

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

size_t config_name_distance(const char *a, const char *b)
{
	size_t row[NAME_MAX_BYTES + 1];
	size_t na = strlen(a), nb = strlen(b);

	if (na > NAME_MAX_BYTES || nb > NAME_MAX_BYTES)
		return NAME_MAX_BYTES;
	for (size_t j = 0; j <= nb; j++)
		row[j] = j;
	for (size_t i = 1; i <= na; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			size_t edit = diagonal + (lower(a[i - 1]) != lower(b[j - 1]));
			diagonal = row[j];
			row[j] = MIN(edit, MIN(row[j], row[j - 1]) + 1);
		}
	}
	return row[nb];
}

/* The word of path that follows prefix ("" or "a.b."); false if path is not below prefix. */
static bool word_below(const char *path, const char *prefix, char out[PATH_BYTES])
{
	size_t n = strlen(prefix);

	if (!path || strncasecmp(path, prefix, n) != 0)
		return false;
	snprintf(out, PATH_BYTES, "%.*s", (int)strcspn(path + n, "."), path + n);
	return true;
}

static void nearest(const char *prefix, const char *key, char best[PATH_BYTES])
{
	size_t least = NEAR + 1;
	char word[PATH_BYTES];

	best[0] = '\0';
	for (size_t i = 0; i < config_rows_count * 2; i++) {
		const struct config_row *r = &config_rows[i / 2];
		if (!word_below(i % 2 ? r->alias : r->path, prefix, word))
			continue;
		size_t d = config_name_distance(key, word);
		if (d < least && d < strlen(key)) {
			least = d;
			snprintf(best, PATH_BYTES, "%s", word);
		}
	}
}

static bool is_block(const char *path)
{
	char prefix[PATH_BYTES + 1], word[PATH_BYTES];

	snprintf(prefix, sizeof(prefix), "%s.", path);
	for (size_t i = 0; i < config_rows_count; i++)
		if (word_below(config_rows[i].path, prefix, word))
			return true;
	return false;
}

static void review_block(struct config_load *l, const struct yml_node *n, const char *prefix);

static void review_unknown(
	struct config_load *l, const struct yml_node *c, const char *prefix, const char *path)
{
	char best[PATH_BYTES];

	nearest(prefix, c->key, best);
	if (*best)
		config_warning(
			l, c->line, path, NULL, "unknown setting, ignored; did you mean %s?", best);
	else
		config_warning(l, c->line, path, NULL, "unknown setting, ignored");
}

static void note_no_effect(struct config *c, const char *path)
{
	char *was = c->no_effect;

	c->no_effect = xasprintf("%s%s%s", was, *was ? ", " : "", path);
	free(was);
}

static void review_key(struct config_load *l, const struct yml_node *c, const char *prefix)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s%s", prefix, c->key);
	if (c->other_line)
		config_warning(l, c->line, path, NULL,
			"given again on line %d, which counts; remove one of them", c->other_line);
	const struct config_row *r = config_row_find(path);
	if (r && (r->type == CONFIG_NOTHING || r->flags & CONFIG_NO_EFFECT))
		note_no_effect(l->c, r->path);
	if (r && r->type == CONFIG_NOTHING)
		config_warning(l, c->line, path, NULL, "has no effect: %s", r->doc);
	if (r || config_row_of_file(path))
		return;
	if (!is_block(path)) {
		review_unknown(l, c, prefix, path);
		return;
	}
	char below[PATH_BYTES + 1];
	snprintf(below, sizeof(below), "%s.", path);
	if (c->kind == YML_MAP)
		review_block(l, c, below);
	else if (c->kind != YML_NULL)
		config_problem(l, c->line, path, NULL,
			"%s stands where a block of settings is expected", yml_kind_name(c->kind));
}

static void review_block(struct config_load *l, const struct yml_node *n, const char *prefix)
{
	for (size_t i = 0; i < n->n_children; i++)
		review_key(l, &n->children[i], prefix);
}

void config_review_names(struct config_load *l)
{
	review_block(l, l->root, "");
}
