/* The inside of a target channel, shared by lane.c (readers' side), take.c (the worker's side) and
 * tchan.c (streams, notes). Everything is under mtx unless said otherwise. */
#pragma once

#include "pipeline/tchan.h"

struct lane {
	struct tchan *chan;
	struct list link;  /* in chan->lanes */
	struct list packs; /* queued, oldest first */
	size_t queued_bytes;
	size_t taken_bytes;    /* of the packs in the worker's hands */
	struct list streams;   /* attached streams */
	uint64_t watermark;    /* end of the newest pack pushed */
	struct position taken; /* end of the last whole pack taken */
	uint64_t eff_ts;       /* how far this lane lets the channel go; see take.c */
	int64_t eff_mono_ms;   /* when eff_ts last moved */
	/* age of the newest tick when the reader was at the head, -1 unknown */
	int64_t head_lag_ms;
	bool late;         /* not part of the minimum; its rows may get new times */
	bool blocked;      /* the first pack waits for a partition or a moving stream */
	bool closed;       /* no more pushes */
	bool in_flight;    /* packs of it are in the worker's hands */
	bool partial;      /* a part of a pack is sent, the whole is not acknowledged */
	bool queue_parted; /* the first queued pack is the rest of one that left in part */
	struct bound_pace pace;
	struct lane *moved_to; /* streams go there when this one is drained */
};

struct tchan {
	char name[CHANNEL_BYTES];
	const struct log_ctx *log;
	struct tchan_opts opts;
	struct mutex mtx;
	struct cond work; /* for the worker */
	struct cond room; /* for readers, detach and note waiters */
	struct list lanes;
	struct list unlaned; /* attached streams without a lane yet */
	struct list notes;   /* waiting to be sent */
	size_t streams;
	uint64_t last_tick;
	uint64_t used; /* highest stamp or tick of any call that was built */
	int64_t last_tick_mono_ms;
	int64_t held_ms;
	bool in_flight;            /* the worker holds something it has not acknowledged */
	struct taken *taken;       /* what it holds */
	struct stop *call;         /* of the call being made, NULL between calls */
	struct bound_record bound; /* durable */
	bool bound_short;          /* rows wait for a higher one */
	struct bound_pace pace;
	int64_t rows_mono_ms;   /* when rows were last taken */
	size_t replaying;       /* streams in the middle of their window */
	uint64_t window_from;   /* stamp of the deletes of the windows under way */
	int64_t window_mono_ms; /* since when ticks are held back for them */
	uint64_t untold;        /* highest stamp of replayed rows that no tick has covered yet */
};

/* Milliseconds the clock ticks stay behind the target's clock, so that readers at the head of their
 * topics can stay above them. */
int64_t tchan_margin_ms_locked(const struct tchan *c);
/* Frees lanes that are closed and drained and moves their streams. */
void tchan_sweep_locked(struct tchan *c);
/* st's window is over, or st leaves. */
void tchan_window_end_locked(struct tchan *c, struct stream *st);

/* May a row of st with source time ts leave? If not, a higher bound is asked for. */
bool bound_allows_locked(struct tchan *c, const struct stream *st, uint64_t ts);
void bound_attach_locked(struct tchan *c, struct stream *st);
