#include "server/tool/tool_scan.h"

enum { WAIT_MS = 500, SILENCE_MS = 10000 };

struct end {
	struct mq_id at;  /* the topic's next message when we began */
	int64_t heard_ms; /* monotonic, of the last message */
	bool read, more;
};

/* The last message before the end was read. Only the queue knows whether there is one between. */
static bool at_end(const struct end *end, bool waited)
{
	if (!waited)
		return false;
	return end->read ? !end->more : time_mono_ms() - end->heard_ms > SILENCE_MS;
}

/* Hands m over; false ends the scan. */
static bool give(const struct tool_scan *s, struct mq_msg *m)
{
	struct hub_raw *raw = raw_new(m);
	struct err e = ERR_INIT;
	enum raw_kind kind;
	bool readable = !raw_peek(raw, &kind, &e) && m->payload.n;
	struct tool_message out = {.pchannel = s->pchannel,
		.msg = m,
		.dml = readable && raw->dml.payload.p ? &raw->dml : NULL,
		.ts = raw->ts,
		.why = e.code         ? e.text
		       : m->payload.n ? "of an unknown type"
				      : "empty"};

	bool more = s->message(s->arg, &out);
	raw_unref(raw);
	return more;
}

static enum err_code read_all(
	const struct tool_scan *s, struct mq_reader *r, struct end *end, struct err *e)
{
	const struct mq_ops *ops = s->mq->ops;
	struct mq_msg *m = NULL;

	for (;;) {
		enum err_code code = ops->next(r, deadline_in(WAIT_MS), s->stop, &m, e);
		if (code && code != ERR_TIMEOUT && code != ERR_UNAVAILABLE)
			return code;
		if (code == ERR_UNAVAILABLE && time_mono_ms() - end->heard_ms > SILENCE_MS)
			return code;
		err_clear(e);
		if (code && !s->follow && at_end(end, code == ERR_TIMEOUT))
			return ERR_OK;
		if (code)
			continue;
		end->heard_ms = time_mono_ms();
		end->read = true;
		end->more = m->more;
		if (!s->follow && ops->compare(&m->id, &end->at) >= 0) {
			mq_msg_free(m);
			return ERR_OK;
		}
		if (!give(s, m))
			return ERR_OK;
	}
}

enum err_code tool_scan(const struct tool_scan *s, struct err *e)
{
	const struct mq_ops *ops = s->mq->ops;
	struct end end = {.heard_ms = time_mono_ms()};
	struct mq_reader *r = NULL;

	if (ops->latest(s->mq, s->pchannel, s->stop, &end.at, e))
		return err_ctx(e, "topic %s", s->pchannel);
	if (!s->follow && s->from.n && ops->compare(&s->from, &end.at) >= 0)
		return ERR_OK;
	if (ops->open(s->mq, s->pchannel, &(const struct mq_start){.id = s->from}, s->stop, &r, e))
		return err_ctx(e, "topic %s", s->pchannel);
	enum err_code code = read_all(s, r, &end, e);
	ops->close(r);
	return code ? err_ctx(e, "topic %s", s->pchannel) : ERR_OK;
}

bool tool_wants(const struct mq *q, const struct tool_channel *ch, const struct tool_message *m)
{
	if (ch->from.id.n && q->ops->compare(&m->msg->id, &ch->from.id) < 0)
		return false;
	if (!m->dml)
		return true;
	if (m->dml->type == MSG_TIME_TICK || !ch->collection_id)
		return m->ts > ch->from.ts;
	return m->dml->collection_id == ch->collection_id && m->ts > ch->from.ts;
}

struct mq_id tool_first_id(
	const struct mq *q, const struct tool_plan *p, size_t first, size_t *ret_last)
{
	struct mq_id min = p->list[first].from.id;
	size_t i = first;

	for (; i < p->n && strcmp(p->list[i].pchannel, p->list[first].pchannel) == 0; i++) {
		const struct mq_id *id = &p->list[i].from.id;
		if (!id->n || (min.n && q->ops->compare(id, &min) < 0))
			min = *id;
	}
	*ret_last = i;
	return min;
}
