/* A source topic with a model of what its readers must deliver, and groups that record what they
 * get. For tests of the hub: every row exactly once and in order, whatever the schedule. Broken
 * promises abort. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "base/mutex.h"
#include "source/reader.h"
#include "support/fake_mq.h"

enum { WORLD_TOPICS = 2, WORLD_VCHANNELS = 6, WORLD_GROUPS = 3, WORLD_SUBS = 24 };

#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #cond);         \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

struct world;

/* A message as it was written. */
struct row {
	int64_t number;
	uint64_t ts;
	int64_t msg_id;
	int vchannel; /* -1: a tick; -2: a drop of collection 100 + collection */
	int collection;
};

struct topic_model {
	char name[CHANNEL_BYTES];
	struct row *rows;
	size_t n, cap;
	uint64_t clock, ticked;
	struct position *cuts; /* the end of each pack, in order */
	size_t n_cuts, cap_cuts;
};

struct group {
	struct world *w;
	bool blocked; /* pushes of packs with messages wait */
	bool closing; /* and are refused */
	bool hoards;  /* packs with messages are kept */
	int lanes, opened, moves, pushes;
	struct list kept; /* packs, in order */
};

struct wsub {
	struct sub sub;
	char channel[CHANNEL_BYTES];
	struct world *w;
	struct topic_model *t;
	int vchannel;
	struct position first; /* where it started in the first place */
	struct position at;    /* where it would start again */
	void *lane;
	bool live, leaving; /* leaving: what comes now is not kept */
	enum err_code failed;
	char why[ERR_TEXT_BYTES];
	int64_t *got;
	size_t n, cap;
};

struct world {
	struct fake_mq *mq;
	struct hub *hub;
	struct mutex mtx;
	struct cond cond;
	unsigned seed;
	struct topic_model topics[WORLD_TOPICS];
	struct group groups[WORLD_GROUPS];
	struct wsub subs[WORLD_SUBS];
	int64_t next_msg_id;
	struct stop never;
};

extern const struct group_ops world_ops;

void world_open(struct world *w, unsigned seed, size_t budget_bytes);
/* Unsubscribes all; checks that nothing leaked. */
void world_close(struct world *w);
unsigned world_rand(struct world *w, unsigned below);

/* Writers: a row of a vchannel at ts, a tick, a drop of the vchannel's collection. */
int64_t world_row(
	struct world *w, struct topic_model *t, int vchannel, uint64_t ts, int64_t msg_id);
int64_t world_tick(struct world *w, struct topic_model *t, uint64_t ts);
int64_t world_drop(struct world *w, struct topic_model *t, int collection, uint64_t ts);
/* Some random messages as a source writes them. */
void world_write(struct world *w, struct topic_model *t, int n);

/* Subscribes slot i from a position. */
void world_sub(struct world *w, int i, struct topic_model *t, int vchannel, int group,
	struct position start);
void world_unsub(struct world *w, int i);
/* Again, from where it stopped. */
void world_resub(struct world *w, int i);
void world_block(struct world *w, int group, bool blocked);
/* While set, the group's lanes take what is pushed and keep it. */
void world_hoard(struct world *w, int group, bool hoards);
/* Waits until slot i got all it must; then compares. */
void world_expect(struct world *w, int i);
/* Waits until slot i has failed with code; its text is in why. */
void world_expect_failed(struct world *w, int i, enum err_code code);
/* A pack end of t, at random; {id 0, ts 0} if there is none. */
struct position world_some_cut(struct world *w, const struct topic_model *t);
