#include "server/msglog.h"

#include <inttypes.h>

enum { FIRST_MESSAGES = 5, FIRST_MS = 5 * 60 * 1000 };

void msglog_init(struct msglog *m)
{
	*m = (struct msglog){.active = true,
		.target = FIRST_MESSAGES,
		.since_ms = time_mono_ms(),
		.for_ms = FIRST_MS};
	mutex_init(&m->mtx, "message log");
}

void msglog_done(struct msglog *m)
{
	mutex_done(&m->mtx);
}

void msglog_force(struct msglog *m, bool on)
{
	__atomic_store_n(&m->force, on, __ATOMIC_RELAXED);
}

void msglog_reset(struct msglog *m, int64_t count, int64_t minutes)
{
	mutex_lock(&m->mtx);
	m->printed = 0;
	m->target = count;
	m->since_ms = time_mono_ms();
	m->for_ms = minutes * 60000;
	__atomic_store_n(&m->active, true, __ATOMIC_RELAXED);
	mutex_unlock(&m->mtx);
}

static bool counts(struct msglog *m)
{
	mutex_lock(&m->mtx);
	bool yes = m->active && m->printed < m->target && time_mono_ms() - m->since_ms < m->for_ms;
	m->printed += yes;
	__atomic_store_n(&m->active, yes, __ATOMIC_RELAXED);
	mutex_unlock(&m->mtx);
	return yes;
}

void msglog_note(struct msglog *m, const struct log_ctx *log, const struct dml *d)
{
	bool force = __atomic_load_n(&m->force, __ATOMIC_RELAXED);

	if (!force && (!__atomic_load_n(&m->active, __ATOMIC_RELAXED) || !counts(m)))
		return;
	log_info(log,
		"read %s: collection %.*s (id %" PRId64 "), partition %.*s (id %" PRId64
		"), shard %.*s, ts %" PRIu64 ", %" PRIu64 " rows, %zu bytes",
		msg_type_name(d->type), (int)d->collection_name.n,
		(const char *)d->collection_name.p, d->collection_id, (int)d->partition_name.n,
		(const char *)d->partition_name.p, d->partition_id, (int)d->shard.n,
		(const char *)d->shard.p, d->min_ts, d->rows, d->payload.n);
}
