/* Reading the source's pchannels. One main reader thread a pchannel serves all subscriptions on it;
 * a subscription that starts before the main reader's place gets a chaser, a short-lived reader
 * from its own position, which merges into the main one when it has caught up. A reader cuts the
 * topic into packs by time tick and hands each subscriber group one pack per tick.
 *
 *   hub           all readers of one source queue
 *   sub           one vchannel wanted by one consumer, from an exact position
 *   group         what several subs deliver to together (a target channel); has lanes
 *   lane          one reader x one group: an ordered sequence of packs
 */
#pragma once

#include "base/err.h"
#include "base/list.h"
#include "base/stop.h"
#include "model/channel.h"
#include "model/dml.h"
#include "model/pack.h"
#include "source/mq.h"

struct hub;
struct sub;

/* Several pack_msgs may share one mq_msg (non-DML messages of a collection with several subs): raw
 * is reference-counted; pack_free gives all references and the budget back. @thread any */
void pack_free(struct pack *pk);

/* What a group does; called by reader threads, one thread a lane at a time. */
struct group_ops {
	/* A reader starts to deliver; start_ts is where its first pack begins (0 unknown). */
	void *(*lane_open)(void *group, const char *pchannel, uint64_t start_ts, bool chaser);
	/* Takes pk (also on failure). Blocks while the lane is full; CANCELLED ends the reader's
	 * attempt. A bare tick (no messages) may be merged into the newest queued bare tick by the
	 * callee. */
	enum err_code (*push)(void *lane, struct pack *pk, struct stop *s, struct err *e);
	/* From now on the subs of `from` come through `to`, in order behind what is queued in from;
	 * from is closed by this. */
	void (*move)(void *from, void *to);
	/* No more packs; what is queued is still delivered. */
	void (*lane_close)(void *lane);
	/* Bytes of what was pushed and is not released yet. */
	size_t (*held)(void *lane);
};

/* Fields are set by the subscriber, private ones by the hub. Must stay until hub_unsubscribe
 * returns. */
struct sub {
	const char *vchannel, *pchannel; /* borrowed, as long as it is subscribed */
	int64_t collection_id;
	struct position start; /* rows with time <= start.ts are skipped */
	const struct group_ops *ops;
	void *group;
	void *user; /* the stream */
	/* Called (reader thread) when the sub can't go on: GONE, MALFORMED, UNSUPPORTED (`_v`
	 * messages), ... */
	void (*failed)(void *user, const struct err *e);
	/* Called by the reader thread when the sub's lane is known or changes (after lane_open /
	 * before move). */
	void (*lane_set)(void *user, void *lane);
	struct list link;      /* private, as all below, under the channel's lock */
	struct reader *reader; /* NULL: waiting, dead or unsubscribed */
	struct outlet *outlet; /* NULL: its lane is not open yet */
	struct sub *same;      /* next sub of the reader with the same vchannel */
	bool calling;          /* one of its callbacks runs */
	bool dead;             /* failed was called */
};

struct hub_opts {
	struct mq *mq;
	size_t budget_bytes; /* all messages held, LIMIT_PROCESS_BUDGET */
	/* Told of every message read (metrics); may be NULL. @thread reader */
	void (*on_read)(void *arg, const struct sub *sub, const struct dml *d, size_t bytes);
	void *arg;
};

NODISCARD enum err_code hub_new(const struct hub_opts *o, struct hub **ret_h, struct err *e);
/* All subs must be gone. Joins all readers. */
void hub_free(struct hub *h);

/* Starts delivery soon; errors come through sub->failed. @thread any, does not block on the
 * network */
void hub_subscribe(struct hub *h, struct sub *s);
/* When it returns, no callback of s runs any more and no further message of s is delivered; queued
 * packs may still name it: the caller handles those. From the call on, packs may come without
 * messages of s, so the caller stops counting them as its progress first. A push that blocks is
 * cancelled after a moment and
 * repeated without s. @thread any but readers  @locks none that a push takes */
void hub_unsubscribe(struct hub *h, struct sub *s);

/* Is the source still on this pchannel: was the queue asked within the last seconds, and nothing
 * stands behind what was read? Then everything up to *ret_ts, a TSO, is all there is. */
bool hub_quiet(struct hub *h, const char *pchannel, uint64_t *ret_ts);
/* How far the topic goes and how far it was read for s, as TSOs; 0 = not known. */
struct hub_marks {
	uint64_t head_ts; /* of its last message, when that was read */
	uint64_t read_ts;
	bool reads; /* a reader is at work on it: what is not read yet is not known */
};
void hub_marks(struct hub *h, const struct sub *s, struct hub_marks *ret);
/* Bytes held now; number of open readers; "" or what a pchannel's readers wait for. */
size_t hub_held_bytes(struct hub *h);
int hub_readers(struct hub *h);
void hub_status(struct hub *h, const char *pchannel, char *ret_text, size_t cap);
