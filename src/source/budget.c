#include "source/budget.h"

#include <assert.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/mutex.h"

struct budget {
	struct mutex mtx;
	size_t max, floor, held;   /* held and below under mtx */
	struct list waiters;       /* accounts, in the order of asking */
	struct account *overdraft; /* may pass the limits until its next cut */
	size_t n_accounts;
	bool closed;
};

struct account {
	struct budget *b;
	struct cond cond;
	struct list link;            /* in b->waiters; self-linked otherwise */
	size_t held, buffered, want; /* under b->mtx; buffered is the part not yet cut */
	bool closed;
};

struct budget *budget_new(size_t max_bytes, size_t floor_bytes)
{
	struct budget *b = xcalloc(1, sizeof(*b));
	b->max = max_bytes;
	b->floor = floor_bytes;
	mutex_init(&b->mtx, "budget");
	list_init(&b->waiters);
	return b;
}

static void budget_free(struct budget *b)
{
	mutex_done(&b->mtx);
	free(b);
}

/* Unlocks, and frees what has no more user. */
static void leave(struct budget *b, struct account *a) RELEASES(b->mtx)
{
	bool free_account = a && a->closed && !a->held;
	if (free_account)
		b->n_accounts--;
	bool free_budget = b->closed && !b->n_accounts;
	mutex_unlock(&b->mtx);
	if (free_account) {
		cond_done(&a->cond);
		free(a);
	}
	if (free_budget)
		budget_free(b);
}

void budget_close(struct budget *b)
{
	if (!b)
		return;
	mutex_lock(&b->mtx);
	b->closed = true;
	leave(b, NULL);
}

size_t budget_held(struct budget *b)
{
	mutex_lock(&b->mtx);
	size_t n = b->held;
	mutex_unlock(&b->mtx);
	return n;
}

struct account *account_open(struct budget *b)
{
	struct account *a = xcalloc(1, sizeof(*a));
	a->b = b;
	cond_init(&a->cond);
	list_init(&a->link);
	mutex_lock(&b->mtx);
	b->n_accounts++;
	mutex_unlock(&b->mtx);
	return a;
}

/* first: no one asked before. */
static bool may_take_locked(struct budget *b, struct account *a, size_t bytes, bool first)
	REQUIRES(b->mtx)
{
	if (a->held + bytes <= b->floor || (first && b->held + bytes <= b->max))
		return true;
	if (a->held > a->buffered || (b->overdraft && b->overdraft != a))
		return false;
	b->overdraft = a;
	return true;
}

static void charge_locked(struct budget *b, struct account *a, size_t bytes) REQUIRES(b->mtx)
{
	b->held += bytes;
	a->held += bytes;
	a->buffered += bytes;
}

static void serve_waiters_locked(struct budget *b) REQUIRES(b->mtx)
{
	bool first = true;

	list_foreach (it, &b->waiters) {
		struct account *a = LIST_ITEM(it, struct account, link);
		if (!may_take_locked(b, a, a->want, first)) {
			first = false;
			continue;
		}
		charge_locked(b, a, a->want);
		a->want = 0;
		list_del(&a->link);
		cond_signal(&a->cond);
	}
}

bool account_try(struct account *a, size_t bytes)
{
	struct budget *b = a->b;

	mutex_lock(&b->mtx);
	assert(!a->want);
	bool now = may_take_locked(b, a, bytes, list_empty(&b->waiters));
	if (now)
		charge_locked(b, a, bytes);
	mutex_unlock(&b->mtx);
	return now;
}

enum err_code account_take(struct account *a, size_t bytes, struct stop *s, struct err *e)
{
	struct budget *b = a->b;
	struct stop_watch w;

	if (account_try(a, bytes))
		return ERR_OK;

	stop_watch_add(s, &w, &b->mtx, &a->cond);
	mutex_lock(&b->mtx);
	a->want = bytes;
	list_push(&b->waiters, &a->link);
	serve_waiters_locked(b);
	while (a->want && !stop_is_set(s))
		cond_wait(&a->cond, &b->mtx, DEADLINE_NEVER);
	bool granted = !a->want;
	a->want = 0;
	list_del(&a->link);
	serve_waiters_locked(b);
	mutex_unlock(&b->mtx);
	stop_watch_del(s, &w);
	return granted ? ERR_OK : stop_err(e);
}

static void end_overdraft_locked(struct budget *b, struct account *a) REQUIRES(b->mtx)
{
	if (b->overdraft != a)
		return;
	b->overdraft = NULL;
	serve_waiters_locked(b);
}

void account_cut(struct account *a, size_t bytes)
{
	struct budget *b = a->b;

	mutex_lock(&b->mtx);
	a->buffered -= MIN(bytes, a->buffered);
	end_overdraft_locked(b, a);
	mutex_unlock(&b->mtx);
}

void account_move(struct account *from, struct account *to, size_t bytes)
{
	struct budget *b = from->b;

	mutex_lock(&b->mtx);
	assert(bytes <= from->held && to->b == b);
	from->held -= bytes;
	from->buffered -= MIN(bytes, from->buffered);
	to->held += bytes;
	to->buffered += bytes;
	mutex_unlock(&b->mtx);
}

void account_give(struct account *a, size_t bytes)
{
	struct budget *b = a->b;

	mutex_lock(&b->mtx);
	assert(bytes <= a->held && bytes <= b->held);
	a->held -= bytes;
	b->held -= bytes;
	a->buffered = MIN(a->buffered, a->held);
	serve_waiters_locked(b);
	leave(b, a);
}

void account_close(struct account *a)
{
	if (!a)
		return;
	struct budget *b = a->b;
	mutex_lock(&b->mtx);
	a->closed = true;
	end_overdraft_locked(b, a);
	leave(b, a);
}

bool account_waits(struct account *a)
{
	mutex_lock(&a->b->mtx);
	bool waits = a->want > 0;
	mutex_unlock(&a->b->mtx);
	return waits;
}

void account_ref(struct account *a, unsigned *refs)
{
	mutex_lock(&a->b->mtx);
	++*refs;
	mutex_unlock(&a->b->mtx);
}

bool account_unref(struct account *a, unsigned *refs)
{
	mutex_lock(&a->b->mtx);
	bool last = --*refs == 0;
	mutex_unlock(&a->b->mtx);
	return last;
}
