/* A partition, range by range. The source's rows say where a range ends; the target answers what lies
 * between the same keys.
 * Milvus 2.3 applies a limit to the physical rows of each sealed segment and takes copies of a key out
 * afterwards. So where keys stand several times an answer may be shorter than its limit though there is
 * more, and may leave out keys between those that it has; sure is only the smallest one. Therefore each
 * range is counted, and read without a limit where there is more than was seen. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/time.h"
#include "server/verify/verify_priv.h"

enum {
	PAGE_ROWS_MAX = 4096, /* Milvus answers 16384 at most */
	PAGE_BYTES = 4 << 20, /* an answer is to have about so many */
	PAGE_MORE_ROWS = 32,  /* what the target may have more in a range, and half of it */
	WHOLE_PAGES = 4,      /* what a range may hold to be read without a limit */
	COUNT_TRIES = 3,
	SETTLE_MS = 10000, /* progress is not safe while something is suspect */
	SECOND_MS = 1000,
};

struct scan {
	struct verify_part *p;
	struct row_page source, target;
	struct buf expr;
	/* As an expression writes them; NULL = none: the last key that was compared, the end of
	 * the present range. */
	char *cursor, *upper;
	struct row_key end; /* upper, if there is one; in end_arena */
	struct arena end_arena;
	int64_t suspect_ms; /* since when the oldest suspect waits */
};

static char *literal(const struct row_key *k, bool varchar)
{
	struct buf b = BUF_INIT(VERIFY_EXPR_BYTES);

	row_key_put(&b, k, varchar);
	return buf_take(&b);
}

/* The range ends with k, a key of a page. */
static void set_end(struct scan *s, const struct row_key *k)
{
	arena_reset(&s->end_arena);
	s->end = row_key_copy(&s->end_arena, k);
	free(s->upper);
	s->upper = literal(k, s->p->c->varchar);
}

/* Keys above the cursor and up to the end of the range. */
static const char *range_expr(struct scan *s)
{
	const struct verify_coll *c = s->p->c;
	struct buf *b = &s->expr;

	buf_reset(b);
	if (s->cursor)
		buf_putf(b, "%s > %s", c->pk_name, s->cursor);
	if (s->upper)
		buf_putf(b, "%s%s <= %s", s->cursor ? " and " : "", c->pk_name, s->upper);
	if (!b->n && c->varchar)
		buf_putf(b, "%s >= \"\"", c->pk_name);
	else if (!b->n)
		buf_putf(b, "%s >= 0 or %s < 0", c->pk_name, c->pk_name);
	return buf_cstr(b);
}

/* ---- comparing ---- */

static void suspect(struct verify_part *p, const struct row *source, const struct row *target)
{
	struct suspect n = {.there = source != NULL};

	n.key = row_key_copy(&p->arena, source ? &source->key : &target->key);
	if (source)
		memcpy(n.digest, source->digest, sizeof(n.digest));
	mem_grow(&p->suspects, &p->cap, p->n + 1, sizeof(*p->suspects));
	p->suspects[p->n++] = n;
}

/* Both are ordered; rows of the source behind the end are left for the next range. */
static void compare(struct scan *s)
{
	const struct row_key *end = s->upper ? &s->end : NULL;
	const struct row_page *a = &s->source, *b = &s->target;
	bool varchar = s->p->c->varchar;
	size_t i = 0, j = 0;

	while (i < a->n || j < b->n) {
		const struct row *x = i < a->n ? &a->rows[i] : NULL;
		const struct row *y = j < b->n ? &b->rows[j] : NULL;
		int order = !y ? -1 : !x ? 1 : row_key_compare(&x->key, &y->key, varchar);
		if (x && end && order < 0 && row_key_compare(&x->key, end, varchar) > 0)
			return;
		i += order <= 0;
		j += order >= 0;
		if (!order && memcmp(x->digest, y->digest, sizeof(x->digest)) == 0)
			s->p->c->rows++;
		else
			suspect(s->p, order <= 0 ? x : NULL, order >= 0 ? y : NULL);
	}
}

/* ---- a range ---- */

/* Answers of about PAGE_BYTES, whatever a row takes. */
static void choose_size(struct verify *v, const struct row_page *p)
{
	size_t row = p->n ? p->bytes / p->n + 1 : 1;
	size_t fits = MAX(PAGE_BYTES / row, (size_t)1);

	if (p->n >= v->page_rows)
		v->page_rows = MIN(MIN(fits, v->page_rows * 2), (size_t)PAGE_ROWS_MAX);
}

/* The next rows may be read when those of before are paid for. Of time that was spent with waiting no
 * more than a second is made up for. */
static enum err_code pace(struct verify *v, size_t rows, struct err *e)
{
	if (!v->o.rows_per_second)
		return stop_is_set(v->o.stop) ? stop_err(e) : ERR_OK;
	int64_t now_ms = time_mono_ms(), cost = (int64_t)rows * SECOND_MS + v->pace_rest;
	v->paced_ms = MAX(v->paced_ms, now_ms - SECOND_MS) + cost / v->o.rows_per_second;
	v->pace_rest = cost % v->o.rows_per_second;
	int64_t wait_ms = MAX(v->paced_ms - now_ms, (int64_t)0);
	return stop_sleep(v->o.stop, wait_ms) ? stop_err(e) : ERR_OK;
}

/* All that one side has in the range. It ends earlier if that is too much at once. */
static enum err_code read_side(
	struct scan *s, enum verify_side side, struct row_page *page, size_t limit, struct err *e)
{
	int64_t there, most = (int64_t)s->p->v->page_rows * WHOLE_PAGES;

	if (verify_query(s->p, side, range_expr(s), (int64_t)limit, false, page, e))
		return e->code;
	if (page->n == limit)
		set_end(s, &page->rows[page->n - 1].key);
	while (page->n) {
		if (verify_count(s->p, side, range_expr(s), &there, e))
			return e->code;
		if (there <= (int64_t)page->n)
			return ERR_OK;
		if (there <= most)
			return verify_query(s->p, side, range_expr(s), 0, false, page, e);
		page->n = (page->n + 1) / 2;
		set_end(s, &page->rows[page->n - 1].key);
		if (page->n == 1)
			return ERR_OK;
	}
	return ERR_OK;
}

static enum err_code scan_range(struct scan *s, bool *ret_end, struct err *e)
{
	struct verify *v = s->p->v;
	size_t asked = v->page_rows;

	freep(&s->upper);
	s->upper = NULL;
	if (read_side(s, VERIFY_SOURCE, &s->source, asked, e) ||
		read_side(s, VERIFY_TARGET, &s->target, asked + asked / 2 + PAGE_MORE_ROWS, e))
		return e->code;
	compare(s);
	*ret_end = !s->upper;
	choose_size(v, &s->source);
	return pace(v, MAX(s->source.n, s->target.n), e);
}

static void say(struct verify_part *p)
{
	if (p->v->o.on_range)
		p->v->o.on_range(p->v->o.arg, p->v);
}

/* A later pass goes on behind what is settled. */
static enum err_code go_on(struct scan *s, bool end, struct err *e)
{
	struct verify_part *p = s->p;
	int64_t now_ms = time_mono_ms();

	free(s->cursor);
	s->cursor = TAKE(s->upper);
	if (!p->n)
		s->suspect_ms = now_ms;
	if (p->n && (end || p->n >= VERIFY_SUSPECTS_MAX || now_ms - s->suspect_ms > SETTLE_MS) &&
		verify_settle(p, e))
		return e->code;
	if (end)
		return ERR_OK; /* what is still to be counted belongs to it */
	if (!p->n) {
		free(p->c->after);
		p->c->after = s->cursor ? xstrdup(s->cursor) : NULL;
		p->c->safe_rows = p->c->rows;
	}
	say(p);
	return ERR_OK;
}

/* A later pass goes on with the next partition. */
static void part_end(struct verify_part *p)
{
	free(p->c->after);
	p->c->after = NULL;
	p->c->at_done = true;
	p->c->safe_rows = p->c->rows;
	say(p);
}

/* ---- copies ---- */

/* A key that stands there twice is read once: only the number of rows tells. Said only of what stood
 * still meanwhile. */
static enum err_code compare_counts(struct verify_part *p, struct err *e)
{
	int64_t before, target, after;

	if (verify_count(p, VERIFY_TARGET, "", &target, e) ||
		verify_count(p, VERIFY_SOURCE, "", &after, e))
		return e->code;
	for (int i = 0; target != after && i < COUNT_TRIES; i++) {
		before = after;
		if (verify_meet(p->v, p->c, e) || verify_count(p, VERIFY_TARGET, "", &target, e) ||
			verify_count(p, VERIFY_SOURCE, "", &after, e))
			return e->code;
		if (before == after && target != after) {
			verify_note(p, VERIFY_COPIES, NULL,
				xasprintf("%" PRId64 " rows at the source, %" PRId64
					  " on the target, copies of a key counted",
					after, target));
			break;
		}
	}
	return ERR_OK;
}

enum err_code verify_scan(struct verify_part *p, struct err *e)
{
	struct scan s = {.p = p,
		.expr = BUF_INIT(VERIFY_EXPR_BYTES),
		.cursor = p->c->after ? xstrdup(p->c->after) : NULL,
		.suspect_ms = time_mono_ms()};
	int64_t different = p->c->n_different, changing = p->c->n_changing, total;
	bool end = false;

	p->v->page_rows = VERIFY_BATCH;
	if (!verify_count(p, VERIFY_SOURCE, "", &total, e))
		p->c->total += total;
	while (!e->code && !end)
		if (!scan_range(&s, &end, e))
			(void)go_on(&s, end, e);
	if (!e->code && p->c->n_different == different && p->c->n_changing == changing)
		(void)compare_counts(p, e);
	if (!e->code)
		part_end(p);
	row_page_done(&s.source);
	row_page_done(&s.target);
	buf_done(&s.expr);
	arena_done(&s.end_arena);
	free(s.cursor);
	free(s.upper);
	return e->code;
}
