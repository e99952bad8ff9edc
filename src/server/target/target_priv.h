/* What target.c, target_access.c, target_chan.c and target_claims.c share.
 *
 *   task ── target (handle) ──┬─▶ access: credentials and TLS settings, a client of its own; tasks
 *                             │           with equal settings share one
 *                             └─▶ session: one an address, whatever the credentials: its clock, its
 *                                          channels with their workers, its accesses
 *
 * There is one session an address because two clocks on one target channel would break the order
 * there. A channel's calls carry rows of all tasks of the session, so they go through whichever
 * access works; what a task creates and drops goes through its own.
 *
 * Locks: targets->mtx (who uses what) before session->mtx (channels, clock, health). */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "base/mutex.h"
#include "base/retry.h"
#include "base/thread.h"
#include "pipeline/worker.h"
#include "server/config/address.h"
#include "server/target/chan_record.h"
#include "server/jobs.h"
#include "server/target/target.h"
#include "sink/sink.h"

enum { TARGET_STATUS_BYTES = 600, CHAN_KEY_BYTES = 1024 };

struct chan {
	struct tchan *tchan;
	struct worker *worker;
};

struct access {
	struct list link; /* in session->accesses, under session->mtx */
	struct session *session;
	int users;      /* handles, under targets->mtx */
	int refs;       /* one for the session, one a call under way; under session->mtx */
	char *settings; /* what makes two accesses equal; holds secrets */
	struct sink *remote;
	struct job job; /* connects and reads the clock, for ever */
	struct retry backoff;
	char error[TARGET_STATUS_BYTES]; /* of the last check, "" = in order; under session->mtx */
	bool refused;                    /* a channel's call failed since; under session->mtx */
};

struct session {
	struct targets *set;
	int users; /* handles; this and the next three under set->mtx */
	struct list handles;
	int leaving; /* accesses on their way out */
	bool closing;
	/* A topic: no clock, no ticks, nothing to remember of its channels, exactly one access */
	bool untimed;
	char key[ADDRESS_TARGET_BYTES]; /* in set->by_address; not to be shown */
	char address[ADDRESS_TARGET_BYTES];
	char fields[ADDRESS_TARGET_BYTES + 16];
	struct log_ctx log;
	struct stop stop;
	struct chan_sink sink;
	struct jobs *jobs;

	struct mutex mtx;
	struct list accesses;   /* under mtx, as all below */
	struct access *current; /* the one that channels use */
	struct smap chans;      /* pchannel -> struct chan */
	struct umap claims;     /* source collection id -> the run that replicates it */
	struct smap past;       /* pchannel -> struct chan_record found at the start, heap */
	struct smap begun;      /* keys of streams that were sent in this session */
	struct smap names;      /* target database and name -> struct name_claim */
	uint64_t clock_ts;      /* TSO read at clock_mono_ms; 0 = never */
	int64_t clock_mono_ms;
	char call_error[TARGET_STATUS_BYTES];
	char bound_error[TARGET_STATUS_BYTES]; /* rows wait for a durable bound */
	bool bounds_wanted;                    /* by a worker; signals bounds_cond */
	bool no_keep_alive;                    /* all its tasks want it so */
	bool reopened;                         /* the channels of earlier runs */
	bool making;                           /* a channel; signalled when over */
	struct cond cond;
	struct cond bounds_cond;
	struct thread bounds; /* target_bound.c */
	uint64_t next_id;     /* atomic */
};

struct target {
	struct list link; /* in session->handles */
	struct session *session;
	struct access *access;
	struct task *task; /* a copy */
};

struct targets {
	struct targets_opts opts;
	struct stop stop;
	struct mutex mtx;
	struct cond cond; /* a session or an access is gone */
	struct smap by_address;
};

/* target_access.c */
NODISCARD enum err_code access_open_sink(
	struct targets *s, const struct task *t, bool strict, struct sink **ret, struct err *e);
/* An access of the task's settings, not in a session yet. Files that can't be read are an error of
 * its calls. */
NODISCARD enum err_code access_new(
	struct targets *s, const struct task *t, struct access **ret_a, struct err *e);
/* Frees one that never was in a session. NULL is fine. */
void access_free(struct access *a);
/* From here on it is checked and used. */
void access_join(struct access *a, struct session *s);
/* Checks no more; calls under way go on with it. */
void access_leave(struct access *a);
/* The one for a channel's next call, to be given back with the outcome. */
struct access *access_pick(struct session *s);
void access_done(struct access *a, enum err_code code);

/* target_claims.c: frees what is left. */
void session_claims_done(struct session *s);

/* target_chan.c */
NODISCARD enum err_code session_chan(
	struct session *s, const char *pchannel, struct tchan **ret_c, struct err *e);
void session_init_channels(struct session *s);
void session_chan_key(const struct session *s, const char *pchannel, char out[CHAN_KEY_BYTES]);
/* What the store knows of channels of earlier runs. Without it no channel may be opened. */
NODISCARD enum err_code session_load_past(struct session *s, struct err *e);
/* Opens those channels; the clock is known. */
void session_reopen(struct session *s);
/* Stops all workers, which get so long to finish their calls, and frees the channels. */
void session_close_channels(struct session *s, int64_t patience_ms);
uint64_t session_clock(void *session);
/* Are ticks wanted that no source made? */
bool session_keep_alive(void *session);

/* target_bound.c */
/* The thread; nothing if it runs already. One caller at a time. */
NODISCARD enum err_code session_bounds_start(struct session *s, struct err *e);
/* s->stop is set; before the channels are closed. */
void session_bounds_stop(struct session *s);
/* Channels ask for higher bounds. */
void session_wants_bound(void *session);
