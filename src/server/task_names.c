#include "server/task_names.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"

enum { LIST_TEXT_BYTES = 400 };

/* One full name; the texts are borrowed from the task. */
struct name {
	const char *db, *coll;
};

struct names {
	struct name *l;
	size_t n, cap;
};

static void names_done(struct names *s)
{
	free(s->l);
}

static bool is_star(const char *s)
{
	return strcmp(s, "*") == 0;
}

static void add_list(struct names *s, const char *db, const struct task_collection *l, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		mem_grow(&s->l, &s->cap, s->n + 1, sizeof(*s->l));
		s->l[s->n++] = (struct name){*db ? db : "default", l[i].name};
	}
}

static struct names names_of(const struct task *t)
{
	struct names s = {.n = 0};

	add_list(&s, "default", t->collection_infos, t->n_collection_infos);
	for (size_t i = 0; i < t->n_dbs; i++)
		add_list(&s, t->dbs[i].db, t->dbs[i].collections, t->dbs[i].n_collections);
	return s;
}

/* A literal "*" in the name equals only "*". */
static bool part_matches(const char *pattern, const char *part)
{
	return is_star(pattern) || strcmp(pattern, part) == 0;
}

static bool matches(struct name pattern, struct name n)
{
	return part_matches(pattern.db, n.db) && part_matches(pattern.coll, n.coll);
}

static bool same(struct name a, struct name b)
{
	return strcmp(a.db, b.db) == 0 && strcmp(a.coll, b.coll) == 0;
}

static bool has_star(struct name n)
{
	return is_star(n.db) || is_star(n.coll);
}

/* What both cover; false if nothing. */
static bool crossing(struct name a, struct name b, struct name *ret)
{
	if (!part_matches(a.db, b.db) && !is_star(b.db))
		return false;
	if (!part_matches(a.coll, b.coll) && !is_star(b.coll))
		return false;
	*ret = (struct name){is_star(a.db) ? b.db : a.db, is_star(a.coll) ? b.coll : a.coll};
	return true;
}

/* Is text "<db>.<coll>"? Names are never split at a dot: they may hold some. */
static bool text_is(const char *text, const char *db, const char *coll)
{
	size_t n = strlen(db);
	return strncmp(text, db, n) == 0 && text[n] == '.' && strcmp(text + n + 1, coll) == 0;
}

/* Does the task leave n to others? */
static bool task_excludes(const struct task *t, struct name n)
{
	for (size_t i = 0; i < t->n_excludes; i++) {
		const char *x = t->excludes[i];
		if (text_is(x, n.db, n.coll) || text_is(x, n.db, "*") || text_is(x, "*", n.coll) ||
			text_is(x, "*", "*"))
			return true;
	}
	return false;
}

static bool is_duplicate(struct name n, const struct task *t, const struct names *have)
{
	for (size_t i = 0; i < have->n; i++) {
		struct name h = have->l[i];
		if (same(h, n))
			return true;
		bool all = is_star(n.db) && is_star(n.coll);
		if (!all && has_star(h) && matches(h, n) && !task_excludes(t, n))
			return true;
	}
	return false;
}

static bool listed(const struct names *s, struct name n)
{
	for (size_t i = 0; i < s->n; i++)
		if (same(s->l[i], n))
			return true;
	return false;
}

static void names_add(struct names *s, struct name n)
{
	mem_grow(&s->l, &s->cap, s->n + 1, sizeof(*s->l));
	s->l[s->n++] = n;
}

/* What is wanted too although `other`, which has `have`, replicates it already. */
static void add_excludes(
	struct names *out, struct name want, const struct task *other, const struct names *have)
{
	struct name x;

	if (!has_star(want))
		return;
	for (size_t k = 0; k < have->n; k++)
		if (crossing(want, have->l[k], &x) && !same(x, want) && !task_excludes(other, x) &&
			!listed(out, x))
			names_add(out, x);
}

static enum err_code duplicate_error(const struct names *dups, struct err *e)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(LIST_TEXT_BYTES);

	for (size_t i = 0; i < dups->n; i++)
		buf_putf(&b, "%s%s.%s", i ? " " : "", dups->l[i].db, dups->l[i].coll);
	bool cut = buf_failed(&b);
	b.failed = false;
	return err_set(e, ERR_INVALID,
		"the collection name is duplicate with existing task, [%s%s]", buf_cstr(&b),
		cut ? " ..." : "");
}

static bool mapping_covered(const struct names *want, const struct task_mapping *m)
{
	const char *db = *m->source_db ? m->source_db : "default";

	for (size_t i = 0; i < MAX(m->n_collections, (size_t)1); i++) {
		struct name source = {db, m->n_collections ? m->collections[i].key : "*"};
		bool ok = false;
		for (size_t k = 0; k < want->n && !ok; k++)
			ok = matches(want->l[k], source);
		if (!ok)
			return false;
	}
	return true;
}

static enum err_code check_mappings(const struct task *t, const struct names *want, struct err *e)
{
	for (size_t i = 0; i < t->n_mappings; i++)
		if (!mapping_covered(want, &t->mappings[i]))
			return err_set(e, ERR_INVALID,
				"the collection name in the name mapping is not in the collection "
				"info, checkout it");
	return ERR_OK;
}

static void set_excludes(struct task *t, const struct names *x)
{
	for (size_t i = 0; i < t->n_excludes; i++)
		free(t->excludes[i]);
	free(t->excludes);
	t->excludes = x->n ? xcalloc(x->n, sizeof(*t->excludes)) : NULL;
	t->n_excludes = x->n;
	for (size_t i = 0; i < x->n; i++)
		t->excludes[i] = xasprintf("%s.%s", x->l[i].db, x->l[i].coll);
}

/* The target without what does not tell two apart. Two topics of one Kafka are two targets. */
static char *target_key(const struct task *t)
{
	if (*t->kafka.address)
		return xasprintf("%s %s", t->kafka.address, t->kafka.topic);
	char *s = task_target(t);
	const char *from = strstr(s, "://");
	size_t n;

	from = from ? from + 3 : s;
	n = strlen(from);
	while (n && from[n - 1] == '/')
		n--;
	char *key = xstrndup(from, n);
	free(s);
	return key;
}

bool task_names_same_target(const struct task *a, const struct task *b)
{
	CLEANUP(freep)
	char *x = target_key(a);
	CLEANUP(freep)
	char *y = target_key(b);

	return strcasecmp(x, y) == 0;
}

enum err_code task_names_check(
	struct task *t, struct task *const *existing, size_t n, struct err *e)
{
	CLEANUP(names_done)
	struct names want = names_of(t);
	CLEANUP(names_done)
	struct names dups = {.n = 0};
	CLEANUP(names_done)
	struct names excludes = {.n = 0};

	for (size_t i = 0; i < n; i++) {
		const struct task *x = existing[i];
		if (!task_names_same_target(t, x))
			continue;
		if (x->enable_user_role && t->enable_user_role)
			return err_set(e, ERR_INVALID, "the enable user role param is duplicate");
		CLEANUP(names_done)
		struct names have = names_of(x);
		for (size_t k = 0; k < want.n; k++) {
			if (is_duplicate(want.l[k], x, &have) && !listed(&dups, want.l[k]))
				names_add(&dups, want.l[k]);
			add_excludes(&excludes, want.l[k], x, &have);
		}
	}
	if (dups.n)
		return duplicate_error(&dups, e);
	if (check_mappings(t, &want, e))
		return e ? e->code : ERR_INVALID;
	set_excludes(t, &excludes);
	return ERR_OK;
}

bool task_names_equal(const struct task *a, const struct task *b)
{
	CLEANUP(names_done)
	struct names x = names_of(a);
	CLEANUP(names_done)
	struct names y = names_of(b);

	if (x.n != y.n || !task_names_same_target(a, b))
		return false;
	for (size_t i = 0; i < x.n; i++)
		if (!listed(&y, x.l[i]))
			return false;
	return true;
}

enum err_code task_names_check_id(const char *id, struct err *e)
{
	if (!*id)
		return err_set(e, ERR_INVALID, "task_id is empty");
	if (strlen(id) > TASK_NAMES_ID_BYTES)
		return err_set(
			e, ERR_INVALID, "the task_id is longer than %d bytes", TASK_NAMES_ID_BYTES);
	for (const char *s = id; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return err_set(e, ERR_INVALID, "the task_id holds a control character");
	return ERR_OK;
}
