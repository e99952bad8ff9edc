/* Events come from libyaml; the tree is built by recursion, whose depth DEPTH_MAX bounds. */
#include "base/yaml.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "base/mem.h"

enum { DEPTH_MAX = 16, NODES_MAX = 4000 };

struct reader {
	yaml_parser_t parser;
	yaml_event_t ev; /* the current one, owned */
	bool has_ev;
	int nodes;
	struct err *e;
};

static void node_done(struct yml_node *n)
{
	for (size_t i = 0; i < n->n_children; i++)
		node_done(&n->children[i]);
	free(n->children);
	free(n->key);
	free(n->text);
}

void yml_free(struct yml_node *root)
{
	if (!root)
		return;
	node_done(root);
	free(root);
}

void yml_freep(struct yml_node **root)
{
	yml_free(*root);
	*root = NULL;
}

const char *yml_kind_name(enum yml_kind k)
{
	static const char *const names[] = {"nothing", "a value", "a list", "a block of settings"};
	return names[k];
}

const struct yml_node *yml_get(const struct yml_node *n, const char *name)
{
	if (!n || n->kind != YML_MAP)
		return NULL;
	for (size_t i = n->n_children; i > 0; i--)
		if (strcasecmp(n->children[i - 1].key, name) == 0)
			return &n->children[i - 1];
	return NULL;
}

static int ev_line(const struct reader *r)
{
	return (int)r->ev.start_mark.line + 1;
}

static void drop_event(struct reader *r)
{
	if (r->has_ev)
		yaml_event_delete(&r->ev);
	r->has_ev = false;
}

static enum err_code syntax_error(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	size_t line = p->problem_mark.line ? p->problem_mark.line : p->context_mark.line;

	return err_set(r->e, ERR_INVALID, "line %zu: %s%s%s", line + 1,
		p->problem ? p->problem : "not YAML", p->context ? " " : "",
		p->context ? p->context : "");
}

static enum err_code next(struct reader *r)
{
	drop_event(r);
	if (!yaml_parser_parse(&r->parser, &r->ev))
		return syntax_error(r);
	r->has_ev = true;
	return ERR_OK;
}

static bool has_anchor(const yaml_event_t *ev)
{
	return ev->type == YAML_ALIAS_EVENT ||
	       (ev->type == YAML_SCALAR_EVENT && ev->data.scalar.anchor) ||
	       (ev->type == YAML_SEQUENCE_START_EVENT && ev->data.sequence_start.anchor) ||
	       (ev->type == YAML_MAPPING_START_EVENT && ev->data.mapping_start.anchor);
}

static enum err_code check_node(struct reader *r, int depth)
{
	if (has_anchor(&r->ev))
		return err_set(r->e, ERR_INVALID,
			"line %d: anchors and aliases (&name, *name) are not read; write the value "
			"out, "
			"or put it in quotes if it starts with & or *",
			ev_line(r));
	if (depth > DEPTH_MAX)
		return err_set(r->e, ERR_INVALID, "line %d: more than %d levels deep", ev_line(r),
			DEPTH_MAX);
	if (++r->nodes > NODES_MAX)
		return err_set(
			r->e, ERR_INVALID, "line %d: more than %d values", ev_line(r), NODES_MAX);
	return ERR_OK;
}

static bool plain_null(const char *s)
{
	return !*s || strcmp(s, "~") == 0 || strcasecmp(s, "null") == 0;
}

static enum err_code read_scalar(struct reader *r, struct yml_node *n)
{
	const char *value = (const char *)r->ev.data.scalar.value;

	if (strlen(value) != r->ev.data.scalar.length)
		return err_set(r->e, ERR_INVALID, "line %d: a zero byte in a value", ev_line(r));
	n->quoted = r->ev.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	n->kind = !n->quoted && plain_null(value) ? YML_NULL : YML_SCALAR;
	n->text = xstrdup(n->kind == YML_NULL ? "" : value);
	return ERR_OK;
}

static struct yml_node *add_child(struct yml_node *n)
{
	mem_grow(&n->children, &n->cap_children, n->n_children + 1, sizeof(*n->children));
	struct yml_node *c = &n->children[n->n_children++];
	*c = (struct yml_node){.kind = YML_NULL};
	return c;
}

static enum err_code read_node(struct reader *r, struct yml_node *n, int depth);

static enum err_code read_list(struct reader *r, struct yml_node *n, int depth)
{
	n->kind = YML_LIST;
	for (;;) {
		if (next(r))
			return r->e->code;
		if (r->ev.type == YAML_SEQUENCE_END_EVENT)
			return ERR_OK;
		struct yml_node *c = add_child(n);
		c->line = ev_line(r);
		if (read_node(r, c, depth + 1))
			return r->e->code;
	}
}

static void mark_replaced(struct yml_node *map, const struct yml_node *by)
{
	for (struct yml_node *c = map->children; c < by; c++)
		if (strcasecmp(c->key, by->key) == 0)
			c->other_line = by->line;
}

/* The current event is the key. */
static enum err_code read_pair(struct reader *r, struct yml_node *n, int depth)
{
	if (check_node(r, depth))
		return r->e->code;
	if (r->ev.type != YAML_SCALAR_EVENT)
		return err_set(
			r->e, ERR_INVALID, "line %d: a key must be a plain word", ev_line(r));
	const char *key = (const char *)r->ev.data.scalar.value;
	if (strlen(key) != r->ev.data.scalar.length)
		return err_set(r->e, ERR_INVALID, "line %d: a zero byte in a key", ev_line(r));
	struct yml_node *c = add_child(n);
	c->line = ev_line(r);
	c->key = xstrdup(key);
	mark_replaced(n, c);
	if (next(r))
		return r->e->code;
	return read_node(r, c, depth + 1);
}

static enum err_code read_map(struct reader *r, struct yml_node *n, int depth)
{
	n->kind = YML_MAP;
	for (;;) {
		if (next(r))
			return r->e->code;
		if (r->ev.type == YAML_MAPPING_END_EVENT)
			return ERR_OK;
		if (read_pair(r, n, depth))
			return r->e->code;
	}
}

/* The current event starts the node. */
static enum err_code read_node(struct reader *r, struct yml_node *n, int depth)
{
	if (check_node(r, depth))
		return r->e->code;
	if (r->ev.type == YAML_SCALAR_EVENT)
		return read_scalar(r, n);
	if (r->ev.type == YAML_SEQUENCE_START_EVENT)
		return read_list(r, n, depth);
	if (r->ev.type == YAML_MAPPING_START_EVENT)
		return read_map(r, n, depth);
	return err_set(r->e, ERR_INVALID, "line %d: a value was expected", ev_line(r));
}

static enum err_code read_document(struct reader *r, struct yml_node *root)
{
	if (next(r) || next(r)) /* stream start; document start or stream end */
		return r->e->code;
	if (r->ev.type == YAML_STREAM_END_EVENT)
		return ERR_OK;
	if (next(r) || read_node(r, root, 1))
		return r->e->code;
	if (next(r) || next(r)) /* document end; stream end or another document */
		return r->e->code;
	if (r->ev.type != YAML_STREAM_END_EVENT)
		return err_set(
			r->e, ERR_INVALID, "line %d: a second document; one is read", ev_line(r));
	return ERR_OK;
}

enum err_code yml_parse(struct slice text, struct yml_node **ret_root, struct err *e)
{
	struct err own = ERR_INIT;
	struct reader r = {.e = e ? e : &own};
	CLEANUP(yml_freep)
	struct yml_node *root = xcalloc(1, sizeof(*root));

	root->line = 1;
	if (!yaml_parser_initialize(&r.parser))
		return err_set(e, ERR_SYSTEM, "libyaml can't start a parser");
	yaml_parser_set_input_string(&r.parser, text.n ? text.p : (const uint8_t *)"", text.n);
	enum err_code code = read_document(&r, root);
	drop_event(&r);
	yaml_parser_delete(&r.parser);
	if (code == ERR_OK) {
		root->text = root->text ? root->text : xstrdup("");
		*ret_root = TAKE(root);
	}
	return code;
}
