/* Owner: the server. Threads: one of its own ("store writer") and any number of callers.
 *
 *   put ──▶ dirty (newest per key) ──take all──▶ round ──batches──▶ store
 *              ▲                                  │
 *              └──── failed, and no newer one ────┘
 *
 * Invariants: an entry is in exactly one of dirty and round; round is touched by the thread alone
 * while running is set; every entry in round is older than the one of the same key in dirty.
 * durable: all entries put with seq <= durable are stored, or were replaced, or forgotten. */
#include "store/writer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "metrics/metrics.h"
#include "base/mutex.h"
#include "base/retry.h"
#include "base/str.h"
#include "base/thread.h"
#include "store/keys.h"

enum { BATCH_RECORDS = 1000, RETRY_FIRST_MS = 250, RETRY_MOST_MS = 10000 };

/* A record to write: a position document, or one of ours when key is set. */
struct entry {
	char *map_key;
	uint64_t seq;
	bool written;
	bool gone; /* the document is to be deleted; pos holds only its ids */
	struct store_positions pos;
	char *key, *value;
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
	struct smap dirty;
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

static void entry_free(struct entry *n)
{
	if (!n)
		return;
	store_positions_done(&n->pos);
	free(n->map_key);
	free(n->key);
	free(n->value);
	free(n);
}

/* --- callers --- */

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
	struct entry *old = smap_put(&w->dirty, n->map_key, n);
	if (first) {
		/* After a failure the backoff's date stands. */
		if (w->last.code == ERR_OK)
			w->due = deadline_in(w->interval_ms);
		cond_signal(&w->wake);
	}
	mutex_unlock(&w->mtx);
	entry_free(old);
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

static enum err_code flush_failed(
	struct writer *w, struct stop *s, size_t waiting, const struct err *last, struct err *e)
{
	if (stop_is_set(s) || stop_is_set(&w->stop))
		return stop_err(e);
	return err_set_origin(e, ERR_TIMEOUT, last->origin,
		"%zu records not yet in the metastore%s%s", waiting, last->code ? ": " : "",
		last->code ? last->text : "");
}

/* Is something put up to seq not durable yet? With a key only that record counts: between rounds
 * what is not stored is in dirty. */
static bool waits_locked(const struct writer *w, uint64_t seq, const char *map_key) REQUIRES(w->mtx)
{
	return w->durable < seq && (!map_key || w->running || smap_get(&w->dirty, map_key));
}

static enum err_code flush(
	struct writer *w, const char *map_key, struct deadline d, struct stop *s, struct err *e)
{
	struct stop_watch watch;

	stop_watch_add(s, &watch, &w->mtx, &w->done);
	mutex_lock(&w->mtx);
	uint64_t want = w->seq;
	if (waits_locked(w, want, map_key)) {
		w->urgent = true;
		cond_signal(&w->wake);
	}
	while (waits_locked(w, want, map_key) && !stop_is_set(s) && !stop_is_set(&w->stop))
		if (!cond_wait(&w->done, &w->mtx, d))
			break;
	bool ok = !waits_locked(w, want, map_key);
	size_t waiting = smap_count(&w->dirty) + w->in_round;
	struct err last = w->last;
	mutex_unlock(&w->mtx);
	stop_watch_del(s, &watch);
	return ok ? ERR_OK : flush_failed(w, s, waiting, &last, e);
}

enum err_code writer_flush(struct writer *w, struct deadline d, struct stop *s, struct err *e)
{
	return flush(w, NULL, d, s, e);
}

enum err_code writer_flush_ext(
	struct writer *w, const char *key, struct deadline d, struct stop *s, struct err *e)
{
	CLEANUP(freep) char *map_key = keys_ext("", key);
	return flush(w, map_key, d, s, e);
}

/* The next entry of dirty whose key has one of the prefixes, or NULL. */
static struct entry *find_locked(struct writer *w, char *const *prefixes, size_t n) REQUIRES(w->mtx)
{
	size_t pos = 0;
	const char *key;
	void *v;

	while (smap_next(&w->dirty, &pos, &key, &v))
		for (size_t i = 0; i < n; i++)
			if (str_starts(key, prefixes[i]))
				return v;
	return NULL;
}

void writer_forget_task(struct writer *w, const char *task_id)
{
	CLEANUP(freep)
	char *object = keys_ext_task("object", task_id, "");
	CLEANUP(freep)
	char *bound = keys_ext_task("bound", task_id, "");
	CLEANUP(freep)
	char *docs = keys_position_prefix("", task_id);
	CLEANUP(freep)
	char *objects = keys_ext("", object);
	CLEANUP(freep)
	char *bounds = keys_ext("", bound);
	char *const prefixes[] = {docs, objects, bounds};

	mutex_lock(&w->mtx);
	/* A failed round puts its entries back, so look only when none is under way. */
	w->forgetting++;
	while (w->running)
		cond_wait(&w->done, &w->mtx, DEADLINE_NEVER);
	w->forgetting--;
	cond_signal(&w->wake);
	for (;;) {
		struct entry *n = find_locked(w, prefixes, ARRAY_LEN(prefixes));
		if (!n)
			break;
		smap_del(&w->dirty, n->map_key);
		entry_free(n);
	}
	if (!smap_count(&w->dirty)) {
		w->durable = w->seq;
		cond_broadcast(&w->done);
	}
	mutex_unlock(&w->mtx);
}

void writer_status(struct writer *w, struct writer_status *ret)
{
	mutex_lock(&w->mtx);
	*ret = (struct writer_status){.healthy = w->last.code == ERR_OK,
		.code = w->last.code,
		.failures = w->failures,
		.waiting = smap_count(&w->dirty) + w->in_round,
		.last_ok_ms = w->last_ok_ms};
	if (!ret->healthy)
		snprintf(ret->text, sizeof(ret->text),
			"metastore %s: %s; retry in %lld ms, %zu records waiting",
			err_name(w->last.code), w->last.text, (long long)deadline_left_ms(w->due),
			ret->waiting);
	mutex_unlock(&w->mtx);
}

/* --- the thread --- */

/* Entries taken for writing. */
struct round {
	struct entry **v;
	size_t n;
	uint64_t seq; /* everything put up to it is in v, or was stored before */
};

/* Does one record's own fault explain the failure? Then the others must not suffer from it. */
static bool is_about_a_record(enum err_code code)
{
	return code == ERR_INVALID || code == ERR_LIMIT || code == ERR_MALFORMED ||
	       code == ERR_UNSUPPORTED;
}

static enum err_code write_some(struct writer *w, struct entry **v, size_t n, struct err *e)
{
	CLEANUP(freep)
	struct store_positions *positions = xcalloc(n, sizeof(*positions));
	CLEANUP(freep)
	struct store_doc_id *gone = xcalloc(n, sizeof(*gone));
	CLEANUP(freep)
	struct store_ext *exts = xcalloc(n, sizeof(*exts));
	struct store_batch b = {.positions = positions, .gone = gone, .exts = exts};

	for (size_t i = 0; i < n; i++) {
		if (v[i]->key)
			exts[b.n_exts++] = (struct store_ext){v[i]->key, v[i]->value};
		else if (v[i]->gone)
			gone[b.n_gone++] =
				(struct store_doc_id){v[i]->pos.task_id, v[i]->pos.collection_id};
		else
			positions[b.n_positions++] = v[i]->pos;
	}
	enum err_code code = store_write(w->st, &b, &w->stop, e);
	metrics_add(metrics_get(METRIC_store_writes, err_name(code), NULL), 1);
	return code;
}

/* Writes n entries; a batch that one of them spoils is halved until that one is alone. e keeps the
 * first failure. False when it makes no sense to go on. */
static bool write_split(struct writer *w, struct entry **v, size_t n, struct err *e)
{
	struct err mine = ERR_INIT;
	enum err_code code = write_some(w, v, n, &mine);

	/* Positions of a deleted task are not missed, and the rest is stored. */
	if (code == ERR_OK || code == ERR_NOT_FOUND) {
		for (size_t i = 0; i < n; i++)
			v[i]->written = true;
		return true;
	}
	if (is_about_a_record(code) && n > 1) {
		size_t half = n / 2;
		return write_split(w, v, half, e) && write_split(w, v + half, n - half, e);
	}
	err_set_origin(e, code, mine.origin, "%s", mine.text);
	return is_about_a_record(code);
}

/* False when the store does not take writes now. */
static bool write_round(struct writer *w, struct round *r, struct err *e)
{
	for (size_t i = 0; i < r->n; i += BATCH_RECORDS)
		if (!write_split(w, r->v + i, MIN(BATCH_RECORDS, r->n - i), e))
			return false;
	return true;
}

static int by_seq(const void *a, const void *b)
{
	const struct entry *const *x = a, *const *y = b;
	return (*x)->seq < (*y)->seq ? -1 : (*x)->seq > (*y)->seq;
}

/* All that waits, oldest first. */
static void take_locked(struct writer *w, struct round *r) REQUIRES(w->mtx)
{
	size_t pos = 0;
	void *v;

	*r = (struct round){.v = xcalloc(smap_count(&w->dirty), sizeof(*r->v)), .seq = w->seq};
	while (smap_next(&w->dirty, &pos, &(const char *){NULL}, &v))
		r->v[r->n++] = v;
	smap_done(&w->dirty);
	qsort(r->v, r->n, sizeof(*r->v), by_seq);
	w->in_round = r->n;
	w->running = true;
	w->urgent = false;
}

/* What was not written waits again, unless something newer does. Frees the rest. */
static void put_back_locked(struct writer *w, struct round *r) REQUIRES(w->mtx)
{
	for (size_t i = 0; i < r->n; i++) {
		struct entry *n = r->v[i];
		struct entry *newer = smap_get(&w->dirty, n->map_key);
		assert(!newer || newer->seq > n->seq);
		if (n->written || newer)
			entry_free(n);
		else
			smap_put(&w->dirty, n->map_key, n);
	}
	free(r->v);
}

/* A bad record alone is no reason to keep the good ones waiting longer than the interval. */
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

/* Waits until there is something to write and it is due; false at the end. */
static bool wait_locked(struct writer *w) REQUIRES(w->mtx)
{
	while (!stop_is_set(&w->stop)) {
		bool may = smap_count(&w->dirty) > 0 && !w->forgetting;
		if (may && (w->urgent || deadline_passed(w->due)))
			return true;
		cond_wait(&w->wake, &w->mtx, may ? w->due : DEADLINE_NEVER);
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
		bool store_ok = write_round(w, &r, &e);
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

static size_t drop_all(struct writer *w)
{
	size_t pos = 0, n = 0;
	void *v;

	while (smap_next(&w->dirty, &pos, &(const char *){NULL}, &v)) {
		entry_free(v);
		n++;
	}
	smap_done(&w->dirty);
	return n;
}

void writer_free(struct writer *w)
{
	if (!w)
		return;
	stop_set(&w->stop);
	thread_join(&w->thread);
	size_t lost = drop_all(w);
	if (lost)
		log_warn(&w->log, "stopped with %zu records not written; they are repeated", lost);
	stop_watch_del(&w->stop, &w->watch);
	stop_done(&w->stop);
	cond_done(&w->done);
	cond_done(&w->wake);
	mutex_done(&w->mtx);
	free(w);
}
