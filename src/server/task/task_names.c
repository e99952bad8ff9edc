#include "server/task/task_names.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "server/config/address.h"

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

/* Does a list of its own keep the database from the one of "*"? */
static bool has_own_list(const struct names *s, const char *db)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->l[i].db, db) == 0)
			return true;
	return false;
}

static bool is_duplicate(struct name n, const struct task *t, const struct names *have)
{
	bool all = is_star(n.db) && is_star(n.coll);
	bool own = !is_star(n.db) && has_own_list(have, n.db);

	for (size_t i = 0; i < have->n; i++) {
		struct name h = have->l[i];
		if (same(h, n))
			return true;
		if (own && is_star(h.db))
			continue;
		if (!all && has_star(h) && matches(h, n) && !task_excludes(t, n.db, n.coll))
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
	bool own = !is_star(want.db) && has_own_list(have, want.db);
	struct name x;

	if (!has_star(want))
		return;
	for (size_t k = 0; k < have->n; k++) {
		if (own && is_star(have->l[k].db))
			continue;
		if (crossing(want, have->l[k], &x) && !same(x, want) &&
			!task_excludes(other, x.db, x.coll) && !listed(out, x))
			names_add(out, x);
	}
}

static enum err_code duplicate_error(const struct names *dups, const char *what, struct err *e)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(LIST_TEXT_BYTES);

	for (size_t i = 0; i < dups->n; i++)
		buf_putf(&b, "%s%s.%s", i ? " " : "", dups->l[i].db, dups->l[i].coll);
	bool cut = buf_failed(&b);
	b.failed = false;
	return err_set(e, ERR_INVALID, "the collection name is duplicate %s, [%s%s]", what,
		buf_cstr(&b), cut ? " ..." : "");
}

static bool mapping_covered(const struct names *want, const struct task_mapping *m)
{
	for (size_t i = 0; i < MAX(m->n_collections, (size_t)1); i++) {
		struct name source = {m->source_db, m->n_collections ? m->collections[i].key : "*"};
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
	char text[ADDRESS_TARGET_BYTES];
	CLEANUP(freep)
	char *uri = task_target(t);

	if (*t->kafka.address)
		return xasprintf("%s %s", t->kafka.address, t->kafka.topic);
	address_of_target(uri, text);
	return xstrdup(text);
}

bool task_names_same_target(const struct task *a, const struct task *b)
{
	CLEANUP(freep)
	char *x = target_key(a);
	CLEANUP(freep)
	char *y = target_key(b);

	return strcmp(x, y) == 0;
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
		return duplicate_error(&dups, "with existing task", e);
	if (check_mappings(t, &want, e))
		return e ? e->code : ERR_INVALID;
	set_excludes(t, &excludes);
	return ERR_OK;
}

static int by_name(const void *a, const void *b)
{
	const struct name *x = a, *y = b;
	int r = strcmp(x->db, y->db);
	return r ? r : strcmp(x->coll, y->coll);
}

enum err_code task_names_check_repeats(const struct task *t, struct err *e)
{
	CLEANUP(names_done)
	struct names all = names_of(t);
	CLEANUP(names_done)
	struct names dups = {.n = 0};

	if (all.n)
		qsort(all.l, all.n, sizeof(*all.l), by_name);
	for (size_t i = 1; i < all.n; i++)
		if (same(all.l[i - 1], all.l[i]) && !(dups.n && same(dups.l[dups.n - 1], all.l[i])))
			names_add(&dups, all.l[i]);
	return dups.n ? duplicate_error(&dups, "in the request", e) : ERR_OK;
}

void task_names_orphans(const struct task *gone, const struct task *other, struct buf *ret)
{
	CLEANUP(names_done)
	struct names had = names_of(gone);

	if (!other->n_excludes || !task_names_same_target(gone, other))
		return;
	for (size_t i = 0; i < had.n; i++) {
		CLEANUP(freep)
		char *text = xasprintf("%s.%s", had.l[i].db, had.l[i].coll);
		for (size_t k = 0; k < other->n_excludes; k++)
			if (strcmp(other->excludes[k], text) == 0)
				buf_putf(ret, " %s (%s)", text, other->id);
	}
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
