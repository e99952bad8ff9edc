#include <stdio.h>
#include <string.h>

#include "client/kafka/kafka_priv.h"

enum { SYSLOG_WARNING = 4, SYSLOG_INFO = 6 };

/* The entry of this kind of line, or the one that was used longest ago. */
static struct kafka_log_kind *kind_locked(struct kafka *k, const char *fac) REQUIRES(k->mtx)
{
	struct kafka_log_kind *oldest = &k->kinds[0];

	for (size_t i = 0; i < KAFKA_LOG_KINDS; i++) {
		struct kafka_log_kind *kind = &k->kinds[i];
		if (strncmp(kind->fac, fac, sizeof(kind->fac) - 1) == 0)
			return kind;
		if (kind->last_ms < oldest->last_ms)
			oldest = kind;
	}
	*oldest = (struct kafka_log_kind){.last_ms = 0};
	snprintf(oldest->fac, sizeof(oldest->fac), "%s", fac);
	return oldest;
}

/* Every connection and topic reports the same outage: one line of a kind a minute is enough. */
static bool may_log(struct kafka *k, const char *fac, unsigned *ret_suppressed)
{
	int64_t now = time_mono_ms();

	mutex_lock(&k->mtx);
	struct kafka_log_kind *kind = kind_locked(k, fac);
	bool may = !kind->last_ms || now - kind->last_ms >= KAFKA_LOG_MS;
	*ret_suppressed = kind->suppressed;
	kind->suppressed = may ? 0 : kind->suppressed + 1;
	if (may)
		kind->last_ms = now;
	mutex_unlock(&k->mtx);
	return may;
}

/* librdkafka's errors are our warnings: it goes on by itself, and what does not is returned to a
 * caller. */
void kafka_log_line(const rd_kafka_t *rk, int level, const char *fac, const char *buf)
{
	const struct kafka_conn *c = rd_kafka_opaque(rk);
	enum log_level l = level <= SYSLOG_WARNING ? LOG_WARN
			   : level <= SYSLOG_INFO  ? LOG_INFO
						   : LOG_DEBUG;
	unsigned suppressed;

	if (!c || !log_enabled(c->k->log.comp, l) || !may_log(c->k, fac, &suppressed))
		return;
	if (suppressed)
		log_at(&c->k->log, l, "librdkafka %s: %s (%u lines of this kind left out)", fac,
			buf, suppressed);
	else
		log_at(&c->k->log, l, "librdkafka %s: %s", fac, buf);
}
