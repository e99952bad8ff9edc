/* A call that is refused because of one of its messages must not stop its channel: then the messages
 * go one by one, and the one that is refused alone fails its stream. So the smallest scope stops,
 * and all others go on.
 *
 *   whole call ──LIMIT, or refused for long──▶ one by one ──LIMIT, or refused for long──▶ stream failed
 *
 * What is no verdict about a message (away, busy, denied) is not counted. Owned by the worker. */
#pragma once

#include "pipeline/bundle.h"
#include "pipeline/tchan.h"

struct isolate {
	bool single; /* until all that is taken is acknowledged */
	bool migration;
	size_t at, n;                         /* the part of the call that is sent now */
	int verdicts;                         /* about it, in a row */
	int attempts;                         /* that failed, in a row */
	int64_t patience_ms, verdict_mono_ms; /* since when */
};

/* Something new is taken. patience_ms: how long verdicts but LIMIT must last to be believed. */
void isolate_begin(struct isolate *s, int64_t patience_ms);
/* The call was built (again): nothing of it is sent. */
void isolate_built(struct isolate *s);
/* Puts what is to be sent next into k->request; false if nothing is left. Messages of streams that
 * left or failed are left out. */
bool isolate_next(struct isolate *s, struct bundle *k, const struct tchan *c);
/* It is on the target. True when that was all of the call. */
bool isolate_sent(struct isolate *s, const struct bundle *k);
/* Is a part of the call on the target, and not all? */
bool isolate_begun(const struct isolate *s);
/* It was refused. Asks the streams whether their collections are still there, may change to one by
 * one, may fail a stream. True when the next attempt need not wait. */
bool isolate_refused(
	struct isolate *s, struct bundle *k, const struct taken *t, const struct err *e);
