/* Secrets that stand elsewhere: ${NAME} in any value is taken from the environment, and beside every
 * secret setting stands one with "File" behind its name, whose value names a file that holds it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/mem.h"
#include "server/config/config_priv.h"

enum { SECRET_BYTES = 64 << 10, NAME_BYTES = 128 };

#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LOWER "abcdefghijklmnopqrstuvwxyz"

/* The length of "${NAME}" at s, 0 if it is none; name gets NAME. */
static size_t reference(const char *s, char name[NAME_BYTES])
{
	if (s[0] != '$' || s[1] != '{')
		return 0;
	size_t n = strspn(s + 2, UPPER LOWER "_0123456789");
	if (!n || n >= NAME_BYTES || s[n + 2] != '}' || strchr("0123456789", s[2]))
		return 0;
	memcpy(name, s + 2, n);
	name[n] = '\0';
	return n + 3;
}

static void put_variable(
	struct config_load *l, const struct yml_node *n, const char *name, struct buf *out)
{
	const char *value = getenv(name);

	if (!value)
		config_problem(l, n->line, NULL, NULL,
			"%s: ${%s} is not set in the environment; set it, or write $${%s} if these "
			"characters are meant",
			n->key ? n->key : "a list", name, name);
	else
		buf_put_str(out, value);
}

static void expand_text(struct config_load *l, struct yml_node *n)
{
	CLEANUP(buf_done) struct buf out = BUF_INIT(SECRET_BYTES);
	char name[NAME_BYTES];
	const char *s = n->text;

	while (*s) {
		size_t len = reference(s, name);
		bool quoted = s[0] == '$' && s[1] == '$' && reference(s + 1, name);
		if (len)
			put_variable(l, n, name, &out);
		else
			buf_put_u8(&out, (uint8_t)*s);
		n->from_env |= len > 0;
		s += len ? len : 1 + (size_t)quoted;
		if (quoted) { /* of $${NAME} one dollar goes, and the rest stays as it is */
			buf_put(&out, s, strcspn(s, "}"));
			s += strcspn(s, "}");
		}
	}
	if (buf_failed(&out))
		config_problem(l, n->line, NULL, NULL, "longer than %d bytes", SECRET_BYTES);
	buf_put_u8(&out, '\0');
	free(n->text);
	n->text = buf_take(&out);
}

void config_expand(struct config_load *l, struct yml_node *n)
{
	if (n->kind == YML_SCALAR && strstr(n->text, "${"))
		expand_text(l, n);
	for (size_t i = 0; i < n->n_children; i++)
		config_expand(l, &n->children[i]);
}

/* ---- files ---- */

static bool is_file_of(const struct config_row *r, const char *name, const char *path)
{
	size_t n = name ? strlen(name) : 0;

	return n && r->type == CONFIG_STRING && (r->flags & CONFIG_SECRET) &&
	       strncasecmp(path, name, n) == 0 && strcasecmp(path + n, "File") == 0;
}

const struct config_row *config_row_of_file(const char *path)
{
	for (size_t i = 0; i < config_rows_count; i++)
		if (is_file_of(&config_rows[i], config_rows[i].path, path))
			return &config_rows[i];
	return NULL;
}

/* The file without the line end it was written with; NULL with the reason in why. */
static char *read_secret(const char *path, char *why, size_t why_bytes)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(SECRET_BYTES);
	struct err e = ERR_INIT;

	if (file_read(path, &b, &e) == ERR_SYSTEM) {
		snprintf(why, why_bytes, "can't be read: %s", strerror(e.origin));
		return NULL;
	}
	while (b.n && (b.p[b.n - 1] == '\n' || b.p[b.n - 1] == '\r'))
		b.n--;
	if (e.code || !b.n || memchr(b.p, 0, b.n) || memchr(b.p, '\n', b.n)) {
		snprintf(why, why_bytes, "holds no secret: one line of text is wanted");
		return NULL;
	}
	return buf_take(&b);
}

char *config_read_file_of(
	struct config_load *l, const struct config_row *r, const struct yml_node *other)
{
	char path[NAME_BYTES * 2], why[128];

	snprintf(path, sizeof(path), "%sFile", r->path);
	const struct yml_node *n = config_node(l, path);
	if (!n)
		return NULL;
	if (n->kind != YML_SCALAR || other) {
		config_problem(l, n->line, path, NULL,
			other ? "the secret itself is given as well; remove one of them"
			      : "not the name of a file");
		return NULL;
	}
	char *text = read_secret(n->text, why, sizeof(why));
	if (!text)
		config_problem(l, n->line, path, n->text, "%s", why);
	return text;
}
