/* A YAML file as a tree of maps, lists and scalars with line numbers; thin over libyaml's events.
 * Bounded in depth and in number of nodes. Anchors and aliases are refused: a settings file needs
 * none, and a small file of aliases can stand for gigabytes. Names start with yml_, because yaml_
 * is libyaml's, which exports even yaml_free. */
#pragma once

#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"

enum yml_kind { YML_NULL, YML_SCALAR, YML_LIST, YML_MAP };

struct yml_node {
	enum yml_kind kind;
	int line;       /* from 1; of the key for a map's values */
	char *key;      /* in a map, else NULL */
	char *text;     /* scalars; "" for YML_NULL */
	bool quoted;    /* written with quotes: never a null or a bool */
	bool from_env;  /* for the owner: text is not what stands in the file */
	int other_line; /* a later value of the same key replaces this one: its line; else 0 */
	struct yml_node *children;
	size_t n_children, cap_children;
};

/* Reads the one document of text; an empty one is a YML_NULL. INVALID with "line N: ...". */
NODISCARD enum err_code yml_parse(struct slice text, struct yml_node **ret_root, struct err *e);
void yml_free(struct yml_node *root);
void yml_freep(struct yml_node **root);

/* The child of a map whose key equals name, upper and lower case alike; of several the last. NULL
 * if there is none or n is no map (or NULL). */
const struct yml_node *yml_get(const struct yml_node *n, const char *name);
const char *yml_kind_name(enum yml_kind k);
