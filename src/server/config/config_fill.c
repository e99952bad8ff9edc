/* From tree to struct, a row at a time. Lists and pairs are NULL-terminated besides their count. */
#include "server/config/config_priv.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"

static void *field(struct config_load *l, const struct config_row *r)
{
	return (char *)l->c + r->offset;
}

static void set_string(struct config_load *l, const struct config_row *r, const char *text)
{
	char **s = field(l, r);
	free(*s);
	*s = xstrdup(text);
}

static void set_int(struct config_load *l, const struct config_row *r, const char *text, int line)
{
	int64_t v;

	if (!str_to_i64(text, &v)) {
		config_problem(l, line, r->path, text, "not a whole number; write e.g. %s", r->def);
		return;
	}
	if (v <= 0 && (r->flags & CONFIG_ZERO_DEF)) {
		config_warning(l, line, r->path, text, "read as the default, %s", r->def);
		return;
	}
	if (v < r->min || v > r->max) {
		config_problem(l, line, r->path, text, "out of range; write %lld to %lld",
			(long long)r->min, (long long)r->max);
		return;
	}
	*(int64_t *)field(l, r) = v * r->scale;
}

static void set_bool(struct config_load *l, const struct config_row *r, const char *text, int line)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = {{"true", true}, {"yes", true}, {"on", true}, {"y", true}, {"false", false},
		{"no", false}, {"off", false}, {"n", false}};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcasecmp(words[i].word, text) == 0) {
			*(bool *)field(l, r) = words[i].value;
			return;
		}
	}
	config_problem(l, line, r->path, text, "neither true nor false; write one of them");
}

static void set_level(struct config_load *l, const struct config_row *r, const char *text, int line)
{
	enum log_level *level = field(l, r);

	if (log_level_parse(text, level))
		return;
	*level = LOG_INFO;
	config_warning(l, line, r->path, text,
		"no such level, info is used; write debug, info, warn or error");
}

static void set_store(struct config_load *l, const struct config_row *r, const char *text, int line)
{
	enum config_store *kind = field(l, r);

	if (strcasecmp(text, "sqlite") == 0)
		*kind = CONFIG_STORE_SQLITE;
	else if (strcasecmp(text, "etcd") == 0)
		*kind = CONFIG_STORE_ETCD;
	else if (strcasecmp(text, "mysql") == 0)
		*kind = CONFIG_STORE_MYSQL;
	else
		config_problem(l, line, r->path, text,
			"not support the meta store type, valid type: [sqlite, etcd, mysql]");
}

static void list_clear(char ***list)
{
	for (char **s = *list; s && *s; s++)
		free(*s);
	free(*list);
	*list = NULL;
}

static void list_add(char ***list, size_t *n, struct slice s)
{
	while (s.n && s.p[0] == ' ') {
		s.p++;
		s.n--;
	}
	while (s.n && s.p[s.n - 1] == ' ')
		s.n--;
	if (!s.n)
		return;
	*list = xrealloc(*list, (*n + 2) * sizeof(char *));
	(*list)[(*n)++] = xstrndup((const char *)s.p, s.n);
	(*list)[*n] = NULL;
}

/* "a:1, b:2" is read as a list too. */
static void set_list_text(struct config_load *l, const struct config_row *r, const char *text)
{
	char ***list = field(l, r);
	size_t n = 0;

	list_clear(list);
	while (*text) {
		size_t len = strcspn(text, ",");
		list_add(list, &n, slice_of(text, len));
		text += len + (text[len] == ',');
	}
	*(size_t *)(void *)((char *)l->c + r->count_offset) = n;
}

static void set_list(struct config_load *l, const struct config_row *r, const struct yml_node *node)
{
	char ***list = field(l, r);
	size_t n = 0;

	list_clear(list);
	for (size_t i = 0; i < node->n_children; i++) {
		const struct yml_node *c = &node->children[i];
		if (c->kind == YML_SCALAR)
			list_add(list, &n, slice_str(c->text));
		else
			config_problem(l, c->line, r->path, NULL, "an item is %s; write text",
				yml_kind_name(c->kind));
	}
	*(size_t *)(void *)((char *)l->c + r->count_offset) = n;
}

static void set_pairs(
	struct config_load *l, const struct config_row *r, const struct yml_node *node)
{
	char ***list = field(l, r);
	size_t n = 0;

	list_clear(list);
	*list = xcalloc(node->n_children * 2 + 1, sizeof(char *));
	for (size_t i = 0; i < node->n_children; i++) {
		const struct yml_node *c = &node->children[i];
		if (c->kind == YML_LIST || c->kind == YML_MAP) {
			config_problem(l, c->line, r->path, NULL, "%s is %s; write name: value",
				c->key, yml_kind_name(c->kind));
			continue;
		}
		if (c->other_line)
			continue;
		(*list)[n++] = xstrdup(c->key);
		(*list)[n++] = xstrdup(c->text);
	}
}

static void set_text(struct config_load *l, const struct config_row *r, const char *text, int line)
{
	switch (r->type) {
	case CONFIG_STRING:
		set_string(l, r, text);
		break;
	case CONFIG_INT:
		set_int(l, r, text, line);
		break;
	case CONFIG_BOOL:
		set_bool(l, r, text, line);
		break;
	case CONFIG_LIST:
		set_list_text(l, r, text);
		break;
	case CONFIG_LEVEL:
		set_level(l, r, text, line);
		break;
	case CONFIG_STORE:
		set_store(l, r, text, line);
		break;
	case CONFIG_PAIRS:
		if (*text)
			config_problem(l, line, r->path, text, "not a map; write {name: value}");
		break;
	case CONFIG_NOTHING:
		break;
	}
}

static void set_node(struct config_load *l, const struct config_row *r, const struct yml_node *node)
{
	if (node->kind == YML_LIST && r->type == CONFIG_LIST)
		set_list(l, r, node);
	else if (node->kind == YML_MAP && r->type == CONFIG_PAIRS)
		set_pairs(l, r, node);
	else if (node->kind != YML_SCALAR)
		config_problem(l, node->line, r->path, NULL, "%s stands where a value is expected",
			yml_kind_name(node->kind));
	else if (*node->text)
		set_text(l, r, node->text, node->line);
}

/* The older spelling wins where both stand, as it always did. */
static const struct yml_node *choose_node(struct config_load *l, const struct config_row *r)
{
	const struct yml_node *node = config_node(l, r->path);
	const struct yml_node *old = r->alias ? config_node(l, r->alias) : NULL;

	if (!old)
		return node;
	if (node)
		config_warning(l, old->line, r->alias, NULL,
			"stands beside %s (line %d) and wins as the older spelling; remove one of "
			"them",
			r->path, node->line);
	else
		config_warning(
			l, old->line, r->alias, NULL, "older spelling of %s; still read", r->path);
	return old;
}

void config_fill(struct config_load *l)
{
	for (size_t i = 0; i < config_rows_count; i++) {
		const struct config_row *r = &config_rows[i];
		if (r->type == CONFIG_NOTHING)
			continue;
		set_text(l, r, r->def, 1);
		const struct yml_node *node = choose_node(l, r);
		CLEANUP(freep)
		char *text = r->flags & CONFIG_SECRET ? config_read_file_of(l, r, node) : NULL;
		if (text)
			set_text(l, r, text, 1);
		else if (node)
			set_node(l, r, node);
	}
}
