/* The source's message queue behind a vtable: Kafka or Pulsar. A reader delivers one topic in order
 * from an exact position. @thread an mq is used by any thread, a reader by one. */
#pragma once

#include "base/bytes.h"
#include "base/err.h"
#include "base/stop.h"
#include "base/time.h"
#include "model/position.h"

struct mq;
struct mq_reader;

/* One message. payload and properties stay valid until mq_msg_free. */
struct mq_msg {
	struct slice payload;
	struct mq_id id;
	size_t cost_bytes;   /* what holding it costs */
	bool more;           /* the topic is known to hold newer ones */
	struct mq_msg *next; /* for the holder's own lists */
	const struct mq_ops *ops;
};

/* Where reading starts: at the message with this id, or behind it. */
struct mq_start {
	struct mq_id id; /* n 0: the first message the broker keeps */
	/* At the first message behind id, which need not be kept any more. */
	bool after;
	/* Wall time at which nothing stood behind id, 0 unknown. A queue whose ids do not tell
	 * whether two messages are neighbours (Pulsar) believes for a while that nothing was
	 * trimmed since. */
	int64_t end_ms;
};

struct mq_ops {
	const char *name;
	/* Is the queue reachable? For start-up checks. */
	enum err_code (*check)(struct mq *q, struct stop *s, struct err *e);
	/* The id the topic's next message will have, as a start position. NOT_FOUND: no such
	 * topic. */
	enum err_code (*latest)(struct mq *q, const char *topic, struct stop *s,
		struct mq_id *ret_id, struct err *e);
	/* How long each of n topics keeps its messages, in ms; -1 = for ever. NULL where the queue's
	 * protocol does not tell. */
	enum err_code (*retention)(struct mq *q, const char *const *topics, size_t n,
		struct stop *s, int64_t *ret_ms, struct err *e);
	/* GONE (with the gap named) when messages from the start on are no longer kept, or it is
	 * newer than the topic's end; NOT_FOUND if there is no such topic; DENIED: worth another
	 * try. */
	enum err_code (*open)(struct mq *q, const char *topic, const struct mq_start *from,
		struct stop *s, struct mq_reader **ret_r, struct err *e);
	/* The next message, to be freed by the caller; TIMEOUT when d passes first. UNAVAILABLE:
	 * broker away or login refused, goes on by itself, call again. GONE, MALFORMED: call no more. */
	enum err_code (*next)(struct mq_reader *r, struct deadline d, struct stop *s,
		struct mq_msg **ret_m, struct err *e);
	/* How long ago, in ms, the queue itself said that nothing stands behind the last message
	 * returned; -1: it did not, or more came since. NULL: a TIMEOUT of next is its word. */
	int64_t (*end_age_ms)(struct mq_reader *r);
	void (*close)(struct mq_reader *r);
	void (*msg_free)(struct mq_msg *m);
	/* The value of property key of m, n = 0 if it has none. */
	struct slice (*property)(const struct mq_msg *m, const char *key);
	/* <0, 0, >0; ids of one topic only. */
	int (*compare)(const struct mq_id *a, const struct mq_id *b);
	/* All readers closed. */
	void (*free)(struct mq *q);
};

struct mq {
	const struct mq_ops *ops;
};

static inline void mq_msg_free(struct mq_msg *m)
{
	if (m)
		m->ops->msg_free(m);
}

/* After a TIMEOUT of next: how long ago, in ms, nothing stood behind the last message; -1: unknown. */
static inline int64_t mq_end_age_ms(const struct mq_ops *ops, struct mq_reader *r)
{
	return ops->end_age_ms ? ops->end_age_ms(r) : 0;
}
