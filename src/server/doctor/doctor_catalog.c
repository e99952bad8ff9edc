/* What a task covers of the source as it is now. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "server/doctor/doctor.h"
#include "source/catalog.h"

enum { NAME_BYTES = 256, SUBJECT_BYTES = 200, SHOWN_BYTES = 600 };

struct cover {
	size_t all, selected;
	char example[2 * NAME_BYTES];
};

/* A collection by its name on the target. */
struct landing {
	char text[2 * NAME_BYTES];
	const struct collection *source;
};

static int by_text(const void *a, const void *b)
{
	const struct landing *x = a, *y = b;
	return strcmp(x->text, y->text);
}

static void say_meetings(const char *subject, struct landing *l, size_t n, struct doctor *d)
{
	if (n)
		qsort(l, n, sizeof(*l), by_text);
	for (size_t i = 1; i < n; i++)
		if (strcmp(l[i - 1].text, l[i].text) == 0)
			doctor_note(d, DOCTOR_CODE_TASK_MEETING, subject,
				"the source's collections %s and %s both become %s",
				l[i - 1].source->name, l[i].source->name, l[i].text);
}

static struct cover look_at_names(const struct doctor_env *env, const struct task *t,
	const char *subject, struct collection *const *list, size_t n, struct doctor *d)
{
	struct landing *l = xcalloc(n + 1, sizeof(*l));
	char db[NAME_BYTES], to_db[NAME_BYTES], to[NAME_BYTES];
	struct cover c = {.all = 0};

	for (size_t i = 0; i < n; i++) {
		if (list[i]->state != OBJECT_CREATED ||
			!catalog_database_name(env->catalog, list[i]->db_id, db, sizeof(db)))
			continue;
		c.all++;
		snprintf(c.example, sizeof(c.example), "%s.%s", db, list[i]->name);
		if (!task_selects(t, db, list[i]->name, NULL))
			continue;
		task_map_name(t, db, list[i]->name, to_db, to, NAME_BYTES);
		snprintf(l[c.selected].text, sizeof(l->text), "%s.%s", to_db, to);
		l[c.selected++].source = list[i];
	}
	say_meetings(subject, l, c.selected, d);
	free(l);
	return c;
}

static void look_at_databases(
	const struct doctor_env *env, const struct task *t, const char *subject, struct doctor *d)
{
	struct database *list = NULL;
	char shown[SHOWN_BYTES] = "";
	size_t n = catalog_databases(env->catalog, &list), at = 0;

	for (size_t i = 0; i < n; i++)
		if (list[i].state == OBJECT_CREATED && !task_covers_db(t, list[i].name) &&
			at < sizeof(shown))
			at += (size_t)snprintf(shown + at, sizeof(shown) - at, "%s%s",
				at ? ", " : "", list[i].name);
	if (at)
		doctor_note(d, DOCTOR_CODE_TASK_UNCOVERED, subject,
			"databases of the source that the task does not cover: %s", shown);
	catalog_databases_free(list, n);
}

static void say_cover(const struct cover *c, const char *subject, struct doctor *d)
{
	if (!c->all)
		doctor_note(d, DOCTOR_CODE_CATALOG_EMPTY, subject, "the source has no collection");
	else if (!c->selected)
		doctor_note(d, DOCTOR_CODE_TASK_NOTHING, subject,
			"none of the source's %zu collections is selected; one of them is %s",
			c->all, c->example);
	else
		doctor_fact(d, subject, "selects %zu of the source's %zu collections", c->selected,
			c->all);
}

void doctor_catalog(const struct doctor_env *env, const struct task *t, struct doctor *d)
{
	struct collection **list = NULL;
	char subject[SUBJECT_BYTES];

	if (!env->catalog || !catalog_wait(env->catalog, 0, deadline_in(0), env->stop))
		return;
	snprintf(subject, sizeof(subject), "task %s", *t->id ? t->id : "(new)");
	size_t n = catalog_collections(env->catalog, &list);
	struct cover c = look_at_names(env, t, subject, list, n, d);
	for (size_t i = 0; i < n; i++)
		collection_unref(list[i]);
	free(list);
	say_cover(&c, subject, d);
	look_at_databases(env, t, subject, d);
}
