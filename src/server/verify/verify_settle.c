/* Rows that differed when they were read: on their way, or different? Each round waits until the target
 * has all that the source had, reads the target, then the source. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "server/verify/verify_priv.h"

enum { ROUNDS = 6, WHAT_BYTES = 4096 };

struct looks {
	struct verify_part *p;
	struct row_page source, target;
	struct buf expr;
	char **keys; /* of this round's different rows, if they are to be repaired */
	size_t n_keys, cap;
};

const char *verify_kind_name(enum verify_kind k)
{
	static const char *const names[] = {[VERIFY_MISSING] = "missing",
		[VERIFY_EXTRA] = "extra",
		[VERIFY_DIFFERS] = "differs",
		[VERIFY_COPIES] = "copies"};
	return names[k];
}

void verify_note(struct verify_part *p, enum verify_kind kind, const char *key, char *what)
{
	struct verify_coll *c = p->c;

	c->n_different++;
	if (c->n_diffs >= VERIFY_LISTED_MAX) {
		free(what);
		return;
	}
	mem_grow(&c->diffs, &c->cap, c->n_diffs + 1, sizeof(*c->diffs));
	c->diffs[c->n_diffs++] = (struct verify_diff){.kind = kind,
		.partition = p->name ? xstrdup(p->name) : NULL,
		.key = key ? xstrdup(key) : NULL,
		.what = what};
}

/* "a, b": the fields whose values are not equal. Both pages name the same fields in one order, unless
 * one side has more of them. */
static char *fields_between(
	const struct looks *l, const struct row *source, const struct row *target)
{
	struct buf b = BUF_INIT(WHAT_BYTES);
	size_t i = 0, j = 0;

	while (i < l->source.n_names || j < l->target.n_names) {
		const char *x = i < l->source.n_names ? l->source.names[i] : NULL;
		const char *y = j < l->target.n_names ? l->target.names[j] : NULL;
		int order = !y ? -1 : !x ? 1 : strcmp(x, y);
		if (order || source->fields[i] != target->fields[j])
			buf_putf(&b, "%s%s", b.n ? ", " : "", order <= 0 ? x : y);
		i += order <= 0;
		j += order >= 0;
	}
	return buf_take(&b);
}

static void note_row(struct looks *l, const struct suspect *s, const struct row *source,
	const struct row *target)
{
	CLEANUP(buf_done) struct buf key = BUF_INIT(VERIFY_EXPR_BYTES);

	row_key_put(&key, &s->key, l->p->c->varchar);
	if (l->p->v->o.repair && !s->repaired) {
		mem_grow(&l->keys, &l->cap, l->n_keys + 1, sizeof(*l->keys));
		l->keys[l->n_keys++] = buf_take(&key);
		return;
	}
	verify_note(l->p,
		!target   ? VERIFY_MISSING
		: !source ? VERIFY_EXTRA
			  : VERIFY_DIFFERS,
		buf_cstr(&key), source && target ? fields_between(l, source, target) : NULL);
}

static bool same(const struct row *a, const struct row *b)
{
	return a && b ? !memcmp(a->digest, b->digest, sizeof(a->digest)) : a == b;
}

/* Is the row at the source what it was when it was read last? */
static bool stood_still(const struct suspect *s, const struct row *now)
{
	if (!now)
		return !s->there;
	return s->there && !memcmp(s->digest, now->digest, sizeof(s->digest));
}

/* True: there is nothing more to find out. */
static bool judge(struct looks *l, struct suspect *s)
{
	struct verify_coll *c = l->p->c;
	const struct row *source = row_page_find(&l->source, &s->key, c->varchar);
	const struct row *target = row_page_find(&l->target, &s->key, c->varchar);

	if (same(source, target)) {
		c->rows += source != NULL;
		c->n_repaired += s->repaired;
		return true;
	}
	if (stood_still(s, source)) {
		bool again = l->p->v->o.repair && !s->repaired;
		note_row(l, s, source, target);
		s->repaired = again;
		return !again;
	}
	s->there = source != NULL;
	if (source)
		memcpy(s->digest, source->digest, sizeof(s->digest));
	s->repaired = false; /* of a value that is gone */
	return false;
}

static enum err_code look_at(
	struct looks *l, struct suspect *s, size_t n, size_t *ret_left, struct err *e)
{
	struct verify_coll *c = l->p->c;

	buf_reset(&l->expr);
	buf_putf(&l->expr, "%s in [", c->pk_name);
	for (size_t i = 0; i < n; i++) {
		buf_put_str(&l->expr, i ? "," : "");
		row_key_put(&l->expr, &s[i].key, c->varchar);
	}
	buf_put_str(&l->expr, "]");
	const char *expr = buf_cstr(&l->expr);
	if (verify_query(l->p, VERIFY_TARGET, expr, 0, true, &l->target, e) ||
		verify_query(l->p, VERIFY_SOURCE, expr, 0, true, &l->source, e))
		return e->code;
	*ret_left = 0;
	for (size_t i = 0; i < n; i++)
		if (!judge(l, &s[i]))
			s[(*ret_left)++] = s[i];
	return ERR_OK;
}

static enum err_code repair(struct looks *l, struct err *e)
{
	const struct verify_opts *o = &l->p->v->o;
	const struct verify_coll *c = l->p->c;
	size_t most = c->has_partition_key ? VERIFY_REPAIR_BATCH : VERIFY_BATCH;

	for (size_t at = 0; at < l->n_keys && !e->code; at += most)
		if (o->repair(o->arg, c->id, l->p->name, (const char *const *)l->keys + at,
			    MIN(l->n_keys - at, most), e))
			err_ctx(e, "repair");
	for (size_t i = 0; i < l->n_keys; i++)
		free(l->keys[i]);
	l->n_keys = 0;
	return e->code;
}

static enum err_code look_round(struct looks *l, struct err *e)
{
	struct verify_part *p = l->p;
	size_t left = 0;

	if (verify_meet(p->v, p->c, e) || (p->on_source != p->on_target && verify_place(p, e)))
		return e->code;
	for (size_t at = 0; at < p->n; at += VERIFY_BATCH) {
		size_t n = MIN(p->n - at, (size_t)VERIFY_BATCH), more = 0;
		if (look_at(l, p->suspects + at, n, &more, e))
			return e->code;
		memmove(p->suspects + left, p->suspects + at, more * sizeof(*p->suspects));
		left += more;
		if (repair(l, e))
			return e->code;
	}
	p->n = left;
	return ERR_OK;
}

enum err_code verify_settle(struct verify_part *p, struct err *e)
{
	struct looks l = {.p = p, .expr = BUF_INIT(VERIFY_EXPR_BYTES)};

	for (int i = 0; p->n && i < ROUNDS && !e->code; i++)
		(void)look_round(&l, e);
	if (!e->code) {
		p->c->n_changing += (int64_t)p->n;
		p->n = 0;
		arena_reset(&p->arena);
	}
	row_page_done(&l.source);
	row_page_done(&l.target);
	buf_done(&l.expr);
	free(l.keys);
	return e->code;
}
