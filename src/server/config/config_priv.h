/* What the files of the configuration share. */
#pragma once

#include "base/yaml.h"
#include "server/config/config_table.h"

/* One reading of one file. Findings are written at once; nothing stops at the first. */
struct config_load {
	struct config *c;
	const char *path;
	const struct yml_node *root;
	struct buf *problems, *warnings;
};

/* Appends "path:line: setting = "value": text". setting and value may be NULL; a value of a secret
 * setting is masked. */
void config_problem(struct config_load *l, int line, const char *setting, const char *value,
	const char *fmt, ...) PRINTF(5, 6);
void config_warning(struct config_load *l, int line, const char *setting, const char *value,
	const char *fmt, ...) PRINTF(5, 6);

const struct config_row *config_row_find(const char *path); /* by path or alias, any case */
/* The setting's node, NULL if it is not there or empty. */
const struct yml_node *config_node(const struct config_load *l, const char *path);
/* The line of the setting, else of the innermost block around it, else 1. */
int config_line(const struct config_load *l, const char *path);

/* Puts the environment's values in place of ${NAME} in every value below n; $${NAME} is ${NAME}. */
void config_expand(struct config_load *l, struct yml_node *n);
/* The secret row r for which "<r's path>File" is path; NULL if path names no such setting. */
const struct config_row *config_row_of_file(const char *path);
/* The text of the file that r's "File" setting names; NULL if there is none, or after a problem.
 * other is the setting of the secret itself, which must not stand beside it. Heap. */
char *config_read_file_of(
	struct config_load *l, const struct config_row *r, const struct yml_node *other);

/* Fills every row: default, then what the file says. */
void config_fill(struct config_load *l);
/* Warnings for unknown names, repeated keys and settings without effect. */
void config_review_names(struct config_load *l);
/* Checks that need more than one row or the world outside: addresses, files, what excludes what. */
void config_check(struct config_load *l);

/* b gets lower <= d edits; the distance of Levenshtein, capped. For "did you mean". */
size_t config_name_distance(const char *a, const char *b);
