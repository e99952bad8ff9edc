/* Owner: the server. Threads: one of its own ("store writer") and any number of callers.
 *
 *   put ──▶ dirty (newest per key) ──take all──▶ round ──batches──▶ store
 *              ▲                                  │  ▲
 *              ├──── failed, and no newer one ────┤  │ after a while, alone
 *              └─── a newer one ─── refused ◀─────┘  │
 *                                      └─────────────┘
 *
 * refused: what the store does not take though it takes others (too large, not encodable).
 * Invariants: an entry is in exactly one of dirty, round and refused; no key is in dirty and
 * refused; round is touched by the thread alone while running is set; every entry in round is older
 * than the one of the same key in dirty. durable: all entries put with seq <= durable are stored, or
 * were replaced, or forgotten, or are refused. */
#include "store/writer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/mutex.h"
#include "base/retry.h"
#include "base/str.h"
#include "base/thread.h"
#include "store/keys.h"
#include "store/writer_round.h"

enum {
	RETRY_FIRST_MS = 250,
	RETRY_MOST_MS = 10000,
	REFUSED_FIRST_MS = 1000,
	REFUSED_MOST_MS = 60000,
};

struct writer {
	struct store *st;
	bool discard; /* set before the first put */
	int64_t interval_ms;
	struct thread thread;
	struct stop stop;
	struct stop_watch watch;
	struct log_ctx log;
	struct mutex mtx;
	struct cond wake; /* the thread: something to do */
	struct cond done; /* others: a round has ended */
	/* Under mtx: */
	struct smap dirty, refused;
	struct deadline refused_due;
	struct retry refused_retry;
	uint64_t seq, durable;
	size_t in_round;
	bool running;        /* a round is being written */
	unsigned forgetting; /* callers who wait for its end; no new round starts before them */
	bool urgent;         /* do not wait for the interval or the backoff */
	struct deadline due;
	struct retry retry;
	unsigned failures; /* rounds in a row that left something unwritten */
	struct err last;
	int64_t last_ok_ms;
};

/* --- callers --- */

/* n stands for its key from now on: what waits under it is freed. Takes n. */
static void replace_locked(struct writer *w, struct entry *n) REQUIRES(w->mtx)
{
	struct entry *old = smap_put(&w->dirty, n->map_key, n);
	struct entry *bad = smap_del(&w->refused, n->map_key);

	n->alone = bad || (old && old->alone);
	entry_free(old);
	entry_free(bad);
}

/* Takes n. */
static void put(struct writer *w, struct entry *n)
{
	if (w->discard) {
		entry_free(n);
		return;
	}
	mutex_lock(&w->mtx);
	n->seq = ++w->seq;
	bool first = smap_count(&w->dirty) == 0;
	replace_locked(w, n);
	if (first) {
		/* After a failure the backoff's date stands. */
		if (w->last.code == ERR_OK)
			w->due = deadline_in(w->interval_ms);
		cond_signal(&w->wake);
	}
	mutex_unlock(&w->mtx);
}

void writer_discard(struct writer *w)
{
	w->discard = true;
}

void writer_put_position(struct writer *w, const struct store_positions *p)
{
	struct entry *n = xcalloc(1, sizeof(*n));

	store_positions_copy(&n->pos, p);
	n->map_key = keys_position("", p->task_id, p->collection_id);
	put(w, n);
}

void writer_delete_position(struct writer *w, const char *task_id, int64_t collection_id)
{
	struct entry *n = xcalloc(1, sizeof(*n));

	n->gone = true;
	n->pos.task_id = xstrdup(task_id);
	n->pos.collection_id = collection_id;
	n->map_key = keys_position("", task_id, collection_id);
	put(w, n);
}

void writer_put_ext(struct writer *w, const char *key, const char *value)
{
	struct entry *n = xcalloc(1, sizeof(*n));

	n->key = xstrdup(key);
	n->value = value ? xstrdup(value) : NULL;
	n->map_key = keys_ext("", key);
	put(w, n);
}

/* Some of the records: those of a task, one, or all. */
struct scope {
	char *keys[3]; /* prefixes of map keys, or the one key; NULL = none */
	bool exact;
	bool all;
};

static struct scope scope_of_task(const char *task_id)
{
	CLEANUP(freep) char *object = keys_ext_task("object", task_id, "");
	CLEANUP(freep) char *bound = keys_ext_task("bound", task_id, "");

	return (struct scope){.keys = {keys_position_prefix("", task_id), keys_ext("", object),
				      keys_ext("", bound)}};
}

static void scope_done(struct scope *sc)
{
	for (size_t i = 0; i < ARRAY_LEN(sc->keys); i++)
		free(sc->keys[i]);
}

static bool scope_has(const struct scope *sc, const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(sc->keys); i++)
		if (sc->keys[i] && str_starts(key, sc->keys[i]))
			return true;
	return sc->all;
}

/* An entry of the map that is in the scope, or NULL. */
static struct entry *find(const struct smap *m, const struct scope *sc)
{
	size_t pos = 0;
	const char *key;
	void *v;

	if (sc->exact)
		return smap_get(m, sc->keys[0]);
	while (smap_next(m, &pos, &key, &v))
		if (scope_has(sc, key))
			return v;
	return NULL;
}

static enum err_code flush_failed(
	struct writer *w, struct stop *s, size_t waiting, const struct err *last, struct err *e)
{
	if (stop_is_set(s) || stop_is_set(&w->stop))
		return stop_err(e);
	return err_set_origin(e, ERR_TIMEOUT, last->origin,
		"%zu records not yet in the metastore%s%s", waiting, last->code ? ": " : "",
		last->code ? last->text : "");
}

static enum err_code refusal(const struct entry *n, struct err *e)
{
	return err_set_origin(e, n->bad->code, n->bad->origin,
		"the metastore refuses the record %s: %s", n->map_key, n->bad->text);
}

/* Is something of it put up to seq neither durable nor refused yet? Between rounds that is in dirty.
 */
static bool waits_locked(const struct writer *w, uint64_t seq, const struct scope *sc)
	REQUIRES(w->mtx)
{
	return w->durable < seq && (w->running || find(&w->dirty, sc));
}

/* Takes sc. */
static enum err_code flush(
	struct writer *w, struct scope sc, struct deadline d, struct stop *s, struct err *e)
{
	struct stop_watch watch;

	stop_watch_add(s, &watch, &w->mtx, &w->done);
	mutex_lock(&w->mtx);
	uint64_t want = w->seq;
	if (waits_locked(w, want, &sc)) {
		w->urgent = true;
		cond_signal(&w->wake);
	}
	while (waits_locked(w, want, &sc) && !stop_is_set(s) && !stop_is_set(&w->stop))
		if (!cond_wait(&w->done, &w->mtx, d))
			break;
	bool ok = !waits_locked(w, want, &sc);
	const struct entry *bad = find(&w->refused, &sc);
	size_t waiting = smap_count(&w->dirty) + w->in_round;
	struct err last = w->last;
	enum err_code code = ok && bad ? refusal(bad, e) : ERR_OK;
	mutex_unlock(&w->mtx);
	stop_watch_del(s, &watch);
	scope_done(&sc);
	return ok ? code : flush_failed(w, s, waiting, &last, e);
}

enum err_code writer_flush(struct writer *w, struct deadline d, struct stop *s, struct err *e)
{
	return flush(w, (struct scope){.all = true}, d, s, e);
}

enum err_code writer_flush_task(
	struct writer *w, const char *task_id, struct deadline d, struct stop *s, struct err *e)
{
	return flush(w, scope_of_task(task_id), d, s, e);
}

enum err_code writer_flush_ext(
	struct writer *w, const char *key, struct deadline d, struct stop *s, struct err *e)
{
	return flush(w, (struct scope){.keys = {keys_ext("", key)}, .exact = true}, d, s, e);
}

static void forget_in(struct smap *m, const struct scope *sc)
{
	CLEANUP(freep) struct entry **list = xcalloc(smap_count(m) + 1, sizeof(struct entry *));
	size_t pos = 0, n = 0;
	const char *key;
	void *v;

	while (smap_next(m, &pos, &key, &v))
		if (scope_has(sc, key))
			list[n++] = v;
	for (size_t i = 0; i < n; i++) {
		smap_del(m, list[i]->map_key);
		entry_free(list[i]);
	}
}

void writer_forget_task(struct writer *w, const char *task_id)
{
	struct scope sc = scope_of_task(task_id);

	mutex_lock(&w->mtx);
	/* A failed round puts its entries back, so look only when none is under way. */
	w->forgetting++;
	while (w->running)
		cond_wait(&w->done, &w->mtx, DEADLINE_NEVER);
	w->forgetting--;
	cond_signal(&w->wake);
	forget_in(&w->dirty, &sc);
	forget_in(&w->refused, &sc);
	if (!smap_count(&w->dirty)) {
		w->durable = w->seq;
		cond_broadcast(&w->done);
	}
	mutex_unlock(&w->mtx);
	scope_done(&sc);
}

static size_t waiting_locked(const struct writer *w) REQUIRES(w->mtx)
{
	return smap_count(&w->dirty) + smap_count(&w->refused) + w->in_round;
}

static void status_text_locked(const struct writer *w, struct writer_status *st) REQUIRES(w->mtx)
{
	const struct entry *bad = find(&w->refused, &(struct scope){.all = true});

	if (!st->healthy)
		snprintf(st->text, sizeof(st->text),
			"metastore %s: %s; retry in %lld ms, %zu records waiting",
			err_name(w->last.code), w->last.text, (long long)deadline_left_ms(w->due),
			st->waiting);
	else if (bad)
		snprintf(st->text, sizeof(st->text),
			"metastore refuses %zu records, one is %s: %s; retry in %lld ms",
			st->refused, bad->map_key, bad->bad->text,
			(long long)deadline_left_ms(w->refused_due));
}

void writer_status(struct writer *w, struct writer_status *ret)
{
	mutex_lock(&w->mtx);
	*ret = (struct writer_status){.healthy = w->last.code == ERR_OK,
		.code = w->last.code,
		.failures = w->failures,
		.waiting = waiting_locked(w),
		.refused = smap_count(&w->refused),
		.last_ok_ms = w->last_ok_ms};
	status_text_locked(w, ret);
	mutex_unlock(&w->mtx);
}

/* --- the thread --- */

static int by_seq(const void *a, const void *b)
{
	const struct entry *const *x = a, *const *y = b;
	return (*x)->seq < (*y)->seq ? -1 : (*x)->seq > (*y)->seq;
}

static void take_map(struct smap *m, struct round *r)
{
	size_t pos = 0;
	void *v;

	while (smap_next(m, &pos, &(const char *){NULL}, &v)) {
		struct entry *n = v;
		freep(&n->bad);
		r->v[r->n++] = n;
	}
	smap_done(m);
}

/* All that waits, oldest first, and what was refused if its time has come. */
static void take_locked(struct writer *w, struct round *r) REQUIRES(w->mtx)
{
	*r = (struct round){.st = w->st,
		.stop = &w->stop,
		.log = &w->log,
		.v = xcalloc(waiting_locked(w), sizeof(*r->v)),
		.seq = w->seq};
	take_map(&w->dirty, r);
	if (deadline_passed(w->refused_due))
		take_map(&w->refused, r);
	qsort(r->v, r->n, sizeof(*r->v), by_seq);
	w->in_round = r->n;
	w->running = true;
	w->urgent = false;
}

/* What was not written waits again, unless something newer does. Frees the rest. */
static void put_back_locked(struct writer *w, struct round *r) REQUIRES(w->mtx)
{
	bool refused = false;

	for (size_t i = 0; i < r->n; i++) {
		struct entry *n = r->v[i];
		struct entry *newer = smap_get(&w->dirty, n->map_key);
		assert(!newer || newer->seq > n->seq);
		n->alone = !n->written && (n->alone || n->bad);
		refused = refused || n->bad;
		if (newer)
			newer->alone = n->alone;
		if (n->written || newer)
			entry_free(n);
		else
			smap_put(n->bad ? &w->refused : &w->dirty, n->map_key, n);
	}
	free(r->v);
	if (refused)
		w->refused_due = deadline_in(retry_next_ms(&w->refused_retry));
	else if (!smap_count(&w->refused))
		retry_reset(&w->refused_retry);
}

static void end_locked(struct writer *w, struct round *r, bool store_ok, const struct err *e)
	REQUIRES(w->mtx)
{
	put_back_locked(w, r);
	w->in_round = 0;
	w->running = false;
	w->last = *e;
	if (store_ok) {
		retry_reset(&w->retry);
		w->last_ok_ms = time_mono_ms();
	}
	w->failures = e->code == ERR_OK ? 0 : w->failures + 1;
	w->durable = e->code == ERR_OK ? r->seq : w->durable;
	int64_t delay = store_ok ? w->interval_ms : retry_next_ms(&w->retry);
	w->due = deadline_in(e->code == ERR_OK ? delay : MAX(delay, RETRY_FIRST_MS));
	cond_broadcast(&w->done);
}

/* One line when an outage begins, one when it ends; between them the status tells. */
static void report(struct writer *w, unsigned failed_before, const struct err *e)
{
	struct writer_status st;

	if (e->code == ERR_OK && failed_before)
		log_info(&w->log, "metastore takes writes again after %u failed attempts",
			failed_before);
	if (e->code == ERR_OK || e->code == ERR_CANCELLED || failed_before)
		return;
	writer_status(w, &st);
	log_warn(&w->log, "%s", st.text);
}

/* When there is something to write. */
static struct deadline due_locked(const struct writer *w) REQUIRES(w->mtx)
{
	int64_t at_ms = INT64_MAX;

	if (!w->forgetting && smap_count(&w->dirty))
		at_ms = w->urgent ? 0 : w->due.at_ms;
	if (!w->forgetting && smap_count(&w->refused))
		at_ms = MIN(at_ms, w->refused_due.at_ms);
	return (struct deadline){at_ms};
}

/* Waits until there is something to write and it is due; false at the end. */
static bool wait_locked(struct writer *w) REQUIRES(w->mtx)
{
	while (!stop_is_set(&w->stop)) {
		struct deadline d = due_locked(w);
		if (deadline_passed(d))
			return true;
		cond_wait(&w->wake, &w->mtx, d);
	}
	return false;
}

static void writer_main(void *arg)
{
	struct writer *w = arg;
	struct round r;

	for (;;) {
		struct err e = ERR_INIT;
		mutex_lock(&w->mtx);
		bool go = wait_locked(w);
		unsigned failed_before = w->failures;
		if (go)
			take_locked(w, &r);
		mutex_unlock(&w->mtx);
		if (!go)
			return;
		bool store_ok = round_write(&r, &e);
		mutex_lock(&w->mtx);
		end_locked(w, &r, store_ok, &e);
		mutex_unlock(&w->mtx);
		report(w, failed_before, &e);
	}
}

enum err_code writer_new(
	struct store *st, int64_t interval_ms, struct writer **ret_w, struct err *e)
{
	struct writer *w = xcalloc(1, sizeof(*w));

	w->st = st;
	w->interval_ms = interval_ms;
	w->retry = (struct retry)RETRY_INIT(RETRY_FIRST_MS, RETRY_MOST_MS);
	w->refused_retry = (struct retry)RETRY_INIT(REFUSED_FIRST_MS, REFUSED_MOST_MS);
	w->log = (struct log_ctx){.comp = LOG_store, .fields = ""};
	mutex_init(&w->mtx, "store writer");
	cond_init(&w->wake);
	cond_init(&w->done);
	stop_init(&w->stop, NULL);
	stop_watch_add(&w->stop, &w->watch, &w->mtx, &w->wake);
	if (thread_start(&w->thread, "store writer", writer_main, w, e)) {
		writer_free(w);
		return ERR_SYSTEM;
	}
	*ret_w = w;
	return ERR_OK;
}

void writer_free(struct writer *w)
{
	if (!w)
		return;
	stop_set(&w->stop);
	thread_join(&w->thread);
	size_t lost = smap_count(&w->dirty) + smap_count(&w->refused);
	forget_in(&w->dirty, &(struct scope){.all = true});
	forget_in(&w->refused, &(struct scope){.all = true});
	smap_done(&w->dirty);
	smap_done(&w->refused);
	if (lost)
		log_warn(&w->log, "stopped with %zu records not written; they are repeated", lost);
	stop_watch_del(&w->stop, &w->watch);
	stop_done(&w->stop);
	cond_done(&w->done);
	cond_done(&w->wake);
	mutex_done(&w->mtx);
	free(w);
}
