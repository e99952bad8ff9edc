#include "pipeline/feed.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/retry.h"
#include "model/ts.h"

enum { FIRST_MS = 200, MOST_MS = 10000, PATIENCE_MS = 5000 };

/* One message or note on its way. */
struct way {
	struct pack_msg *msg; /* its user NULL: nobody wants it any more */
	struct tchan_note *note;
	const struct pack *pack;
	bool last, again, confirmed;
	void *ticket;
};

struct feed {
	struct tchan *chan;
	const struct chan_sink *sink;
	const struct worker_metrics *metrics;
	struct way *ways;
	size_t n, cap;
	bool begun;  /* ways are those of what is taken now */
	bool single; /* one at a time: a log refuses small messages for a large neighbour */
	bool waiting;
};

struct feed *feed_new(
	struct tchan *c, const struct chan_sink *sink, const struct worker_metrics *metrics)
{
	struct feed *f = xcalloc(1, sizeof(*f));

	f->chan = c;
	f->sink = sink;
	f->metrics = metrics;
	return f;
}

static void drop_ticket(struct feed *f, struct way *y)
{
	if (y->ticket)
		f->sink->feed->drop(f->sink->arg, y->ticket);
	y->ticket = NULL;
}

void feed_forget(struct feed *f)
{
	for (size_t i = 0; i < f->n; i++)
		drop_ticket(f, &f->ways[i]);
	f->n = 0;
	f->begun = f->single = false;
}

void feed_free(struct feed *f)
{
	if (!f)
		return;
	feed_forget(f);
	free(f->ways);
	free(f);
}

/* Drop messages are told to their streams and end them; all else becomes a way. */
static void add_msg(struct feed *f, const struct pack *pk, struct pack_msg *m)
{
	struct stream *st = m->user;

	if (!st || st->ended_ts)
		return;
	if (m->dml.type == MSG_DROP_COLLECTION || m->dml.type == MSG_DROP_PARTITION) {
		if (m->dml.type == MSG_DROP_COLLECTION)
			st->ended_ts = m->dml.min_ts;
		st->ops->drop(st, &m->dml);
		tchan_forget(f->chan, m); /* last: from now on st may go */
		return;
	}
	mem_grow(&f->ways, &f->cap, f->n + 1, sizeof(*f->ways));
	f->ways[f->n++] = (struct way){.msg = m, .pack = pk, .again = m->again};
}

/* The last message of each stream in each pack. */
static void mark_last(struct feed *f)
{
	for (size_t i = 0; i < f->n; i++) {
		struct way *y = &f->ways[i];
		bool last = true;
		for (size_t k = i + 1; last && k < f->n && f->ways[k].pack == y->pack; k++)
			last = f->ways[k].msg->user != y->msg->user;
		y->last = last;
	}
}

static void begin(struct feed *f, struct taken *t)
{
	f->begun = true;
	list_foreach (it, &t->packs) {
		const struct pack *pk = LIST_ITEM(it, struct pack, link);
		for (struct pack_msg *m = pk->msgs; m; m = m->next)
			add_msg(f, pk, m);
	}
	mark_last(f);
	list_foreach (it, &t->notes) {
		mem_grow(&f->ways, &f->cap, f->n + 1, sizeof(*f->ways));
		f->ways[f->n++] = (struct way){.note = LIST_ITEM(it, struct tchan_note, link)};
	}
}

static bool wanted(const struct way *y)
{
	if (y->confirmed)
		return false;
	if (y->note)
		return !y->note->cancelled;
	const struct stream *st = y->msg->user;
	return st && !st->failed;
}

/* This message can never go: its stream ends here. */
static void refuse(struct way *y, struct err *e)
{
	struct stream *st = y->msg ? y->msg->user : NULL;

	y->confirmed = true;
	if (!st)
		return;
	err_ctx(e, "%s message of %s at %llu", msg_type_name(y->msg->dml.type), st->shard,
		(unsigned long long)y->msg->dml.min_ts);
	st->ops->failed(st, e);
}

static bool is_final(enum err_code code)
{
	return code == ERR_MALFORMED || code == ERR_UNSUPPORTED || code == ERR_LIMIT;
}

static enum err_code put_one(struct feed *f, struct way *y, struct stop *s, struct err *e)
{
	struct feed_item it = {
		.note = y->note, .last = y->last, .again = y->again, .alone = f->single};

	if (y->msg) {
		it.stream = y->msg->user;
		it.dml = &y->msg->dml;
		it.begin_ts = y->pack->begin_ts;
		it.end_ts = y->pack->end_ts;
		it.end_id = &y->pack->end.id;
	}
	return f->sink->feed->put(f->sink->arg, &it, s, &y->ticket, e);
}

/* Hands over all that is not out; in single file only the next. */
static enum err_code put_all(struct feed *f, struct stop *s, struct err *e)
{
	for (size_t i = 0; i < f->n; i++) {
		struct way *y = &f->ways[i];
		struct err mine = ERR_INIT;
		if (!wanted(y) || y->ticket)
			continue;
		enum err_code code = put_one(f, y, s, &mine);
		if (is_final(code)) {
			refuse(y, &mine);
		} else if (code) {
			*e = mine;
			return code;
		}
		y->confirmed = y->confirmed || !y->ticket; /* the log is not told of it */
		if (f->single && y->ticket)
			break;
	}
	return ERR_OK;
}

static bool left(const struct feed *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (wanted(&f->ways[i]))
			return true;
	return false;
}

static void tell(struct feed *f, const struct err *e, int64_t delay_ms)
{
	f->waiting = delay_ms >= 0;
	f->sink->waiting(f->sink->arg, f->chan, e, delay_ms);
}

/* Waits for one; a slow log is told of again and again. */
static enum err_code wait_one(struct feed *f, struct way *y, struct stop *s, struct err *e)
{
	for (;;) {
		struct err slow = ERR_INIT;
		enum err_code code = f->sink->feed->wait(
			f->sink->arg, y->ticket, deadline_in(PATIENCE_MS), s, &slow);
		if (code != ERR_TIMEOUT) {
			*e = slow;
			return code;
		}
		tell(f, &slow, PATIENCE_MS);
	}
}

/* y failed, so what came after it in its stream goes again, too. */
static void rewind_stream(struct feed *f, size_t from)
{
	const void *st = f->ways[from].msg ? f->ways[from].msg->user : NULL;

	drop_ticket(f, &f->ways[from]);
	for (size_t i = from + 1; st && i < f->n; i++) {
		struct way *y = &f->ways[i];
		if (!y->msg || y->msg->user != st)
			continue;
		y->again = true;
		y->confirmed = false;
		drop_ticket(f, y);
		metrics_add(f->metrics->replayed, 1);
	}
}

/* Waits for all that is out; what failed is out no longer. The first such error is returned. Brokers
 * judge the size of a batch, and refuse all that is in it: only a message refused by itself is too
 * large (Kafka 3.7: MSG_SIZE_TOO_LARGE for each record of the batch). */
static enum err_code wait_all(struct feed *f, struct stop *s, struct err *e)
{
	bool single = f->single;

	for (size_t i = 0; i < f->n; i++) {
		struct way *y = &f->ways[i];
		struct err mine = ERR_INIT;
		if (!wanted(y))
			drop_ticket(f, y);
		if (!y->ticket)
			continue;
		enum err_code code = wait_one(f, y, s, &mine);
		if (code == ERR_CANCELLED)
			return *e = mine, code;
		if (code == ERR_OK) {
			y->confirmed = true;
		} else if (code == ERR_LIMIT && !single) {
			f->single = true;
			rewind_stream(f, i);
		} else if (is_final(code)) {
			refuse(y, &mine);
		} else {
			rewind_stream(f, i);
			if (!e->code)
				*e = mine;
		}
	}
	return e->code;
}

bool feed_deliver(struct feed *f, struct taken *t, struct stop *s)
{
	struct retry backoff = RETRY_INIT(FIRST_MS, MOST_MS);
	struct err none = ERR_INIT;

	if (!f->begun)
		begin(f, t);
	while (!stop_is_set(s)) {
		struct err e = ERR_INIT;
		if (!put_all(f, s, &e) && !wait_all(f, s, &e)) {
			if (left(f))
				continue;
			if (f->waiting)
				tell(f, &none, -1);
			if (f->n)
				metrics_add(f->metrics->calls, 1);
			return true;
		}
		if (e.code == ERR_CANCELLED)
			return false;
		int64_t delay = retry_next_ms(&backoff);
		tell(f, &e, delay);
		stop_sleep(s, delay);
	}
	return false;
}
