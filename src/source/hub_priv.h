/* What hub.c, hub_keeper.c, outlet.c, hub_merge.c and reader.c share. docs/internals/reader.md has
 * the picture.
 *
 *   channel   a pchannel: its readers and the subs that wait for one. Lives as long as the hub.
 *   reader    a thread with an MQ reader and a cutter; serves the subs attached to it.
 *   outlet    our side of a lane: one reader x one group.
 *
 * Locks: hub->mtx (the channel map, the keeper's wake-up) and channel->mtx (everything below a
 * channel), taken in this order. No callback and no queue call under either; whoever calls back
 * without the lock marks what it uses: sub->calling, outlet->pins. hub_unsubscribe waits for these
 * two marks and for nothing else. */
#pragma once

#include "base/log.h"
#include "base/map.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "source/budget.h"
#include "source/cutter.h"
#include "source/reader.h"

enum {
	HUB_GATHER_MS = 20,       /* subs that come this soon after another share a new reader */
	HUB_MAIN_GRACE_MS = 3000, /* a main reader without subs stays this long */
	HUB_SPLIT_MS =
		3000, /* a lane that blocks its reader's other lanes this long gets a chaser */
	HUB_PATIENCE_MS = 100, /* unsubscribe waits this long for a push before it cancels it */
	HUB_KEEPER_MS = 500,
	HUB_QUIET_MS = 5000, /* what the queue said this long ago may be untrue by now */
};

struct hub {
	struct hub_opts o;
	struct budget *budget;
	struct stop stop;
	struct thread keeper;
	struct log_ctx log;
	int64_t grace_ms; /* HUB_MAIN_GRACE_MS and */
	int64_t split_ms; /* HUB_SPLIT_MS; tests are more impatient */
	struct mutex mtx;
	struct cond cond;     /* the keeper's */
	struct smap channels; /* under mtx; channels are freed with the hub only */
	bool kicked;          /* under mtx */
	int away;             /* readers whose queue is away, under mtx */
	int64_t away_since_ms;
	uint64_t ignored_types; /* message types that were logged once, as a bloom of bits */
};

struct channel {
	struct hub *hub;
	char name[CHANNEL_BYTES];
	struct mutex mtx;
	struct cond cond;
	struct list waiting; /* subs without a reader */
	int64_t gather_until_ms;
	struct list readers;
	struct reader *main; /* one of them, or NULL */
	int n_chasers;
};

struct outlet {
	struct list link; /* in reader->outlets */
	const struct group_ops *ops;
	void *group, *lane;
	bool chaser;           /* opened as a chaser's lane */
	bool moved;            /* its lane was closed by a move */
	bool broken;           /* the group refused a pack: it is closing */
	bool split;            /* the push was cancelled to give it a reader of its own */
	bool again;            /* the present pack is built and pushed once more */
	struct position end;   /* after the last pack pushed; ts 0: none yet */
	uint64_t min_start_ts; /* no sub wants anything up to this */
	uint64_t round;        /* the reader's round it was served in */
	size_t n_subs;
	unsigned pins; /* used without the lock */
	uint64_t uses; /* pins ever taken */
	bool asked;    /* held is what its lane held a moment ago */
	size_t held;
	unsigned waiters;       /* threads that look at it while its subs leave */
	struct stop *push_stop; /* while a push runs */
	int64_t push_since_ms;
};

struct reader {
	struct list link; /* in channel->readers */
	struct hub *hub;
	struct channel *ch;
	struct thread thread;
	struct stop stop;
	/* its own thread's */
	struct cutter cutter;
	struct mq_reader *mqr;
	struct mq_id last; /* the last message read */
	int64_t logged_full_ms;
	/* under ch->mtx */
	struct account *acct; /* replaced by its own thread only */
	struct list subs;
	struct smap by_vchannel; /* to the first sub, chained by sub->same */
	struct list outlets;
	size_t untold;            /* subs without an outlet */
	bool chaser;              /* counted in ch->n_chasers */
	bool started, done, busy; /* busy: in a round or a merge */
	unsigned hold;            /* no round may begin */
	struct mq_id from;        /* where the queue was opened; n == 0: not yet */
	struct position at;       /* last cut: its tick's id, its end; ts 0: none yet */
	int64_t quiet_mono_ms;    /* the queue said then that nothing is behind `at`; 0 = not */
	uint64_t round;
	int64_t alone_since_ms; /* without subs; 0: has some */
	struct stop *take_stop; /* while it waits for the budget */
	int64_t take_since_ms;
	bool away;         /* counted in hub->away */
	char trouble[256]; /* what it waits for, "" if nothing */
};

/* hub.c */
void hub_kick(struct hub *h);                       /* @locks hub */
void hub_note_away(struct hub *h, const char *why); /* a reader's queue is away */
void hub_note_back(struct hub *h);
/* True for the first message of this type. */
bool hub_first_of_type(struct hub *h, int type);

/* hub_keeper.c */
void hub_keeper_main(void *hub);
/* s may be served by r from where r is. */
bool reader_can_join_locked(struct channel *ch, const struct reader *r, const struct sub *s)
	REQUIRES(ch->mtx);
/* A reader without a thread; the keeper starts it. */
struct reader *reader_new_locked(struct channel *ch) REQUIRES(ch->mtx);
void reader_free(struct reader *r);
/* It serves nobody any more; the keeper joins and frees it. */
void reader_end_locked(struct channel *ch, struct reader *r) REQUIRES(ch->mtx);
void sub_attach_locked(struct channel *ch, struct sub *s, struct reader *r) REQUIRES(ch->mtx);
/* From its reader or from the waiting list, and from its outlet's count. */
void sub_detach_locked(struct sub *s, struct channel *ch) REQUIRES(ch->mtx);
/* Where reading for s would go on. */
struct position sub_resume_locked(const struct sub *s);

/* outlet.c */
/* Opens the lanes of subs that have none. */
void outlets_open(struct reader *r, uint64_t begin_ts);
struct outlet *outlet_find_locked(struct channel *ch, struct reader *r, const struct group_ops *ops,
	const void *group) REQUIRES(ch->mtx);
struct outlet *outlet_new(const struct sub *s, void *lane, bool chaser);
/* Closes and frees o if nobody uses it; lets go of the lock meanwhile. */
void outlet_drop_locked(struct channel *ch, struct outlet *o) REQUIRES(ch->mtx);
/* Tells s its lane; false if it was unsubscribed meanwhile. Lets go of the lock. */
bool sub_tell_locked(struct channel *ch, struct sub *s, struct outlet *o) REQUIRES(ch->mtx);
/* Calls failed for the reader's subs that start at or before upto (NULL: all) on vchannel (empty:
 * all). */
void subs_fail(
	struct reader *r, const struct mq_id *upto, struct slice vchannel, const struct err *why);
/* Whether one of the reader's subs is of that vchannel. */
bool subs_have(struct reader *r, struct slice vchannel);
/* Hands a cut to all outlets; CANCELLED when the reader must stop. */
void outlets_push(struct reader *r, struct cut *cut);

/* hub_merge.c */
/* Moves r's subs to the main reader if r is a chaser and has caught up with it. */
void reader_merge(struct reader *r);
/* Gives o, whose push was cancelled for this, to a chaser of its own. @thread r's */
void reader_split_locked(struct channel *ch, struct reader *r, struct outlet *o) REQUIRES(ch->mtx);
/* Charges raw to r's account; false when r is to end. @thread r's */
bool reader_charge(struct reader *r, struct hub_raw *raw);

/* reader.c */
void reader_main(void *reader);
/* Between the two r is busy: nobody merges into it. A merge may hold it for the moment it takes.
 * @thread r's */
void reader_enter_locked(struct channel *ch, struct reader *r) REQUIRES(ch->mtx);
void reader_leave_locked(struct channel *ch, struct reader *r) REQUIRES(ch->mtx);
