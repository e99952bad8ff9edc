/* One watch: a stream of its own that is opened when needed and re-opened at the revision behind
 * the last complete batch. One thread uses a watch at a time.
 *
 * etcd sends a response per store revision or several of them; a big one comes as fragments, all
 * but the last marked. They collect in `part` until the last is there, over any number of calls of
 * next, so that the caller sees whole revisions only. What was collected dies with its stream. */
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "client/etcd/etcd_codec.h"
#include "client/etcd/etcd_conn.h"

struct etcd_watch {
	struct etcd *c;
	char *prefix;
	int64_t next_rev;    /* the first revision not yet handed out */
	uint64_t cluster_id; /* 0 = not yet known */
	struct grpc_stream *st;
	size_t peer;
	bool created;              /* the server has answered the create request of this stream */
	struct deadline create_by; /* else the stream counts as lost */
	bool denied;               /* the last stream was refused, perhaps for an old token */
	struct etcd_events part;
};

enum err_code etcd_watch_open(
	struct etcd *c, const char *prefix, int64_t from, struct etcd_watch **ret_w, struct err *e)
{
	if (from <= 0)
		return err_set(e, ERR_INVALID, "watch from revision %lld", (long long)from);
	struct etcd_watch *w = xcalloc(1, sizeof(*w));
	w->c = c;
	w->prefix = xstrdup(prefix);
	w->next_rev = from;
	etcd_events_init(&w->part);
	*ret_w = w;
	return ERR_OK;
}

static void drop_stream(struct etcd_watch *w)
{
	grpc_stream_close(TAKE(w->st));
	w->created = false;
	etcd_events_done(&w->part);
}

bool etcd_watch_live(const struct etcd_watch *w)
{
	return w->created;
}

void etcd_watch_close(struct etcd_watch *w)
{
	if (!w)
		return;
	drop_stream(w);
	free(w->prefix);
	free(w);
}

/* TIMEOUT is what next says of its own deadline. */
static void not_the_callers_deadline(struct err *e)
{
	if (e->code == ERR_TIMEOUT)
		e->code = ERR_UNAVAILABLE;
}

/* A refusal may be due to an old token; when a fresh one is refused too, the user has no right. */
static enum err_code refused(struct etcd_watch *w, struct err *e)
{
	bool again = w->c->username && !w->denied;

	w->denied = true;
	etcd_token_drop(w->c);
	drop_stream(w);
	e->code = again ? ERR_UNAVAILABLE : ERR_DENIED;
	return err_ctx(e, "watch of %s", w->prefix);
}

/* The stream is useless: forget it and let its peer rest, so that the next call asks another. */
static enum err_code lost(struct etcd_watch *w, struct err *e)
{
	if (e->code == ERR_DENIED || etcd_is_token_text(e->text))
		return refused(w, e);
	if (e->code != ERR_CANCELLED)
		etcd_peer_failed(w->c, w->peer);
	drop_stream(w);
	not_the_callers_deadline(e);
	return err_ctx(e, "watch of %s", w->prefix);
}

static enum err_code open_stream(
	struct etcd_watch *w, struct deadline d, struct stop *s, struct err *e)
{
	CLEANUP(buf_done) struct buf req = BUF_INIT(LIMIT_RECORD);
	struct deadline patience = deadline_in(w->c->timeout_ms);
	struct etcd_rpc rpc = {.path = "/etcdserverpb.Watch/Watch",
		.idempotent = true,
		.deadline = patience.at_ms < d.at_ms ? patience : d};

	if (etcd_stream(w->c, &rpc, s, &w->st, &w->peer, e)) {
		if (!deadline_passed(d))
			not_the_callers_deadline(e);
		return err_ctx(e, "watch of %s", w->prefix);
	}
	etcd_encode_watch(&req, slice_str(w->prefix), w->next_rev);
	if (buf_failed(&req))
		return err_set(e, ERR_INVALID, "watch prefix of %zu bytes", strlen(w->prefix));
	if (grpc_stream_send(w->st, buf_slice(&req), e))
		return lost(w, e);
	w->create_by = deadline_in(w->c->timeout_ms);
	return ERR_OK;
}

static enum err_code canceled(
	struct etcd_watch *w, const struct etcd_watch_answer *a, struct err *e)
{
	if (a->compact_revision) {
		drop_stream(w);
		return err_set(e, ERR_GONE, "etcd revision %lld is compacted, oldest is %lld",
			(long long)w->next_rev, (long long)a->compact_revision);
	}
	err_set(e, ERR_UNAVAILABLE, "etcd ended it: %s", *a->reason ? a->reason : "no reason");
	return strstr(a->reason, "permission denied") ? refused(w, e) : lost(w, e);
}

/* A member that was restored from a backup, or another cluster at the address, has a history that
 * is not the one the caller listed. A member that merely lags has the same cluster id and an older
 * revision: then a linearizable read tells. */
static enum err_code check_history(
	struct etcd_watch *w, const struct etcd_watch_answer *a, struct stop *s, struct err *e)
{
	struct etcd_range r;
	int64_t revision = a->header.revision;

	if (w->cluster_id && w->cluster_id != a->header.cluster_id) {
		drop_stream(w);
		return err_set(e, ERR_GONE, "another etcd cluster answers: %llx, before %llx",
			(unsigned long long)a->header.cluster_id,
			(unsigned long long)w->cluster_id);
	}
	w->cluster_id = a->header.cluster_id;
	if (revision >= w->next_rev - 1)
		return ERR_OK;
	etcd_range_init(&r);
	enum err_code code = etcd_get(w->c, w->prefix, s, &r, e);
	revision = r.revision;
	etcd_range_done(&r);
	if (code) {
		drop_stream(w);
		return e->code;
	}
	if (revision >= w->next_rev - 1)
		return ERR_OK;
	drop_stream(w);
	return err_set(e, ERR_GONE, "etcd's revision went back to %lld, seen was %lld",
		(long long)revision, (long long)w->next_rev - 1);
}

/* Hands over what is complete. Events below next_rev were handed out before: a server has no
 * reason to send them, and a repeat would be worse than a check. */
static void deliver(struct etcd_watch *w, struct etcd_events *ev)
{
	size_t kept = 0;

	etcd_events_done(ev);
	*ev = w->part;
	list_init(&ev->chunks);
	list_splice(&ev->chunks, &w->part.chunks);
	etcd_events_init(&w->part);
	for (size_t i = 0; i < ev->n; i++)
		if (ev->events[i].kv.mod_revision >= w->next_rev)
			ev->events[kept++] = ev->events[i];
	ev->n = kept;
	if (kept)
		w->next_rev = ev->events[kept - 1].kv.mod_revision + 1;
	ev->revision = w->next_rev - 1;
}

/* ret_ready: ev holds a batch. */
static enum err_code take_answer(struct etcd_watch *w, const struct etcd_watch_answer *a,
	struct stop *s, struct etcd_events *ev, bool *ret_ready, struct err *e)
{
	*ret_ready = false;
	if (a->canceled)
		return canceled(w, a, e);
	if (a->created) {
		w->created = true;
		w->denied = false;
		return check_history(w, a, s, e);
	}
	if (!w->created) {
		err_set(e, ERR_MALFORMED, "etcd sends events before the watch is created");
		return lost(w, e);
	}
	/* Without events it is a progress notification: all up to its revision was sent. */
	if (!a->n_events && !a->fragment && !w->part.n && a->header.revision >= w->next_rev)
		w->next_rev = a->header.revision + 1;
	if (a->fragment || !w->part.n)
		return ERR_OK;
	deliver(w, ev);
	*ret_ready = ev->n > 0;
	return ERR_OK;
}

static enum err_code receive(struct etcd_watch *w, struct deadline d, struct stop *s,
	struct etcd_events *ev, bool *ret_ready, struct err *e)
{
	CLEANUP(etcd_chunk_freep) struct etcd_chunk *ch = etcd_chunk_new();
	struct etcd_watch_answer a;

	*ret_ready = false;
	bool starting = !w->created && w->create_by.at_ms < d.at_ms;
	enum err_code code = grpc_stream_recv(w->st, starting ? w->create_by : d, s, &ch->body, e);
	if (code == ERR_TIMEOUT && !starting)
		return code;
	if (code)
		return lost(w, e);
	if (etcd_decode_watch(ch, &a, &w->part, e))
		return lost(w, e);
	if (a.n_events)
		(void)TAKE(ch); /* part owns it */
	return take_answer(w, &a, s, ev, ret_ready, e);
}

enum err_code etcd_watch_next(struct etcd_watch *w, struct deadline d, struct stop *s,
	struct etcd_events *ev, struct err *e)
{
	bool ready = false;

	etcd_events_done(ev);
	if (!w->st && open_stream(w, d, s, e))
		return e->code;
	while (!ready) {
		if (receive(w, d, s, ev, &ready, e)) {
			ev->revision = w->next_rev - 1;
			return e->code;
		}
	}
	return ERR_OK;
}
