#include "server/api/api_decode.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"
#include "model/task.h"

enum { ERRORS_MAX = 64, SHOWN_BYTES = 1024 };

/* One decoding; the texts are sorted before they are joined. */
struct decoding {
	char *errors[ERRORS_MAX];
	size_t n;
};

static void decode_struct(struct decoding *d, const struct api_struct *s, const json_t *j, void *to,
	const char *path);

/* jansson's iterators want a json_t * but change nothing. */
static json_t *iterable(const json_t *j)
{
	return (json_t *)(uintptr_t)j;
}

/* --- how Go prints a decoded JSON value --- */

static const char *go_type(const json_t *j)
{
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		return "map[string]interface {}";
	case JSON_ARRAY:
		return "[]interface {}";
	case JSON_STRING:
		return "string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "float64";
	case JSON_TRUE:
	case JSON_FALSE:
		return "bool";
	case JSON_NULL:
		return "nil";
	}
	return "";
}

static const char *go_kind(const json_t *j)
{
	if (json_is_object(j))
		return "map";
	return json_is_array(j) ? "slice" : go_type(j);
}

static void go_print(struct buf *b, const json_t *j, int depth);

/* Go's %v of a float64, which every number of JSON is there: the fewest digits that read back, with
 * an exponent from 1e+06 on and below 1e-04. */
static void go_print_number(struct buf *b, double v)
{
	char text[40];
	int digits = 0;

	do
		snprintf(text, sizeof(text), "%.*e", digits, v);
	while (strtod(text, NULL) != v && ++digits < 17);
	const char *e = strchr(text, 'e');
	int64_t exponent = 0;
	if (e && slice_to_i64(slice_str(e + (e[1] == '+' ? 2 : 1)), &exponent) && exponent >= -4 &&
		exponent < 6)
		snprintf(text, sizeof(text), "%.*f", MAX(digits - (int)exponent, 0), v);
	buf_put_str(b, text);
}

static int by_text(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;
	return strcmp(*x, *y);
}

static void go_print_object(struct buf *b, const json_t *j, int depth)
{
	size_t n = json_object_size(j), i = 0;
	const char **keys = xcalloc(n + 1, sizeof(*keys));
	const char *key;
	json_t *v;

	json_object_foreach (iterable(j), key, v)
		keys[i++] = key;
	qsort(keys, n, sizeof(*keys), by_text);
	buf_put_str(b, "map[");
	for (i = 0; i < n; i++) {
		buf_putf(b, "%s%s:", i ? " " : "", keys[i]);
		go_print(b, json_object_get(j, keys[i]), depth + 1);
	}
	buf_put_u8(b, ']');
	free(keys);
}

/* Only for error texts: the cap of b and of the depth keep them short. */
static void go_print(struct buf *b, const json_t *j, int depth)
{
	if (depth > 8 || buf_failed(b))
		return;
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		go_print_object(b, j, depth);
		break;
	case JSON_ARRAY:
		buf_put_u8(b, '[');
		for (size_t i = 0; i < json_array_size(j); i++) {
			buf_put_str(b, i ? " " : "");
			go_print(b, json_array_get(j, i), depth + 1);
		}
		buf_put_u8(b, ']');
		break;
	case JSON_STRING:
		buf_put_str(b, json_string_value(j));
		break;
	case JSON_INTEGER:
	case JSON_REAL:
		go_print_number(b, json_number_value(j));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		buf_put_str(b, json_is_true(j) ? "true" : "false");
		break;
	case JSON_NULL:
		buf_put_str(b, "<nil>");
		break;
	}
}

/* --- errors --- */

static void add_error(struct decoding *d, char *text)
{
	if (d->n < ERRORS_MAX)
		d->errors[d->n++] = text;
	else
		free(text);
}

static void wrong_type(struct decoding *d, const struct api_field *f, const char *path,
	const char *expected, const json_t *j)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(SHOWN_BYTES);

	if (f->flags & API_SECRET)
		buf_put_str(&b, "***");
	else
		go_print(&b, j, 0);
	add_error(
		d, xasprintf("* '%s' expected type '%s', got unconvertible type '%s', value: '%s'",
			   path, expected, go_type(j), buf_failed(&b) ? "..." : buf_cstr(&b)));
}

static bool want_object(struct decoding *d, const json_t *j, const char *path)
{
	if (json_is_object(j))
		return true;
	add_error(d, xasprintf("* '%s' expected a map, got '%s'", path, go_kind(j)));
	return false;
}

static bool want_list(struct decoding *d, const json_t *j, const char *path)
{
	if (json_is_array(j))
		return true;
	add_error(d, xasprintf("* '%s': source data must be an array or slice, got %s", path,
			     go_kind(j)));
	return false;
}

/* --- values --- */

static void *at(void *to, size_t offset)
{
	return (char *)to + offset;
}

static void set_string(char **to, const char *s)
{
	free(*to);
	*to = xstrdup(s);
}

static int64_t whole(const json_t *j)
{
	if (json_is_integer(j))
		return json_integer_value(j);
	double v = trunc(json_real_value(j));
	if (v >= 9223372036854775807.0)
		return INT64_MAX;
	return v <= -9223372036854775808.0 ? INT64_MIN : (int64_t)v;
}

/* Strings of a fresh element are "" as the model wants them. */
static void init_strings(const struct api_struct *s, void *to)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->fields[i].type == API_STRING)
			*(char **)at(to, s->fields[i].offset) = xstrdup("");
}

static void *decode_list(struct decoding *d, const struct api_struct *s, const json_t *j,
	const char *path, size_t *ret_n)
{
	size_t n = json_array_size(j);
	char *list = xcalloc(n + 1, s->size);

	for (size_t i = 0; i < n; i++) {
		CLEANUP(freep)
		char *sub = xasprintf("%s[%zu]", path, i);
		const json_t *one = json_array_get(j, i);
		init_strings(s, list + i * s->size);
		if (!json_is_null(one) && want_object(d, one, sub))
			decode_struct(d, s, one, list + i * s->size, sub);
	}
	*ret_n = n;
	return list;
}

static struct task_pair *decode_strings(struct decoding *d, const struct api_field *f,
	const json_t *j, const char *path, size_t *ret_n)
{
	struct task_pair *list = xcalloc(json_object_size(j) + 1, sizeof(*list));
	const char *key;
	json_t *v;

	*ret_n = 0;
	json_object_foreach (iterable(j), key, v) {
		CLEANUP(freep)
		char *sub = xasprintf("%s[%s]", path, key);
		const char *text = json_is_null(v) ? "" : json_string_value(v);
		if (text)
			list[(*ret_n)++] = (struct task_pair){xstrdup(key), xstrdup(text)};
		else
			wrong_type(d, f, sub, "string", v);
	}
	return list;
}

static struct task_db *decode_lists(struct decoding *d, const struct api_field *f, const json_t *j,
	const char *path, size_t *ret_n)
{
	struct task_db *list = xcalloc(json_object_size(j) + 1, sizeof(*list));
	const char *key;
	json_t *v;

	*ret_n = 0;
	json_object_foreach (iterable(j), key, v) {
		CLEANUP(freep)
		char *sub = xasprintf("%s[%s]", path, key);
		struct task_db *db = &list[(*ret_n)++];
		db->db = xstrdup(key);
		if (!json_is_null(v) && want_list(d, v, sub))
			db->collections = decode_list(d, f->sub, v, sub, &db->n_collections);
	}
	return list;
}

static void decode_scalar(
	struct decoding *d, const struct api_field *f, const json_t *j, void *to, const char *path)
{
	if (f->type == API_STRING && json_is_string(j))
		set_string(at(to, f->offset), json_string_value(j));
	else if (f->type == API_STRING)
		wrong_type(d, f, path, "string", j);
	else if (f->type == API_INT && json_is_number(j))
		*(int64_t *)at(to, f->offset) = whole(j);
	else if (f->type == API_INT)
		wrong_type(d, f, path, "int", j);
	else if (json_is_boolean(j))
		*(bool *)at(to, f->offset) = json_is_true(j);
	else
		wrong_type(d, f, path, "bool", j);
}

/* Lists and maps replace a pointer that is still NULL: a name is decoded once. */
static void decode_field(
	struct decoding *d, const struct api_field *f, const json_t *j, void *to, const char *path)
{
	void **list = at(to, f->offset);
	size_t *n = at(to, f->count_offset);

	switch (f->type) {
	case API_STRING:
	case API_INT:
	case API_BOOL:
		decode_scalar(d, f, j, to, path);
		break;
	case API_STRUCT:
		if (want_object(d, j, path))
			decode_struct(d, f->sub, j, at(to, f->offset), path);
		break;
	case API_LIST:
		if (want_list(d, j, path))
			*list = decode_list(d, f->sub, j, path, n);
		break;
	case API_STRINGS:
		if (want_object(d, j, path))
			*list = decode_strings(d, f, j, path, n);
		break;
	case API_LISTS:
		if (want_object(d, j, path))
			*list = decode_lists(d, f, j, path, n);
		break;
	case API_ANY:
		if (want_object(d, j, path))
			*(const json_t **)at(to, f->offset) = j;
		break;
	case API_IGNORED:
		break;
	}
	if (f->has_offset)
		*(bool *)at(to, f->has_offset) = true;
}

const json_t *api_member(const json_t *object, const char *name)
{
	const json_t *exact = json_object_get(object, name);
	const char *key;
	json_t *v;

	if (exact)
		return json_is_null(exact) ? NULL : exact;
	json_object_foreach (iterable(object), key, v)
		if (strcasecmp(key, name) == 0)
			return json_is_null(v) ? NULL : v;
	return NULL;
}

static void decode_struct(
	struct decoding *d, const struct api_struct *s, const json_t *j, void *to, const char *path)
{
	for (size_t i = 0; i < s->n; i++) {
		const json_t *v = api_member(j, s->fields[i].name);
		if (!v)
			continue;
		CLEANUP(freep)
		char *sub = xasprintf("%s%s%s", path, *path ? "." : "", s->fields[i].name);
		decode_field(d, &s->fields[i], v, to, sub);
	}
}

enum err_code api_decode(
	const struct api_struct *s, const json_t *j, void *to, struct buf *problems)
{
	struct decoding d = {.n = 0};

	if (j && want_object(&d, j, ""))
		decode_struct(&d, s, j, to, "");
	if (!d.n)
		return ERR_OK;
	qsort(d.errors, d.n, sizeof(*d.errors), by_text);
	buf_putf(problems, "%zu error(s) decoding:\n\n", d.n);
	for (size_t i = 0; i < d.n; i++) {
		buf_putf(problems, "%s%s", d.errors[i], i + 1 < d.n ? "\n" : "");
		free(d.errors[i]);
	}
	return ERR_INVALID;
}
