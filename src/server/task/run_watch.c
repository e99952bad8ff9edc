/* Does the target still have what this task made there? A Milvus (2.3.5) takes the rows of a
 * collection that somebody dropped by hand without a word, so it is asked for its list once in a
 * while: one call a database. What the list lacks is doubted, and the collection's own step decides
 * (a list may leave out what a user has no rights for). */
#include <inttypes.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/wire.h"
#include "server/config/config.h"
#include "server/task/run_priv.h"

enum { WATCH_MS = 15000, REQUEST_DB = 2, ANSWER_IDS = 3, DBS_MAX = 1024 };

static bool is_living(struct coll *c)
{
	return coll_get_state(c) == COLL_RUNNING && c->target_id;
}

/* The target's databases with collections of this task; heap strings. */
static char **databases(struct run *r, size_t *ret_n)
{
	struct smap seen = {0};
	size_t pos = 0, n = 0, cap = 0;
	char **l = NULL;
	void *v;

	mutex_lock(&r->mtx);
	while (n < DBS_MAX && umap_next(&r->colls, &pos, NULL, &v)) {
		struct coll *c = v;
		if (!is_living(c) || smap_put(&seen, c->target_db, c))
			continue;
		mem_grow(&l, &cap, n + 1, sizeof(*l));
		l[n++] = xstrdup(c->target_db);
	}
	mutex_unlock(&r->mtx);
	smap_done(&seen);
	*ret_n = n;
	return l;
}

static void add_id(struct umap *ids, uint64_t id)
{
	umap_put(ids, id, ids); /* a set: the value is not looked at */
}

/* ShowCollectionsResponse: ids, packed or not. */
static bool read_ids(struct slice answer, struct umap *ids)
{
	struct wire w = wire_open(answer);
	struct wire_field f;
	uint64_t id;

	while (wire_next(&w, &f)) {
		if (f.num != ANSWER_IDS)
			continue;
		if (f.type == WIRE_VARINT)
			add_id(ids, f.value);
		if (f.type != WIRE_LEN)
			continue;
		struct wire packed = wire_open(f.data);
		while (wire_varint(&packed, &id))
			add_id(ids, id);
	}
	return !w.bad;
}

static bool show(struct run *r, const char *db, struct umap *ids)
{
	CLEANUP(buf_done) struct buf body = BUF_INIT(LIMIT_RECORD);
	CLEANUP(buf_done) struct buf answer = BUF_INIT(LIMIT_GRPC_RECV);
	struct sink *k = target_sink(r->target);
	struct iov v = {0};
	struct sink_call call = {
		.method = "ShowCollections", .db = db, .body = &v, .ret_answer = &answer};
	struct err e = ERR_INIT;

	wire_put_str(&body, REQUEST_DB, db);
	iov_put(&v, buf_slice(&body));
	enum err_code code = k->ops->call(k, &call, &r->stop, &e);
	iov_done(&v);
	if (code)
		log_debug(&r->log, "list of the target's collections: %s", e.text);
	return !code && read_ids(buf_slice(&answer), ids);
}

static void doubt_missing(struct run *r, const char *db, const struct umap *ids)
{
	size_t pos = 0;
	void *v;

	mutex_lock(&r->mtx);
	while (umap_next(&r->colls, &pos, NULL, &v)) {
		struct coll *c = v;
		if (is_living(c) && strcmp(c->target_db, db) == 0 &&
			!umap_get(ids, (uint64_t)c->target_id))
			coll_doubt(c);
	}
	mutex_unlock(&r->mtx);
}

static int64_t watch(void *arg)
{
	struct run *r = arg;
	size_t n = 0;
	char **dbs = databases(r, &n);

	for (size_t i = 0; i < n; i++) {
		struct umap ids = {0};
		if (!stop_is_set(&r->stop) && show(r, dbs[i], &ids))
			doubt_missing(r, dbs[i], &ids);
		umap_done(&ids);
		free(dbs[i]);
	}
	free(dbs);
	return WATCH_MS;
}

void run_watch_start(struct run *r)
{
	/* A topic has no list, a made-up target none of its own. */
	if (!target_sink(r->target)->ops->describe || r->sv.config->dry_run)
		return;
	job_init(&r->watch, target_jobs(r->target), watch, r);
	job_wake(&r->watch, WATCH_MS);
}
