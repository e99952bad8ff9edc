/* Bounds of a session's channels (pipeline/bound.h): one thread makes them durable before rows need
 * them, all that are due in one write. Without the metastore rows stop at the bound; ticks go on. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "metrics/metrics.h"
#include "server/target/target_priv.h"
#include "store/writer.h"

enum { POLL_MS = 250, DURABLE_MS = 2000 };

struct renewal {
	struct tchan *chan;
	struct bound_record next;
};

static size_t collect(struct session *s, struct renewal **ret)
{
	size_t pos = 0, n = 0, due = 0;
	const char *name;
	void *v;

	mutex_lock(&s->mtx);
	struct renewal *l = xcalloc(smap_count(&s->chans) + 1, sizeof(*l));
	while (smap_next(&s->chans, &pos, &name, &v))
		l[n++].chan = ((struct chan *)v)->tchan;
	s->bounds_wanted = false;
	mutex_unlock(&s->mtx);
	for (size_t i = 0; i < n; i++)
		if (tchan_bound_next(l[i].chan, &l[due].next))
			l[due++].chan = l[i].chan;
	*ret = l;
	return due;
}

static bool rows_wait(const struct renewal *l, size_t n, bool show)
{
	struct tchan_stats st;
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		tchan_stats(l[i].chan, &st);
		any = any || st.waits_bound;
		metrics_set(metrics_get(METRIC_bound_waits, tchan_name(l[i].chan), NULL),
			show && st.waits_bound);
	}
	return any;
}

static void note_trouble(
	struct session *s, const struct renewal *l, size_t n, const struct err *why)
{
	if (!rows_wait(l, n, true))
		return;
	mutex_lock(&s->mtx);
	bool first = !s->bound_error[0];
	snprintf(s->bound_error, sizeof(s->bound_error),
		"target %.150s: rows wait, the metastore does not take how far they may be sent: "
		"%.300s",
		s->address, why->text);
	mutex_unlock(&s->mtx);
	if (first)
		log_warn(&s->log,
			"rows wait, the metastore does not take how far they may be sent: %s; "
			"tried again every %d ms",
			why->text, DURABLE_MS);
}

static void note_success(struct session *s, const struct renewal *l, size_t n)
{
	mutex_lock(&s->mtx);
	bool waited = s->bound_error[0] != '\0';
	s->bound_error[0] = '\0';
	mutex_unlock(&s->mtx);
	if (!waited)
		return;
	rows_wait(l, n, false);
	log_info(&s->log, "rows go on, the metastore took how far they may be sent");
}

static enum err_code flush_all(struct session *s, const struct renewal *l, size_t n, struct err *e)
{
	char key[CHAN_KEY_BYTES];
	struct deadline d = deadline_in(DURABLE_MS);

	for (size_t i = 0; i < n; i++) {
		session_chan_key(s, tchan_name(l[i].chan), key);
		if (writer_flush_ext(s->set->opts.writer, key, d, &s->stop, e))
			return e->code;
	}
	return ERR_OK;
}

/* False when the session ends first. */
static bool make_durable(struct session *s, const struct renewal *l, size_t n)
{
	char key[CHAN_KEY_BYTES];

	for (size_t i = 0; i < n; i++) {
		CLEANUP(freep) char *text = chan_record_text(0, &l[i].next);
		session_chan_key(s, tchan_name(l[i].chan), key);
		writer_put_ext(s->set->opts.writer, key, text);
	}
	while (!stop_is_set(&s->stop)) {
		struct err e = ERR_INIT;
		if (!flush_all(s, l, n, &e)) {
			note_success(s, l, n);
			return true;
		}
		if (e.code != ERR_CANCELLED)
			note_trouble(s, l, n, &e);
	}
	return false;
}

static void renew(struct session *s)
{
	struct renewal *l;
	size_t n = collect(s, &l);
	bool durable = n && make_durable(s, l, n);

	for (size_t i = 0; i < n; i++) {
		if (durable)
			tchan_bound_set(l[i].chan, &l[i].next);
		bound_record_done(&l[i].next);
	}
	free(l);
}

static void run(void *arg)
{
	struct session *s = arg;
	struct stop_watch w;

	while (!stop_is_set(&s->stop)) {
		renew(s);
		stop_watch_add(&s->stop, &w, &s->mtx, &s->bounds_cond);
		mutex_lock(&s->mtx);
		if (!s->bounds_wanted && !stop_is_set(&s->stop))
			cond_wait(&s->bounds_cond, &s->mtx, deadline_in(POLL_MS));
		mutex_unlock(&s->mtx);
		stop_watch_del(&s->stop, &w);
	}
}

void session_wants_bound(void *session)
{
	struct session *s = session;

	mutex_lock(&s->mtx);
	s->bounds_wanted = true;
	cond_signal(&s->bounds_cond);
	mutex_unlock(&s->mtx);
}

enum err_code session_bounds_start(struct session *s, struct err *e)
{
	return s->bounds.started ? ERR_OK : thread_start(&s->bounds, "bounds", run, s, e);
}

void session_bounds_stop(struct session *s)
{
	thread_join(&s->bounds);
}

uint64_t target_window_end(struct target *t, const char *pchannel, struct tchan *c, const char *key)
{
	struct session *s = t->session;

	mutex_lock(&s->mtx);
	const struct chan_record *past = smap_get(&s->past, pchannel);
	bool first = !smap_put(&s->begun, key, s);
	uint64_t ts = past && first ? bound_record_of(&past->bound, key) : 0;
	mutex_unlock(&s->mtx);
	return first ? ts : tchan_bound_of(c, key);
}
