#include "pipeline/isolate.h"

#include "base/time.h"
#include "model/dml.h"

enum { FINAL_TRIES = 8, DOUBT_TRIES = 3 };

void isolate_begin(struct isolate *s, int64_t patience_ms)
{
	*s = (struct isolate){.patience_ms = patience_ms};
}

void isolate_built(struct isolate *s)
{
	s->at = s->n = 0;
	s->verdicts = 0;
}

static bool is_wanted(const struct pack_msg *m)
{
	const struct stream *st = m ? m->user : NULL;
	return !m || (st && !st->failed);
}

bool isolate_next(struct isolate *s, struct bundle *k, const struct tchan *c)
{
	while (s->single && s->at < k->n_msgs && !is_wanted(k->from[s->at]))
		s->at++;
	if (s->at == k->n_msgs)
		return false;
	s->n = s->single ? 1 : k->n_msgs;
	s->migration = tchan_replicate_id(c) && *tchan_replicate_id(c);
	if (s->single)
		bundle_select(k, c, s->at, s->n);
	return true;
}

bool isolate_sent(struct isolate *s, const struct bundle *k)
{
	s->at += s->n;
	s->verdicts = s->attempts = 0;
	return s->at == k->n_msgs;
}

bool isolate_begun(const struct isolate *s)
{
	return s->at > 0;
}

/* The target's word about what was sent, given while the channel works: UNCERTAIN with an origin is
 * an answer after which the fence was answered; without one the answer was lost. In data migration
 * MALFORMED is about the collection's or the target's mode, which is told elsewhere. */
static bool is_verdict(const struct isolate *s, const struct err *e)
{
	return e->code == ERR_LIMIT || (e->code == ERR_MALFORMED && !s->migration) ||
	       (e->code == ERR_UNCERTAIN && e->origin);
}

/* A server that is starting gives odd answers: it must last. */
static bool is_final(struct isolate *s, const struct err *e)
{
	if (!is_verdict(s, e)) {
		s->verdicts = 0;
		return false;
	}
	if (!s->verdicts++)
		s->verdict_mono_ms = time_mono_ms();
	return e->code == ERR_LIMIT ||
	       (s->verdicts >= FINAL_TRIES &&
		       time_mono_ms() - s->verdict_mono_ms >= s->patience_ms);
}

static void doubt(const struct taken *t)
{
	const struct stream *last = NULL;

	list_foreach (it, &t->packs) {
		const struct pack *pk = LIST_ITEM(it, struct pack, link);
		for (const struct pack_msg *m = pk->msgs; m; m = m->next) {
			struct stream *st = m->user;
			if (st && st != last && !st->failed && st->ops->doubted)
				st->ops->doubted(st);
			last = st;
		}
	}
}

static void fail_stream(const struct pack_msg *m, size_t bytes, const struct err *why)
{
	struct stream *st = m->user;
	struct err e = ERR_INIT;

	if (why->code == ERR_LIMIT)
		err_set_origin(&e, ERR_LIMIT, why->origin,
			"a message of %zu bytes (%llu rows) is more than the target's queue takes: "
			"raise max.message.bytes (Kafka) or maxMessageSize (Pulsar) there, then "
			"pause and resume: %.120s",
			bytes, (unsigned long long)m->dml.rows, why->text);
	else
		err_set_origin(&e, ERR_INVALID, why->origin,
			"the target refuses a message of %zu bytes (%llu rows) each time: %.200s",
			bytes, (unsigned long long)m->dml.rows, why->text);
	st->ops->failed(st, &e);
}

bool isolate_refused(
	struct isolate *s, struct bundle *k, const struct taken *t, const struct err *e)
{
	if (e->code == ERR_CANCELLED)
		return false;
	if (++s->attempts >= DOUBT_TRIES)
		doubt(t);
	if (!is_final(s, e))
		return false;
	if (!s->single && k->n_msgs > 1) {
		s->single = true;
		s->verdicts = 0;
		return true;
	}
	if (!k->from[s->at]) /* a tick or a drop message of our own: nobody's fault */
		return false;
	s->single = true;
	fail_stream(k->from[s->at], k->msgs[s->at].bytes, e);
	return true;
}
